"""What a live check of one class found: verdict, marks in its source, fixes that were tried, weights."""

from __future__ import annotations

from dataclasses import dataclass

# The states of a check, each with the glyph of the badge. `stopped`: the code took the worker down or too long.
CHECK_GLYPHS = {"proven": "✓", "diverges": "✗", "error": "✗", "stopped": "!", "unknown": "–"}


@dataclass(frozen=True, slots=True)
class Mark:
    """A span of a class's source with something to say. Lines count from 1 in the class's own
    source, columns from 0 in characters; ``end_column`` 0 means the whole line."""

    line: int
    message: str
    severity: str = "error"  # "error" | "warning" | "info"
    end_line: int = 0  # 0: the same line
    column: int = 0
    end_column: int = 0


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that was tried on the recorded values and made them agree. ``before`` and ``after``
    are whole lines of the class's source: lines ``line`` to ``end_line`` give way to ``after``."""

    kind: str  # what is the matter, a few words: "axes swapped"
    message: str
    line: int
    end_line: int
    before: str
    after: str
    difference: float | None = None  # max|Δ| with the fix


@dataclass(frozen=True, slots=True)
class WeightRow:
    """One parameter or buffer on both sides. ``axes`` is the permutation from torch's axes to MLX's."""

    torch_name: str
    torch_shape: tuple[int, ...]
    mlx_name: str
    mlx_shape: tuple[int, ...]
    axes: tuple[int, ...] = ()
    dtype: str = ""
    state: str = "matched"  # "matched" | "missing" | "extra" | "shape"


@dataclass(frozen=True, slots=True)
class CheckpointMark:
    """A ``t2m.checkpoint(x, name)`` in an edited cell, at one module of its class; what it saw there, once measured."""

    name: str
    path: str = ""  # of the module; empty for the model itself
    tensor: str = ""  # "(2, 9, 32) float32"
    span: str = ""  # of the finite values: "-0.17 … 3.2"
    bad: str = ""  # "3 NaN, 1 +Inf"

    @property
    def finding(self) -> str:
        """The worst of it in a few words: NaN and Inf where there are some, else the range; empty if not measured."""
        return self.bad or self.span

    @property
    def text(self) -> str:
        """``attn.scores: (2, 9, 32) float32, -0.17 … 3.2, 3 NaN``."""
        found = ", ".join(part for part in (self.tensor, self.span, self.bad) if part)
        return f"{self.name}: {found or 'not measured'}"


@dataclass(frozen=True, slots=True)
class CellCheck:
    """What checking one class came to."""

    class_name: str
    state: str  # a key of CHECK_GLYPHS
    text: str  # for the badge: "1.2e-06 of 1.4e-05 allowed"
    difference: float | None = None  # max|Δ| over all compared results
    allowed: float | None = None
    instances: int = 0  # modules of this class
    compared: int = 0  # of them compared
    milliseconds: float = 0.0
    message: str = ""  # one or two sentences
    line: int | None = None  # where it parts, or raised
    marks: tuple[Mark, ...] = ()
    fixes: tuple[Fix, ...] = ()
    weights: tuple[WeightRow, ...] = ()
    checkpoints: tuple[CheckpointMark, ...] = ()  # of the modules that were run, the worst of each

    @property
    def ok(self) -> bool:
        """True when every compared instance equals torch."""
        return self.state == "proven"

    @property
    def glyph(self) -> str:
        """The badge's glyph."""
        return CHECK_GLYPHS.get(self.state, "?")
