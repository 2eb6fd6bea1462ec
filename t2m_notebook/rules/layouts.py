"""How an operation treats the order of its axes: what it needs, what it gives.

A layout answers two questions about a recorded call. *Forward*: given the order that
each tensor argument has, which order must each have, and which order do the results
get? *Backward*: if the results are wanted in these orders, which orders of the
arguments would make that free? The layout pass (``port/layout.py``) asks both; a rule
then emits for whatever was decided, through ``x.axis(dim)`` and ``call.outputs[0].order``.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .array import Array, Order, OutputFacts, channels_last, standard


@dataclass(frozen=True, slots=True)
class Plan:
    """Orders that the arguments must have and that the results get, in flattening order."""

    inputs: tuple[Order, ...]
    outputs: tuple[Order, ...]


Forward = Callable[["Call", Sequence[Array], Sequence[Order | None]], Plan]
Backward = Callable[["Call", Sequence[Array], Sequence[Order | None]], "list[Order | None]"]


@dataclass(frozen=True, slots=True)
class Layout:
    """A named pair of answers."""

    name: str
    forward: Forward
    backward: Backward


@dataclass(slots=True)
class Call:
    """One recorded call as a rule and a layout see it: arguments by the rule's own
    parameter names, results as facts."""

    name: str
    arguments: dict[str, Any]
    outputs: tuple[OutputFacts, ...] = ()

    @property
    def dtype(self) -> str:
        """Torch's dtype of the first result, such as ``"float32"``."""
        return self.outputs[0].dtype

    @property
    def order(self) -> Order:
        """Axis order in which the first result is to be emitted."""
        return self.outputs[0].order


def drop(order: Order, dims: set[int]) -> Order:
    """``order`` without the dimensions ``dims`` (non-negative)."""
    kept = [dim for dim in range(len(order)) if dim not in dims]
    renumber = {dim: position for position, dim in enumerate(kept)}
    return tuple(renumber[dim] for dim in order if dim in renumber)


def insert(order: Order, dim: int) -> Order:
    """``order`` with a new dimension of size one at torch position ``dim``. It stands
    before the dimension that it precedes in torch, or last."""
    renumbered = [d + (d >= dim) for d in order]
    position = renumbered.index(dim + 1) if dim < len(order) else len(order)
    return tuple(renumbered[:position] + [dim] + renumbered[position:])


def dims_of(value: Any, ndim: int) -> list[int]:
    """A ``dim`` argument (int, sequence or None for all) as non-negative dimensions."""
    if value is None or value == () or value == []:
        return list(range(ndim))
    values = value if isinstance(value, (tuple, list)) else [value]
    return [int(dim) % max(ndim, 1) for dim in values]


def _nowhere(call: Call, arrays: Sequence[Array], wanted: Sequence[Order | None]) -> list[Order | None]:
    return [None] * len(arrays)


def _standard_forward(call, arrays, wanted) -> Plan:
    return Plan(tuple(standard(a.ndim) for a in arrays), tuple(standard(len(o.shape)) for o in call.outputs))


#: Torch's order in, torch's order out. The safe choice and the default.
STANDARD = Layout("standard", _standard_forward, _nowhere)


def fit(order: Order, ndim: int) -> Order:
    """The order for an array of lower rank that broadcasts against ``order`` from the right."""
    return drop(order, set(range(len(order) - ndim)))


def broadcasts_in(order: Order, ndim: int) -> bool:
    """True when an array of rank ``ndim`` laid out as ``fit(order, ndim)`` lines up with
    ``order`` from the right, so that no axis of size one need be inserted."""
    missing = len(order) - ndim
    return all(dim < missing for dim in order[:missing])


def majority(arrays: Sequence[Array], ndim: int) -> Order:
    """The order that most of the full-rank operands have, by size, then by count."""
    full = [a for a in arrays if a.ndim == ndim]
    active = [a for a in full if not a.is_parameter] or full
    if not active:
        return standard(ndim)
    largest = max(int(a.numel) for a in active)
    votes = collections.Counter(a.order for a in active if int(a.numel) == largest)
    return votes.most_common(1)[0][0]


def _pointwise_forward(call, arrays, wanted) -> Plan:
    ndim = max((len(o.shape) for o in call.outputs), default=0)
    if any(a.ndim > ndim for a in arrays):
        return _standard_forward(call, arrays, wanted)  # not elementwise in this form
    order = majority(arrays, ndim)
    if not any(a.ndim == ndim for a in arrays):
        order = standard(ndim)
    if any(0 < a.ndim < ndim and int(a.numel) != 1 and not broadcasts_in(order, a.ndim)
           and not _single_axis_last(order, a) for a in arrays):
        order = standard(ndim)
    inputs = tuple(order if a.ndim == ndim else fit(order, a.ndim) for a in arrays)
    return Plan(inputs, tuple(fit(order, len(o.shape)) for o in call.outputs))


