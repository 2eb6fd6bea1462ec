"""Calls of layers: of the MLX layer, of its expression, or of the function that it is."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from torch import nn

from ..capture.calls import array_of, to_arrays
from ..capture.recording import ModuleCall, OpCall, Recording, location, refs
from ..errors import Refused
from ..rules import Expr, OutputFacts, bind, emit_layer_call, emit_op, op_rule, to_node
from .layout import LayoutPlan, Step, is_linear
from .names import attribute_name
from .structure import relative

if TYPE_CHECKING:
    from collections.abc import Callable

    from .body import Body, BodyWriter


class LeafCalls:
    """The part of the writing of a forward that calls layers."""

    writer: BodyWriter
    recording: Recording
    plan: LayoutPlan
    call: ModuleCall
    body: Body
    _add: Callable[..., None]
    _arrays: Callable[..., Any]
    _assign: Callable[..., None]
    _fail: Callable[[str], None]
    _place: Callable[..., Any]

    def _leaf(self, event: ModuleCall) -> None:
        step = self.plan.steps[event.index]
        if step.problem:
            return self._fail(f"{step.problem} ({where(event)})")
        place, names = self._place(event)
        hint = attribute_name(event.path.rpartition(".")[2])
        array = self._arrays(step)
        tied = self.writer.is_tied(event)
        below = relative(event.path, self.call.path)
        try:
            args, kwargs = to_arrays(event.args, array), to_arrays(event.kwargs, array)
            if tied or (below is None and _functional_name(event.module)):
                value = self._as_function(event, step, args)
            else:
                layer = step.layer.layer
                inline = layer.inline is not None and not event.module.state_dict() and not _in_list(event.path)
                if layer.constructor is None or inline:
                    value = emit_layer_call(step.layer, Expr(ast.Name("self", ast.Load())), args, kwargs).value
                else:
                    self.body.children[event.path] = None
                    target = Expr(ast.Name(f"$module:{event.path}", ast.Load()))
                    value = emit_layer_call(step.layer, target, args, kwargs, inline=False).value
        except Refused as refusal:
            return self._fail(f"{type(event.module).__name__}: {refusal} ({where(event)})")
        if not isinstance(value, (tuple, list)):
            self.writer.leaf_nodes[event.index] = (to_node(value), refs(event.outputs))
        self._assign(event.outputs, value, names, hint, place, f"t{event.index}")

    def _as_function(self, event: ModuleCall, step: Step, args) -> Any:
        name = _functional_name(event.module)
        if name is None:
            raise Refused(f"{type(event.module).__name__} shares a weight with another layer", None,
                          "only Linear and Embedding layers can")
        rule = op_rule(name)
        bias = getattr(event.module, "bias", None)
        weights = [event.module.weight, *([bias] if bias is not None else [])]
        arrays = [array_of(self.recording, self._parameter(weight)) for weight in weights]
        values = [self.recording.values[i] for i in step.outputs]
        facts = [OutputFacts(v.shape, v.dtype, self.plan.orders[i]) for i, v in zip(step.outputs, values, strict=True)]
        return emit_op(rule, bind(rule, name, (*args, *arrays), {}), facts).value

    def _parameter(self, tensor) -> int:
        name = self.writer._value_of(tensor)
        return next(v.index for v in self.recording.values if v.name == name and v.kind == "parameter")


def where(event: OpCall | ModuleCall) -> str:
    place = location(event.frames)
    return place.text if place else event.path if isinstance(event, ModuleCall) else event.owner.path


def _functional_name(module: nn.Module) -> str | None:
    if is_linear(type(module)):
        return "torch.nn.functional.linear"
    return "torch.nn.functional.embedding" if type(module).forward is nn.Embedding.forward else None


def _in_list(path: str) -> bool:
    return path.rpartition(".")[2].isdigit()
