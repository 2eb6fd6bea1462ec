"""One MLX function out of a recording: what the rules emit for each call, a line each."""

from __future__ import annotations

import ast
import math
from typing import Any

import mlx.core as mx
import mlx.nn as mlx_nn
import torch

from t2m_notebook import blocks
from t2m_notebook.capture.calls import array_of, bind_call, to_arrays
from t2m_notebook.capture.recording import ModuleCall, flatten, refs
from t2m_notebook.rules import (
    AxisMove,
    Call,
    Expr,
    OutputFacts,
    arrays_in,
    emit_layer,
    emit_layer_call,
    emit_op,
    standard,
    to_node,
)
from t2m_notebook.rules.array import Order
from t2m_notebook.rules.substitute import substitute
from tests.rules.values import to_mlx


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
        def lookup(index):
            return array_of(self.recording, index, self.order(index))

        args, kwargs = to_arrays(call.args, lookup), to_arrays(call.kwargs, lookup)
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
        public = {name: block for name, block in vars(blocks).items() if not name.startswith("_")}
        names = {"mx": mx, "nn": mlx_nn, "math": math, **public}
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
