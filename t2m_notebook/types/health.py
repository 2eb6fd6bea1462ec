"""What a health check found: where a NaN or Inf was made, how close values are to their dtype's limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import SourceLocation, from_json, shape_text, to_json
from .shown import ShowsItself, Views
from .tables import data_frame


@dataclass(frozen=True, slots=True)
class Ranges:
    """The values of one tensor in numbers. Counts are of elements; ``minimum`` and ``maximum`` are those of the
    finite values, None when there are none or they were not measured."""

    name: str = ""  # what it is: "x", "layer1.weight", "result"
    shape: tuple[int, ...] = ()
    dtype: str = ""
    minimum: float | None = None
    maximum: float | None = None
    nan: int = 0
    positive_inf: int = 0
    negative_inf: int = 0
    zeros: int = 0
    denormals: int = 0  # smaller than the dtype's smallest normal number, and not 0
    count: int = 0
    headroom: float | None = None  # the dtype's largest number over the largest magnitude here

    @property
    def finite(self) -> bool:
        """True when there is neither NaN nor Inf."""
        return not (self.nan or self.positive_inf or self.negative_inf)

    @property
    def bad_text(self) -> str:
        """``3 NaN, 1 +Inf``; empty when all values are finite."""
        parts = ((self.nan, "NaN"), (self.positive_inf, "+Inf"), (self.negative_inf, "−Inf"))
        return ", ".join(f"{number:,} {word}" for number, word in parts if number)

    @property
    def kinds(self) -> str:
        """``NaN, +Inf``: which of the three there are."""
        found = ((self.nan, "NaN"), (self.positive_inf, "+Inf"), (self.negative_inf, "−Inf"))
        return ", ".join(word for number, word in found if number)

    @property
    def text(self) -> str:
        """``x 2×3 float32, 0 to 1.5, 2 NaN``."""
        span = (
            "no finite value"
            if self.minimum is None or self.maximum is None
            else (
                f"{self.minimum:.4g} to {self.maximum:.4g}"
                if self.minimum != self.maximum
                else f"all {self.minimum:.4g}"
            )
        )
        words = [f"{self.name} {shape_text(self.shape)} {self.dtype}".strip(), span if self.count else "empty"]
        return ", ".join([*words, *([self.bad_text] if self.bad_text else [])])


def kinds_of(tensors: Iterable[Ranges]) -> str:
    """``NaN, +Inf``: which of the three there are in any of the tensors."""
    return ", ".join(dict.fromkeys(kind for ranges in tensors for kind in ranges.kinds.split(", ")))


#: What became of a NaN or Inf: it is in a result, a gradient or a parameter; it was written on purpose; or a later
#: operation took it away (``where``, ``clamp``, 1/Inf) before anything came of it.
BAD, INTENDED, ABSORBED = "bad", "intended", "absorbed"


@dataclass(frozen=True, slots=True)
class Finding:
    """An operation (or a parameter, an input) where a NaN or Inf first appeared, and what became of it."""

    phase: str  # "forward" | "backward" | "parameter" | "input" | "gradient" | "optimizer state" | "loss"
    operation: str  # the framework's name: "torch.log", "LogBackward0", "mx.log"; or the name of a parameter
    made: str  # "NaN" | "+Inf" | "−Inf", several joined by ", "
    verdict: str = BAD  # BAD | INTENDED | ABSORBED
    path: str = ""  # of the module that called it; empty for the model itself
    class_name: str = ""
    source: str = ""  # the source expression, on one line
    location: SourceLocation | None = None
    reason: str = ""  # a sentence: why, from the ranges of the inputs
    inputs: tuple[Ranges, ...] = ()
    outputs: tuple[Ranges, ...] = ()
    forward_operation: str = ""  # of a backward node: the operation that it belongs to
    used_by: str = ""  # of a parameter or an input: the first operation that passed the NaN or Inf on
    reached: str = ""  # where it came out: "the model's result", "gradient of fc.weight"
    step: int = 0  # training step, from 0
    framework: str = "torch"

    @property
    def place(self) -> str:
        """``model.py:12, in encoder.0``."""
        parts = [self.location.text if self.location else "", f"in {self.path}" if self.path else ""]
        return ", ".join(part for part in parts if part)

    @property
    def text(self) -> str:
        """One sentence: what made what, where, and why."""
        if self.phase in ("parameter", "input", "gradient", "optimizer state"):
            kind = "" if self.operation.startswith(self.phase) else f"{self.phase} "
            line = f"{kind}{self.operation} holds {self.made}"
            line += f", which {self.used_by} passed on" if self.used_by else ""
        else:
            line = f"{self.operation} made {self.made}" + (" in the backward pass" if self.phase == "backward" else "")
        if self.forward_operation:
            line += f" (it belongs to {self.forward_operation})"
        line += f" at {self.place}" if self.place and self.location else f" {self.place}" if self.place else ""
        line += f": {self.source}" if self.source else ""
        return line + (f". {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class TensorHealth:
    """One measured tensor: what an operation gave, a parameter, a gradient, a checkpoint."""

    phase: str
    operation: str
    path: str
    ranges: Ranges
    source: str = ""
    location: SourceLocation | None = None
    step: int = 0
    note: str = ""  # "of 64 units 40 are 0 for the whole batch"
    mark: str = ""  # name of the checkpoint
    verdict: str = ""  # BAD | INTENDED | ABSORBED when a finding came from here

    @classmethod
    def of_named(cls, phase: str, name: str, ranges: Ranges, step: int) -> TensorHealth:
        """That of a parameter or a gradient called ``name`` (``fc.weight``); bad when it holds a NaN or Inf."""
        return cls(phase, name, name.rpartition(".")[0], ranges, step=step, verdict="" if ranges.finite else BAD)

    @property
    def close(self) -> bool:
        """True when the largest magnitude is within a factor of 16 of the dtype's largest number."""
        return self.ranges.headroom is not None and self.ranges.headroom < 16


