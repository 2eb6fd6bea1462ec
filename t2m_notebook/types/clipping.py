"""What clipping or cleaning gradients changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import to_data


@dataclass(frozen=True, slots=True)
class GradientChange:
    """How many NaN and Inf the gradient of one parameter had."""

    name: str
    nan: int = 0
    inf: int = 0


@dataclass(frozen=True, slots=True)
class ClipReport:
    """What ``clip_gradients`` or ``sanitise`` did. Torch gradients are changed in place; those of MLX are in
    ``gradients``."""

    action: str  # "clip" | "sanitise"
    framework: str
    count: int  # gradients looked at
    norm_before: float | None
    norm_after: float
    max_norm: float | None
    factor: float
    bad: tuple[GradientChange, ...] = ()
    changed: bool = False
    gradients: Any = field(default=None, repr=False, compare=False)

    @property
    def text(self) -> str:
        """What was changed, in one or two sentences."""
        names = ", ".join(f"{c.name} ({_counts(c)})" for c in self.bad[:5])
        names += f" and {len(self.bad) - 5} more" if len(self.bad) > 5 else ""
        if self.action == "sanitise":
            return (
                f"replaced in {names}; the total norm is {self.norm_after:.4g} now"
                if self.bad
                else f"all {self.count} gradients are finite; nothing was changed"
            )
        if self.bad:
            return (
                f"not clipped: {names}. The norm is {self.norm_before}; clipping by it would make every finite "
                "gradient 0 and every Inf a NaN. Leave the step out, or t2m.sanitise the gradients first"
            )
        if self.changed:
            return (
                f"norm {self.norm_before:.4g} clipped to {self.norm_after:.4g}: all gradients times {self.factor:.4g}"
            )
        return f"norm {self.norm_before:.4g} is within {self.max_norm:.4g}; nothing was changed"

    def to_json(self) -> str:
        """Without the gradients themselves."""
        import json

        data = {
            name: to_data(getattr(self, name))
            for name in (
                "action",
                "framework",
                "count",
                "norm_before",
                "norm_after",
                "max_norm",
                "factor",
                "bad",
                "changed",
            )
        }
        return json.dumps({**data, "text": self.text}, ensure_ascii=False)

    def __str__(self) -> str:
        return self.text


def _counts(change: GradientChange) -> str:
    return ", ".join(f"{n:,} {word}" for n, word in ((change.nan, "NaN"), (change.inf, "Inf")) if n)
