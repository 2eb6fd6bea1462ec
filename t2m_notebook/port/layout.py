"""Gives every recorded value a physical order of its axes, so that convolutions run
channels last and nothing is transposed on the way.

Two passes over the operations that ran: backward, asking each which order of its inputs
would make it free; forward, letting each choose. Where an operation must have another
order than its input has, one transpose is noted with its reason.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import nn

from ..capture.calls import array_of, bind_call, result_values, to_arrays
from ..capture.recording import EITHER, SAME, ModuleCall, OpCall, Recording, location, refs, source_text
from ..errors import Refused
from ..rules import (
    POINTWISE,
    Array,
    AxisMove,
    Call,
    EmittedLayer,
    Layout,
    Order,
    OutputFacts,
    Plan,
    arrays_in,
    emit_layer,
    guarded,
    layer_rule,
    spec_name,
    standard,
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A transpose that stays: before event ``event``, value ``value`` goes to ``order``."""

    event: int
    value: int
    order: Order
    have: Order
    operation: str
    source: str = ""

    @property
    def reason(self) -> str:
        return f"{self.operation} needs axes {self.order}, the value has {self.have}"


@dataclass(slots=True)
class Step:
    """One operation or leaf layer call with its rule found and its arguments bound."""

    event: OpCall | ModuleCall
    call: Call | None = None
    arrays: list[Array] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    layout: Any = None
    layer: EmittedLayer | None = None
    problem: str = ""  # why this step can't be ported; empty when it can
    plan: Plan | None = None
    pretend_standard: bool = False  # a flatten whose Linear takes permuted columns


@dataclass(slots=True)
class LayoutPlan:
    """Orders of all values, the transposes that stay, and Linear layers whose columns move."""

    orders: dict[int, Order] = field(default_factory=dict)
    steps: dict[int, Step] = field(default_factory=dict)
    conversions: list[Conversion] = field(default_factory=list)
    column_moves: dict[int, AxisMove] = field(default_factory=dict)  # id(Linear) -> move of its weight
    column_values: dict[int, AxisMove] = field(default_factory=dict)  # values that carry such permuted columns

    def __str__(self) -> str:
        moved = sum(order != standard(len(order)) for order in self.orders.values())
        lines = [f"{moved} of {len(self.orders)} values are laid out channels last, "
                 f"{len(self.conversions)} transposes remain"]
        lines += [f"  {c.source or c.operation}: {c.reason}" for c in self.conversions]
        return "\n".join(lines)


def steps_of(recording: Recording) -> dict[int, Step]:
    """Every operation bound to its rule; a step without a rule says so in ``problem``."""
    layers: dict[int, EmittedLayer | None | Refused] = {}
    found: dict[int, Step] = {}
    for event in recording.calls():
        step = Step(event)
        found[event.index] = step
        try:
            if isinstance(event, OpCall) and event.name in (EITHER, SAME):
                _bind_held(recording, event, step)
            elif isinstance(event, ModuleCall):
                _bind_leaf(recording, event, step, layers)
            else:
                bound = bind_call(recording, event)
                if bound is None:
                    step.problem = f"no rule for {spec_name(event.name)}"
                    step.outputs = result_values(event)
                else:
                    step.call, step.arrays, step.outputs = bound.call, bound.arrays, bound.outputs
                    step.layout = bound.rule.layout
        except Refused as refusal:
            step.problem = f"{_name(step)}: {refusal}"
            step.outputs = result_values(event) if isinstance(event, OpCall) else refs(event.outputs)
    return found


def _name(step: Step) -> str:
    return spec_name(step.event.name) if isinstance(step.event, OpCall) else type(step.event.module).__name__


def _held_forward(call: Call, arrays: Sequence[Array], wanted: Sequence[Order | None]) -> Plan:
    order = arrays[0].order
    if any(array.order != order for array in arrays):
        order = wanted[0] or order
    return Plan(tuple(order for _ in arrays), (order,))


#: The same value under another number, or one of two: no operation, so any order that all have.
_HELD = Layout("held", _held_forward, lambda call, arrays, wanted: [wanted[0]] * len(arrays))


def _bind_held(recording: Recording, event: OpCall, step: Step) -> None:
    step.outputs = refs(event.outputs)
    value = recording.values[step.outputs[0]]
    step.call = Call(event.name, {}, (OutputFacts(value.shape, value.dtype, standard(len(value.shape))),))
    step.arrays, step.layout = [array_of(recording, index) for index in refs(event.args)], _HELD


