"""Runs a port's comparisons in the worker and makes a report of them."""

from __future__ import annotations

import dataclasses
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..capture.examples import argument_names
from ..capture.generalise import same_program
from ..capture.module_state import attributes_restored
from ..capture.recorder import without_fast_path
from ..capture.recording import flatten
from ..capture.tensors import deep_tensors
from ..errors import WorkerFailed
from ..port.values import as_mlx, laid_out
from ..types import ParityResult, Status
from ..weights.files import write_tensors
from .checks import Check, module_checks
from .examples import BRANCHING, fresh, other_examples, tensors_in
from .report import ParityReport, assemble

if TYPE_CHECKING:
    from ..port.writing import Written
    from ..session import Port


def measure(port: Port, isolate: bool = True, vary: bool = True) -> ParityReport:
    """Compare ``port`` with torch. See :meth:`Port.parity`."""
    started = time.perf_counter()
    results: list[ParityResult] = []
    notes: list[str] = []
    written = _as_the_user_ran_it(port)
    checks = module_checks(port.written)
    if written is not port.written:
        checks = [c for c in checks if not c.path] + [c for c in module_checks(written) if c.path]
    order: dict[str, int] = {}
    for call in port.recording.root.walk():  # type: ignore[union-attr]
        order.setdefault(call.path, len(order))
    results += [ParityResult(c.path, c.class_name, "module", Status.MISSING, message=c.problem)
                for c in checks if c.problem]
    runnable = [c for c in checks if not c.problem]
    whole = [c for c in runnable if not c.path]
    chosen = whole
    modules = [c for c in runnable if c.path] if isolate else []
    notes += port.example.notes
    if port.example.training:
        notes.append("a saved port loads in eval mode, so it can't equal a forward in train mode: call model.eval() "
                     "before porting")
    with tempfile.TemporaryDirectory(prefix="t2m_") as scratch:
        folder = Path(scratch)
        values, of_modules = folder / "values.safetensors", folder / "values_of_modules.safetensors"

        def meanwhile() -> None:
            notes.extend(_determinism(port))
            _write_values(written, modules, of_modules)
            _write_values(port.written, chosen, values)
            port.receipts  # noqa: B018  their checksums take a moment

        try:
            answer = port.worker.request(_load(port), meanwhile=meanwhile)
            if not answer["ok"]:
                results.append(ParityResult("", port.name, "load", Status.MISSING, message=answer["error"]))
                modules, chosen, vary = [], [], False
            for some, file, source in ((modules, of_modules, written), (chosen, values, port.written)):
                if some:
                    port.worker.request({"do": "values", "file": str(file), "replace": True})
                    results += _run(port, some, file, source)
            if whole and port.example is not port.recording:
                results += [_user_example(port, whole[0], folder)]
            if vary and whole:
                results += _other_shapes(port, whole[0], folder, notes)
        except WorkerFailed as failure:
            results.append(ParityResult("", port.name, "end to end", Status.MISSING, message=str(failure)))
    analysis = port.analysis
    return assemble(analysis.root, results, order, missing=analysis.missing, notes=tuple(notes),
                    seconds=time.perf_counter() - started, versions=port.versions)


def _as_the_user_ran_it(port: Port) -> Written:
    """What the modules are compared on: the user's own example where the port was written from a
    larger one on which the model did the same."""
    example, own = port.example, port.recording
    alike = example is not own and not own.training and len(example.values) == len(own.values) \
        and len(example.tensors) >= len(own.tensors) and same_program(own, example) \
        and [call.path for call in own.root.walk()] == [call.path for call in example.root.walk()]  # type: ignore
    return dataclasses.replace(port.written, recording=example) if alike else port.written


def _load(port: Port) -> dict[str, Any]:
    """The request that builds the model, weights included, in the worker."""
    return {"do": "load", "source": port.source, "folder": str(port.weights_file.lend())}


def _write_values(written: Written, checks: list[Check], file: Path) -> None:
    """What the checks read and what they should give, as MLX holds it."""
    needed = {index for check in checks for index in (*check.wanted, *check.reads)}
    write_tensors({f"v{index}": laid_out(written, index, view=True) for index in sorted(needed)}, file)


