"""Runs what the rules emit: a torch callable is recorded, every call is emitted, the emitted
text is compiled into one MLX function and run on the same inputs.

Outcomes: ``matched``, ``refused`` (with the rule's reason), ``missing`` (no rule; names the
operation), ``differs`` (with what differs). Values are compared shape, dtype kind, NaN/Inf
positions, then value at the project's tolerance; gradients, of inputs and of parameters,
likewise where torch has them. A layer's buffers (running statistics) are compared after the
forward, each moved as its rule says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

import mlx.core as mx
import mlx.nn as mlx_nn
import torch
from mlx.utils import tree_flatten, tree_unflatten
from torch.utils._pytree import tree_map

from t2m_notebook.capture import recorder as recording_room
from t2m_notebook.capture.recording import ModuleCall, flatten, refs
from t2m_notebook.errors import Refused, RuleFailed
from t2m_notebook.rules.array import Order
from tests.rules.exact import as_close_as_torch, exact_gradients, exact_results
from tests.rules.replayed import Replayed, moved, placed
from tests.rules.values import difference, to_mlx


@dataclass
class Outcome:
    kind: str  # "matched" | "refused" | "missing" | "differs"
    detail: str = ""
    source: str = ""
    caveats: tuple[str, ...] = ()
    gradients: str = "not checked"  # "matched" | "not checked" | why not


class Wrapped(torch.nn.Module):
    """A function as a module, so that the recorder can run it."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        if isinstance(function, torch.nn.Module):
            self.training = function.training

    def forward(self, *args, **kwargs):
        return self.function(*args, **kwargs)