def _single_axis_last(order: Order, array: Array) -> bool:
    """``(C, 1, 1)`` against channels-last: with the ones dropped or moved it still lines up."""
    fitted = fit(order, array.ndim)
    sizes = [int(array.shape[dim]) for dim in fitted]
    wide = [axis for axis, size in enumerate(sizes) if size != 1]
    return all(order[axis - len(sizes)] == fitted[axis] + len(order) - array.ndim for axis in wide)


def _pointwise_backward(call, arrays, wanted):
    want = next((w for w in wanted if w is not None), None)
    if want is None or any(a.ndim > len(want) for a in arrays):
        return [None] * len(arrays)
    return [fit(want, a.ndim) if a.ndim == len(want) or broadcasts_in(want, a.ndim) or _single_axis_last(want, a)
            else None for a in arrays]


#: Elementwise with broadcasting: any common order.
POINTWISE = Layout("pointwise", _pointwise_forward, _pointwise_backward)


def _axis_forward(call, arrays, wanted) -> Plan:
    ndim = max((len(o.shape) for o in call.outputs), default=0)
    order = majority(arrays, ndim)
    inputs = tuple(order if a.ndim == ndim else standard(a.ndim) for a in arrays)
    return Plan(inputs, tuple(order if len(o.shape) == ndim else standard(len(o.shape)) for o in call.outputs))


def _axis_backward(call, arrays, wanted):
    want = next((w for w in wanted if w is not None), None)
    return [want if want is not None and a.ndim == len(want) else None for a in arrays]


#: Works along named axes and keeps the rank (softmax, cat, cumsum, roll, pad): any common
#: order, as the rule asks ``x.axis(dim)``.
AXIS = Layout("axis", _axis_forward, _axis_backward)


def _reduce_forward(call, arrays, wanted) -> Plan:
    first, rest = arrays[0], arrays[1:]
    dims = set(dims_of(call.arguments.get("dim"), first.ndim))
    outputs = []
    for facts in call.outputs:
        ndim = len(facts.shape)
        outputs.append(first.order if ndim == first.ndim else
                       drop(first.order, dims) if ndim == first.ndim - len(dims) else standard(ndim))
    return Plan((first.order, *(standard(a.ndim) for a in rest)), tuple(outputs))


def _reduce_backward(call, arrays, wanted):
    first = arrays[0]
    want = wanted[0] if wanted else None
    keep = want if want is not None and len(want) == first.ndim else None
    return [keep, *([None] * (len(arrays) - 1))]


#: Removes or keeps as one the dimensions in the argument ``dim`` (mean, sum, argmax, select).
REDUCE = Layout("reduce", _reduce_forward, _reduce_backward)


def _channels_last_forward(call, arrays, wanted) -> Plan:
    return Plan(tuple(channels_last(a.ndim) for a in arrays),
                tuple(channels_last(len(o.shape)) for o in call.outputs))


def _channels_last_backward(call, arrays, wanted):
    return [channels_last(a.ndim) if a.ndim >= 3 else None for a in arrays]


#: ``N C *spatial`` arrives and leaves as ``N *spatial C``; a weight ``O I *k`` as ``O *k I``.
CHANNELS_LAST = Layout("channels last", _channels_last_forward, _channels_last_backward)


def _features_last_forward(call, arrays, wanted) -> Plan:
    first, rest = arrays[0], arrays[1:]
    last = first.ndim - 1
    order = first.order if first.order[-1:] == (last,) else (*[d for d in first.order if d != last], last)
    outputs = tuple(order if len(o.shape) == first.ndim else standard(len(o.shape)) for o in call.outputs)
    return Plan((order, *(standard(a.ndim) for a in rest)), outputs)


def _features_last_backward(call, arrays, wanted):
    want = wanted[0] if wanted else None
    keep = want if want is not None and len(want) == arrays[0].ndim and want[-1:] == (len(want) - 1,) else None
    return [keep, *([None] * (len(arrays) - 1))]


#: Works on torch's last dimension (Linear, LayerNorm): that one must be MLX's last axis,
#: the others may stand in any order.
FEATURES_LAST = Layout("features last", _features_last_forward, _features_last_backward)
