"""Every value that crosses a wall: frozen, tensor-free dataclasses, JSON both ways.

Nothing here knows torch, MLX or Jupyter. A value made here can be written to a
notebook, sent to a browser, stored in a manifest and read back equal.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Union

from .live import CHECK_GLYPHS as CHECK_GLYPHS
from .live import CellCheck as CellCheck
from .live import CheckpointMark as CheckpointMark
from .live import Fix as Fix
from .live import Mark as Mark
from .live import WeightRow as WeightRow
from .places import cell_name


class Status(enum.StrEnum):
    """What is known about a node's port. Green (``PROVEN``) is only ever measured."""

    PROVEN = "PROVEN"
    MAPPED = "MAPPED"
    PARTIAL = "PARTIAL"
    DIVERGES = "DIVERGES"
    REFUSED = "REFUSED"
    MISSING = "MISSING"
    UNSEEN = "UNSEEN"

    @property
    def glyph(self) -> str:
        """One character that tells the status apart without colour."""
        return {"PROVEN": "✓", "MAPPED": "●", "PARTIAL": "◐", "DIVERGES": "✗",
                "REFUSED": "!", "MISSING": "?", "UNSEEN": "–"}[self.value]

    @property
    def meaning(self) -> str:
        """A short sentence for legends and tooltips."""
        return {"PROVEN": "measured equal to torch",
                "MAPPED": "every part has a rule, not measured",
                "PARTIAL": "runs, with a stated caveat",
                "DIVERGES": "measured different from torch",
                "REFUSED": "a rule says why it can't be ported",
                "MISSING": "no rule for an operation",
                "UNSEEN": "never called by this example"}[self.value]

    @property
    def severity(self) -> int:
        """Order for "the worst of": UNSEEN is the mildest, DIVERGES the worst."""
        return _SEVERITY.index(self)


_SEVERITY = [Status.UNSEEN, Status.PROVEN, Status.MAPPED, Status.PARTIAL,
             Status.REFUSED, Status.MISSING, Status.DIVERGES]


def worst(statuses: typing.Iterable[Status], default: Status = Status.UNSEEN) -> Status:
    """The most severe of ``statuses``; ``default`` when there are none."""
    return max(statuses, key=lambda status: status.severity, default=default)


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What is known of a tensor without holding it. Strides are in elements."""

    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...] = ()
    device: str = "cpu"

    @property
    def text(self) -> str:
        """``2×3×4 float32``; a 0-d tensor reads ``scalar float32``."""
        return f"{shape_text(self.shape)} {self.dtype}"


def shape_text(shape: typing.Iterable[int]) -> str:
    """``(2, 3)`` as ``2×3``; ``()`` as ``scalar``."""
    return "×".join(str(size) for size in shape) or "scalar"


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A span of source: lines are 1-based, columns 0-based UTF-8 offsets as in ``ast``."""

    file: str
    line: int
    end_line: int
    column: int
    end_column: int
    function: str = ""

    @property
    def text(self) -> str:
        """``file.py:71`` with the folder left out; in a notebook ``cell [5], line 8``."""
        cell = cell_name(self.file)
        if cell:
            return f"{cell}, line {self.line}"
        return f"{self.file.replace(chr(92), '/').rsplit('/', 1)[-1]}:{self.line}"

    @property
    def origin(self) -> str:
        """The file with its folder; in a notebook ``cell [5]``."""
        return cell_name(self.file) or self.file


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """A parameter or buffer as the module that owns it sees it."""

    name: str
    facts: TensorFacts
    bytes: int
    kind: str = "parameter"  # "parameter" | "buffer" | "buffer (not saved)"
    trainable: bool = True
    tied_to: str | None = None  # full path of the first name of the same tensor


@dataclass(frozen=True, slots=True)
class OperationNode:
    """One operation that ran in a module's own forward."""

    index: int
    name: str  # torch's name: "torch.nn.functional.relu", "torch.nn.Conv2d"
    status: Status
    reason: str = ""
    source: str = ""  # the source expression that made the call, on one line
    location: SourceLocation | None = None
    mlx: str = ""  # what it maps to
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    child: str | None = None  # path of the child module, when the operation is a module call


@dataclass(frozen=True, slots=True)
class ModuleNode:
    """A module of the tree. ``parameter_count`` and ``parameter_bytes`` include
    the children and count every tensor once."""

    name: str
    path: str  # "" for the root
    class_name: str
    status: Status
    reason: str = ""
    class_module: str = ""
    description: str = ""  # torch's extra_repr
    location: SourceLocation | None = None  # of the class
    parameter_count: int = 0
    parameter_bytes: int = 0
    parameters: tuple[ParameterFacts, ...] = ()
    calls: int = 0
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    operations: tuple[OperationNode, ...] = ()
    children: tuple[ModuleNode, ...] = ()
    shared_with: str | None = None  # path of the first occurrence of the same module
    training: bool = False
    max_difference: float | None = None  # measured |mlx - torch|, when parity ran
    checkpoints: tuple[CheckpointMark, ...] = ()  # in the cell of its class, while that is being edited

    def walk(self) -> typing.Iterator[ModuleNode]:
        """The node and everything below it, depth first, without recursion limits."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(frozen=True, slots=True)
class MissingOperation:
    """An operation without a rule, and where the model calls it."""

    name: str
    status: Status  # MISSING or REFUSED
    reason: str
    calls: int
    paths: tuple[str, ...]
    source: str = ""
    location: SourceLocation | None = None


@dataclass(frozen=True, slots=True)
class AnalysisReport:
    """What ``analyze`` found; the JSON of ``Analysis.to_json`` and ``t2m analyze --json``."""

    root: ModuleNode
    counts: dict[str, int]  # status -> number of modules
    coverage: float  # share of the modules' operations that have a rule, 0..1
    missing: tuple[MissingOperation, ...] = ()
    inputs: tuple[str, ...] = ()  # "x: 1×3×224×224 float32"
    from_structure: bool = False  # True: no example was run, the tree shows structure alone
    training: bool = False  # the model was recorded in train mode
    notes: tuple[str, ...] = ()
    operation_count: int = 0
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)


def to_data(value: Any) -> Any:
    """A value of this module as plain JSON data (dicts, lists, numbers, strings)."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)  # JSON has no NaN or Infinity
    return value