def replay(function, args=(), kwargs=None, *, gradients: bool = True, orders: str = "standard",
           tolerance: float = 1.0, also: tuple[tuple, ...] = ()) -> Outcome:
    """Record ``function(*args, **kwargs)``, run its emitted form, compare. ``also`` lists other
    arguments, of other sizes, on which the code emitted for ``args`` must be right as well.

    ``orders="channels last"`` hands every input of three or more dimensions over in
    channels-last order, which shows whether a rule asks for axes as it should.
    """
    kwargs = kwargs or {}
    model = Wrapped(function)
    is_module = isinstance(function, torch.nn.Module)
    if is_module:
        model.train(function.training)
    state = torch.random.get_rng_state()
    mx.random.seed(0)  # a random draw that hits torch's by chance would do so on every run, or on none
    copied = [(path, tensor.detach().clone()) for path, tensor in flatten([args, kwargs])]
    initial = {id(t): t.detach().clone() for t in [*model.parameters(), *model.buffers()]}
    again = tree_map(lambda t: t.detach().clone().requires_grad_(t.requires_grad) if isinstance(t, torch.Tensor) else t,
                     (args, kwargs))
    recorder = recording_room.Recorder(model, keep="all")
    recorder.name_inputs([("args", args), ("kwargs", kwargs)])
    with torch.enable_grad() if gradients else torch.no_grad():
        result = recording_room.run(recorder, args, kwargs)
    torch.random.set_rng_state(state)
    recording = recorder.recording
    # parameters of a module that is opened are read by its operations, not by a layer
    read = {index for event in recording.calls() if not isinstance(event, ModuleCall)
            for index in refs([event.args, event.kwargs])}
    inputs = [v for v in recording.values if v.previous is None and (
        v.kind in ("input", "constant", "attribute") or v.kind in ("parameter", "buffer") and v.index in read)]
    given: dict[int, Order] = {}

    def arrays_for(by_name: dict[str, torch.Tensor]) -> list[mx.array]:
        arrays = []
        for value in inputs:
            place = ("args", "0") if value.name.startswith("args") else ("kwargs", "1")
            tensor = by_name.get(value.name.replace(*place, 1))
            if tensor is None:
                tensor = recording.tensors[value.index]
            if value.kind in ("parameter", "buffer"):
                arrays.append(to_mlx(tensor))
                continue
            if orders != "standard" and tensor.ndim >= 3:
                given[value.index] = (0, *range(2, tensor.ndim), 1)
                tensor = tensor.permute(given[value.index])
            arrays.append(to_mlx(tensor))
        return arrays

    try:
        arrays = arrays_for(dict(copied))
        replayed = Replayed(recording, given)
    except RuleFailed as failure:
        return Outcome("differs", str(failure))
    except Refused as refusal:
        return Outcome("refused", str(refusal))
    except KeyError as missing:
        return Outcome("missing", str(missing.args[0]))
    outputs = refs(recording.root.outputs)
    source = replayed.source([value.index for value in inputs], outputs)
    caveats = tuple(dict.fromkeys(replayed.caveats))
    try:
        names = replayed.namespace(initial)
        exec(compile(source, "<emitted>", "exec"), names)
        got = names["replayed"](*arrays)
        mx.eval(got)
    except Exception as error:  # what the emitted code raises is the finding
        return Outcome("differs", f"{type(error).__name__}: {str(error)[:300]}", source, caveats)
    wanted = [tensor for _, tensor in flatten(result)]
    for position, (value, want) in enumerate(zip(got, wanted, strict=True)):
        problem = difference(value, want, tolerance)
        if problem and not difference(mx.zeros_like(value), torch.zeros_like(want)) and (
                is_unset(recording) or is_random(function, *again)):
            return Outcome("matched", "random numbers: shape and dtype compared, not values", source, caveats)
        if problem and problem.startswith("max"):
            exact = [] if is_module else exact_results(function, *again)
            problem = "" if exact and as_close_as_torch(value, want, exact[position]) else problem
        if problem:
            return Outcome("differs", f"result {position}: {problem}", source, caveats)
    for other in also:
        with torch.no_grad():
            wanted = [tensor for _, tensor in flatten(function(*other, **kwargs))]
        try:
            got = names["replayed"](*arrays_for(dict(flatten([other, kwargs]))))
            problems = [difference(value, want, tolerance) for value, want in zip(got, wanted, strict=True)]
        except Exception as error:  # what the emitted code raises is the finding
            problems = [f"{type(error).__name__}: {str(error)[:300]}"]
        if any(problems):
            shapes = [tuple(tensor.shape) for _, tensor in flatten(other)]
            return Outcome("differs", f"at other sizes {shapes}: {' '.join(filter(None, problems))}", source, caveats)
    problem = _buffers(replayed, names, tolerance)
    if problem:
        return Outcome("differs", problem, source, caveats)
    outcome = Outcome("matched", "", source, caveats)
    if gradients:
        outcome.gradients = _gradients(replayed, names, inputs, arrays, given, result, args, kwargs, again)
        if "vjp" in outcome.gradients.lower() and any("no gradient" in said for said in caveats):
            outcome.gradients = "not checked"  # the caveat says so
        if outcome.gradients not in ("matched", "not checked") and is_random(function, *again):
            outcome.gradients = "not checked"  # the results were equal by chance, each gradient is of its own draw
        if outcome.gradients not in ("matched", "not checked"):
            outcome.kind = "differs"
            outcome.detail = f"gradient: {outcome.gradients}"
    return outcome


def is_unset(recording) -> bool:
    """True where the results are memory that torch left as it was."""
    return any("empty" in getattr(call, "name", "") for call in recording.calls())


def is_random(function, args, kwargs) -> bool:
    """True when torch itself gives other values for another seed, also where the sample sets one."""
    results, set_seed = [], torch.manual_seed
    for seed in range(8):  # a few, since a small draw may come out the same
        with torch.random.fork_rng(), torch.no_grad(), \
                mock.patch.object(torch, "manual_seed", lambda given, seed=seed: set_seed(given + seed)):
            torch.manual_seed(seed)
            copied = tree_map(lambda t: t.clone() if isinstance(t, torch.Tensor) else t, (args, kwargs))
            results.append([tensor for _, tensor in flatten(function(*copied[0], **copied[1]))])
    first = results[0]
    return any(not torch.equal(a, b) for other in results[1:] for a, b in zip(first, other, strict=True))


def _buffers(replayed: Replayed, names: dict[str, Any], tolerance: float) -> str:
    """Compare buffers after the forward: running statistics follow torch's in train mode."""
    for name, (module, moves) in replayed.layer_weights.items():
        if not isinstance(names[name], mlx_nn.Module):
            continue
        have = dict(tree_flatten(names[name].parameters()))
        buffers = {id(buffer) for buffer in module.buffers()}
        for target, tensor, move in placed(module, moves):
            problem = id(tensor) in buffers and difference(have[target], moved(tensor.detach(), move), tolerance)
            if problem:
                return f"buffer {target} after the forward: {problem}"
    return ""


