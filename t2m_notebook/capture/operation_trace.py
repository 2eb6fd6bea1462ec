"""One row per torch operation: where it stands, what went in, where what came out lies in memory.

A trace is a recording whose tensors are looked at while they are alive: two tensors share memory
when they have the same storage at that moment, not when an address happens to come back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import BadExample, ForwardFailed, NotAModule
from ..inspection.starting import is_start
from ..types import SourceLocation, Status, TracedOperation, TracedTensor, TraceRow
from .calls import result_values
from .examples import argument_names, check_example, forward_failed, normalise
from .frames import frames_above, function_name
from .reads import READS
from .recorder import Recorder, module_calls, run
from .recording import ModuleCall, OpCall, Recording, location, refs, source_text
from .tensor_facts import TensorPlace, is_dense, place_of, summarise
from .tensors import unrecorded, version_of, writes
from .tree import places

#: What the rules say of a call: (status, reason, the MLX expression).
Judge = Callable[[OpCall | ModuleCall], tuple[Status, str, str]]
_STATE = ("parameter", "buffer", "attribute")


class TraceRecorder(Recorder):
    """A recorder that also notes where every value lies and, with ``values``, what it holds."""

    def __init__(self, model: nn.Module, *, values: bool = True, keep: str = "none", trace_sizes: bool = True,
                 progress: Callable[[int], None] | None = None):
        self.places: list[TensorPlace] = []  # one per recorded value
        self.summarises = values
        self.failures: dict[int, str] = {}  # event -> what it raised
        self._latest: dict[int, tuple[Any, int]] = {}  # storage -> (tensor by weakref, value) seen in it last
        super().__init__(model, keep=keep, trace_sizes=trace_sizes, progress=progress)

    def _new(self, tensor, kind: str, name: str = "", previous: int | None = None) -> int:
        index = super()._new(tensor, kind, name, previous)
        unrecorded(self._look, tensor, kind, index)
        return index

    def _look(self, tensor: torch.Tensor, kind: str, index: int) -> None:
        place = place_of(tensor)
        self.places.append(place)
        # A model's own weights are the same in every row: their values are for the memory view.
        if self.summarises and kind not in _STATE:
            place.summary = self._same_elements(tensor, place) or summarise(tensor)
        if place.storage:
            self._latest[place.storage] = (self._known[id(tensor)][0], index)

    def _same_elements(self, tensor: torch.Tensor, place: TensorPlace):
        """The summary of a value that holds the same elements in another order: a view of the whole of it."""
        reference, index = self._latest.get(place.storage, (None, 0))
        other = reference() if reference is not None else None
        if other is None or other.dtype != tensor.dtype or other.numel() != tensor.numel() \
                or other.storage_offset() != place.offset \
                or self._known[id(other)][1:] != (index, version_of(tensor)) \
                or not (is_dense(tensor) and is_dense(other)):
            return None
        return self.places[index].summary

    def __torch_function__(self, function, types, args=(), kwargs=None):
        try:
            return super().__torch_function__(function, types, args, kwargs)
        except Exception as error:
            if self._stack and not self._inside_leaf:
                self._note_failure(function, args, kwargs or {}, error)
            raise

    def _note_failure(self, function, args, kwargs, error: Exception) -> None:
        owner = self._stack[-1]
        call = OpCall(self.recording.event_count, function_name(function), function, tuple(map(self._encode, args)),
                      {key: self._encode(item) for key, item in kwargs.items()}, None, owner, frames_above(3))
        self.recording.event_count += 1
        self.failures[call.index] = error_text(error)
        owner.events.append(call)


def _written_at(event: OpCall | ModuleCall) -> SourceLocation | None:
    """Where the model's source makes the call. A step of an ``nn.Sequential`` is made by its loop in
    torch: then where the whole is called, or that loop where the model itself is one."""
    if isinstance(event, ModuleCall) and event.parent is None:
        return None  # a model that is one layer: its caller is no source of the model
    while isinstance(event, ModuleCall) and event.frames and event.parent is not None \
            and event.parent.parent is not None and event.frames[0].code is nn.Sequential.forward.__code__:
        event = event.parent
    return None if event.frames and is_start(event.frames[0].code) else location(event.frames)


def error_text(error: BaseException) -> str:
    """``RuntimeError: its message``, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split()) or '(no message)'}"


