"""The values of a torch tensor in numbers, measured without touching it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..inspection.limits import LIMITS, headroom
from ..types.health import Ranges
from .recording import DTYPE_NAMES, is_container, items_of


def numbers_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """The floating-point numbers to look at: of a complex tensor its parts, of a sparse one its stored values. None
    where there is nothing to measure (integers, meta and fake tensors, those of ``torch.func`` transforms)."""
    if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.is_meta:
        return None
    if (
        torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        or isinstance(tensor, torch._subclasses.FakeTensor)
        or getattr(tensor, "is_nested", False)
    ):
        return None
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        tensor = tensor._values()
    elif tensor.layout is not torch.strided:
        tensor = tensor.values() if tensor.layout in (torch.sparse_csr, torch.sparse_csc) else None
    if tensor is None:
        return None
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    return tensor.float() if tensor.element_size() == 1 else tensor


def measure(tensor: torch.Tensor, name: str = "", *, whole: bool = True) -> Ranges | None:
    """The ranges of ``tensor``; None where there is nothing to measure. Without ``whole`` zeros and denormals are not
    counted, which takes one pass over the values."""
    with torch._C.DisableTorchFunction(), torch.no_grad():
        values = numbers_of(tensor)
        if values is None:
            return None
        dtype, shape, count = DTYPE_NAMES[tensor.dtype], tuple(tensor.shape), values.numel()
        if not count:
            return Ranges(name, shape, dtype)
        low, high = (bound.item() for bound in torch.aminmax(values))
        nan = plus = minus = 0
        if not (abs(low) < float("inf") and abs(high) < float("inf")):  # NaN compares false
            nan, plus, minus = (
                int(mask.sum()) for mask in (values.isnan(), values == float("inf"), values == float("-inf"))
            )
            finite = values[values.isfinite()]
            low, high = (bound.item() for bound in torch.aminmax(finite)) if finite.numel() else (None, None)
        zeros = denormals = 0
        if whole:
            smallest = LIMITS[dtype][1] if dtype in LIMITS else 0.0
            zeros = count - int(torch.count_nonzero(values))
            # On CPU a comparison may flush denormals to 0, so they are those that are not 0 and yet small.
            denormals = int(((values.abs() < smallest) & (values != 0)).sum()) if low is not None else 0
        return Ranges(
            name, shape, dtype, low, high, nan, plus, minus, zeros, denormals, count, headroom(dtype, low, high)
        )


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """Tensors inside lists, tuples, mappings and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_of(item)
    elif isinstance(value, Mapping) or is_container(value):
        for _, item in items_of(value):
            yield from tensors_of(item)


#: Activations that can die or saturate: name -> (what it is called, test of a dead or saturated element).
ACTIVATIONS = {
    "relu": ("0", lambda y: y == 0),
    "relu6": ("0 or 6", lambda y: (y == 0) | (y == 6)),
    "threshold": ("0", lambda y: y == 0),
    "hardtanh": ("at a bound", lambda y: (y == y.min()) | (y == y.max())),
    "sigmoid": ("saturated", lambda y: (y < 0.01) | (y > 0.99)),
    "tanh": ("saturated", lambda y: y.abs() > 0.99),
    "hardsigmoid": ("at a bound", lambda y: (y == 0) | (y == 1)),
    "softsign": ("saturated", lambda y: y.abs() > 0.99),
}


def dead_units(name: str, tensor: torch.Tensor) -> tuple[float, str] | None:
    """How much of an activation is dead: the share of units that are 0 (or saturated) for the whole batch, and a
    sentence. A unit is a channel of N×C×… or a feature of …×C. None for other operations."""
    word = name.rpartition(".")[2].rstrip("_")
    if word not in ACTIVATIONS or not tensor.numel():
        return None
    with torch._C.DisableTorchFunction(), torch.no_grad():
        values = numbers_of(tensor)
        if values is None:
            return None
        what, test = ACTIVATIONS[word]
        dead = test(values)
        share = dead.float().mean().item()
        dim = 1 if values.dim() >= 4 else values.dim() - 1
        others = [d for d in range(values.dim()) if d != dim]
        units = dead.amin(others) if others else dead
        count, total = int(units.sum()), units.numel()
    text = f"{share:.0%} of the values are {what}"
    if total > 1:
        text += f"; {count:,} of {total:,} units are for the whole batch"
    return (count / total if total > 1 else share), text