def _run(port: Port, checks: list[Check], file: Path, written: Written) -> list[ParityResult]:
    results = []
    measured: dict[str, ParityResult] = {}
    for number, check in enumerate(checks):
        twin = measured.get(check.same_as)
        if twin is not None and twin.status is Status.PROVEN:
            results.append(ParityResult(
                check.path, check.class_name, "as measured at " + twin.path, Status.PROVEN, twin.max_difference,
                twin.allowed, twin.reference_max, twin.torch_shape, twin.mlx_shape,
                f"same class, sizes and shapes as {twin.path}; its own layers were each measured"))
            continue
        outcome = _ask(port, {"id": number, "expression": check.expression,
                              "wanted": [f"v{index}" for index in check.wanted]}, file)
        kind = "module" if check.path else "end to end" if port.example is port.recording else _as_recorded(port, check)
        shapes = [written.recording.values[index].shape for index in check.wanted]
        results.append(_result(port, check, kind, outcome, shapes))
        if check.same_as:
            measured[check.same_as] = results[-1]
        if port.progress:
            port.progress("comparing", number + 1, len(checks))
    return results


def _ask(port: Port, check: dict[str, Any], file: Path) -> dict[str, Any]:
    """One comparison in the worker. If that ends it, the next finds a new worker, loaded."""
    try:
        answer = port.worker.request({"do": "check", "checks": [check]})
        return answer["results"][0] if answer["ok"] else answer
    except WorkerFailed as failure:
        port.worker.request(_load(port))
        port.worker.request({"do": "values", "file": str(file)})
        return {"error": str(failure)}


def _result(port: Port, check: Check, kind: str, outcome: dict[str, Any],
            shapes: Sequence[Sequence[int]]) -> ParityResult:
    took = outcome.get("milliseconds", 0.0)
    if "error" in outcome:
        place = f" (line {outcome['line']})" if outcome.get("line") else ""
        # A stub that says why it could not be ported has measured nothing.
        stub = outcome["error"].startswith("NotImplementedError") and bool(port.problems)
        return ParityResult(check.path, check.class_name, kind, Status.MISSING if stub else Status.DIVERGES,
                            message=outcome["error"] + place, milliseconds=took)
    verdicts = outcome["verdicts"]
    worst = max(verdicts, key=lambda v: (not v["ok"], (v["difference"] or 0.0) / (v["allowed"] or 1.0)), default=None)
    if worst is None:
        return ParityResult(check.path, check.class_name, kind, Status.PROVEN, 0.0, 0.0, 0.0, milliseconds=took)
    ok = all(v["ok"] for v in verdicts)
    shape = shapes[verdicts.index(worst)]
    return ParityResult(check.path, check.class_name, kind, Status.PROVEN if ok else Status.DIVERGES,
                        worst["difference"], worst["allowed"], worst["reference_max"], tuple(shape),
                        tuple(worst["shape"]), worst["message"], milliseconds=took)


def _determinism(port: Port) -> list[str]:
    """Run torch twice: a model that answers differently can't be compared."""
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), attributes_restored(port.model), without_fast_path():
            args, kwargs = fresh(port.args, port.kwargs)
            again = port.model(*args, **kwargs)
    except Exception:  # the example was recorded once; a second run may meet changed state
        return ["torch could not run the example a second time: the model keeps state from the first"]
    from ..port.artefact import example_tensors
    _, recorded = example_tensors(port)
    second = [tensor for _, tensor in flatten(again)]
    for old, new in zip(recorded, second, strict=False):
        if old is not None and (old.shape != new.shape or not torch.equal(
                torch.nan_to_num(old.detach()) if old.is_floating_point() else old,
                torch.nan_to_num(new.detach()) if new.is_floating_point() else new)):
            return ["torch itself answers differently when run again (dropout left on, or random numbers in the "
                    "forward): parity can't hold exactly. Call model.eval(), or pass the random numbers in."]
    return []


