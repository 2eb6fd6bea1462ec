"""Writes in place: MLX has none, so what holds the written memory gets a new value."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from ..capture.recording import Frame, ModuleCall, OpCall, Recording
from ..rules import to_node
from ..rules.substitute import mentions
from .invocations import levels
from .leaf_calls import where
from .views import CannotFollow

if TYPE_CHECKING:
    from collections.abc import Callable

    from .assignments import Key, Raw
    from .body import BodyWriter


class InPlace:
    """The part of the writing of a forward that follows writes through views."""

    writer: BodyWriter
    recording: Recording
    raws: list[Raw]
    frames: tuple[Frame, ...]
    made: set[Key]
    local: dict[Any, ast.expr]
    _add: Callable[..., None]
    _fail: Callable[[str], None]

    def _made_beside(self, index: int, event: OpCall | ModuleCall) -> bool:
        """Whether a value was made by the very invocation of a function that ``event`` belongs to."""
        helpers = self.writer.functions.helpers
        raw = next((raw for raw in reversed(self.raws) if index in raw.targets), None)
        own = [frame.identity for frame, _ in levels(event.frames, helpers)]
        return raw is not None and own == [frame.identity for frame, _ in levels(raw.frames, helpers)]

    def _write_through(self, event: OpCall) -> None:
        """After a write in place: what the written value is a view of gets its new content."""
        try:
            for before, after in event.mutated:
                for key, build in self.writer.views.after_write(before, after):
                    base = int(str(key).partition("~")[0])
                    self.frames = event.frames if self._made_beside(base, event) else ()
                    self._add([key], to_node(build), hint=self._name_hint(base))
        except CannotFollow as reason:
            self._fail(f"a write through a view by {event.name} can't be followed back through {reason} "
                       f"({where(event)})")

    def _refresh(self, until: int, event: OpCall | ModuleCall | None = None) -> None:
        """Values that a write through another view changed are taken anew before they are read."""
        try:
            for index, build in self.writer.views.refreshed(until):
                unseen = [key for key in mentions(to_node(build))[0] if isinstance(key, str) and not self._visible(key)]
                if unseen:
                    return self._fail("a write in one module changes a tensor that another one holds")
                first = self.recording.values[index].previous or index
                self.frames = event.frames if event is not None and self._made_beside(first, event) else ()
                self._add([index], to_node(build), hint=self._name_hint(first))
        except CannotFollow as reason:
            self._fail(f"a view can't be taken anew through {reason}")

    def _visible(self, key: Key) -> bool:
        return key in self.made or key in self.local

    def _name_hint(self, index: int) -> str:
        for raw in reversed(self.raws):
            if index in raw.targets:
                return raw.names[0] if len(raw.names) == 1 else raw.hint
        node = self.local.get(index)
        return node.id if isinstance(node, ast.Name) else self.recording.values[index].name.rpartition(".")[2] or "x"
