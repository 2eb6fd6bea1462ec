"""What one forward left behind: values, calls and module calls, as plain records.

Tensors appear as :class:`Ref`, an index into ``Recording.values``; the tensors
themselves are kept only where asked (``Recording.tensors``).
"""

from __future__ import annotations

import dataclasses
import linecache
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import CodeType
from typing import Any, NamedTuple

import torch

from ..types import SourceLocation, TensorFacts

DTYPE_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in vars(torch).values()
               if isinstance(dtype, torch.dtype)}


@dataclass(frozen=True, slots=True)
class Ref:
    """Stands for recorded value ``index`` in arguments and results."""

    index: int


class Frame(NamedTuple):
    """A Python frame that was active: its code, the instruction it stood at, its identity
    (equal for two calls made by the same invocation of a function), and the tensors and
    numbers among its arguments where it is a function that a forward called."""

    code: CodeType
    instruction: int
    identity: int
    arguments: tuple[tuple[str, Value | int | float], ...] = ()


@dataclass(slots=True)
class Value:
    """A tensor at one moment. Written to in place, it becomes a new value."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    stride: tuple[int, ...]
    storage: int  # address of its memory; equal for views of one another while alive
    kind: str  # "input" | "parameter" | "buffer" | "attribute" | "constant" | "result"
    name: str = ""  # path of a parameter, buffer or attribute; name of an input
    previous: int | None = None  # the value that this one overwrote
    device: str = "cpu"
    number: int | None = None  # of a 0-d integer tensor, in case it is used as a size
    content: Any = None  # the numbers that the forward read into Python: one, or nested lists of them

    @property
    def facts(self) -> TensorFacts:
        return TensorFacts(self.shape, self.dtype, self.stride, self.device)


@dataclass(slots=True)
class OpCall:
    """One torch call made outside any leaf layer."""

    index: int
    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any
    owner: ModuleCall
    frames: tuple[Frame, ...]  # innermost first, up to the owner's forward
    mutated: tuple[tuple[int, int], ...] = ()  # (value before, value after)


@dataclass(slots=True)
class ModuleCall:
    """One call of a module. A leaf (a torch.nn layer, or one with a rule) has no events."""

    index: int
    path: str
    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    parent: ModuleCall | None
    frames: tuple[Frame, ...]
    leaf: bool
    outputs: Any = None
    events: list[Any] = field(default_factory=list)  # OpCall, ModuleCall; Branch once recordings are put together
    mutated: tuple[tuple[int, int], ...] = ()
    failed: bool = False

    def walk(self) -> Iterator[ModuleCall]:
        """This call and every module call made below it, in order."""
        stack: list[ModuleCall] = [self]
        while stack:
            call = stack.pop()
            yield call
            stack.extend(e for e in reversed(list(unfolded(call.events))) if isinstance(e, ModuleCall))


#: Names of what a recording that was put together calls besides torch: one value out of the two arms
#: of a branch, and an outer value as an arm sees it (at the sizes of the arm's own recording).
EITHER, SAME = "t2m.either", "t2m.same"


@dataclass(slots=True)
class Branch:
    """Two ways on: what some recordings did where ``test`` holds, and what the others did."""

    owner: ModuleCall
    test: Any  # a syntax tree over sizes
    then: list[Any]
    otherwise: list[Any]
    merges: list[OpCall] = field(default_factory=list)  # EITHER: one value out of the arms' two
    samples: dict[int, bool] = field(default_factory=dict)  # number of a recording -> whether the test held


def unfolded(events: list[Any]) -> Iterator[OpCall | ModuleCall]:
    """``events`` with both arms of every branch in its place."""
    for event in events:
        if isinstance(event, Branch):
            yield from unfolded(event.then)
            yield from unfolded(event.otherwise)
            yield from event.merges
        else:
            yield event


@dataclass(slots=True)
class Guard:
    """A comparison of a size, or a size asked whether it is zero."""

    position: int  # events that came before it
    owner: ModuleCall
    test: Any  # the comparison as a syntax tree over sizes
    outcome: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A number that Python made anew of a tensor's (``int(x)``), so that it does not know where it is from."""

    position: int  # the event that read it
    index: int  # the value that was read
    number: int | float