def _other_shapes(port: Port, root: Check, folder: Path, notes: list[str]) -> list[ParityResult]:
    """End to end at other shapes. Torch decides which of them the model takes."""
    results: list[ParityResult] = []
    done: set[str] = set()
    tried: dict[str, None] = {}
    known = port.example.expected  # torch has run them when the port was recorded
    for number, (what, args, kwargs) in enumerate(other_examples(port.args, port.kwargs)):
        tried[what] = None
        if what in done or number not in known:
            continue
        wanted = known[number]
        done.add(what)
        if len(wanted) != len(root.wanted):
            count = f"torch gives {len(wanted)} results there, the recorded example {len(root.wanted)}"
            status = Status.PARTIAL if what in BRANCHING else Status.DIVERGES
            results.append(ParityResult("", root.class_name, _other(what, args, kwargs), status, message=count))
            continue
        if _is_recorded(port, root, wanted):
            continue  # the port was written from this one, and the root's own check compared it
        check, values = _at(port, root, args, kwargs, wanted)
        found = _elsewhere(port, root, _other(what, args, kwargs), check, values, wanted, folder)
        if what in ("values", *BRANCHING) and found.status is Status.DIVERGES:
            # Beyond the sizes that every port is held to: a caveat of a port that holds at those.
            found = dataclasses.replace(found, status=Status.PARTIAL)
            article = "other" if what == "values" else "another"
            notes.append(f"torch takes {article} {what}, this port does not compute the same there "
                         f"({found.check.partition(': ')[2]}: {found.message})")
        results.append(found)
    if root.reads and not port.example.training:
        if "batch" not in done:
            notes.append("torch does not take this example at another batch size, so other batches are not proven")
        notes += [f"torch does not take this example at another {what}, so other sizes are not proven"
                  for what in ("length", "image size") if what in tried and what not in done]
    return results


def _is_recorded(port: Port, root: Check, results: list[torch.Tensor]) -> bool:
    """True when these are the very results of the recording that the port was written from."""
    tensors = port.recording.tensors
    return port.example is not port.recording and 0 < len(results) == len(root.wanted) and all(
        tensors.get(index) is tensor for index, tensor in zip(root.wanted, results, strict=True))


def _as_recorded(port: Port, root: Check) -> str:
    """What the root's check at the recorded size says that it compared."""
    for number, (what, args, kwargs) in enumerate(other_examples(port.args, port.kwargs)):
        if _is_recorded(port, root, port.example.expected.get(number, [])):
            return _other(what, args, kwargs)
    return "other size: as recorded"


def _other(what: str, args: tuple, kwargs: dict[str, Any]) -> str:
    shapes = ", ".join("×".join(map(str, t.shape)) for t in list(tensors_in([args, kwargs]))[:2])
    return f"other {what}: {shapes}"


def _user_example(port: Port, root: Check, folder: Path) -> ParityResult:
    """End to end on the example as the user gave it, when the recording was made at another batch."""
    from ..port.artefact import example_tensors
    _, wanted = example_tensors(port)
    if len(wanted) != len(root.wanted):
        count = f"torch gives {len(wanted)} results, the example that was ported {len(root.wanted)}"
        return ParityResult("", root.class_name, "end to end", Status.DIVERGES, message=count)
    check, values = _at(port, root, port.args, port.kwargs, wanted)
    return _elsewhere(port, root, "end to end", check, values, wanted, folder)


def _elsewhere(port: Port, root: Check, kind: str, check: dict[str, Any], values: dict[str, torch.Tensor],
               wanted: list[torch.Tensor], folder: Path) -> ParityResult:
    """The root's check on values of its own."""
    file = folder / "values_of_one.safetensors"
    write_tensors(values, file)
    port.worker.request({"do": "values", "file": str(file)})
    return _result(port, root, kind, _ask(port, check, file), [t.shape for t in wanted])


def _at(port: Port, root: Check, args: tuple, kwargs: dict[str, Any], wanted: list[torch.Tensor]):
    """The root check with another example's tensors under names of their own."""
    values: dict[str, torch.Tensor] = {}
    by_name = {path: tensor for name, value in argument_names(port.model, args, kwargs)
               for path, tensor in deep_tensors(value, name)}
    expression = root.expression
    for path, index, _ in port.written.inputs:
        if path in by_name:
            values[f"w{index}"] = as_mlx(by_name[path], port.written.plan.orders[index], view=True)
            expression = re.sub(rf"\bv{index}\b", f"w{index}", expression)
    names = []
    for number, (tensor, index) in enumerate(zip(wanted, root.wanted, strict=True)):
        names.append(f"w_out{number}")
        values[names[-1]] = as_mlx(tensor, port.written.plan.orders[index], view=True)
    return {"id": 0, "expression": expression, "wanted": names}, values
