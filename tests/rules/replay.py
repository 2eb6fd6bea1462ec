"""Runs what the rules emit: a torch callable is recorded, every call is emitted, the emitted
text is compiled into one MLX function and run on the same inputs.

Outcomes: ``matched``, ``refused`` (with the rule's reason), ``missing`` (no rule; names the
operation), ``differs`` (with what differs). Values are compared shape, dtype kind, NaN/Inf
positions, then value at the project's tolerance; gradients, of inputs and of parameters,
likewise where torch has them. A layer's buffers (running statistics) are compared after the
forward, each moved as its rule says.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from typing import Any
from unittest import mock

import mlx.core as mx
import mlx.nn as mlx_nn
import numpy as np
import torch
from mlx.utils import tree_flatten, tree_unflatten
from torch.utils._pytree import tree_map

from t2m_notebook import blocks
from t2m_notebook.capture import recorder as recording_room
from t2m_notebook.capture.calls import bind_call, to_arrays, array_of
from t2m_notebook.capture.recording import ModuleCall, flatten, refs
from t2m_notebook.errors import Refused
from t2m_notebook.rules.substitute import substitute
from t2m_notebook.rules import (
    AxisMove, Expr, OutputFacts, emit_layer, emit_layer_call, emit_op, standard, to_node)
from t2m_notebook.rules.array import Order

TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2}


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


def to_mlx(tensor: torch.Tensor) -> mx.array:
    """A torch tensor as an MLX array of the dtype that the port would use."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        bits = np.ascontiguousarray(tensor.view(torch.int16).numpy()).reshape(tensor.shape)
        return mx.array(bits).view(mx.bfloat16)
    array = tensor.numpy()
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype == np.complex128:
        array = array.astype(np.complex64)
    return mx.array(np.ascontiguousarray(array).reshape(array.shape))


def to_numpy(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)


def kind_of(dtype: str) -> str:
    for kind in ("bool", "complex", "uint", "int"):
        if dtype.startswith(kind):
            return "int" if kind == "uint" else kind
    return "float"


def difference(got: Any, want: torch.Tensor, extra: float = 1.0) -> str:
    """Empty when ``got`` equals ``want``; else a sentence that says how they differ."""
    if not isinstance(got, mx.array):
        return f"a {type(got).__name__} instead of an array of shape {tuple(want.shape)}"
    if tuple(got.shape) != tuple(want.shape):
        return f"shape {tuple(got.shape)}, torch has {tuple(want.shape)}"
    want_name, got_name = str(want.dtype).removeprefix("torch."), str(got.dtype).removeprefix("mlx.core.")
    if kind_of(want_name) != kind_of(got_name):
        return f"dtype {got_name}, torch has {want_name}"
    if want_name in ("float16", "bfloat16", "float32", "complex64") and want_name != got_name:
        return f"dtype {got_name}, torch has {want_name}"
    want = want.detach().resolve_conj().resolve_neg()
    reference = (want.float() if want.dtype == torch.bfloat16 else want).numpy(force=True)
    if reference.size == 0:
        return ""
    value = to_numpy(got)
    wide = np.complex128 if np.iscomplexobj(reference) else np.float64
    if kind_of(want_name) in ("bool", "int"):
        bad = int((value.astype(np.int64) != reference.astype(np.int64)).sum())
        return f"{bad} of {reference.size} integers differ" if bad else ""
    value, reference = value.astype(wide), reference.astype(wide)
    finite = np.isfinite(reference)
    if not (np.isfinite(value) == finite).all() or not (np.isnan(value) == np.isnan(reference)).all() \
            or not (value[~finite & ~np.isnan(reference)] == reference[~finite & ~np.isnan(reference)]).all():
        return "NaN or Inf stand at other positions"
    if not finite.any():
        return ""
    delta = float(np.abs(value[finite] - reference[finite]).max())
    limit = 1e-5 + TOLERANCE.get(want_name, 1e-4) * float(np.abs(reference[finite]).max())
    return "" if delta <= limit * extra else f"max|Δ| {delta:.2e}, allowed {limit * extra:.1e}"


def placed(module: torch.nn.Module, moves) -> list[tuple[str, torch.Tensor, Any]]:
    """``(mlx name, torch tensor, axis move or None)`` for each parameter and buffer that MLX uses."""
    found = []
    for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
        move = moves.get(key, "")
        if move is None:
            continue
        target, move = move if isinstance(move, tuple) else (key, move)
        found.append((target, tensor, (AxisMove(move) if isinstance(move, str) else move) if move else None))
    return found


def moved(tensor: torch.Tensor, move: Any) -> torch.Tensor:
    return tensor if move is None else move.apply(tensor)


