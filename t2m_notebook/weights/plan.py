"""Which torch tensor goes where in MLX, by module type. Every move leaves a receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import WeightsMismatch
from ..rules import AxisMove
from .files import raw_bytes


@dataclass(frozen=True, slots=True)
class Move:
    """One tensor's way: torch name, MLX name (None: MLX does not use it), axes."""

    source: str
    target: str | None
    axes: AxisMove | None = None  # None: nothing moves
    reason: str = ""

    def to_mlx(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor as MLX wants it, contiguous, dtype kept (float64 becomes float32)."""
        tensor = tensor.detach()
        if tensor.dtype == torch.float64:
            tensor = tensor.float()
        if tensor.dtype == torch.complex128:
            tensor = tensor.to(torch.complex64)
        moved = self.axes.apply(tensor) if self.axes is not None else tensor
        return moved.contiguous()

    def to_torch(self, tensor: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`to_mlx`, computed from the same axes."""
        return (self.axes.inverse().apply(tensor) if self.axes is not None else tensor).contiguous()


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of one move: both names, the axes, and a checksum of the bytes that were written."""

    source: str
    target: str | None
    axes: str
    shape: tuple[int, ...]
    dtype: str
    checksum: str
    reason: str = ""


def checksum(tensor: torch.Tensor) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the tensor's bytes."""
    return hashlib.sha256(raw_bytes(tensor)).hexdigest()[:16]


def convert(moves: list[Move], state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Carry the moves out: the tensors by MLX name. Raises :class:`WeightsMismatch` for a tensor of
    ``state`` that no move mentions, and for two moves that end at one name."""
    planned = {move.source for move in moves}
    forgotten = [name for name in state if name not in planned]
    if forgotten:
        raise WeightsMismatch(f"no place in the MLX model for {forgotten[0]} {tuple(state[forgotten[0]].shape)}"
                              + (f" and {len(forgotten) - 1} more" if len(forgotten) > 1 else "")
                              + ". Every parameter needs a receipt.")
    made: dict[str, torch.Tensor] = {}
    for move in moves:
        if move.target is None:
            continue
        if move.target in made:
            raise WeightsMismatch(f"{move.source} and another tensor both become {move.target}")
        made[move.target] = move.to_mlx(state[move.source])
    return made


def receipts_of(moves: list[Move], state: Mapping[str, torch.Tensor],
                made: Mapping[str, torch.Tensor]) -> list[Receipt]:
    """A receipt for each move that :func:`convert` carried out."""
    receipts: list[Receipt] = []
    for move in moves:
        tensor = state[move.source]
        if move.target is None:
            receipts.append(Receipt(move.source, None, "", tuple(tensor.shape), _dtype(tensor), "", move.reason))
            continue
        moved = made[move.target]
        pattern = move.axes.pattern if move.axes is not None else ""
        receipts.append(Receipt(move.source, move.target, pattern, tuple(moved.shape), _dtype(moved), checksum(moved),
                                move.reason))
    return receipts


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")
