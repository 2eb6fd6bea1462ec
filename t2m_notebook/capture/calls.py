"""A recorded call as the rules see it: tensors as arrays with facts, results as facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..rules import (
    Array,
    Call,
    OpRule,
    Order,
    OutputFacts,
    Plan,
    Size,
    arrays_in,
    bind,
    op_rule,
    standard,
)
from .recording import OpCall, Recording, Ref, refs


def to_arrays(value: Any, lookup: Callable[[int], Any]) -> Any:
    """``value`` with every Ref replaced by ``lookup(index)``; containers are rebuilt."""
    if isinstance(value, Ref):
        return lookup(value.index)
    if isinstance(value, tuple):
        parts = [to_arrays(item, lookup) for item in value]
        return type(value)._make(parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [to_arrays(item, lookup) for item in value]
    if isinstance(value, Mapping):
        return {key: to_arrays(item, lookup) for key, item in value.items()}
    if isinstance(value, slice):
        return slice(to_arrays(value.start, lookup), to_arrays(value.stop, lookup), to_arrays(value.step, lookup))
    return value


def array_of(recording: Recording, index: int, order: Order | None = None) -> Array:
    """Recorded value ``index`` as a rule argument laid out in ``order``."""
    value = recording.values[index]
    return Array(index, value.shape, value.dtype, order, value.stride, value.kind in ("parameter", "buffer"))


@dataclass(slots=True)
class BoundCall:
    """An operation whose rule was found and whose arguments fit it."""

    rule: OpRule
    call: Call
    arrays: list[Array]
    outputs: list[int]  # recorded values, in flattening order

    def plan(self, wanted: list[Order | None] | None = None) -> Plan:
        """The orders that the rule's layout chooses for the arrays as they are now."""
        return self.rule.layout.forward(self.call, self.arrays, wanted or [None] * len(self.outputs))


def result_values(call: OpCall) -> list[int]:
    """The recorded values that a call gives: its results, or what it wrote in place."""
    written = [after for _, after in call.mutated]
    outputs = refs(call.outputs)
    return written if set(outputs) <= set(written) else outputs


def bind_call(recording: Recording, call: OpCall, order_of: Callable[[int], Order] | None = None,
              array: Callable[[int], Array] | None = None) -> BoundCall | None:
    """The call bound to its rule; None when no rule knows the operation. ``array`` makes the
    argument for a recorded value (default: as recorded, laid out in ``order_of(index)``).

    Raises :class:`~t2m_notebook.errors.Refused` for an argument outside the rule.
    """
    rule = op_rule(call.name)
    if rule is None:
        return None
    made: dict[int, Array] = {}

    def lookup(index: int) -> Array:
        if index not in made and array is not None:
            made[index] = array(index)
        elif index not in made:
            made[index] = array_of(recording, index, order_of(index) if order_of else None)
        return made[index]

    args, kwargs = to_arrays(call.args, lookup), to_arrays(call.kwargs, lookup)
    if call.name.rpartition(".")[2].rstrip("_") in _TAKES_SIZES:
        args = (*args[:1], *[_sizes(recording, item) for item in args[1:]])
        kwargs = {key: _sizes(recording, item) for key, item in kwargs.items()}
    elif call.name.rpartition(".")[2] in ("__getitem__", "__setitem__") and len(args) > 1:
        args = (args[0], _bounds(recording, args[1]), *args[2:])
    elif call.name.rpartition(".")[2] in _CREATES:
        args = tuple(_sizes(recording, item) for item in args)
    bound = bind(rule, call.name, args, kwargs)
    outputs = result_values(call)
    facts = [recording.values[index] for index in outputs]
    bound.outputs = tuple(OutputFacts(f.shape, f.dtype, standard(len(f.shape))) for f in facts)
    return BoundCall(rule, bound, arrays_in(list(bound.arguments.values())), outputs)


#: Operations whose numbers after the first argument are sizes or positions, for which torch
#: also takes 0-d integer tensors; and those that have sizes only.
_TAKES_SIZES = frozenset({"view", "reshape", "expand", "repeat", "tile", "narrow", "pad", "new_zeros", "new_ones",
                          "new_full", "new_empty", "split", "chunk", "unflatten", "roll", "select", "broadcast_to",
                          "as_strided", "new_empty_strided", "unfold"})
_CREATES = frozenset({"zeros", "ones", "empty", "rand", "randn", "arange"})


def _sizes(recording: Recording, value: Any) -> Any:
    """0-d integer tensors as the number that is read from them when the code runs."""
    if isinstance(value, Array) and value.ndim == 0 and isinstance(value.index, int):
        number = recording.values[value.index].number
        if number is not None and not isinstance(number, bool):
            return Size(number, value.item().node)
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(_sizes(recording, item) for item in value)
    return value


def _bounds(recording: Recording, index: Any) -> Any:
    """The same for the bounds of slices; an index that is a tensor stays one."""
    if isinstance(index, slice):
        return slice(*(_sizes(recording, bound) for bound in (index.start, index.stop, index.step)))
    return tuple(_bounds(recording, item) for item in index) if isinstance(index, tuple) else index
