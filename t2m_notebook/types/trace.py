"""What ran, one row an operation, in torch, in MLX, or in both side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import SourceLocation, Status


@dataclass(frozen=True, slots=True)
class ValueSummary:
    """A tensor's values in five numbers. Mean, smallest and largest are over the finite values,
    None when there are none; of a complex tensor they are those of the magnitudes."""

    mean: float | None
    minimum: float | None
    maximum: float | None
    nan: int = 0
    inf: int = 0


@dataclass(frozen=True, slots=True)
class TracedTensor:
    """A tensor or array at the moment when it was made. Strides and ``offset`` are in elements,
    as in torch; ``bytes`` is elements × item size. Two with the same ``storage`` number share memory."""

    name: str  # "x" for an input, "conv1.weight" for a parameter, "#12" for the result of row 12
    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...] = ()
    contiguous: bool = True
    bytes: int = 0
    offset: int = 0
    storage: int = -1  # -1: not known
    device: str = "cpu"
    layout: str = "strided"  # torch's: "strided", "sparse_coo", …; "placeholder" for an array inside mx.compile
    summary: ValueSummary | None = None


@dataclass(frozen=True, slots=True)
class TracedOperation:
    """One operation on one side.

    ``memory`` says where the first result lives: ``"view"`` (in the memory of ``shares_with``, read in
    another way), ``"same tensor"`` (it is ``shares_with``), ``"in place"`` (written into it), ``"copy"``
    (in memory of its own) or ``""`` (no tensor result, or not known).
    """

    name: str  # "torch.Tensor.transpose", "torch.nn.Linear", "mx.swapaxes", "nn.Linear"
    path: str = ""  # of the module that ran it; a layer's own path
    source: str = ""
    location: SourceLocation | None = None
    inputs: tuple[TracedTensor, ...] = ()
    outputs: tuple[TracedTensor, ...] = ()
    memory: str = ""
    shares_with: str = ""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One operation. In a port's trace ``torch`` and ``mlx`` stand side by side where both ran, and
    ``axes`` is the permutation from torch's axes to MLX's: ``mlx == torch.permute(axes)``.

    ``shape``, ``stride`` and the like are of the first result, torch's where torch ran.
    """

    index: int
    status: Status = Status.UNSEEN
    torch: TracedOperation | None = None
    mlx: TracedOperation | None = None
    form: str = ""  # the MLX expression that the rule emits, its arrays named x, y, …
    note: str = ""
    axes: tuple[int, ...] = ()
    difference: float | None = None  # max|mlx - torch| over the finite values
    allowed: float | None = None  # the tolerance for it
    error: str = ""

    @property
    def operation(self) -> TracedOperation:
        """Torch's side where there is one, else MLX's."""
        found = self.torch or self.mlx
        assert found is not None
        return found

    @property
    def op(self) -> str:
        """``torch.Tensor.transpose``, ``torch.nn.Linear``, ``mx.swapaxes``."""
        return self.operation.name

    @property
    def module(self) -> str:
        """Path of the module that ran it, torch's where torch ran; empty for the model itself."""
        return self.operation.path

    @property
    def line(self) -> str:
        """``model.py:71``; in a notebook ``cell [5], line 71``."""
        return self.operation.location.text if self.operation.location else ""

    @property
    def source(self) -> str:
        """The source expression on one line."""
        return self.operation.source

    @property
    def output(self) -> TracedTensor | None:
        """The first result, None where no tensor came out."""
        return self.operation.outputs[0] if self.operation.outputs else None

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tensor.shape for tensor in self.operation.inputs)

    @property
    def shape(self) -> tuple[int, ...] | None:
        return self.output.shape if self.output else None

    @property
    def stride(self) -> tuple[int, ...] | None:
        """In elements."""
        return self.output.stride if self.output else None

    @property
    def offset(self) -> int | None:
        """In elements from the start of the storage."""
        return self.output.offset if self.output else None

    @property
    def contiguous(self) -> bool | None:
        return self.output.contiguous if self.output else None

    @property
    def dtype(self) -> str | None:
        return self.output.dtype if self.output else None

    @property
    def bytes(self) -> int | None:
        return self.output.bytes if self.output else None

    @property
    def memory(self) -> str:
        """``view``, ``same tensor``, ``in place``, ``copy`` or nothing; see :class:`TracedOperation`."""
        return self.operation.memory

    @property
    def shares_with(self) -> str:
        """The value that the result shares memory with: ``x``, ``conv1.weight``, ``#12``."""
        return self.operation.shares_with

    @property
    def is_view(self) -> bool:
        """The result reads another value's memory."""
        return self.memory in ("view", "same tensor")

    @property
    def is_copy(self) -> bool:
        """The result has memory of its own, on either side."""
        return any(side is not None and side.memory == "copy" for side in (self.torch, self.mlx))

    @property
    def changes_shape(self) -> bool:
        """The result's shape is that of no input."""
        shape = self.shape
        return shape is not None and shape not in self.input_shapes

    @property
    def summary(self) -> ValueSummary | None:
        return self.output.summary if self.output else None


@dataclass(frozen=True, slots=True)
class TraceData:
    """The JSON of ``Trace``."""

    title: str
    rows: tuple[TraceRow, ...] = ()
    sides: tuple[str, ...] = ("torch",)  # of "torch" and "mlx"
    inputs: tuple[str, ...] = ()  # "x: 1×3×224×224 float32"
    error: str = ""  # what ended the run; the rows are those up to there
    values: bool = True  # values were summarised
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
