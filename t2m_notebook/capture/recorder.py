"""Records one forward: every torch call, every module call, who made it and where.

A ``TorchFunctionMode`` sees the torch calls; ``nn.Module.__call__`` is wrapped while the
recording runs, which sees module calls without adding a hook to any module. Results are
torch's own, bit for bit; everything touched is put back, also when the forward raises.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy
import torch
from torch.overrides import TorchFunctionMode

from ..rules import watch_comparisons
from .frames import LAYER, USER, boundary, frame_kind, frames_above, function_name
from .leaves import is_leaf
from .module_state import without_sizes
from .reads import METADATA, READS, Reads
from .recording import (
    DTYPE_NAMES,
    Guard,
    ModuleCall,
    OpCall,
    Recording,
    Ref,
    Value,
    flatten,
    is_container,
    items_of,
)
from .tensors import deep_tensors, unrecorded, version_of, writes
from .tree import places
from .writes import Writes

_original_call = torch.nn.Module.__call__
_active = threading.local()
_STATE = frozenset({"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"})
_SIMPLE = frozenset({bool, int, float, str, type(None)})


def _recorded_call(module, *args, **kwargs):
    recorder = getattr(_active, "recorder", None)
    if recorder is None:
        return _original_call(module, *args, **kwargs)
    return recorder.call_module(module, args, kwargs)


boundary(_recorded_call.__code__)


def _compared(test: Any, outcome: bool) -> None:
    """A size was compared, in this thread, while some recording runs."""
    recorder = getattr(_active, "recorder", None)
    if recorder is not None:
        recorder.note_comparison(test, outcome)


class Recorder(Reads, Writes, TorchFunctionMode):
    """Records one forward into a :class:`Recording`; used through :func:`record`."""

    steps_aside = False  # True: another recording may run while this one is open

    def __init__(self, model: torch.nn.Module, keep: str = "none", trace_sizes: bool = True,
                 progress: Callable[[int], None] | None = None):
        super().__init__()
        self.recording = Recording(model, training=model.training)
        self.keep = keep  # "none" | "boundaries" (module inputs and results) | "all"
        self.trace_sizes = trace_sizes
        self.progress = progress
        self._known: dict[int, tuple[weakref.ref, int, int]] = {}
        self._paths: dict[int, list[str]] = {}
        self._owners: dict[int, weakref.ref] = {}
        self._stack: list[ModuleCall] = []
        self._inside_leaf = 0
        for path, module in places(model):
            self._paths.setdefault(id(module), []).append(path)
        self._register_state(model)

    # -- values -----------------------------------------------------------------------

    def _register_state(self, model) -> None:
        later = []
        for path, module in places(model):
            prefix = f"{path}." if path else ""
            for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
                for name, tensor in tensors.items():
                    if tensor is not None and id(tensor) not in self._known:
                        self._new(tensor, kind, prefix + name)
            later += [(prefix + name, value) for name, value in vars(module).items()
                      if type(value) not in _SIMPLE and name not in _STATE and not name.endswith("_hooks")
                      and not (type(value) in (tuple, list) and all(type(item) in _SIMPLE for item in value))]
        for name, value in later:  # an attribute may hold a parameter of another module
            if isinstance(value, (torch.Tensor, list, tuple, dict)):
                for inner, tensor in flatten(value, name):
                    if isinstance(tensor, torch.Tensor) and id(tensor) not in self._known:
                        self._new(tensor, "attribute", inner)

    def _new(self, tensor, kind: str, name: str = "", previous: int | None = None) -> int:
        values = self.recording.values
        index = len(values)
        try:
            storage = 0 if hasattr(tensor, "fake_mode") else tensor.untyped_storage().data_ptr()
        except (RuntimeError, NotImplementedError):
            storage = 0
        stride = tensor.stride() if tensor.layout is torch.strided else ()
        device = "cpu" if tensor.device.type == "cpu" else str(tensor.device)
        number = None
        if not tensor.dim() and device == "cpu" and not tensor.dtype.is_floating_point \
                and not tensor.dtype.is_complex and not tensor.is_meta:
            with contextlib.suppress(RuntimeError):  # a fake tensor has no value
                number = tensor.item()  # may be used as a size
        values.append(Value(index, tuple(tensor.shape), DTYPE_NAMES[tensor.dtype], stride, storage, kind, name,
                            previous, device, number))
        self._known[id(tensor)] = (weakref.ref(tensor), index, version_of(tensor))
        if kind in ("constant", "attribute", "input") or self.keep == "all":
            if self.keep != "none":
                self.recording.tensors[index] = unrecorded(torch.Tensor.detach, tensor)
        return index

    def _index(self, tensor) -> int:
        """The value that this tensor is now; a tensor never seen is a constant from outside."""
        known = self._known.get(id(tensor))
        if known is None or known[0]() is not tensor:
            return self._new(tensor, "constant")
        _, index, version = known
        now = version_of(tensor)
        if now != version:  # written through another view of its memory
            value = self.recording.values[index]
            new = self._new(tensor, value.kind if value.kind != "constant" else "result", value.name, previous=index)
            self.recording.refreshed.append((index, new, self.recording.event_count))
            return new
        return index

    def _encode(self, value: Any) -> Any:
        """``value`` with tensors replaced by refs; containers are copied, as models mutate theirs."""
        if isinstance(value, torch.Tensor):
            return Ref(self._index(value))
        kind = type(value)
        if kind is tuple:
            return tuple([self._encode(item) for item in value])
        if kind is list:
            return [self._encode(item) for item in value]
        if kind is dict:
            return {key: self._encode(item) for key, item in value.items()}
        if kind is slice:
            return slice(self._encode(value.start), self._encode(value.stop), self._encode(value.step))
        if isinstance(value, torch.Size):
            return tuple(value)
        if is_container(value):
            if hasattr(value, "_fields"):
                return type(value)._make([self._encode(item) for item in value])
            if isinstance(value, (list, tuple)):
                return [self._encode(item) for item in value]
            return {name: self._encode(item) for name, item in items_of(value)}
        if isinstance(value, numpy.generic):
            return value.item()  # numpy's scalars are Python's numbers to torch
        return value

    def _encode_whole(self, value: Any) -> Any:
        """The same for the model's own arguments, where an object that holds tensors (a
        key-value cache) becomes a dict of the attributes that do."""
        if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size) and not hasattr(value, "_fields"):
            items = [self._encode_whole(item) for item in value]
            return tuple(items) if isinstance(value, tuple) else items
        if type(value) is dict:
            return {key: self._encode_whole(item) for key, item in value.items()}
        opaque = hasattr(value, "__dict__") and not is_container(value) and not isinstance(
            value, (torch.Tensor, torch.nn.Module, type))
        if opaque and next(deep_tensors(value, ""), None) is not None:
            return {name: self._encode_whole(item) for name, item in vars(value).items()
                    if next(deep_tensors(item, ""), None) is not None}
        return self._encode(value)

    def _recorded(self, tensor: torch.Tensor) -> Value | None:
        """What a tensor is recorded as; None where it took no part so far."""
        reference, index, _ = self._known.get(id(tensor), (None, 0, 0))
        return self.recording.values[index] if reference is not None and reference() is tensor else None

    def _tensors(self, value: Any, found: list) -> list:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            for item in value:
                self._tensors(item, found)
        elif isinstance(value, dict):
            for item in value.values():
                self._tensors(item, found)
        elif is_container(value):
            found += [tensor for _, tensor in flatten(value) if isinstance(tensor, torch.Tensor)]
        return found

    # -- torch calls --------------------------------------------------------------------

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._inside_leaf or not self._stack:
            return function(*args, **kwargs)
        name = function_name(function)
        last = name.rpartition(".")[2]
        if last == "__get__" or last in METADATA:
            return self._metadata(function, name, last, args, kwargs)
        tensors = self._tensors(args, [])
        if kwargs:
            self._tensors(kwargs, tensors)
        recorded_args = tuple([self._encode(item) for item in args])
        recorded_kwargs = {key: self._encode(item) for key, item in kwargs.items()}
        indices = [self._known[id(tensor)][1] for tensor in tensors]
        if self.recording.tensors and (writes(last) or "out" in kwargs or kwargs.get("inplace")):
            self._protect(tensors)
        result = function(*args, **kwargs)
        if isinstance(result, (bool, int, float, str, complex, type(None), torch.dtype, torch.device)) \
                and last not in READS and not last.endswith("__setitem__"):
            if not (tensors and self._any_mutated(tensors)):
                return result
        mutated = self._mutations(tensors, indices, last, kwargs.get("out"))
        if mutated and self._owners:
            self._note_writes_to_data({self.recording.values[after].storage for _, after in mutated})
        owner = self._stack[-1]
        call = OpCall(self.recording.event_count, name, function, recorded_args, recorded_kwargs, None, owner,
                      frames_above(2, self._recorded), mutated)
        self.recording.event_count += 1
        call.outputs = self._results(result)
        owner.events.append(call)
        return self._read(last, args[0], result) if last in READS and self.trace_sizes else result

    def _any_mutated(self, tensors) -> bool:
        return any(version_of(t) != self._known[id(t)][2] for t in tensors)

    def _results(self, result: Any) -> Any:
        if isinstance(result, torch.Tensor):
            known = self._known.get(id(result))
            if known is not None and known[0]() is result:
                return Ref(self._index(result))
            return Ref(self._new(result, "result"))
        if isinstance(result, (tuple, list)):
            kept = [self._results(item) for item in result]
            return kept if isinstance(result, list) else tuple(kept)
        if isinstance(result, Mapping):
            return {key: self._results(item) for key, item in result.items()}
        return result

    # -- module calls -------------------------------------------------------------------

    def _knows(self, module) -> bool:
        """Whether the module is one of the tree's."""
        return id(module) in self._paths

    def _path(self, module, parent: ModuleCall | None) -> str:
        """The module's place in the tree. One without weights that stands in several places
        (a shared activation) is taken where its caller holds it."""
        paths = self._paths.get(id(module))
        if not paths:
            return ""
        if len(paths) > 1 and parent is not None and not any(m._parameters or m._buffers for m in module.modules()):
            prefix = parent.path + "." if parent.path else ""
            return next((path for path in paths if path.startswith(prefix)), paths[0])
        return paths[0]

    def call_module(self, module, args, kwargs):
        """Run ``module`` as torch would and record the call."""
        if self._inside_leaf or (not self._knows(module) and self._stack):
            # A module outside the tree (made in the forward, kept in a plain list): what it
            # runs counts as its caller's.
            return _original_call(module, *args, **kwargs)
        parent = self._stack[-1] if self._stack else None
        leaf = is_leaf(module)
        frames = frames_above(3)  # above this method and the wrapper that called it
        tensors = self._tensors(args, self._tensors(kwargs, [])) if leaf else []
        encode = self._encode if parent is not None else self._encode_whole
        encoded = unrecorded(encode, (tuple(args), dict(kwargs)))
        call = ModuleCall(self.recording.event_count, self._path(module, parent), module, *encoded, parent,
                          frames, leaf)
        indices = [self._known[id(tensor)][1] for tensor in tensors]
        self.recording.event_count += 1
        if parent is None:
            self.recording.root = call
        else:
            parent.events.append(call)
        if self.keep == "boundaries":
            for tensor in self._tensors(args, self._tensors(kwargs, [])):
                self.recording.tensors.setdefault(self._known[id(tensor)][1],
                                                  unrecorded(torch.Tensor.detach, tensor))
        if leaf and self.recording.tensors and getattr(module, "inplace", False):
            self._protect(tensors)
        self._stack.append(call)
        self._inside_leaf += leaf
        try:
            result = _original_call(module, *args, **kwargs)
        except BaseException:
            call.failed = True
            raise
        finally:
            self._inside_leaf -= leaf
            self._stack.pop()
        if leaf:
            call.mutated = unrecorded(self._mutations, tensors, indices)
        call.outputs = unrecorded(self._results if leaf else self._encode, result)
        if self.keep == "boundaries":
            for tensor in self._tensors(result, []):
                self.recording.tensors.setdefault(self._known[id(tensor)][1],
                                                  unrecorded(torch.Tensor.detach, tensor))
        if self.progress is not None:
            self.progress(self.recording.event_count)
        return result

    def note_comparison(self, test: Any, outcome: bool) -> None:
        """A size that the model's own code compared: what it does next may hang on it."""
        if self._inside_leaf or not self._stack or frame_kind(sys._getframe(3).f_code) not in (USER, LAYER):
            return
        self.recording.guards.append(Guard(self.recording.event_count, self._stack[-1], test, outcome,
                                           frames_above(4)))

    def name_inputs(self, names_and_values: list[tuple[str, Any]]) -> None:
        """Register the tensors of the example under their argument names."""
        for name, value in names_and_values:
            for path, tensor in deep_tensors(value, name):
                if id(tensor) not in self._known:
                    self._new(tensor, "input", path)