_HINTS: dict[type, dict[str, Any]] = {}


def from_data(kind: Any, data: Any) -> Any:
    """The inverse of :func:`to_data` for the annotated type ``kind``.

    Raises ``TypeError`` naming the type when ``data`` can't be one.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return from_data(next(a for a in arguments if a is not type(None)), data)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(from_data(arguments[0], item) for item in data)
        return tuple(from_data(a, item) for a, item in zip(arguments, data, strict=True))
    if origin is list:
        return [from_data(arguments[0], item) for item in data]
    if origin is dict:
        return {from_data(arguments[0], k): from_data(arguments[1], v) for k, v in data.items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    if dataclasses.is_dataclass(kind):
        if not isinstance(data, dict):
            raise TypeError(f"{kind.__name__}: expected a JSON object, got {type(data).__name__}")
        hints = _HINTS.setdefault(kind, {}) or typing.get_type_hints(kind)
        _HINTS[kind] = hints
        known = {f.name for f in dataclasses.fields(kind)}
        return kind(**{k: from_data(hints[k], v) for k, v in data.items() if k in known})
    if kind is float:
        return float(data)
    return data


def to_json(value: Any, indent: int | None = None) -> str:
    """``value`` as JSON text; :func:`from_json` reads it back equal."""
    return json.dumps(to_data(value), indent=indent, ensure_ascii=False, allow_nan=False)


def from_json(kind: Any, text: str) -> Any:
    """A value of type ``kind`` from the text that :func:`to_json` wrote."""
    return from_data(kind, json.loads(text))


@dataclass(frozen=True, slots=True)
class ParityResult:
    """One comparison of MLX with torch. ``max_difference`` is max|Δ| over the results'
    finite values, ``allowed`` the tolerance that it was held against."""

    path: str
    class_name: str
    check: str  # "module" (fed torch's inputs) | "end to end" | "other shape: …"
    status: Status  # PROVEN | DIVERGES | MISSING (could not run)
    max_difference: float | None = None
    allowed: float | None = None
    reference_max: float | None = None
    torch_shape: tuple[int, ...] = ()
    mlx_shape: tuple[int, ...] = ()
    message: str = ""
    calls: int = 1
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ParityData:
    """The JSON of ``ParityReport``."""

    root: ModuleNode
    counts: dict[str, int]
    ok: bool
    worst: float | None
    results: tuple[ParityResult, ...] = ()
    missing: tuple[MissingOperation, ...] = ()
    first_divergence: str = ""
    diagnosis: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortedClass:
    """One generated class and the modules that are instances of it."""

    name: str
    paths: tuple[str, ...]
    lines: int = 0
    kind: str = ""  # how its source was made
    problem: str = ""  # why it is a stub; empty for a whole class


@dataclass(frozen=True, slots=True)
class PortSummary:
    """What a port came to; the JSON of ``t2m port --json``. ``ok`` is None until parity ran,
    and ``analysis`` has the measured statuses from then on."""

    name: str
    origin: str
    analysis: AnalysisReport
    classes: tuple[PortedClass, ...] = ()
    weight_count: int = 0
    weight_bytes: int = 0
    layout: str = ""
    transposes: tuple[str, ...] = ()  # those that remain, each with its reason
    problems: tuple[str, ...] = ()
    ok: bool | None = None
    worst: float | None = None
    results: tuple[ParityResult, ...] = ()
    first_divergence: str = ""
    diagnosis: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0  # that parity took
    folder: str = ""  # where it was saved
    versions: dict[str, str] = field(default_factory=dict)


# Below the values that they are made of.
from .gradients import GradientComparison as GradientComparison  # noqa: E402
from .gradients import GradientEdge as GradientEdge  # noqa: E402
from .gradients import GradientGraph as GradientGraph  # noqa: E402
from .gradients import GradientNode as GradientNode  # noqa: E402
from .gradients import MLXArray as MLXArray  # noqa: E402
from .gradients import MLXGradients as MLXGradients  # noqa: E402
from .gradients import MLXOperation as MLXOperation  # noqa: E402
from .gradients import SavedTensor as SavedTensor  # noqa: E402
from .gradients import TensorValue as TensorValue  # noqa: E402
from .trace import TraceData as TraceData  # noqa: E402
from .trace import TracedOperation as TracedOperation  # noqa: E402
from .trace import TracedTensor as TracedTensor  # noqa: E402
from .trace import TraceRow as TraceRow  # noqa: E402
from .trace import ValueSummary as ValueSummary  # noqa: E402
