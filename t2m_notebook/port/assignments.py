"""The unit that a body is written in: an expression over recorded values, before names."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..capture.recording import Frame
    from .choices import Choice
    from .rolling import Loop

Key = int | str  # a recorded value, or a text for something that the port itself made


@dataclass(slots=True)
class Raw:
    """One assignment before names: ``targets = node``."""

    targets: list[Key]
    node: ast.expr
    names: tuple[str, ...] = ()
    unpack: bool = False
    hint: str = "x"
    place: Any = None
    loop: Loop | None = None  # a loop in place of an expression; ``node`` then lists what it reads
    choice: Choice | None = None  # two ways on in place of an expression; likewise
    frames: tuple[Frame, ...] = ()  # of the call that it was recorded from; none where the port made it

    @property
    def named(self) -> bool:
        return bool(self.names)
