"""What a forward asks of tensors besides computing: sizes, attributes, and numbers read into Python."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..rules import Size
from .frames import frames_above
from .recording import Guard, ModuleCall, OpCall, Read, Recording

if TYPE_CHECKING:
    from collections.abc import Callable

#: Reads of a tensor's content into Python. They have no tensor result but steer the program.
READS = frozenset({"item", "tolist", "__bool__", "__int__", "__float__", "__index__", "__complex__", "equal",
                   "allclose", "is_nonzero", "__contains__", "numpy", "__array__"})
#: Questions about a tensor, which are no operations.
METADATA = frozenset({"size", "dim", "numel", "nelement", "ndimension", "stride", "is_contiguous", "data_ptr",
                       "is_floating_point", "is_complex", "is_signed", "get_device", "element_size",
                       "storage_offset", "untyped_storage", "storage", "__len__", "__hash__", "is_conj", "is_neg",
                       "has_names", "is_inference", "result_type", "can_cast", "is_same_size",
                       "_is_view", "is_set_to", "retain_grad", "register_hook", "__repr__", "__format__",
                       "is_shared", "is_pinned", "is_coalesced", "is_storage", "is_tensor"})
_MOST_NUMBERS = 256  # a list of more is data, not what sizes are made of


class Reads:
    """The part of a recorder that answers such questions with numbers that know where they are from."""

    recording: Recording
    trace_sizes: bool
    _stack: list[ModuleCall]
    _owners: dict[int, weakref.ref]  # tensors whose ``.data`` was asked for, which counts its writes apart
    _index: Callable[[torch.Tensor], int]
    _encode: Callable[[Any], Any]
    _results: Callable[[Any], Any]

    def _read(self, how: str, tensor: torch.Tensor, result: Any) -> Any:
        """What Python reads of a tensor: numbers that know where they are from."""
        if not isinstance(tensor, torch.Tensor):
            return result
        self.recording.reads_data = True
        index = self._index(tensor)
        value = self.recording.values[index]
        if how in ("__int__", "__index__", "__float__") and type(result) in (int, float):
            value.content = result if how != "__int__" or not tensor.is_floating_point() else None
            self.recording.reads.append(Read(self.recording.event_count, index, result))
        elif how == "__bool__" and not tensor.dim():
            value.content = result
            self.recording.guards.append(Guard(self.recording.event_count, self._stack[-1],
                                               Size.read(result, index).node, result, frames_above(3)))
        elif how == "item" and type(result) in (int, float):
            value.content = result
            if not tensor.dim():
                self.recording.reads.append(Read(self.recording.event_count, index, result))
            return Size.read(result, index, *(0,) * tensor.dim())
        elif how == "tolist" and tensor.dim() < 3 and tensor.numel() <= _MOST_NUMBERS \
                and tensor.dtype is not torch.bool and not tensor.is_complex():
            value.content = result
            return _numbers(result, index)
        return result

    def _metadata(self, function, name, last, args, kwargs):
        """Shapes come back with sizes that know where they are from; ``.T`` and the like are
        operations; the rest passes."""
        result = function(*args, **kwargs)
        if self.trace_sizes and args and isinstance(args[0], torch.Tensor):
            if isinstance(result, torch.Size):
                index = self._index(args[0])
                return torch.Size([Size.of(size, index, dim) for dim, size in enumerate(result)])
            if last == "size" and type(result) is int:
                dim = args[1] if len(args) > 1 else kwargs.get("dim", 0)
                return Size.of(result, self._index(args[0]), int(dim) % args[0].dim())
            if last in ("numel", "nelement") and args[0].dim() > 0:
                index, total = self._index(args[0]), None
                for dim, size in enumerate(args[0].shape):
                    traced = Size.of(size, index, dim)
                    total = traced if total is None else total * traced
                return total
        if isinstance(result, torch.Tensor) and last == "__get__":
            attribute = name.split(".")[-2]
            if attribute not in ("data", "grad"):
                return self._property(function, f"torch.Tensor.{attribute}", args, result)
            if attribute == "data" and isinstance(args[0], torch.Tensor):
                self._owners[id(args[0])] = weakref.ref(args[0])
                return self._property(function, "torch.Tensor.detach", args, result)
        return result

    def _property(self, function, name, args, result):
        owner = self._stack[-1]
        call = OpCall(self.recording.event_count, name, function, tuple(self._encode(a) for a in args[:1]), {}, None,
                      owner, frames_above(3))
        self.recording.event_count += 1
        call.outputs = self._results(result)
        owner.events.append(call)
        return result


def _numbers(read: Any, index: int, *place: int) -> Any:
    """The numbers of ``tolist`` with the expressions that give them."""
    if isinstance(read, list):
        return [_numbers(item, index, *place, position) for position, item in enumerate(read)]
    return Size.read(read, index, *place)
