"""Follows writes through views: in torch a write to ``x[0]`` changes ``x`` and every other
view of it. MLX's arrays share no memory, so the port writes what torch would see.

Every value is a view of a base, itself most of the time, along the operations that made it.
A write puts the written view back, step by step, into the base, which gets a new content;
a view that is used afterwards is taken anew from that content.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..capture.calls import array_of, bind_call, to_arrays
from ..capture.recording import OpCall, Recording, refs
from ..errors import Refused
from ..rules import Array, Expr, OutputFacts, emit_op
from ..rules.layouts import Call
from .layout import LayoutPlan

Key = int | str
_SAME_ELEMENTS = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as",
                            "reshape_as", "contiguous", "detach", "expand_as"})


class CannotFollow(Exception):
    """A write through a view whose way back to the base is not known."""


class Views:
    """What each value is a view of, and what its base holds now."""

    def __init__(self, recording: Recording, plan: LayoutPlan):
        self.recording, self.plan = recording, plan
        self.made: dict[int, tuple[int, OpCall]] = {}  # view -> (what it is a view of, by which operation)
        self.content: dict[int, Key] = {}  # base -> what it holds now
        self.pending = sorted(recording.refreshed, key=lambda item: item[2])
        self._count = 0

    def note(self, event: OpCall) -> None:
        """Remember the views that ``event`` made of its first argument."""
        values = self.recording.values
        first = refs(event.args[:1])
        for index in refs(event.outputs):
            if first and index != first[0] and values[index].storage == values[first[0]].storage != 0:
                self.made[index] = (first[0], event)

    def _chain(self, index: int) -> tuple[int, list[tuple[OpCall, int]]]:
        """The base of a value and the steps from there: ``(operation, its result)``."""
        steps: list[tuple[OpCall, int]] = []
        while index in self.made:
            above, event = self.made[index]
            steps.append((event, index))
            index = above
        return index, steps[::-1]

    def _array(self, index: int, key: Key) -> Array:
        """Recorded value ``index`` in its planned order, read from ``key``."""
        value = self.recording.values[index]
        return Array(key, value.shape, value.dtype, self.plan.orders[index], value.stride)

    def after_write(self, before: int, after: int) -> Iterator[tuple[Key, Expr]]:
        """What else to assign after ``before`` was written and became ``after``."""
        base, steps = self._chain(before)
        if not steps:
            self.content[base] = after
            if after != base:
                self.made.pop(after, None)
                self._alias(after, base)
            return
        levels: list[tuple[int, Key | Expr]] = [(base, self.content.get(base, base))]
        for event, view in steps[:-1]:
            above, current = levels[-1]
            levels.append((view, self._again(event, above, current, view)))
        new: Key | Expr = after
        for (event, view), (above, current) in zip(reversed(steps), reversed(levels), strict=True):
            new = self._back(event, above, current, view, new)
        self._count += 1
        key = f"{base}~{self._count}@{'-'.join(map(str, self.plan.orders[base]))}"
        self.content[base] = key
        self._alias(after, before)
        assert isinstance(new, Expr)
        yield key, new

    def _alias(self, after: int, before: int) -> None:
        """``after`` names the same memory as ``before``."""
        if before in self.made:
            self.made[after] = self.made[before]
        else:
            self.made[after] = (before, _SAME)

    def refreshed(self, until: int) -> Iterator[tuple[int, Expr]]:
        """Values found changed before event ``until``: each with its content taken anew."""
        while self.pending and self.pending[0][2] <= until:
            before, after, _ = self.pending.pop(0)
            base, steps = self._chain(before)
            if base not in self.content:
                continue  # written inside a layer whose rule keeps its own state
            current: Key | Expr = self.content[base]
            above = base
            for event, view in steps:
                current = self._again(event, above, current, view)
                above = view
            self._alias(after, before)
            yield after, current if isinstance(current, Expr) else _name(current)

    def _again(self, event: OpCall, above: int, current: Key | Expr, view: int) -> Key | Expr:
        """View ``view`` made anew from the present content of what it is a view of."""
        if event is _SAME:
            return current
        outputs = refs(event.outputs)

        def array(index: int) -> Array:
            return self._holding(above, current) if index == above else array_of(
                self.recording, index, self.plan.orders[index])
        try:
            bound = bind_call(self.recording, event, array=array)
            if bound is None:
                raise CannotFollow(event.name)
            facts = [OutputFacts(f.shape, f.dtype, self.plan.orders[index])
                     for f, index in zip(bound.call.outputs, outputs, strict=True)]
            value = emit_op(bound.rule, bound.call, facts).value
        except Refused as refusal:
            raise CannotFollow(str(refusal)) from None
        if isinstance(value, (tuple, list)):
            return value[outputs.index(view)]
        return value if len(outputs) == 1 else value[outputs.index(view)]

    def _holding(self, index: int, current: Key | Expr) -> Array:
        array = self._array(index, current if isinstance(current, (int, str)) else index)
        if isinstance(current, Expr):
            array.node = current.node
        return array

    def _back(self, event: OpCall, above: int, current: Key | Expr, view: int, new: Key | Expr) -> Expr:
        """What the value above a view holds after the view became ``new``."""
        from ..rules.indexing import written
        target, value = self._holding(above, current), self._holding(view, new)
        if event is _SAME:
            return value
        call = Call(event.name, {}, (OutputFacts(tuple(map(int, target.shape)), target.dtype, target.order),))
        name, ndim = event.name.rpartition(".")[2], target.ndim
        if name == "__getitem__":
            index = to_arrays(event.args[1], lambda i: array_of(self.recording, i, self.plan.orders[i]))
            return written(target, index, value, call)
        if name in _SAME_ELEMENTS and target.is_standard and value.is_standard:
            return value.reshape(*target.shape)
        if name in ("transpose", "swapaxes", "swapdims", "t", "T", "mT", "permute"):
            dims = _permutation(event, name, ndim)
            back = [dims.index(dim) for dim in range(ndim)]
            axes = [value.order.index(back[dim]) for dim in target.order]
            return Expr(value.node) if axes == sorted(axes) else value.transpose(*axes)
        piece = self._piece(event, name, view, ndim)
        if piece is not None:
            return written(target, piece, value, call)
        raise CannotFollow(event.name)

    def _piece(self, event: OpCall, name: str, view: int, ndim: int):
        """The index that takes the same elements as a select, narrow, chunk, split or unbind."""
        arguments = [a for a in event.args[1:]]
        dim = event.kwargs.get("dim", None)
        pieces = refs(event.outputs)
        if name in ("select", "narrow"):
            dim = int(arguments.pop(0) if dim is None else dim) % ndim
            start = arguments[0] if arguments else event.kwargs.get("index", event.kwargs.get("start"))
            if name == "select":
                return (*[slice(None)] * dim, start)
            length = arguments[1] if len(arguments) > 1 else event.kwargs["length"]
            return (*[slice(None)] * dim, slice(start, start + length))
        if name == "unbind":
            dim = int(arguments[0] if arguments else dim or 0) % ndim
            return (*[slice(None)] * dim, pieces.index(view))
        if name in ("chunk", "split"):
            dim = int(arguments[1] if len(arguments) > 1 else dim or 0) % ndim
            sizes = [self.recording.values[index].shape[dim] for index in pieces]
            start = sum(sizes[: pieces.index(view)])
            return (*[slice(None)] * dim, slice(start, start + sizes[pieces.index(view)]))
        return None


def _permutation(event: OpCall, name: str, ndim: int) -> list[int]:
    """``dims`` of the equivalent ``permute``."""
    if name == "permute":
        dims = event.args[1:] or tuple(event.kwargs.values())
        dims = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
        return [int(dim) % ndim for dim in dims]
    one, two = (-2, -1) if name in ("t", "T", "mT") else (*event.args[1:], *event.kwargs.values())[:2]
    dims = list(range(ndim))
    if ndim > 1:
        one, two = int(one) % ndim, int(two) % ndim
        dims[one], dims[two] = dims[two], dims[one]
    return dims


def _name(key: Key) -> Expr:
    return Expr(ast.Name(f"${key}", ast.Load()))


#: Stands for "the same memory under another name".
_SAME: OpCall = object()  # type: ignore[assignment]
