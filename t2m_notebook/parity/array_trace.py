"""Traces MLX: every public function and array operator that code calls, while a block is open.

The calls come from ``array_wrapping.py``. Arrays are evaluated in batches. Strides come through the
buffer protocol, memory is shared when one buffer lies inside another's. MLX and numpy only: this
runs in the worker.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType, MethodType
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ..inspection.mlx_calls import arrays_of
from ..inspection.starting import is_start
from ..types import SourceLocation, TracedOperation, TracedTensor
from . import array_wrapping
from .array_facts import layout_of, place_in_source, summarise
from .array_wrapping import IN_PLACE, active, unwrap, wrap

BATCH = 256  # operations, or
BATCH_BYTES = 1 << 28  # bytes, that wait to be evaluated together


@dataclass(slots=True)
class ArrayEvent:
    """One MLX operation. ``order`` is what the block's clock said when it ran."""

    index: int
    name: str
    path: str
    order: int
    location: SourceLocation | None
    source: str
    inputs: list[int]
    outputs: list[int]
    in_place: bool = False
    memory: str = ""
    shares_with: int | None = None
    error: str = ""


@dataclass(slots=True)
class ArrayValue:
    """An array at one moment."""

    shape: tuple[int, ...]
    dtype: str
    bytes: int
    name: str = ""
    event: int = -1
    stride: tuple[int, ...] = ()
    offset: int = 0
    storage: int = -1
    contiguous: bool = True
    layout: str = "strided"
    summary: Any = None


