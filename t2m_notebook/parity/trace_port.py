"""Traces a port: torch here, the generated code in the worker, one row where both did the same."""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from ..capture.calls import result_values
from ..capture.examples import argument_names
from ..capture.generalise import same_program
from ..capture.operation_trace import Judge, TorchRows, TraceRecorder, record_operations, trace_notes
from ..capture.recording import ModuleCall, OpCall, refs
from ..capture.tensors import deep_tensors
from ..errors import WorkerFailed
from ..port.artefact import write_files
from ..port.values import as_mlx
from ..rules import standard
from ..types import Status, TraceData, TracedOperation, TraceRow, from_data, shape_text
from .alignment import MlxStep, TorchStep, align, crossed
from .array_facts import MOST_PRINTED, fingerprint
from .checks import module_checks
from .examples import fresh

if TYPE_CHECKING:
    from ..session import Port

CHUNK = 1 << 28  # bytes of torch's results that are in a file for the worker at once


@dataclasses.dataclass(slots=True)
class _Run:
    """One run of both sides."""

    port: Port
    recorder: TraceRecorder
    rows: TorchRows
    orders: dict[int, tuple[int, ...]]
    events: list[TracedOperation]
    error: str = ""
    prints: list[float | None] = dataclasses.field(default_factory=list)  # of each event's first result


def trace_port(port: Port, judge_of: Callable[[TraceRecorder], Judge], *, values: bool = True) -> TraceData:
    """Both sides of ``port`` on its example; see :func:`t2m_notebook.trace`.

    ``judge_of`` makes what asks the rules. A worker that dies leaves torch's side and says why.
    """
    started = time.perf_counter()
    args, kwargs = fresh(port.args, port.kwargs)
    recorder, failed = record_operations(port.model, (*args,), kwargs, values=True, keep="all")
    rows = TorchRows(recorder, judge_of(recorder))
    notes = trace_notes(recorder)
    known = same_program(port.recording, recorder.recording) and _same_values(port, recorder)
    orders = dict(port.written.plan.orders) if known else {}
    if not known:
        notes.append("the run took another path than the one that was ported: axes are not known, rows are aligned by "
                     "values alone")
    run = _Run(port, recorder, rows, orders, [], failed)
    made: list[TraceRow] = []
    with tempfile.TemporaryDirectory(prefix="t2m_") as scratch:
        try:
            made = list(_both_sides(run, Path(scratch), values))
        except WorkerFailed as failure:
            run.error = run.error or f"MLX: {failure}"
    return TraceData(port.name, tuple(made or rows.rows()), ("torch", "mlx"), _inputs(recorder), run.error, values,
                     tuple(notes), time.perf_counter() - started, dict(port.versions))


def _same_values(port: Port, recorder: TraceRecorder) -> bool:
    """The layout plan speaks of the values of this very run."""
    mine, planned = recorder.recording.values, port.recording.values
    orders = port.written.plan.orders
    return len(mine) == len(planned) and all(
        len(value.shape) == len(orders.get(value.index, value.shape)) for value in mine)


def _inputs(recorder: TraceRecorder) -> tuple[str, ...]:
    return tuple(f"{v.name}: {shape_text(v.shape)} {v.dtype}" for v in recorder.recording.values if v.kind == "input")


def _both_sides(run: _Run, folder: Path, values: bool) -> Iterator[TraceRow]:
    _start_mlx(run, folder)
    steps = [_step(run, event, row) for event, row in zip(run.rows.events, run.rows.rows(), strict=True)]
    events = [MlxStep(event, mark) for event, mark in zip(run.events, run.prints, strict=True)]
    pairs = align(steps, events)
    elsewhere = crossed(steps, events, pairs)
    verdicts = _compare(run, [*pairs, *elsewhere.items()], folder)
    order = list(_merged(len(steps), len(events), pairs, elsewhere))
    of_step = {step: number for number, (step, _) in enumerate(order) if step is not None}
    of_event = {event: number for number, (_, event) in enumerate(order) if event is not None}
    position = {event.index: number for number, event in enumerate(run.rows.events)}
    numbered = TorchRows(run.recorder, run.rows.judge).rows(lambda event: of_step[position[event.index]])
    for number, (step, event) in enumerate(order):
        row = numbered[step] if step is not None else TraceRow(number)
        mlx = _renamed(run.events[event], of_event) if event is not None else None
        if not values:  # they were needed to align
            row, mlx = dataclasses.replace(row, torch=_without_values(row.torch)), _without_values(mlx)
        if step is None:
            yield TraceRow(number, mlx=mlx, note="MLX alone", error=_failure(run, event))
        elif mlx is None:
            yield dataclasses.replace(row, **_unmatched(row, bool(run.error)))
        else:
            yield _matched(run, row, run.rows.events[step], mlx, verdicts.get((step, event)))


