"""Recorded tensors as MLX holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..rules import standard

if TYPE_CHECKING:
    from .writing import Written


def laid_out(written: Written, index: int, tensor: torch.Tensor | None = None, *, view: bool = False) -> torch.Tensor:
    """A recorded tensor as MLX holds it: axes in the planned order, contiguous, no float64. With
    ``view`` not contiguous where that takes no copy."""
    tensor = written.recording.tensors[index] if tensor is None else tensor
    if index in written.plan.column_values:
        tensor = written.plan.column_values[index].apply(tensor)
    return as_mlx(tensor, written.plan.orders[index], view=view)


def as_mlx(tensor: torch.Tensor, order: tuple[int, ...], *, view: bool = False) -> torch.Tensor:
    """``tensor`` permuted to ``order``, contiguous and a copy, in a dtype that MLX has. With
    ``view`` neither contiguous nor a copy where it needn't be."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    if tensor.dtype == torch.complex128:
        tensor = tensor.to(torch.complex64)
    moved = tensor if order == standard(len(order)) else tensor.permute(order)
    return moved if view else moved.contiguous().clone()
