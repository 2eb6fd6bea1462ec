"""MLX's side of an autograd graph: gradients by its functional transform, compared with torch's.

Everything of MLX runs in a worker process: the port's own, or one that bare losses share.
"""

from __future__ import annotations

import atexit
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from ..capture.examples import argument_names
from ..capture.gradient_graph import ReadGraph
from ..capture.gradient_values import tensor_value
from ..capture.tensors import deep_tensors
from ..errors import Refused, T2MError, WorkerFailed
from ..port.values import as_mlx, laid_out
from ..rules import standard
from ..types import GradientComparison, MLXGradients, TensorValue
from ..weights.plan import Move
from .gradient_twin import write_twin
from .mlx_graph import read_dot
from .process import Worker

if TYPE_CHECKING:
    from ..session import Port

_shared: list[Worker] = []
ABSOLUTE = 1e-5  # of the tolerance; parity/compare.py, which needs MLX, has the rest


def shared_worker() -> Worker:
    """The process in which the MLX side of bare losses runs; started when first asked for."""
    if not _shared:
        _shared.append(Worker())
        atexit.register(_shared[0].close)
    return _shared[0]


def twin_gradients(read: ReadGraph) -> MLXGradients:
    """MLX's side of a bare loss: the function that the rules write for the torch graph."""
    how = "written for this graph by the rules, from the operations and values that torch recorded"
    if not read.graph.measured:
        return MLXGradients(how, problem="There is nothing to compare: torch could not run its backward pass.")
    try:
        twin = write_twin(read)
    except Refused as refusal:
        return MLXGradients(how, problem=f"No MLX side: {refusal}.")
    except T2MError as error:
        return MLXGradients(how, problem=f"No MLX side: {error}")
    values: dict[str, torch.Tensor] = {"loss": _plain(_total(read))}
    for name, number in twin.arguments:
        values[f"argument:{name}"] = _plain(read.variables[number])
        if number in read.gradients and read.gradients[number].layout is torch.strided:
            values[f"gradient:{name}"] = _plain(read.gradients[number])
    values |= {f"kept:{name}": _plain(tensor) for name, tensor in twin.kept.items()}
    function = f"value_and_grad(loss)({', '.join(name for name, _ in twin.arguments)})"
    base = MLXGradients(how, function, twin.source, tensor_value(_total(read)), notes=_about_hooks(read))
    request = {"do": "gradients", "source": twin.source, "arguments": [name for name, _ in twin.arguments]}
    moves = {name: Move(read.graph.nodes[number].label, name) for name, number in twin.arguments}
    gradients = {name: read.gradients.get(number) for name, number in twin.arguments}
    with tempfile.TemporaryDirectory(prefix="t2m_") as folder:
        return _ask(shared_worker(), request, values, moves, gradients, base, folder)


def _about_hooks(read: ReadGraph) -> tuple[str, ...]:
    changed = any(node.adds_up is False for node in read.graph.nodes)
    return ("Hooks changed torch's gradients on their way. MLX has no hooks, so it gives those of the loss itself.",
            ) if changed else ()


def _total(read: ReadGraph) -> torch.Tensor:
    """What is differentiated: the losses, each with the gradient that it starts with, added."""
    with torch.no_grad():
        parts = [(root.detach() if weight is None else root.detach() * weight).sum()
                 for root, weight in zip(read.roots, read.weights, strict=True)]
        return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return as_mlx(tensor, standard(tensor.dim()))