def _bind_leaf(recording: Recording, event: ModuleCall, step: Step, layers: dict) -> None:
    key = id(event.module)
    if key not in layers:
        try:
            layers[key] = emit_layer(event.module)
        except Refused as refusal:
            layers[key] = refusal
    layer = layers[key]
    step.outputs = refs(event.outputs)
    if isinstance(layer, Refused):
        raise layer
    if layer is None:
        step.problem = f"no rule for the layer {type(event.module).__name__}"
        return
    made: dict[int, Array] = {}

    def lookup(index: int) -> Array:
        return made.setdefault(index, array_of(recording, index))

    args, kwargs = to_arrays(event.args, lookup), to_arrays(event.kwargs, lookup)
    values = [recording.values[i] for i in step.outputs]
    facts = tuple(OutputFacts(v.shape, v.dtype, standard(len(v.shape))) for v in values)
    step.layer, step.layout = layer, layer.rule.layout
    step.call = Call(type(event.module).__name__, {"input": args, "kwargs": kwargs}, facts)
    step.arrays = arrays_in([args, kwargs])


def _wanted_orders(recording: Recording, steps: list[Step]) -> dict[int, Order]:
    """Backward pass: the order in which each value would be most welcome."""
    votes: dict[int, collections.Counter] = collections.defaultdict(collections.Counter)

    def wanted(index: int) -> Order | None:
        return votes[index].most_common(1)[0][0] if votes.get(index) else None

    for step in reversed(steps):
        if step.call is None:
            continue
        try:
            with guarded():
                desires = step.layout.backward(step.call, step.arrays, [wanted(i) for i in step.outputs])
        except Refused:
            continue  # the forward pass will say so
        for array, desire in zip(step.arrays, desires, strict=True):
            if desire is not None and len(desire) == array.ndim:
                votes[array.index][tuple(desire)] += 1
    return {index: order for index in votes if (order := wanted(index)) is not None}


def plan_layout(recording: Recording) -> LayoutPlan:
    """The layout of a recorded forward. Where a transpose remains, its value is asked for in
    that order from the start, and the plan with fewer transposes stays."""
    steps = steps_of(recording)
    wanted = _wanted_orders(recording, list(steps.values()))
    best = _plan(recording, steps, wanted)
    for _ in range(3):
        hints = {c.value: c.order for c in best.conversions}
        if not hints:
            break
        again = _plan(recording, steps, {**wanted, **hints})
        if len(again.conversions) >= len(best.conversions):
            break
        best, wanted = again, {**wanted, **hints}
    return _plan(recording, steps, wanted)


def _plan(recording: Recording, by_index: dict[int, Step], wanted: dict[int, Order]) -> LayoutPlan:
    """The forward pass: every step chooses, given what is wanted of its results."""
    plan = LayoutPlan(steps=by_index)
    steps = list(by_index.values())
    orders = plan.orders
    for value in recording.values:
        if value.kind in ("input", "parameter", "buffer", "attribute", "constant") and value.previous is None:
            orders[value.index] = wanted.get(value.index, standard(len(value.shape)))
    _fixed_parameters(recording, plan)
    users = _users(steps)
    refreshed = collections.defaultdict(list)
    for before, after, at in recording.refreshed:
        refreshed[at].append((before, after))

    def order_of(index: int) -> Order:
        if index not in orders:
            value = recording.values[index]
            previous = value.previous
            orders[index] = orders[previous] if previous in orders else standard(len(value.shape))
        return orders[index]

    for step in steps:
        for array in step.arrays:
            array.order = order_of(array.index)
        if step.call is None:
            for index in step.outputs:
                orders.setdefault(index, standard(len(recording.values[index].shape)))
            continue
        move = _flatten_into_linear(recording, step, users, plan)
        step.pretend_standard = move is not None
        if move is not None:
            inputs = tuple(array.order for array in step.arrays)
            step.plan = Plan(inputs, tuple(standard(len(f.shape)) for f in step.call.outputs))
        else:
            try:
                with guarded():
                    step.plan = step.layout.forward(step.call, step.arrays, [wanted.get(i) for i in step.outputs])
                    step.plan = _keep_together(recording, step, users, step.plan)
            except Refused as refusal:
                step.problem, step.call = f"{_name(step)}: {refusal}", None
                for index in step.outputs:
                    orders[index] = standard(len(recording.values[index].shape))
                continue
        for array, order in zip(step.arrays, step.plan.inputs, strict=True):
            if tuple(order) != array.order:
                source = source_text(location(step.event.frames))
                plan.conversions.append(Conversion(step.event.index, array.index, tuple(order), array.order,
                                                   _name(step), source))
        for index, order in zip(step.outputs, step.plan.outputs, strict=True):
            orders[index] = tuple(order)
    for value in recording.values:
        order_of(value.index)
    return plan


def _keep_together(recording: Recording, step: Step, users, plan: Plan) -> Plan:
    """A transpose between two reshapes (a channel shuffle): renaming its axes would only put
    the work off to the reshape, which would have to go back to torch's order. Then the data
    moves here, and stays channels last."""
    if step.layout.name != "permutation" or len(step.outputs) != 1 or step.arrays[0].is_standard:
        return plan
    reshapes = _reading_reshapes(step.outputs[0], users)
    if not reshapes:
        return plan

    def free(order: Order) -> bool:
        for reader in reshapes:
            array = reader.arrays[0]
            array.order = order
            if tuple(reader.layout.forward(reader.call, reader.arrays, [None]).inputs[0]) != order:
                return False
        return True

    here = tuple(step.arrays[0].order)
    if not free(tuple(plan.outputs[0])) and free(here):
        return Plan(plan.inputs, (here,))
    return plan