class Replayed:
    """The emitted function of one recording. Raises Refused, or KeyError for a missing rule."""

    def __init__(self, recording, orders: dict[int, Order] | None = None):
        self.recording, self.lines, self.caveats = recording, [], []
        self.orders: dict[int, Order] = dict(orders or {})
        self.layers: dict[str, Any] = {}
        self.layer_weights: dict[str, tuple] = {}
        self.layer_names: dict[int, str] = {}  # a layer called twice is built once
        self.alias: dict[int, int] = {}
        for event in recording.calls():
            if isinstance(event, ModuleCall):
                self._leaf(event)
            else:
                self._op(event)

    def order(self, index: int) -> Order:
        return self.orders.get(index, standard(len(self.recording.values[index].shape)))

    def text(self, value: Any) -> str:
        def size(index, dim):
            axis = self.order(index).index(dim)
            return ast.parse(f"v{index}.shape[{axis}]", mode="eval").body
        node = substitute(to_node(value), lambda index: ast.Name(f"v{index}", ast.Load()), size)
        return ast.unparse(ast.fix_missing_locations(node))

    def _convert(self, index: int, order: Order) -> None:
        have = self.order(index)
        if have != order:
            axes = [have.index(dim) for dim in order]
            self.lines.append(f"v{index} = mx.transpose(v{index}, {axes})")
            self.orders[index] = order

    def _op(self, call) -> None:
        bound = bind_call(self.recording, call, self.order)
        if bound is None:
            raise KeyError(call.name)
        plan = bound.plan()
        for array, order in zip(bound.arrays, plan.inputs, strict=True):
            self._convert(array.index, order)
        bound = bind_call(self.recording, call, self.order)
        facts = [OutputFacts(f.shape, f.dtype, order)
                 for f, order in zip(bound.call.outputs, plan.outputs, strict=True)]
        emitted = emit_op(bound.rule, bound.call, facts)
        self.caveats += emitted.caveats
        for index, order in zip(bound.outputs, plan.outputs, strict=True):
            self.orders[index] = order
        self._bind(call, emitted.value)

    def _bind(self, call, value) -> None:
        targets = [after for _, after in call.mutated] or None
        if targets is None:
            self._assign(call.outputs, value, f"t{call.index}")
            return
        for target, item in zip(targets, value if isinstance(value, (tuple, list)) else [value], strict=False):
            self.lines.append(f"v{target} = {self.text(item)}")
        for output, target in zip(refs(call.outputs), targets, strict=False):
            if output != target:
                self.lines.append(f"v{output} = v{target}")

    def _assign(self, outputs, value, temporary) -> None:
        indices = refs(outputs)
        if isinstance(outputs, (tuple, list)) and not isinstance(value, (tuple, list)) or \
                (isinstance(outputs, dict) and not isinstance(value, dict)):
            self.lines.append(f"{temporary} = {self.text(value)}")
            for path, ref in flatten(outputs):
                keys = "".join(f"[{part}]" if part.isdigit() else f"[{part!r}]" for part in path.split("."))
                self.lines.append(f"v{ref.index} = {temporary}{keys}")
            return
        if isinstance(value, (tuple, list)) and isinstance(outputs, (tuple, list)):
            for output, item in zip(outputs, value, strict=True):
                self._assign(output, item, temporary + "_")
            return
        if len(indices) == 1:
            self.lines.append(f"v{indices[0]} = {self.text(value)}")

    def _leaf(self, call: ModuleCall) -> None:
        emitted = emit_layer(call.module)
        if emitted is None:
            raise KeyError(f"layer {type(call.module).__module__}.{type(call.module).__qualname__}")
        self.caveats += emitted.caveats
        name = self.layer_names.setdefault(id(call.module), f"layer{call.index}")
        lookup = lambda index: array_of(self.recording, index, self.order(index))
        args, kwargs = to_arrays(call.args, lookup), to_arrays(call.kwargs, lookup)
        from t2m_notebook.rules import Call, arrays_in
        arrays = arrays_in([args, kwargs])
        outputs = [self.recording.values[i] for i in refs(call.outputs)]
        facts = tuple(OutputFacts(o.shape, o.dtype, standard(len(o.shape))) for o in outputs)
        plan = emitted.rule.layout.forward(Call(name, {"input": args}, facts), arrays, [None] * len(facts))
        for array, order in zip(arrays, plan.inputs, strict=True):
            self._convert(array.index, order)
        args, kwargs = to_arrays(call.args, lookup), to_arrays(call.kwargs, lookup)
        for index, order in zip(refs(call.outputs), plan.outputs, strict=True):
            self.orders[index] = order
        use = emit_layer_call(emitted, Expr(ast.Name(name, ast.Load())), args, kwargs,
                              inline=not call.module.state_dict())
        self.caveats += use.caveats
        if emitted.layer.constructor is not None:
            self.layers[name] = self.text(emitted.layer.constructor)
            self.layer_weights[name] = (call.module, emitted.weights)
        self._assign(call.outputs, use.value, f"t{call.index}")

    def namespace(self, initial: dict[int, torch.Tensor] | None = None) -> dict[str, Any]:
        """Names that the emitted function uses: every layer built, with its weights.
        ``initial`` gives, by ``id``, the content that a parameter or buffer had before the forward."""
        names = {"mx": mx, "nn": mlx_nn, "math": math, **{k: v for k, v in vars(blocks).items() if not k.startswith("_")}}
        for name, constructor in self.layers.items():
            layer = names[name] = eval(constructor, names)
            if isinstance(layer, mlx_nn.Module):
                module, moves = self.layer_weights[name]
                weights = [(target, to_mlx(moved((initial or {}).get(id(tensor), tensor).detach(), move)))
                           for target, tensor, move in placed(module, moves)]
                layer.load_weights(weights, strict=True)
                layer.train(module.training)
        return names

    def source(self, inputs: list[int], outputs: list[int]) -> str:
        body = list(self.lines)
        for index in outputs:
            order = self.order(index)
            if order != standard(len(order)):
                inverse = [order.index(dim) for dim in range(len(order))]
                body.append(f"v{index} = mx.transpose(v{index}, {inverse})")
        body.append(f"return [{', '.join(f'v{index}' for index in outputs)}]")
        return f"def replayed({', '.join(f'v{i}' for i in inputs)}):\n" + "\n".join(f"    {line}" for line in body)


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
    copied = [(path, tensor.detach().clone()) for path, tensor in flatten([args, kwargs])]
    initial = {id(t): t.detach().clone() for t in [*model.parameters(), *model.buffers()]}
    again = tree_map(lambda t: t.detach().clone() if isinstance(t, torch.Tensor) else t, (args, kwargs))
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
            key = value.name.replace("args", "0", 1) if value.name.startswith("args") else value.name.replace("kwargs", "1", 1)
            tensor = by_name.get(key)
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

    arrays = arrays_for(dict(copied))
    try:
        replayed = Replayed(recording, given)
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
        if problem and is_random(function, *again) and not difference(value * 0, want * 0):
            return Outcome("matched", "random numbers: shape and dtype compared, not values", source, caveats)
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
        outcome.gradients = _gradients(replayed, names, inputs, arrays, given, result, args, kwargs)
        if "vjp" in outcome.gradients.lower() and any("no gradient" in said for said in caveats):
            outcome.gradients = "not checked"  # the caveat says so
        if outcome.gradients not in ("matched", "not checked"):
            outcome.kind = "differs"
            outcome.detail = f"gradient: {outcome.gradients}"
    return outcome