def _start_mlx(run: _Run, folder: Path) -> None:
    """Load the port in the worker and run it there on the inputs that torch had."""
    port, recording = run.port, run.recorder.recording
    root = next((c for c in module_checks(port.written) if not c.path), None)
    if root is None or root.problem:
        run.error = run.error or f"MLX: {root.problem if root else 'the model has no result to compare'}"
        return
    write_files(port, folder)
    answer = port.worker.request({"do": "load", "source": port.source, "folder": str(folder)})
    if not answer["ok"]:
        run.error = run.error or f"MLX: {answer['error']}"
        return
    given = {path: value for name, item in _named(run) for path, value in deep_tensors(item, name)}
    inputs: dict[str, str] = {}
    tensors, expression = {}, root.expression
    mine = {value.name: value.index for value in recording.values if value.kind == "input"}
    for index in sorted(root.reads):
        name = port.recording.values[index].name
        source = given.get(name)
        if source is None:
            source = recording.tensors.get(mine.get(name, index), port.recording.tensors.get(index))
        if source is None:
            continue
        tensors[f"v{index}"] = as_mlx(source, port.written.plan.orders[index])
        inputs[f"v{index}"] = name or "constant"
    file = str(folder / "inputs.safetensors")
    save_file(tensors, file)
    port.worker.request({"do": "values", "file": file, "replace": True})
    leaves = [port.written.structure.weight_name(event.path) for event in run.rows.events
              if isinstance(event, ModuleCall)]
    answer = port.worker.request({"do": "trace", "expression": expression, "inputs": inputs, "values": True,
                                  "leaves": sorted(set(leaves))})
    if not answer["ok"]:
        raise WorkerFailed(answer["error"])
    run.prints = answer["prints"]
    run.events = [_in_the_file(from_data(TracedOperation, data)) for data in answer["operations"]]
    if answer["error"] and not run.error:
        run.error = f"MLX: {answer['error']}"


def _in_the_file(side: TracedOperation) -> TracedOperation:
    """The worker runs the text of ``model.py`` under another name."""
    if side.location is None or side.location.file != "<port>":
        return side
    return dataclasses.replace(side, location=dataclasses.replace(side.location, file="model.py"))


def _named(run: _Run) -> list[tuple[str, Any]]:
    args, kwargs = fresh(run.port.args, run.port.kwargs)
    return argument_names(run.port.model, args, kwargs)


def _step(run: _Run, event: OpCall | ModuleCall, row: TraceRow) -> TorchStep:
    assert row.torch is not None
    values = run.recorder.recording.values
    outputs = _outputs(event)
    shapes = tuple(tuple(values[i].shape[dim] for dim in _order(run, i)) for i in outputs)
    layer = isinstance(event, ModuleCall)
    path = run.port.written.structure.weight_name(row.torch.path)
    return TorchStep(row.torch, path, shapes, row.form, layer, _print(run, outputs[0]) if outputs else None)


def _print(run: _Run, index: int) -> float | None:
    """The fingerprint of a result of torch's as MLX would hold it."""
    tensor = run.recorder.recording.tensors.get(index)
    if tensor is None or tensor.layout is not torch.strided or tensor.is_quantized or not run.orders:
        return None
    if tensor.numel() > 4 * MOST_PRINTED and _order(run, index) == standard(tensor.dim()):
        tensor = tensor.reshape(-1)[:MOST_PRINTED]
    else:
        tensor = _held(run, index)
    tensor = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
    return fingerprint(tensor.resolve_conj().resolve_neg().numpy())


def _held(run: _Run, index: int) -> torch.Tensor:
    """A result of torch's as MLX holds it."""
    tensor, plan = run.recorder.recording.tensors[index], run.port.written.plan
    if run.orders and index in plan.column_values:
        tensor = plan.column_values[index].apply(tensor)
    return as_mlx(tensor, _order(run, index))


def _outputs(event: OpCall | ModuleCall) -> list[int]:
    if isinstance(event, OpCall):
        return result_values(event)
    return [*dict.fromkeys(after for _, after in event.mutated)] or refs(event.outputs)


def _order(run: _Run, index: int) -> tuple[int, ...]:
    order = run.orders.get(index)
    return tuple(order) if order is not None else standard(len(run.recorder.recording.values[index].shape))