def port_gradients(port: Port, read: ReadGraph, weights: Mapping[int, torch.Tensor | None], args: tuple,
                   kwargs: Mapping[str, Any], total: torch.Tensor | None, how: str, value_is: str = "",
                   ) -> MLXGradients:
    """MLX's side of a loss of ``port``'s model, run on ``args`` and ``kwargs`` in the port's worker.

    ``weights`` has what each result (by position) counts in the loss, a tensor of its shape or None for
    one; ``total`` is torch's value of the same weighted sum, ``value_is`` says what that is when it is not
    the loss itself.
    """
    from ..port.artefact import write_files
    from .checks import module_checks
    function = "nn.value_and_grad(model, loss)(inputs)"
    if not read.graph.measured:
        return MLXGradients(how, problem="There is nothing to compare: torch could not run its backward pass.")
    root = next((check for check in module_checks(port.written) if not check.path), None)
    if root is None or root.problem:
        return MLXGradients(how, problem=f"No MLX side: the port can't run. {root.problem if root else ''}".strip())
    paths = {id(tensor): path for path, tensor in reversed(list(port.model.named_parameters(remove_duplicate=False)))}
    torch_gradients = {paths[id(variable)]: read.gradients[number] for number, variable in read.variables.items()
                       if id(variable) in paths and number in read.gradients}
    moves = {move.target: move for move in port.written.moves if move.target and move.source in torch_gradients}
    values = {f"gradient:{target}": _converted(move, torch_gradients[move.source]) for target, move in moves.items()
              if torch_gradients[move.source].layout is torch.strided}
    expression, inputs = _call(port, root.expression, args, kwargs)
    values |= inputs
    weight_names: dict[str, str | None] = {}
    for position, weight in weights.items():
        weight_names[str(position)] = f"weight:{position}" if weight is not None else None
        if weight is not None:
            values[f"weight:{position}"] = laid_out(port.written, root.wanted[position], weight)
    if total is not None:
        values["loss"] = _plain(total)
    unused = [path for path in torch_gradients if path not in {move.source for move in moves.values()}]
    notes = [f"{', '.join(unused[:4])}: a gradient in torch, and no weight of its own in MLX."] if unused else []
    if port.model.training:
        notes.append("The model is in train mode, and a port loads in eval mode: with dropout or batch normalisation "
                     "they can't agree. Call model.eval() first.")
    base = MLXGradients(how, function, torch_value=tensor_value(total), value_is=value_is,
                        notes=(*notes, *_about_hooks(read)))
    request = {"do": "gradients", "expression": expression, "weights": weight_names, "trainable": list(moves)}
    with tempfile.TemporaryDirectory(prefix="t2m_") as folder:
        write_files(port, Path(folder))
        try:
            loaded = port.worker.request({"do": "load", "source": port.source, "folder": folder})
        except WorkerFailed as failure:
            return MLXGradients(how, function, problem=f"No MLX side: {failure}.")
        if not loaded["ok"]:
            return MLXGradients(how, function, problem=f"No MLX side: the port does not load. {loaded['error']}")
        gradients = {target: torch_gradients[move.source] for target, move in moves.items()}
        return _ask(port.worker, request, values, moves, gradients, base, folder)


def _converted(move: Move, gradient: torch.Tensor) -> torch.Tensor:
    return move.to_mlx(gradient.resolve_conj().resolve_neg()).clone()


def _call(port: Port, expression: str, args: tuple, kwargs: Mapping[str, Any]) -> tuple[str, dict[str, torch.Tensor]]:
    """The root call on other inputs than the recorded ones: their values take the recorded values' names."""
    given = {path: tensor for name, value in argument_names(port.model, args, kwargs)
             for path, tensor in deep_tensors(value, name)}
    values = {f"v{index}": as_mlx(given[path], port.written.plan.orders[index])
              for path, index, _ in port.written.inputs if path in given}
    return expression, values


