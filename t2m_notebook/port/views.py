"""Follows writes through views: in torch a write to ``x[0]`` changes ``x``, MLX's arrays
don't share memory, so the port writes what torch would see afterwards."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from ..capture.calls import array_of, bind_call, to_arrays
from ..capture.recording import OpCall, Recording, Ref, refs
from ..errors import Refused
from ..rules import Expr, OutputFacts, blocks, emit_op, standard
from .layout import LayoutPlan

_SAME_ELEMENTS = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as",
                            "reshape_as", "contiguous", "detach"})


class Views:
    """What each value is a view of, from the operations that made it."""

    def __init__(self, recording: Recording, plan: LayoutPlan):
        self.recording, self.plan = recording, plan
        self.maker: dict[int, OpCall] = {}
        self.refreshed: dict[int, list[tuple[int, int]]] = {}
        self.current: dict[int, int] = {}
        for before, after, _ in recording.refreshed:
            self.refreshed.setdefault(before, []).append((before, after))

    def note(self, event: OpCall) -> None:
        """Remember that ``event`` made views of its first argument."""
        values = self.recording.values
        first = refs(event.args[:1])
        for index in refs(event.outputs):
            if first and values[index].storage == values[first[0]].storage and index != first[0]:
                self.maker[index] = event

    def after_write(self, event: OpCall, visible: Callable) -> Iterator[tuple[int, Expr | None]]:
        """``(value, expression)`` for every value that the write changed besides its target.
        An expression of None means that the way back is not known."""
        values = self.recording.values
        for before, after in event.mutated:
            yield from self._climb(before, after)
            storage = values[before].storage
            for old, maker in list(self.maker.items()):
                if values[old].storage != storage or old in (before, after):
                    continue
                for _, new in self.refreshed.get(old, ()):
                    base = refs(maker.args[:1])[0]
                    latest = self._latest(base)
                    if latest != base and new not in self.current.values():
                        self.current[old] = new
                        yield new, self._again(maker, base, latest, old)

    def _latest(self, index: int) -> int:
        seen = {index}
        while index in self.current and self.current[index] not in seen:
            index = self.current[index]
            seen.add(index)
        return index

    def _climb(self, before: int, after: int) -> Iterator[tuple[int, Expr | None]]:
        """From a written view up to what it is a view of."""
        self.current[before] = after
        maker = self.maker.get(before)
        if maker is None:
            return
        self.maker.setdefault(after, maker)
        base = refs(maker.args[:1])[0]
        now = self._latest(base)
        changed = next((new for _, new in self.refreshed.get(now, ()) if new != now), None)
        if changed is None:
            return  # nothing reads the base afterwards
        yield changed, self._back(maker, now, before, after)
        yield from self._climb(now, changed)

    def _name(self, index: int) -> Expr:
        return Expr(ast.Name(f"${index}", ast.Load()))

    def _standard(self, *indices: int) -> bool:
        return all(self.plan.orders[i] == standard(len(self.plan.orders[i])) for i in indices)

    def _back(self, maker: OpCall, base: int, view: int, written: int) -> Expr | None:
        """The base with the written view put back."""
        name = maker.name.rpartition(".")[2]
        target, value = self._name(base), self._name(written)
        array = array_of(self.recording, base)
        if not self._standard(base, written):
            return None
        if name == "__getitem__":
            index = to_arrays(maker.args[1], lambda i: array_of(self.recording, i))
            return blocks.set_item(target, index, value)
        if name in _SAME_ELEMENTS:
            return value.reshape(*array.shape)
        if name in ("transpose", "swapaxes", "t", "T", "mT", "swapdims"):
            dims = [d for d in maker.args[1:] if isinstance(d, int)] or list(maker.kwargs.values()) or [-1, -2]
            return value.swapaxes(*[int(d) for d in dims])
        if name == "permute":
            dims = maker.args[1] if len(maker.args) == 2 and not isinstance(maker.args[1], int) else maker.args[1:]
            dims = [int(d) % array.ndim for d in dims]
            return value.transpose(*[dims.index(d) for d in range(array.ndim)])
        if name in ("select", "narrow"):
            dim = int(maker.args[1]) % array.ndim
            at = maker.args[2] if name == "select" else slice(maker.args[2], maker.args[2] + maker.args[3])
            return blocks.set_item(target, (*[slice(None)] * dim, at), value)
        if name in ("chunk", "split", "unbind"):
            return self._put_piece(maker, array, target, view, value, name)
        return None

    def _put_piece(self, maker, array, target, view, value, name) -> Expr | None:
        pieces = refs(maker.outputs)
        position = pieces.index(view)
        if name == "unbind":
            dim = int(maker.args[1] if len(maker.args) > 1 else maker.kwargs.get("dim", 0)) % array.ndim
            return blocks.set_item(target, (*[slice(None)] * dim, position), value)
        dim = int(maker.args[2] if len(maker.args) > 2 else maker.kwargs.get("dim", 0)) % array.ndim
        sizes = [self.recording.values[i].shape[dim] for i in pieces]
        start = sum(sizes[:position])
        return blocks.set_item(target, (*[slice(None)] * dim, slice(start, start + sizes[position])), value)

    def _again(self, maker: OpCall, base: int, latest: int, old: int) -> Expr | None:
        """A view made anew from its changed base."""
        swap = lambda value: Ref(latest) if value == Ref(base) else value
        args = tuple(swap(a) for a in maker.args)
        outputs = refs(maker.outputs)
        import dataclasses
        call = dataclasses.replace(maker, args=args)
        try:
            bound = bind_call(self.recording, call, lambda i: self.plan.orders[i])
            if bound is None or not self._standard(latest, old):
                return None
            facts = [OutputFacts(f.shape, f.dtype, standard(len(f.shape))) for f in bound.call.outputs]
            value = emit_op(bound.rule, bound.call, facts).value
        except Refused:
            return None
        if isinstance(value, (tuple, list)):
            return value[outputs.index(old)]
        return value if len(outputs) == 1 else value[outputs.index(old)]