def _compare(run: _Run, pairs: list[tuple[int, int]], folder: Path) -> dict[tuple[int, int], dict[str, Any]]:
    """The verdict of each pair, the results in files of at most :data:`CHUNK` bytes."""
    kept = run.recorder.recording.tensors
    verdicts: dict[tuple[int, int], dict[str, Any]] = {}
    waiting: list[tuple[tuple[int, int], int]] = []  # (pair, value)
    size = 0

    def send(done: bool) -> None:
        tensors = {f"r{index}": _held(run, index) for _, index in waiting}
        file = str(folder / f"results_{len(verdicts)}.safetensors")
        save_file(tensors, file)
        run.port.worker.request({"do": "values", "file": file, "replace": True})
        answer = run.port.worker.request({"do": "trace_compare", "done": done, "pairs": [
            [pair[1], 0, f"r{index}"] for pair, index in waiting]})
        if not answer["ok"]:
            raise WorkerFailed(answer["error"])
        verdicts.update({pair: verdict for (pair, _), verdict in zip(waiting, answer["verdicts"], strict=True)
                         if verdict is not None})
        Path(file).unlink()
        waiting.clear()

    for pair in pairs:
        outputs = _outputs(run.rows.events[pair[0]])
        if not outputs or outputs[0] not in kept or not run.events[pair[1]].outputs:
            continue
        tensor = kept[outputs[0]]
        if tensor.layout is not torch.strided or tensor.is_quantized:
            continue
        waiting.append((pair, outputs[0]))
        size += tensor.numel() * tensor.element_size()
        if size > CHUNK:
            send(False)
            size = 0
    if run.events:
        send(True)
    return verdicts


def _merged(steps: int, events: int, pairs: list[tuple[int, int]],
            elsewhere: dict[int, int]) -> Iterator[tuple[int | None, int | None]]:
    """Both lists as one: between two pairs, torch's own steps and then MLX's. A step whose event ran
    elsewhere takes it along."""
    step = event = 0
    moved = set(elsewhere.values())
    for end_step, end_event in [*pairs, (steps, events)]:
        yield from ((number, elsewhere.get(number)) for number in range(step, end_step))
        yield from ((None, number) for number in range(event, end_event) if number not in moved)
        if end_step < steps:
            yield end_step, end_event
        step, event = end_step + 1, end_event + 1


_RELABELS = frozenset({"permute", "transpose", "t", "T", "mT", "movedim", "moveaxis", "swapaxes", "swapdims"})


def _unmatched(row: TraceRow, ended: bool) -> dict[str, Any]:
    assert row.torch is not None
    if row.torch.memory == "same tensor" or row.form == "x" or row.torch.name.endswith((".contiguous", ".detach")):
        return {"status": Status.UNSEEN, "note": "not needed"}
    if row.status in (Status.MISSING, Status.REFUSED) or row.error:
        return {}
    if row.torch.memory == "view" and row.torch.name.rpartition(".")[2] in _RELABELS:
        return {"status": Status.UNSEEN, "note": "not needed: MLX holds the axes in this order"}
    if ended:
        return {"status": Status.UNSEEN, "note": "MLX did not get here"}
    return {"status": Status.UNSEEN, "note": "no MLX operation of its own: known when the port was written, or part "
                                             "of another row"}


def _matched(run: _Run, row: TraceRow, event: OpCall | ModuleCall, mlx: TracedOperation,
             verdict: dict[str, Any] | None) -> TraceRow:
    outputs = _outputs(event)
    axes = _order(run, outputs[0]) if outputs else ()
    if verdict is None:
        return dataclasses.replace(row, mlx=mlx, axes=axes, status=Status.UNSEEN, note=row.note or "not compared")
    status = Status.PROVEN if verdict["ok"] else Status.DIVERGES
    return dataclasses.replace(row, mlx=mlx, axes=axes, status=status, note=verdict["message"] or row.note,
                               difference=verdict["difference"], allowed=verdict["allowed"])


def _without_values(side: TracedOperation | None) -> TracedOperation | None:
    if side is None:
        return None

    def bare(tensors):
        return tuple(dataclasses.replace(tensor, summary=None) for tensor in tensors)
    return dataclasses.replace(side, inputs=bare(side.inputs), outputs=bare(side.outputs))


_RESULT = re.compile(r"#(\d+)")


def _renamed(side: TracedOperation, rows: dict[int, int]) -> TracedOperation:
    """Events' numbers as those of rows."""
    def name(text: str) -> str:
        return _RESULT.sub(lambda found: f"#{rows[int(found[1])]}", text)

    def tensors(items):
        return tuple(dataclasses.replace(tensor, name=name(tensor.name)) for tensor in items)
    return dataclasses.replace(side, inputs=tensors(side.inputs), outputs=tensors(side.outputs),
                               shares_with=name(side.shares_with))


def _failure(run: _Run, event: int | None) -> str:
    """The error, on the operation that ended MLX's run."""
    ended = run.error.startswith("MLX: ") and event == len(run.events) - 1
    return run.error if ended and not run.events[event].outputs else ""  # type: ignore[index]