def _ask(worker: Worker, request: dict[str, Any], values: dict[str, torch.Tensor], moves: Mapping[str, Move],
         gradients: Mapping[str, torch.Tensor | None], base: MLXGradients, folder: str) -> MLXGradients:
    """The worker's answer as plain values, gradients in torch's axes."""
    file = str(Path(folder) / "gradients.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in values.items()}, file)
    try:
        worker.request({"do": "values", "file": file, "replace": True})
        answer = worker.request(request)
    except WorkerFailed as failure:
        return dataclasses.replace(base, problem=f"No MLX side: {failure}.")
    if not answer["ok"]:
        return dataclasses.replace(base, problem=f"No MLX side: MLX raised {answer['error']}")
    comparisons = tuple(_comparison(name, move, gradients.get(name), answer) for name, move in moves.items())
    known = {name: (tuple(answer["gradients"][name]["shape"]), answer["gradients"][name]["dtype"])
             for name in answer["gradients"]}
    known |= {name: ((), "") for name in moves if name not in known}
    operations, arrays = read_dot(answer["dot"], answer["shapes"], known)
    verdict = answer.get("value_verdict")
    return dataclasses.replace(
        base, value=_value(answer["value"]), value_ok=verdict["ok"] if verdict else None, operations=operations,
        arrays=arrays, dot=answer["dot"], comparisons=comparisons)


def _comparison(name: str, move: Move, gradient: torch.Tensor | None, answer: dict[str, Any]) -> GradientComparison:
    axes = move.axes.pattern if move.axes is not None else ""
    shape = tuple(gradient.shape) if gradient is not None else ()
    if name not in answer["verdicts"]:
        why = "torch gave it no gradient" if gradient is None else "MLX has no weight of this name" if \
            gradient.layout is torch.strided else "torch's gradient is sparse, which is not supported"
        return GradientComparison(move.source, name, axes, shape, tensor_value(gradient), message=why)
    verdict = answer["verdicts"][name]
    ok, message = verdict["ok"], verdict["message"]
    # What is below the tolerance agrees with anything: no verdict, unless they are equal to the bit.
    if ok and verdict["difference"] and (verdict["reference_max"] or 0.0) <= ABSOLUTE:
        ok, message = None, f"too small to tell: below the tolerance of {ABSOLUTE:.0e}"
    return GradientComparison(
        move.source, name, axes, shape, tensor_value(gradient), _in_torch_axes(answer["gradients"][name], move),
        verdict["difference"], verdict["allowed"], ok, message)


def _value(data: dict[str, Any]) -> TensorValue:
    numbers = tuple(float(number) for number in data["numbers"]) if "numbers" in data else None
    return TensorValue(tuple(data["shape"]), data["dtype"], numbers, data.get("minimum"), data.get("maximum"),
                       data.get("mean"), data.get("norm"), data.get("nonfinite", 0))


def _in_torch_axes(data: dict[str, Any], move: Move) -> TensorValue:
    """MLX's gradient moved back by the receipt; of a large one the summary stays as it is."""
    value = _value(data)
    if move.axes is None:
        return value
    if value.numbers is not None:
        return tensor_value(move.to_torch(torch.tensor(value.numbers).reshape(value.shape)))  # type: ignore[return-value]
    shape = tuple(move.to_torch(torch.empty(value.shape, device="cpu")).shape)
    return TensorValue(shape, value.dtype, None, value.minimum, value.maximum, value.mean, value.norm, value.nonfinite)


def matching_nodes(loss_nodes: list[Any], outputs: list[torch.Tensor]) -> dict[int, list[Any]]:
    """Nodes of a loss's graph that compute what each of ``outputs`` is: equal operations on equal shapes
    from the same parameters, by position of the output."""
    known: dict[Any, int] = {}
    kinds: dict[int, int] = {}

    def number(node: Any) -> None:
        stack = [node]
        while stack:
            current = stack[-1]
            missing = [f for f, _ in current.next_functions if f is not None and id(f) not in kinds]
            if missing:
                stack.extend(missing)
                continue
            stack.pop()
            variable = getattr(current, "variable", None)
            shapes = tuple(tuple(meta.shape) for meta in current._input_metadata)
            below = tuple((kinds[id(f)], o) if f is not None else None for f, o in current.next_functions)
            key = (current.name(), shapes, below, id(variable) if variable is not None else None)
            kinds[id(current)] = known.setdefault(key, len(known))

    found: dict[int, list[Any]] = {}
    for node in loss_nodes:
        number(node)
    for position, tensor in enumerate(outputs):
        if tensor.grad_fn is not None:
            number(tensor.grad_fn)
            found[position] = [n for n in loss_nodes if kinds[id(n)] == kinds[id(tensor.grad_fn)]]
    return found


def pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """The nodes of two graphs of equal structure, side by side."""
    stack, seen = [(one, other)], set()
    while stack:
        first, second = stack.pop()
        if id(first) in seen:
            continue
        seen.add(id(first))
        yield first, second
        stack += [(f, s) for (f, _), (s, _) in zip(first.next_functions, second.next_functions, strict=True)
                  if f is not None and s is not None]


def same_forward(one: Any, other: Any, budget: int = 20_000_000) -> bool:
    """True when two graphs of equal structure saved equal tensors, as far as ``budget`` elements tell."""
    for first, second in pairs(one, other):
        for name in dir(first):
            if not name.startswith("_saved_"):
                continue
            try:
                left, right = getattr(first, name), getattr(second, name)
            except RuntimeError:
                continue  # freed, or written in place: the backward pass says so
            if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
                budget -= left.numel()
                same = left.shape == right.shape and torch.equal(left.detach(), right.detach())
                if not same and not (left.is_floating_point() and left.shape == right.shape
                                     and torch.allclose(left, right, equal_nan=True)):
                    return False
            if budget <= 0:
                return True
    return True
