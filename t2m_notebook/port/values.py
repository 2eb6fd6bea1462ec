"""Recorded tensors as MLX holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..rules import standard

if TYPE_CHECKING:
    from .writing import Written


def laid_out(written: Written, index: int, tensor: torch.Tensor | None = None) -> torch.Tensor:
    """A recorded tensor as MLX holds it: axes in the planned order, contiguous, no float64."""
    tensor = written.recording.tensors[index] if tensor is None else tensor
    if index in written.plan.column_values:
        tensor = written.plan.column_values[index].apply(tensor)
    return as_mlx(tensor, written.plan.orders[index])


def as_mlx(tensor: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """``tensor`` permuted to ``order``, contiguous, in a dtype that MLX has."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.float64:
        tensor = tensor.float()
    if tensor.dtype == torch.complex128:
        tensor = tensor.to(torch.complex64)
    moved = tensor if order == standard(len(order)) else tensor.permute(order)
    return moved.contiguous().clone()