@dataclass(slots=True)
class Recording:
    """One forward of ``model``."""

    model: torch.nn.Module
    root: ModuleCall | None = None
    values: list[Value] = field(default_factory=list)
    tensors: dict[int, torch.Tensor] = field(default_factory=dict)
    training: bool = False
    notes: list[str] = field(default_factory=list)
    #: values that changed because a view of their memory was written: (before, after, event index)
    refreshed: list[tuple[int, int, int]] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)  # in the order in which they were made
    reads: list[Read] = field(default_factory=list)
    reads_data: bool = False  # a tensor's content steered Python
    event_count: int = 0
    seconds: float = 0.0
    #: what the model gave on the n-th of ``other_examples``, where torch took it
    expected: dict[int, list[torch.Tensor]] = field(default_factory=dict)

    def calls(self) -> Iterator[OpCall | ModuleCall]:
        """Every operation and leaf module call, in the order in which they ran."""
        stack: list[Any] = [unfolded(self.root.events if self.root and not self.root.leaf else [self.root])]
        while stack:
            event = next(stack[-1], None)
            if event is None:
                stack.pop()
            elif isinstance(event, ModuleCall) and not event.leaf:
                stack.append(unfolded(event.events))
            else:
                yield event


def is_container(value: Any) -> bool:
    """Things that arguments nest in: lists, tuples, mappings, dataclasses."""
    return isinstance(value, (list, tuple, Mapping, slice)) or (
        dataclasses.is_dataclass(value) and not isinstance(value, (type, Ref)))


def items_of(value: Any) -> list[tuple[str, Any]]:
    """The named parts of a container, in flattening order."""
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if isinstance(value, slice):
        return [("start", value.start), ("stop", value.stop), ("step", value.step)]
    if hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, (list, tuple)):
        return [(str(i), item) for i, item in enumerate(value)]
    return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]


def flatten(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Refs or tensors inside ``value`` with their paths (``"0"``, ``"state.h"``), in order:
    dict and dataclass values in order, lists and tuples by position."""
    if isinstance(value, (Ref, torch.Tensor)):
        yield path, value
    elif is_container(value):
        for name, item in items_of(value):
            yield from flatten(item, f"{path}.{name}" if path else name)


_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device})


def refs(value: Any) -> list[int]:
    """Indices of the recorded values inside ``value``, in flattening order."""
    if isinstance(value, Ref):
        return [value.index]
    kind = type(value)
    if kind in _PLAIN:
        return []
    if kind is dict:
        return [index for item in value.values() for index in refs(item)]
    if isinstance(value, (list, tuple)):
        return [index for item in value for index in refs(item)]
    return [ref.index for _, ref in flatten(value)] if is_container(value) else []


@cache
def _positions(code: CodeType) -> tuple[tuple[int | None, ...], ...]:
    return tuple(code.co_positions())


def place_in(code: CodeType, instruction: int) -> SourceLocation | None:
    """The source span of an instruction. Codes of equal text in two files are equal: the file is asked for too."""
    return _place_in(code, code.co_filename, instruction)


@cache
def _place_in(code: CodeType, file: str, instruction: int) -> SourceLocation | None:
    positions = _positions(code)
    at = instruction // 2
    if at >= len(positions) or positions[at][0] is None:
        return None
    line, end_line, column, end_column = positions[at]
    return SourceLocation(file, line, end_line or line, column or 0, end_column or 0, code.co_qualname)


def locate(frame: Frame) -> SourceLocation | None:
    """The source span of a frame's current expression."""
    return place_in(frame.code, frame.instruction)


def location(frames: tuple[Frame, ...]) -> SourceLocation | None:
    """The source span of the innermost frame's current expression."""
    return place_in(frames[0].code, frames[0].instruction) if frames else None


@cache
def source_text(place: SourceLocation | None, limit: int = 160) -> str:
    """The source expression of a span on one line; empty when the file can't be read."""
    if place is None:
        return ""
    lines = [linecache.getline(place.file, number) for number in range(place.line, place.end_line + 1)]
    if not lines or not lines[0]:
        return ""
    raw = [line.encode() for line in lines]
    raw[-1] = raw[-1][: place.end_column] if place.end_column else raw[-1]
    raw[0] = raw[0][place.column:]
    text = " ".join(part.decode(errors="replace").strip() for part in raw)
    return text if len(text) <= limit else text[: limit - 1] + "…"
