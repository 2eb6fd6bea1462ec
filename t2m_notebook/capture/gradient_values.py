"""A tensor as the plain value that a view of gradients shows."""

from __future__ import annotations

import torch

from ..types import TensorFacts, TensorValue
from .recording import DTYPE_NAMES

#: A tensor of at most this many elements is shown whole.
SMALL = 16
_LAYOUTS = {torch.strided: "strided", torch.sparse_coo: "sparse_coo", torch.sparse_csr: "sparse_csr"}


def tensor_facts(tensor: torch.Tensor) -> TensorFacts:
    """Shape, dtype, stride and device of ``tensor``."""
    stride = tuple(tensor.stride()) if tensor.layout is torch.strided else ()
    device = "cpu" if tensor.device.type == "cpu" else str(tensor.device)
    return TensorFacts(tuple(tensor.shape), DTYPE_NAMES[tensor.dtype], stride, device)


def tensor_value(tensor: torch.Tensor | None) -> TensorValue | None:
    """What of ``tensor`` is shown. Its content is only read; None stays None.

    Sparse and meta tensors have no numbers here, only shape, dtype and layout.
    """
    if tensor is None:
        return None
    shape, dtype = tuple(tensor.shape), DTYPE_NAMES[tensor.dtype]
    layout = "meta" if tensor.is_meta else _LAYOUTS.get(tensor.layout, str(tensor.layout).removeprefix("torch."))
    if layout != "strided":
        return TensorValue(shape, dtype, layout=layout)
    with torch.no_grad(), torch._C.DisableTorchFunction():
        return _read(tensor.detach(), shape, dtype)


def _read(tensor: torch.Tensor, shape: tuple[int, ...], dtype: str) -> TensorValue:
    count = tensor.numel()
    if count <= SMALL:
        flat = tensor.resolve_conj().resolve_neg().reshape(-1).tolist()
        if tensor.is_complex():
            flat = [part for number in flat for part in (number.real, number.imag)]
        numbers = tuple(float(number) for number in flat)
        nonfinite = sum(number - number != 0 for number in numbers)
        return TensorValue(shape, dtype, numbers, nonfinite=nonfinite)
    wide = tensor.abs() if tensor.is_complex() else tensor
    wide = wide.float() if wide.dtype in (torch.float16, torch.bfloat16) or not wide.is_floating_point() else wide
    low, high = (part.item() for part in torch.aminmax(wide))
    nonfinite = 0
    if low - low != 0 or high - high != 0:  # NaN or Inf inside
        finite = wide[torch.isfinite(wide)]
        nonfinite = count - finite.numel()
        if not finite.numel():
            return TensorValue(shape, dtype, nonfinite=nonfinite)
        wide = finite
        low, high = (part.item() for part in torch.aminmax(wide))
    norm = torch.linalg.vector_norm(wide).item()
    return TensorValue(shape, dtype, None, low, high, wide.mean().item(), norm, nonfinite)