@dataclass(slots=True)
class ArrayTracer:
    """Notes what runs; :meth:`watching` opens the block.

    ``is_leaf(module, path)`` says which modules count as one operation; ``keep`` holds every result
    for later comparison (:attr:`kept`); ``clock`` orders events among those of another framework.
    """

    values_wanted: bool = True
    is_leaf: Callable[[nn.Module, str], bool] = field(default=lambda module, path: is_layer(module))
    keep: bool = False
    clock: Callable[[], int] = field(default=lambda: 0)
    events: list[ArrayEvent] = field(default_factory=list)
    values: list[ArrayValue] = field(default_factory=list)
    kept: dict[int, mx.array] = field(default_factory=dict)
    depth: int = 0
    _known: dict[int, tuple[weakref.ref, int]] = field(default_factory=dict)
    _alive: list[Any] = field(default_factory=list)  # modules, known by id
    _paths: dict[int, str] = field(default_factory=dict)
    _stack: list[tuple[int, str]] = field(default_factory=list)  # (id of a module, its path)
    _waiting: list[tuple[ArrayEvent, list[tuple[int, mx.array]]]] = field(default_factory=list)
    _waiting_bytes: int = 0
    _storages: int = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[ArrayTracer]:
        """Trace what this thread runs in the block; a tracer that was open before rests."""
        before = getattr(active, "tracer", None)
        wrap()
        active.tracer = self
        try:
            yield self
        finally:
            active.tracer = before
            unwrap()
            self.flush()

    # -- what the wrapped functions tell ----------------------------------------------------

    def operation(self, name: str, function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call ``function`` and note the call if an array came in or out."""
        given = list(arrays_of((args, kwargs)))
        before = [(self._index(array), copy.copy(array)) for array in given]
        self.depth += 1
        error = ""
        try:
            result = function(*args, **kwargs)
        except Exception as raised:
            error = f"{type(raised).__name__}: {' '.join(str(raised).split())}"
            raise
        finally:
            self.depth -= 1
            if error:
                self._note(name, before, [], False, error)
        last = name.rpartition(".")[2]
        in_place = last in IN_PLACE
        made = given[:1] if last == "__setitem__" else list(arrays_of(result))
        if made or given:
            self._note(name, before, made, in_place)
        return result

    def module(self, call: Callable, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
        """Call a module: one operation if it is a leaf, else its operations under its path."""
        if self._stack and self._stack[-1][0] == id(module):
            return call(module, *args, **kwargs)  # super().__call__
        path = self._path(module)
        self._stack.append((id(module), path))
        try:
            if self.is_leaf(module, path):
                bound = MethodType(call, module)
                return self.operation(_class_name(type(module)), bound, args, kwargs)
            return call(module, *args, **kwargs)
        finally:
            self._stack.pop()

    def _path(self, module: nn.Module) -> str:
        if id(module) not in self._paths:
            self.name_modules(module, type(module).__name__)
        return self._paths[id(module)]

    def name_modules(self, root: nn.Module, label: str) -> None:
        """Name everything below ``root``: paths as ``named_modules`` gives them, after ``label``."""
        taken = set(self._paths.values())
        number, base = 2, label
        while label and label in taken:
            label, number = f"{base}({number})", number + 1
        self._alive.append(root)
        for path, inner in root.named_modules():
            self._paths.setdefault(id(inner), ".".join(part for part in (label, path) if part))
        with contextlib.suppress(ValueError):  # a model that holds itself
            for name, array in _flat_parameters(root):
                if id(array) not in self._known:
                    self._index(array, ".".join(part for part in (label, name) if part))

    def _index(self, array: mx.array, name: str = "") -> int:
        """The value that ``array`` is now."""
        known = self._known.get(id(array))
        if known is not None and known[0]() is array:
            return known[1]
        index = len(self.values)
        self.values.append(ArrayValue(tuple(array.shape), dtype_name(array), array.nbytes, name))
        self._known[id(array)] = (weakref.ref(array), index)
        return index

    def name_inputs(self, named: dict[str, mx.array]) -> None:
        """Give arrays the names by which the trace calls them."""
        for name, array in named.items():
            self._index(array, name)

    def _note(self, name: str, before: list, made: list[mx.array], in_place: bool, error: str = "") -> None:
        place, source = place_in_source(_caller())
        event = ArrayEvent(len(self.events), name, self._stack[-1][1] if self._stack else "", self.clock(), place,
                           source, list(dict.fromkeys(index for index, _ in before)), [], in_place, error=error)
        inputs = set(event.inputs)
        held: list[tuple[int, mx.array]] = []
        for array in made:
            known = self._known.get(id(array))
            if not in_place and known is not None and known[0]() is array and known[1] in inputs:
                event.outputs.append(known[1])
                continue
            self._known.pop(id(array), None)
            index = self._index(array)
            self.values[index].event = event.index
            event.outputs.append(index)
            held.append((index, copy.copy(array)))
        self.events.append(event)
        if error:
            return
        if event.outputs and set(event.outputs) <= inputs:
            event.memory, event.shares_with = "same tensor", event.outputs[0]
        waiting = [*held, *before]
        self._waiting.append((event, waiting))
        self._waiting_bytes += sum(array.nbytes for _, array in held)
        if len(self._waiting) >= BATCH or self._waiting_bytes > BATCH_BYTES:
            self.flush()

    # -- evaluation ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Evaluate what waits and look where it lies. The wrapped functions don't note this."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self.depth += 1
        try:
            arrays = [array for _, held in waiting for _, array in held]
            evaluated = _evaluated(arrays)
            for event, held in waiting:
                self._look(event, held, evaluated)
        finally:
            self.depth -= 1

    def _look(self, event: ArrayEvent, held: list[tuple[int, mx.array]], evaluated: bool) -> None:
        spans: dict[int, tuple[int, int]] = {}
        arrays = dict(held)
        for index, array in held:
            value = self.values[index]
            found = layout_of(array) if evaluated or _evaluated([array]) else None
            if found is None:
                value.layout = "placeholder"
                continue
            start, length, stride = found
            spans[index] = (start, start + length)
            if value.storage < 0:
                value.stride, value.contiguous = stride, _is_contiguous(value.shape, stride)
        for index in (*event.inputs, *event.outputs):
            if index not in spans or self.values[index].storage >= 0:
                continue
            value = self.values[index]
            owner = next((i for i in event.inputs if i != index and i in spans and index in event.outputs
                          and _inside(spans[index], spans[i]) and value.bytes), None)
            if owner is None:
                self._storages += 1
                value.storage = self._storages
            else:
                value.storage = self.values[owner].storage
                if owner in spans:
                    item = max(value.bytes // max(_count(value.shape), 1), 1)
                    value.offset = self.values[owner].offset + (spans[index][0] - spans[owner][0]) // item
            if event.outputs[:1] == [index]:
                event.memory = "in place" if event.in_place else "copy" if owner is None else "view"
                event.shares_with = event.inputs[0] if event.in_place else owner
            if self.values_wanted and (value.event >= 0 or not value.name):  # weights have a name
                value.summary = summarise(arrays[index])
            if self.keep and index in event.outputs:
                self.kept[index] = arrays[index]

    # -- the result -----------------------------------------------------------------------------

    def name(self, index: int, number: Callable[[int], int] = lambda event: event) -> str:
        """An input's or parameter's name, or ``#`` and the number of the event that made the value."""
        value = self.values[index]
        if value.name or value.event < 0:
            return value.name or "outside"
        event = self.events[value.event]
        many, at = len(event.outputs) > 1, number(event.index)
        return "earlier" if at < 0 else f"#{at}" + (f".{event.outputs.index(index)}" if many else "")

    def tensor(self, index: int, number: Callable[[int], int] = lambda event: event) -> TracedTensor:
        """A value as a row shows it."""
        value = self.values[index]
        return TracedTensor(self.name(index, number), value.shape, value.dtype, value.stride, value.contiguous,
                            value.bytes, value.offset, value.storage, "", value.layout, value.summary)

    def traced(self, event: ArrayEvent, number: Callable[[int], int] = lambda event: event) -> TracedOperation:
        """An event as one side of a row; ``number`` turns events' indices into those of rows."""
        shared = "" if event.shares_with is None else self.name(event.shares_with, number)
        return TracedOperation(event.name, event.path, event.source, event.location,
                               tuple(self.tensor(i, number) for i in event.inputs),
                               tuple(self.tensor(i, number) for i in event.outputs), event.memory, shared)


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _inside(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return other[0] <= span[0] < max(other[1], other[0] + 1)


def _is_contiguous(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride), strict=True):
        if size == 0:
            return True
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def _evaluated(arrays: list[mx.array]) -> bool:
    """Evaluate; False inside ``mx.compile`` and ``mx.vmap``, where arrays are placeholders."""
    try:
        mx.eval(arrays)
    except (ValueError, RuntimeError):
        return False
    return True


def dtype_name(array: mx.array) -> str:
    """``float32``."""
    return str(array.dtype).removeprefix("mlx.core.")


def is_layer(module: nn.Module) -> bool:
    """A layer of ``mlx.nn`` that computes what its class says; containers are opened."""
    cls = type(module)
    return cls.__module__.startswith("mlx.nn.layers.") and not cls.__module__.endswith((".containers", ".transformer"))


def _class_name(cls: type) -> str:
    return f"nn.{cls.__name__}" if cls.__module__.startswith("mlx.nn.") else cls.__qualname__


def _flat_parameters(module: nn.Module) -> list[tuple[str, mx.array]]:
    from mlx.utils import tree_flatten
    return [(name, array) for name, array in tree_flatten(module.parameters()) if isinstance(array, mx.array)]


def _caller() -> FrameType | None:
    """The first frame that is neither MLX's nor the tracer's; where there is none in the model (an ``nn.Sequential``
    that is the whole of it), the first one of MLX's layers."""
    frame: FrameType | None = sys._getframe(2)
    layer = None
    while frame is not None and not is_start(frame.f_code):
        name = frame.f_code.co_filename
        if name not in _OURS and not name.startswith(_MLX):
            return frame
        if layer is None and name.startswith(_LAYERS):
            layer = frame
        frame = frame.f_back
    return layer


_MLX = str(next(iter(nn.__path__))).rsplit("nn", 1)[0]
_LAYERS = os.path.join(_MLX, "nn", "layers") + os.sep
_OURS = (__file__, array_wrapping.__file__)
