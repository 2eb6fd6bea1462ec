"""The example at other batch sizes and lengths, for measuring how memory follows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from .examples import map_tensors, tensors_in


def batch_and_length(args: tuple, kwargs: Mapping[str, Any]) -> tuple[int, int]:
    """Size of the first axis of the first tensor, and of the second axis where it is a sequence (0 when not)."""
    tensors = [t for t in tensors_in([args, dict(kwargs)]) if t.dim() >= 1]
    if not tensors:
        return 0, 0
    batch = tensors[0].shape[0]
    sequences = [
        t for t in tensors if t.shape[0] == batch and (t.dim() == 2 and not t.is_floating_point() or t.dim() == 3)
    ]
    return batch, sequences[0].shape[1] if sequences and not any(
        t.dim() == 4 and t.is_floating_point() for t in tensors
    ) else 0


def other_sizes(args: tuple, kwargs: Mapping[str, Any]) -> list[tuple[str, int, tuple, dict[str, Any]]]:
    """``(axis, size, args, kwargs)``: twice the batch, twice and four times the length. Whether the model takes them is
    for torch to say."""
    batch, length = batch_and_length(args, kwargs)
    found = []
    if batch:
        found.append(("batch", 2 * batch, *_at(args, kwargs, 0, batch, batch, 2)))
    if length:
        found += [("length", factor * length, *_at(args, kwargs, 1, length, batch, factor)) for factor in (2, 4)]
    return found


def _at(args: tuple, kwargs: Mapping[str, Any], dim: int, size: int, batch: int, factor: int) -> tuple[Any, Any]:
    def grown(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() <= dim or tensor.shape[dim] != size or (dim == 1 and tensor.shape[0] != batch):
            return tensor
        made = torch.cat([tensor.detach()] * factor, dim)
        if dim == 1 and tensor.dim() >= 3 and tensor.shape[2] == size and tensor.dim() > 2:
            made = torch.cat([made] * factor, 2)  # a mask of length × length
        return made.requires_grad_(tensor.requires_grad)

    return map_tensors(args, grown), map_tensors(dict(kwargs), grown)