@dataclass(frozen=True, slots=True)
class HealthReport(ShowsItself):
    """What :func:`t2m_notebook.health` and ``watch`` found. ``ok`` is True when no NaN or Inf came out anywhere."""

    model: str
    framework: str  # "torch" | "mlx"
    phases: tuple[str, ...] = ()  # what was looked at: "forward", "backward", "parameters", "optimizer state"
    findings: tuple[Finding, ...] = ()
    tensors: tuple[TensorHealth, ...] = ()
    dead: tuple[TensorHealth, ...] = ()  # activations that are 0 or saturated
    checkpoints: tuple[TensorHealth, ...] = ()
    notes: tuple[str, ...] = ()
    operations: int = 0
    steps: int = 0
    seconds: float = 0.0
    mlx: HealthReport | None = None  # the other side of a port
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def bad(self) -> tuple[Finding, ...]:
        """The findings that something came of, in the order in which they happened."""
        return tuple(f for f in self.findings if f.verdict == BAD)

    @property
    def first(self) -> Finding | None:
        """The first operation that made a NaN or Inf that came out somewhere; forward before backward."""
        return next(iter(self.bad), None)

    @property
    def first_forward(self) -> Finding | None:
        """The same, of the forward pass alone."""
        return next((f for f in self.bad if f.phase != "backward"), None)

    @property
    def first_backward(self) -> Finding | None:
        """The same, of the backward pass alone."""
        return next((f for f in self.bad if f.phase == "backward"), None)

    @property
    def intended(self) -> tuple[Finding, ...]:
        """Inf or NaN that was written on purpose: a constant in the code, a mask."""
        return tuple(f for f in self.findings if f.verdict == INTENDED)

    @property
    def absorbed(self) -> tuple[Finding, ...]:
        """Made, but nothing came of it: a later operation took it away."""
        return tuple(f for f in self.findings if f.verdict == ABSORBED)

    @property
    def close(self) -> tuple[TensorHealth, ...]:
        """Tensors near the limit of their dtype, the nearest first."""
        return tuple(sorted((t for t in self.tensors if t.close), key=lambda t: t.ranges.headroom or 0.0))

    @property
    def denormal(self) -> tuple[TensorHealth, ...]:
        """Tensors with numbers below the dtype's smallest normal number, the most first."""
        return tuple(sorted((t for t in self.tensors if t.ranges.denormals), key=lambda t: -t.ranges.denormals))

    @property
    def ok(self) -> bool:
        """No NaN and no Inf came out, on either side."""
        return not self.bad and (self.mlx is None or self.mlx.ok)

    def to_json(self, indent: int | None = None) -> str:
        """The report as JSON; :meth:`from_json` reads it back equal."""
        return to_json(self, indent)

    @classmethod
    def from_json(cls, text: str) -> HealthReport:
        """A report from the text that :meth:`to_json` wrote."""
        return from_json(cls, text)

    def to_pandas(self) -> Any:
        """One row a measured tensor. Raises :class:`~t2m_notebook.errors.MissingPackage` where pandas is not
        installed."""
        return data_frame(
            [
                {
                    "framework": report.framework,
                    "phase": t.phase,
                    "operation": t.operation,
                    "path": t.path,
                    "location": t.location.text if t.location else "",
                    "source": t.source,
                    "step": t.step,
                    **{k: v for k, v in dataclasses.asdict(t.ranges).items() if k != "name"},
                    "note": t.note,
                    "checkpoint": t.mark,
                    "verdict": t.verdict,
                }
                for report in (self, self.mlx)
                if report is not None
                for t in report.tensors
            ]
        )

    def __repr__(self) -> str:
        state = "no NaN, no Inf" if self.ok else (self.first or self.mlx.first).text  # type: ignore[union-attr]
        return f"HealthReport({self.model}: {state})"

    def _views(self) -> Views:
        from ..render.health import health_html, health_rich, health_text
        return Views(health_text, health_rich, health_html, self)