@contextlib.contextmanager
def _patched(recorder: Recorder) -> Iterator[None]:
    running = getattr(_active, "recorder", None)
    if running is not None and not running.steps_aside:
        raise RuntimeError("a recording is already running in this thread")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * limit)  # every module call is two frames deeper than in torch
    try:
        with without_fast_path(), module_calls(recorder), recorder:
            yield
    finally:
        sys.setrecursionlimit(limit)


@contextlib.contextmanager
def without_fast_path() -> Iterator[None]:
    """Torch's attention layers run as they are written, not as one fused operation that rounds otherwise."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


_wrapping = threading.Lock()
_recordings = 0  # that run now, in any thread


@contextlib.contextmanager
def module_calls(recorder: Recorder) -> Iterator[None]:
    """While the block runs, ``recorder`` is told of every module call of this thread. The last
    such block to end, in whatever thread, puts ``nn.Module.__call__`` back."""
    global _recordings
    before = getattr(_active, "recorder", None)
    with _wrapping:
        _recordings += 1
        torch.nn.Module.__call__ = _recorded_call
        watch_comparisons(_compared)
    _active.recorder = recorder
    try:
        yield
    finally:
        _active.recorder = before
        with _wrapping:
            _recordings -= 1
            if not _recordings:
                torch.nn.Module.__call__ = _original_call
                watch_comparisons(None)


def run(recorder: Recorder, args: tuple, kwargs: Mapping[str, Any]) -> Any:
    """Run the model under the recorder; returns the model's result."""
    started = time.perf_counter()
    try:
        with _patched(recorder):
            return recorder.recording.model(*args, **kwargs)
    finally:
        recorder.recording.seconds = time.perf_counter() - started
        without_sizes(recorder.recording.model)