def _reading_reshapes(index: int, users) -> list[Step]:
    """The reshapes that read a value, directly or through elementwise steps; empty when
    anything else does."""
    found: list[Step] = []
    for reader in users.get(index, ()):
        if reader.outputs == [index]:
            continue  # hands back the very same tensor
        if reader.call is not None and reader.layout.name == "reshape":
            found.append(reader)
        elif reader.layout is POINTWISE and len(reader.arrays) == 1 and len(reader.outputs) == 1:
            deeper = _reading_reshapes(reader.outputs[0], users)
            if not deeper:
                return []
            found += deeper
        else:
            return []
    return found


def _fixed_parameters(recording: Recording, plan: LayoutPlan) -> None:
    """A parameter that a leaf layer owns is laid out as that layer's rule moves it."""
    by_name = {v.name: v.index for v in recording.values if v.kind in ("parameter", "buffer") and v.previous is None}
    for step in plan.steps.values():
        if step.layer is None or not isinstance(step.event, ModuleCall):
            continue
        for name in step.event.module._parameters:
            index = by_name.get(f"{step.event.path}.{name}")
            if index is None:
                continue
            move = step.layer.weights.get(name, "")
            pattern = move[1] if isinstance(move, tuple) else move
            ndim = len(recording.values[index].shape)
            if isinstance(pattern, str) and pattern and "(" not in pattern:
                plan.orders[index] = AxisMove(pattern).order
            else:
                plan.orders[index] = standard(ndim)


def _users(steps: list[Step]) -> dict[int, list[Step]]:
    users: dict[int, list[Step]] = collections.defaultdict(list)
    for step in steps:
        arrays = step.arrays or []
        for index in {array.index for array in arrays}:
            users[index].append(step)
    return users


@cache
def is_linear(cls: type) -> bool:
    """True for torch's Linear and subclasses that change nothing."""
    rule = layer_rule(cls)
    return rule is not None and rule.cls is nn.Linear


def _flatten_into_linear(recording: Recording, step: Step, users, plan: LayoutPlan) -> AxisMove | None:
    """``N C *S -> N (C *S)`` of a channels-last value whose only readers are Linear layers:
    the columns of their weights move once, so that nothing moves at run time."""
    tensors = [a for a in step.arrays if not a.is_parameter]
    if len(tensors) != 1 or len(step.outputs) != 1 or tensors[0].is_standard:
        return None
    shape = tuple(map(int, tensors[0].shape))
    out = step.call.outputs[0].shape if step.call else ()
    rest = 1
    for size in shape[1:]:
        rest *= size
    if len(out) != 2 or tuple(out) != (shape[0], rest) or not _is_reshape(step) or rest == shape[1]:
        return None
    linears = _only_linears(recording, step.outputs[0], users)
    if not linears:
        return None
    letters = "bcdefg"[: len(shape) - 1]
    physical = [letters[dim - 1] for dim in tensors[0].order if dim != 0]
    if tensors[0].order[0] != 0:
        return None
    sizes = tuple(zip(letters, shape[1:], strict=True))
    move = AxisMove(f"a ({' '.join(letters)}) -> a ({' '.join(physical)})", sizes)
    for module in linears:
        plan.column_moves[id(module)] = move
    stack = [step.outputs[0]]
    while stack:
        index = stack.pop()
        plan.column_values[index] = move
        stack += [user.outputs[0] for user in users.get(index, ()) if user.outputs != [index]
                  and not (isinstance(user.event, ModuleCall) and is_linear(type(user.event.module)))]
    return move


def _is_reshape(step: Step) -> bool:
    name = step.event.name if isinstance(step.event, OpCall) else f"torch.{type(step.event.module).__name__.lower()}"
    return name.rpartition(".")[2] in ("view", "reshape", "flatten")


def _only_linears(recording: Recording, index: int, users) -> list[nn.Module]:
    """The Linear layers that read value ``index``, directly or through elementwise steps
    without weights; empty when anything else reads it or the model returns it."""
    if index in refs(recording.root.outputs if recording.root else None):
        return []
    found: list[nn.Module] = []
    for step in users.get(index, ()):
        if step.outputs == [index]:
            continue
        module = step.event.module if isinstance(step.event, ModuleCall) else None
        if module is not None and is_linear(type(module)):
            if recording.root and sum(call.module is module for call in recording.root.walk()) != 1:
                return []
            found.append(module)
        elif step.layout is POINTWISE and len(step.arrays) == 1 and len(step.outputs) == 1 and \
                (module is None or not list(module.parameters())):
            deeper = _only_linears(recording, step.outputs[0], users)
            if not deeper:
                return []
            found += deeper
        else:
            return []
    return found
