"""What can be said of a torch tensor where it lies: storage, offset, contiguity, its values in five numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..types import ValueSummary

_EMPTY = ValueSummary(None, None, None)
#: Reductions in the tensor's own precision; what is narrower is widened first.
_WIDE = frozenset({torch.float32, torch.float64})
_INTEGERS = frozenset({torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8})


@dataclass(slots=True)
class TensorPlace:
    """Where a tensor lies. ``storage`` identifies its memory while that is alive, zero-size and meta
    tensors included; 0 when it has none."""

    storage: int
    offset: int
    contiguous: bool
    bytes: int
    layout: str
    summary: ValueSummary | None = None


def place_of(tensor: torch.Tensor) -> TensorPlace:
    """Where ``tensor`` lies, without its values."""
    if tensor.layout is not torch.strided:
        return TensorPlace(0, 0, False, 0, str(tensor.layout).removeprefix("torch."))
    size = tensor.numel() * tensor.element_size()
    try:
        storage = tensor.untyped_storage()._cdata
    except (RuntimeError, NotImplementedError):  # a tensor of a function transform has none
        storage = 0
    return TensorPlace(storage, tensor.storage_offset(), tensor.is_contiguous(), size, "strided")


def is_dense(tensor: torch.Tensor) -> bool:
    """True when the elements fill one block of memory, in whatever order, each once."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted((st, sz) for st, sz in zip(tensor.stride(), tensor.shape, strict=True) if sz != 1):
        if stride != expected:
            return False
        expected *= size
    return True


def summarise(tensor: torch.Tensor) -> ValueSummary | None:
    """The exact summary of ``tensor``; None when it holds no values (meta, fake) or they can't be
    read (sparse). What is repeated by a stride of 0 is read once: the numbers are the same."""
    if tensor.is_meta or tensor.layout is not torch.strided or hasattr(tensor, "fake_mode"):
        return None
    if not tensor.numel():
        return _EMPTY
    try:
        tensor = tensor.detach()
        if tensor.is_quantized:
            tensor = tensor.dequantize()
        if 0 in tensor.stride():
            for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
                tensor = tensor if stride or size == 1 else tensor.narrow(dim, 0, 1)
        if tensor.dtype in _WIDE:
            return _floats(tensor)
        if tensor.dtype in _INTEGERS:
            low, high = torch.aminmax(tensor)
            return ValueSummary(tensor.mean(dtype=torch.float64).item(), float(low.item()), float(high.item()))
        if tensor.is_complex():
            return _floats(tensor.abs())
        return _floats(tensor.to(torch.float32) if tensor.is_floating_point() else tensor.to(torch.float64))
    except (RuntimeError, NotImplementedError):  # inside vmap or grad a tensor does not show its values
        return None


def _floats(tensor: torch.Tensor) -> ValueSummary:
    if tensor.numel() == 1:
        low = high = mean = tensor.item()
    else:
        lowest, highest = torch.aminmax(tensor)
        low, high, mean = lowest.item(), highest.item(), tensor.mean().item()
    if mean - mean == 0 and low - low == 0 and high - high == 0:  # false for NaN and Inf
        return ValueSummary(mean, low, high)
    nan, inf = int(torch.isnan(tensor).sum().item()), int(torch.isinf(tensor).sum().item())
    finite = tensor[torch.isfinite(tensor)]
    if not finite.numel():
        return ValueSummary(None, None, None, nan, inf)
    lowest, highest = torch.aminmax(finite)
    return ValueSummary(finite.mean(dtype=torch.float64).item(), lowest.item(), highest.item(), nan, inf)
