"""What a zoo entry is made of: a model without inputs, and inputs in two sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Size:
    """Which of the two sizes an example is wanted in."""

    batch: int
    second: bool

    def pick(self, first: int, other: int | None = None) -> int:
        """``first`` in the first example, ``other`` in the second; ``first`` in both without it."""
        return other if self.second and other is not None else first


FIRST, SECOND = Size(batch=2, second=False), Size(batch=3, second=True)


@dataclass(frozen=True)
class Recipe:
    """``make()`` gives the model, ``example(size)`` its ``(args, kwargs)``."""

    make: Callable[[], nn.Module]
    example: Callable[[Size], tuple[tuple, dict[str, Any]]]


def token_ids(size: Size, length: int, vocabulary: int = 99) -> Tensor:
    """Random token ids that avoid the special ones below 5."""
    return torch.randint(5, vocabulary, (size.batch, length))


def images(pixels: int = 64, other: int | None = None, channels: int = 3):
    """An example of one batch of square images, passed positionally."""
    return lambda size: ((torch.randn(size.batch, channels, *[size.pick(pixels, other)] * 2),), {})


def normal(*shape: int | tuple[int, int]):
    """One positional tensor; a pair in ``shape`` is the extent in the first and the second example."""

    def example(size: Size):
        extents = [size.pick(*extent) if isinstance(extent, tuple) else extent for extent in shape]
        return (torch.randn(size.batch, *extents),), {}

    return example