class BlockRecorder(TraceRecorder):
    """Records whatever torch code runs in a ``with`` block. A module is met when it is called; its
    paths start with its class, ``Net.conv1``."""

    steps_aside = True

    def __init__(self, values: bool = True):
        self._block = nn.Module()
        self._met: list[nn.Module] = []  # kept alive, as they are known by id
        self._labels = (f"({number})" for number in itertools.count(2))
        super().__init__(self._block, values=values, trace_sizes=False)
        self.recording.root = ModuleCall(0, "", self._block, (), {}, None, (), False)
        self.recording.event_count = 1
        self._stack.append(self.recording.root)

    def _knows(self, module) -> bool:
        if id(module) not in self._paths:
            unrecorded(self._meet, module)
        return True

    def _meet(self, module: nn.Module) -> None:
        label = type(module).__name__
        if any(type(other).__name__ == label for other in self._met):
            label += next(self._labels)
        self._met.append(module)
        for path, inner in places(module):
            full = f"{label}.{path}" if path else label
            self._paths.setdefault(id(inner), []).append(full)
            for kind, tensors in (("parameter", inner._parameters), ("buffer", inner._buffers)):
                for name, tensor in tensors.items():
                    if tensor is not None and id(tensor) not in self._known:
                        self._new(tensor, kind, f"{full}.{name}")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record what runs in the block, in this thread."""
        with module_calls(self), self:
            yield


def record_operations(model: nn.Module, args: Any = (), kwargs: Mapping[str, Any] | None = None, *,
                      values: bool = True, keep: str = "none",
                      progress: Callable[[int], None] | None = None) -> tuple[TraceRecorder, str]:
    """Run ``model`` once without gradients. Returns the recorder and what the forward raised, or "".

    Raises :class:`NotAModule` and :class:`BadExample`. Meta, fake and sparse tensors are recorded too.
    """
    if not isinstance(model, nn.Module):
        kind = f"the class {model.__name__}" if isinstance(model, type) else f"{type(model).__module__}." \
                                                                           f"{type(model).__qualname__}"
        raise NotAModule(f"trace takes a torch.nn.Module or a port, got {kind}. For any other code: "
                         "with t2m.tracing() as tr: …")
    if any(isinstance(p, nn.parameter.UninitializedTensorMixin) for p in model.parameters()):
        raise BadExample("the model has lazy parameters without a shape. Run one forward, model(example), first.")
    args, kwargs = normalise(args, kwargs)
    check_example(model, args, kwargs)
    recorder = TraceRecorder(model, values=values, keep=keep, progress=progress)
    recorder.name_inputs(argument_names(model, args, kwargs))
    try:
        with torch.no_grad():
            run(recorder, args, kwargs)
    except Exception as error:
        if isinstance(error, ForwardFailed):
            raise
        return recorder, str(forward_failed(error, recorder.recording))
    return recorder, ""


def trace_notes(recorder: TraceRecorder) -> list[str]:
    """What to know of the tensors that were met: what has no strides, no values, no counterpart."""
    values, spots = recorder.recording.values, recorder.places
    used = {value.index for value in values if value.kind not in _STATE} | {
        index for call in recorder.recording.calls() for index in refs([list(call.args), call.kwargs])}
    notes = []
    sparse = sorted({spots[i].layout for i in used if spots[i].layout != "strided"})
    if sparse:
        notes.append(f"{', '.join(sparse)} tensors are not supported: they have no strides, and MLX has no sparse "
                     "arrays. Their rows show shape and dtype alone; use .to_dense()")
    dtypes = {values[i].dtype for i in used}
    if any(dtype.startswith("complex") for dtype in dtypes):
        notes.append("complex values are summarised by their magnitudes")
    if any(dtype.startswith(("quint", "qint")) for dtype in dtypes):
        notes.append("quantized tensors are summarised by the numbers that they stand for; MLX quantizes in "
                     "another format")
    unread = [i for i in used if recorder.summarises and values[i].kind not in _STATE and spots[i].layout == "strided"
              and spots[i].summary is None]
    if unread:
        notes.append("some tensors hold no values (meta or fake tensors, or inside a function transform): they have "
                     "shapes and strides, and no summary")
    if isinstance(recorder.recording.model, nn.Module) and recorder.recording.training \
            and not isinstance(recorder, BlockRecorder):
        notes.append("traced in train mode: dropout is active and norms use batch statistics; model.eval() traces "
                     "inference")
    return notes


class TorchRows:
    """Rows of a recorder's events, numbered as they ran."""

    def __init__(self, recorder: TraceRecorder, judge: Judge):
        self.recorder, self.recording, self.judge = recorder, recorder.recording, judge
        self.names: dict[int, str] = {}
        self.storages: dict[int, int] = {}  # value -> number of its memory
        self._unnamed = "outside" if isinstance(recorder, BlockRecorder) else "constant"
        self._state: dict[int, int] = {}  # storages of what lives as long as the model -> value
        self._events: list[OpCall | ModuleCall] = [e for e in events(self.recording) if not self._is_switch(e)]
        for value in self.recording.values:
            if value.kind in (*_STATE, "input") and value.previous is None:
                first = self._state.setdefault(recorder.places[value.index].storage, value.index)
                self.storages[value.index] = self.storages.get(first, value.index)
                self.names[value.index] = value.name

    def _is_switch(self, event: OpCall | ModuleCall) -> bool:
        """Torch's own switches, such as ``set_grad_enabled``: they touch no tensor."""
        return isinstance(event, OpCall) and event.index not in self.recorder.failures and not (
            refs(event.outputs) or event.mutated or event.name.rpartition(".")[2] in READS
            or refs([list(event.args), event.kwargs]))

    def rows(self, number: Callable[[OpCall | ModuleCall], int] | None = None) -> list[TraceRow]:
        """The rows; ``number`` gives each its index (default: in the order of running). What has a
        negative one ran before the part that is shown."""
        made = []
        for position, event in enumerate(self._events):
            made.append(self._row(position if number is None else number(event), event))
        return made

    @property
    def events(self) -> list[OpCall | ModuleCall]:
        """The events that have rows, in the order of the rows."""
        return self._events

    def _row(self, index: int, event: OpCall | ModuleCall) -> TraceRow:
        inputs = list(dict.fromkeys(refs([list(event.args), event.kwargs])))
        outputs = result_values(event) if isinstance(event, OpCall) else [
            *dict.fromkeys(after for _, after in event.mutated)] or refs(event.outputs)
        memory, shared = self._memory(event, inputs, outputs)
        for position, output in enumerate(outputs):
            made = f"#{index}" if len(outputs) == 1 else f"#{index}.{position}"
            self.names.setdefault(output, made if index >= 0 else "earlier")
        place = _written_at(event)
        leaf = isinstance(event, ModuleCall)
        name = class_name(type(event.module)) if leaf else event.name
        path = event.path if leaf else event.owner.path
        error = self.recorder.failures.get(event.index, "")
        if leaf and event.failed and not error:
            error = "the layer's forward raised"
        side = TracedOperation(name, path, source_text(place), place, tuple(map(self.tensor, inputs)),
                               tuple(map(self.tensor, outputs)), memory, shared)
        if memory == "in place" and not event.mutated:  # an inference tensor: nobody counts its writes
            side = dataclasses.replace(side, outputs=tuple(dataclasses.replace(t, summary=None) for t in side.outputs))
        status, reason, form = (Status.UNSEEN, "", "") if error else self.judge(event)
        return TraceRow(index, status, side, None, form, reason, error=error)

    def _memory(self, event: OpCall | ModuleCall, inputs: list[int], outputs: list[int]) -> tuple[str, str]:
        """Where the first result lives; numbers the memory of all of them."""
        spots = self.recorder.places
        mutated = {after: before for before, after in event.mutated}
        found: list[tuple[str, str]] = []
        for output in outputs:
            storage = spots[output].storage
            if output in mutated:
                before = mutated[output]
                self.storages[output] = self._number(before)
                self.names.setdefault(output, self.name(before) if self.recording.values[before].name else "")
                if not self.names[output]:
                    del self.names[output]
                found.append(("in place", self.name(before)))
                continue
            if output in inputs:
                written = isinstance(event, OpCall) and writes(event.name.rpartition(".")[2])
                found.append(("in place" if written else "same tensor", self.name(output)))
                continue
            source = next((i for i in inputs if storage and spots[i].storage == storage), None)
            if source is None and storage in self._state:
                source = self._state[storage]
            if source is None:
                known = output in self.storages
                self.storages.setdefault(output, output)
                found.append(("same tensor" if known and output in self.names else "copy" if storage else "",
                              self.name(output) if known and output in self.names else ""))
            else:
                self.storages[output] = self._number(source)
                found.append(("view", self.name(source)))
        return found[0] if found else ("", "")

    def _number(self, index: int) -> int:
        if index not in self.storages:
            previous = self.recording.values[index].previous
            self.storages[index] = index if previous is None else self._number(previous)
        return self.storages[index]

    def name(self, index: int) -> str:
        """What a value is called: an input's or parameter's name, or ``#`` and the row that made it."""
        if index not in self.names:
            value = self.recording.values[index]
            self.names[index] = value.name or (
                self.name(value.previous) if value.previous is not None else self._unnamed)
        return self.names[index]

    def tensor(self, index: int) -> TracedTensor:
        """A recorded value as the row shows it."""
        value, spot = self.recording.values[index], self.recorder.places[index]
        return TracedTensor(self.name(index), value.shape, value.dtype, tuple(value.stride), spot.contiguous,
                            spot.bytes, spot.offset, self._number(index) if spot.storage else -1, value.device,
                            spot.layout, spot.summary)


def unseen() -> contextlib.AbstractContextManager[None]:
    """What torch does in the block is in no trace."""
    return torch._C.DisableTorchFunction()


def events(recording: Recording) -> list[OpCall | ModuleCall]:
    """Every operation and leaf call; those of a forward that ended early included."""
    return list(recording.calls()) if recording.root is not None else []


def class_name(cls: type) -> str:
    """``torch.nn.Linear``; the user's own classes with their module."""
    return f"torch.nn.{cls.__name__}" if cls.__module__.startswith("torch.nn.") else \
        f"{cls.__module__}.{cls.__qualname__}"


