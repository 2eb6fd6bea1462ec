"""Where memory goes: measured bytes beside the arithmetic that predicts them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from . import SourceLocation, from_json, to_json
from .shown import ShowsItself, Views
from .tables import data_frame


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """One kind of memory in one situation. All numbers are bytes."""

    mode: str  # "inference" | "training"
    kind: str  # "parameters" | "buffers" | "gradients" | "optimizer state" | "saved for backward" | "activations" ...
    measured: int | None
    predicted: int | None = None
    arithmetic: str = ""  # how it was predicted: "11,689,512 numbers × 4 bytes"
    how: str = ""  # how it was measured


@dataclass(frozen=True, slots=True)
class ModuleMemory:
    """The memory of one module's own work, without its children's. Bytes."""

    path: str
    class_name: str
    dtypes: tuple[str, ...] = ()
    parameters: int = 0
    results: int = 0  # memory newly made in its forward
    saved: int = 0  # kept for the backward pass, each storage once, at the first module that saved it
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Precision:
    """What the parameters would take in another dtype or quantised; arithmetic, not measured."""

    name: str  # "float32" | "bfloat16" | "float16" | "int8" | "int4"
    bytes: int
    bits_per_weight: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How memory follows a size: a polynomial through what was measured at ``sizes``. A prediction elsewhere."""

    axis: str  # "batch" | "length"
    quantity: str  # "peak of inference" | "kept for backward in training"
    sizes: tuple[int, ...]
    measured: tuple[int, ...]  # bytes beyond parameters, buffers and inputs
    coefficients: tuple[float, ...]  # bytes = c0 + c1·n + c2·n²

    def predict(self, size: float) -> float:
        """Bytes at ``size``."""
        return sum(c * size**power for power, c in enumerate(self.coefficients))


@dataclass(frozen=True, slots=True)
class KeyValueCache:
    """What a key-value cache takes: bytes of one token of one sequence, over all layers."""

    bytes_per_token: int
    layers: int
    how: str = ""


@dataclass(frozen=True, slots=True)
class PendingSample:
    """A moment of MLX's unevaluated graph: operations and the bytes that their results will take."""

    operations: int
    bytes: int
    evaluated: bool = False  # the sample was taken at an evaluation, just before it


@dataclass(frozen=True, slots=True)
class PendingReport:
    """How MLX's lazy graph grew. ``advice`` says where an ``mx.eval`` belongs; empty when all is well."""

    samples: tuple[PendingSample, ...] = ()
    peak_bytes: int = 0
    peak_operations: int = 0
    evaluations: int = 0
    advice: str = ""
    location: SourceLocation | None = None

    def to_json(self, indent: int | None = None) -> str:
        """The report as JSON."""
        return to_json(self, indent)

    def __str__(self) -> str:
        from ..render.memory import pending_text

        return pending_text(self)

    def _repr_html_(self) -> str:
        from ..render.memory import pending_html

        return pending_html(self)


@dataclass(frozen=True, slots=True)
class MemoryReport(ShowsItself):
    """What :func:`t2m_notebook.memory` measured. All numbers are bytes."""

    model: str
    framework: str  # "torch" | "mlx"
    parts: tuple[MemoryPart, ...] = ()
    modules: tuple[ModuleMemory, ...] = ()
    saved_dtypes: dict[str, int] = field(default_factory=dict)  # of what is kept for the backward pass
    precisions: tuple[Precision, ...] = ()
    scalings: tuple[Scaling, ...] = ()
    cache: KeyValueCache | None = None
    counters: dict[str, int] = field(default_factory=dict)  # the framework's own: active, peak, cache
    optimizer: str = ""
    device: str = ""
    inputs: int = 0  # bytes of the example
    batch: int = 0
    length: int = 0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    mlx: MemoryReport | None = None  # the other side of a port
    versions: dict[str, str] = field(default_factory=dict)

    def part(self, kind: str, mode: str = "training") -> MemoryPart | None:
        """The part of this kind; None when it was not measured."""
        return next((p for p in self.parts if p.kind == kind and p.mode == mode), None)

    def bytes_of(self, kind: str, mode: str = "training") -> int:
        """Measured bytes of a kind, 0 when it was not measured."""
        found = self.part(kind, mode)
        return found.measured or 0 if found is not None else 0

    @property
    def peak_inference(self) -> int:
        """Everything alive at the worst moment of a forward."""
        return self.bytes_of("peak", "inference")

    @property
    def peak_training(self) -> int:
        """Everything alive at the worst moment of a training step."""
        return self.bytes_of("peak", "training")

    def to_json(self, indent: int | None = None) -> str:
        """The report as JSON; :meth:`from_json` reads it back equal."""
        return to_json(self, indent)

    @classmethod
    def from_json(cls, text: str) -> MemoryReport:
        """A report from the text that :meth:`to_json` wrote."""
        return from_json(cls, text)

    def to_pandas(self) -> Any:
        """One row a part; ``modules`` make a table of their own. Raises :class:`~t2m_notebook.errors.MissingPackage`
        where pandas is not installed."""
        return data_frame(
            [
                {"framework": side.framework, **dataclasses.asdict(part)}
                for side in (self, self.mlx)
                if side is not None
                for part in side.parts
            ]
        )

    def __repr__(self) -> str:
        from ..render.words import bytes_text

        peaks = [
            f"{mode} peak {bytes_text(n)}"
            for mode, n in (("inference", self.peak_inference), ("training", self.peak_training))
            if n
        ]
        return f"MemoryReport({self.model}: {', '.join(peaks) or 'nothing measured'})"

    def _views(self) -> Views:
        from ..render.memory import memory_html, memory_rich, memory_text
        return Views(memory_text, memory_rich, memory_html, self)