def is_random(function, args, kwargs) -> bool:
    """True when torch itself gives other values for another seed, also where the sample sets one."""
    results, set_seed = [], torch.manual_seed
    for seed in (1, 2):
        with torch.random.fork_rng(), torch.no_grad(), \
                mock.patch.object(torch, "manual_seed", lambda given, seed=seed: set_seed(given + seed)):
            torch.manual_seed(seed)
            copied = tree_map(lambda t: t.clone() if isinstance(t, torch.Tensor) else t, (args, kwargs))
            results.append([tensor for _, tensor in flatten(function(*copied[0], **copied[1]))])
    return any(not torch.equal(a, b) for a, b in zip(*results, strict=True))


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


def _gradients(replayed, names, inputs, arrays, given, result, args, kwargs) -> str:
    """Compare the gradient of a fixed weighting of the results with torch's: with respect to
    the inputs, and to the layers' parameters moved as their rules say."""
    wanted = [t for _, t in flatten(result)]
    use = [i for i, t in enumerate(wanted) if t.requires_grad and t.dtype.is_floating_point and t.numel()]
    leaves = {path: t for path, t in flatten([args, kwargs]) if t.requires_grad and t.is_leaf}
    leaves |= {name: tensor for name, tensor in replayed.recording.model.named_parameters() if tensor.requires_grad}
    places = {v.name if v.kind in ("parameter", "buffer") else f"0{v.name[4:]}" if v.name.startswith("args")
              else f"1{v.name[6:]}": p for p, v in enumerate(inputs)}
    targets = [(places[path], tensor) for path, tensor in leaves.items() if path in places
               and tensor.dtype.is_floating_point and tensor.numel()]
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
        return sum((out[i].astype(mx.float32) * w.astype(mx.float32)).sum() for i, w in zip(use, mlx_weights, strict=True))

    try:
        argnums = tuple(i for i, part in enumerate((targets, weighted)) if part)
        found = mx.grad(loss, argnums=argnums)([arrays[p] for p in positions], parameters)
        found = [*found[0], *found[1]] if len(argnums) == 2 else list(found[0] if isinstance(found, tuple) else found)
        mx.eval(found)
    except Exception as error:  # MLX without a gradient for a primitive is a finding
        return f"{type(error).__name__}: {str(error)[:200]}"
    for (position, _), got, want in zip(targets, found, expected, strict=False):
        order = given.get(inputs[position].index)
        want = want.permute(order) if order is not None else want
        problem = difference(got.astype(arrays[position].dtype), want, 5.0)
        if problem:
            return f"input {inputs[position].name}: {problem}"
    for (_, target, _, move), got, want in zip(weighted, found[len(targets):], expected[len(targets):], strict=True):
        problem = difference(got, moved(want, move), 5.0)
        if problem:
            return f"parameter {target}: {problem}"
    return "matched"
