"""What a diagnosis is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of a class on the recorded inputs.

    ``difference`` is the worst max|Δ| over the outputs, infinite for an error or another
    shape; ``allowed`` is the tolerance that it was judged by; ``line`` is where an error
    arose, or where the values first part, when that is known.
    """

    ok: bool
    difference: float | None
    allowed: float | None
    error: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A class that does not equal torch's, and the means to try another source for it.

    ``source`` is what the user typed and may hold helper code too; ``baseline`` is the
    generated source of the class, known to be equal to torch, or empty; ``line`` is the
    first line (from 1) whose value parts from torch's. ``run`` compiles a source, builds
    the instances with converted weights and compares them. ``layers`` has facts of torch's
    layers by attribute path: ``{"ln": {"class": "LayerNorm", "eps": 1e-12}}``.
    """

    source: str
    class_name: str
    baseline: str
    line: int | None
    run: Callable[[str], Outcome]
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """A change of the source that makes the values agree with torch's.

    Lines ``line`` to ``end_line`` (from 1, both included) read ``before`` and become
    ``after``; neither is ever empty. ``difference`` is the worst max|Δ| after the change.
    """

    kind: str
    message: str
    line: int
    end_line: int
    before: str
    after: str
    difference: float | None

    def apply(self, source: str) -> str:
        """``source`` with the change made."""
        lines = source.split("\n")
        lines[self.line - 1:self.end_line] = self.after.split("\n")
        return "\n".join(lines)