def _gradients(replayed, names, inputs, arrays, given, result, args, kwargs, again) -> str:
    """Compare the gradient of a fixed weighting of the results with torch's: with respect to
    the inputs, and to the layers' parameters moved as their rules say."""
    wanted = [t for _, t in flatten(result)]
    use = [i for i, t in enumerate(wanted) if t.requires_grad and t.dtype.is_floating_point and t.numel()]
    leaves = {path: t for path, t in flatten([args, kwargs]) if t.requires_grad and t.is_leaf}
    leaves |= {name: tensor for name, tensor in replayed.recording.model.named_parameters() if tensor.requires_grad}
    places = {v.name if v.kind in ("parameter", "buffer") else f"0{v.name[4:]}" if v.name.startswith("args")
              else f"1{v.name[6:]}": p for p, v in enumerate(inputs)}
    chosen_paths = [path for path, tensor in leaves.items() if path in places
                    and tensor.dtype.is_floating_point and tensor.numel()]
    targets = [(places[path], leaves[path]) for path in chosen_paths]
    weighted = [(name, target, tensor, move) for name, (module, moves) in replayed.layer_weights.items()
                if isinstance(names[name], mlx_nn.Module) for target, tensor, move in placed(module, moves)
                if tensor.requires_grad and tensor.is_floating_point() and tensor.numel()]
    if not use or not (targets or weighted):
        return "not checked"
    generator = torch.Generator().manual_seed(0)
    weights = [torch.rand(wanted[i].shape, generator=generator).to(wanted[i].dtype) + 0.5 for i in use]
    sources = [tensor for _, tensor in targets] + [tensor for _, _, tensor, _ in weighted]
    try:
        expected = torch.autograd.grad([wanted[i] for i in use], sources, weights, allow_unused=True)
    except RuntimeError as error:
        return "not checked" if "in-place" in str(error) or "not implemented" in str(error) else f"torch: {error}"
    expected = [torch.zeros_like(t) if g is None else g for t, g in zip(sources, expected, strict=True)]
    mlx_weights = [to_mlx(weight) for weight in weights]
    positions = [position for position, _ in targets]
    parameters = [dict(tree_flatten(names[name].parameters()))[target] for name, target, _, _ in weighted]

    def loss(chosen, chosen_parameters):
        full = list(arrays)
        for position, array in zip(positions, chosen, strict=True):
            full[position] = array
        for (name, target, _, _), array in zip(weighted, chosen_parameters, strict=True):
            names[name].update(tree_unflatten([(target, array)]))
        out = names["replayed"](*full)
        return sum((out[i].astype(mx.float32) * weight.astype(mx.float32)).sum()
                   for i, weight in zip(use, mlx_weights, strict=True))

    try:
        argnums = tuple(i for i, part in enumerate((targets, weighted)) if part)
        found = mx.grad(loss, argnums=argnums)([arrays[p] for p in positions], parameters)
        found = [*found[0], *found[1]] if len(argnums) == 2 else list(found[0] if isinstance(found, tuple) else found)
        mx.eval(found)
    except Exception as error:  # MLX without a gradient for a primitive is a finding
        return f"{type(error).__name__}: {str(error)[:200]}"
    exact: list | None = None
    for number, ((position, _), got, want) in enumerate(zip(targets, found, expected, strict=False)):
        order = given.get(inputs[position].index)
        want = want.permute(order) if order is not None else want
        problem = difference(got.astype(arrays[position].dtype), want, 5.0)
        if problem.startswith("max") and not weighted and order is None:
            if exact is None:
                exact = exact_gradients(replayed.recording.model.function, *again, use, weights, chosen_paths)
            problem = "" if exact and as_close_as_torch(got, want, exact[number]) else problem
        if problem:
            return f"input {inputs[position].name}: {problem}"
    for (_, target, _, move), got, want in zip(weighted, found[len(targets):], expected[len(targets):], strict=True):
        problem = difference(got, moved(want, move), 5.0)
        if problem:
            return f"parameter {target}: {problem}"
    return "matched"
