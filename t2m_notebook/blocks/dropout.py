"""Dropout that MLX's layers don't cover. Channels last; the random numbers are MLX's."""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["drop_elements", "drop_channels", "drop_to_alpha", "DropChannels", "DropToAlpha", "DropAll"]


def drop_elements(x: mx.array, p: float = 0.5) -> mx.array:
    """Zero each element with probability ``p`` and scale the rest by ``1 / (1 - p)``."""
    if p == 1:
        return x * 0
    return mx.where(mx.random.bernoulli(1 - p, x.shape), x * (1 / (1 - p)), 0)


def kept_channels(x: mx.array, p: float) -> mx.array:
    """True where a channel of (N, *spatial, C), or of (L, C), is kept."""
    spatial = range(1, x.ndim - 1) if x.ndim > 2 else range(1)
    return mx.random.bernoulli(1 - p, [1 if axis in spatial else size for axis, size in enumerate(x.shape)])


def drop_channels(x: mx.array, p: float = 0.5) -> mx.array:
    """:func:`drop_elements` of whole channels."""
    if p == 1:
        return x * 0
    return mx.where(kept_channels(x, p), x * (1 / (1 - p)), 0)


def drop_to_alpha(x: mx.array, p: float = 0.5, channels: bool = False) -> mx.array:
    """Dropout for SELU networks (Klambauer et al. 2017): dropped elements, or whole channels, take
    SELU's lower limit, and the result keeps mean 0 and variance 1."""
    if p == 1:
        return x * 0
    limit = -1.7580993408473766
    scale = ((1 - p) * (1 + p * limit**2)) ** -0.5
    keep = kept_channels(x, p) if channels else mx.random.bernoulli(1 - p, x.shape)
    return mx.where(keep, x, limit) * scale - scale * limit * p


class DropChannels(nn.Module):
    """:func:`drop_channels` in training, the identity otherwise."""

    def __init__(self, p: float = 0.5):
        super().__init__()
        self.p = p

    def __call__(self, x: mx.array) -> mx.array:
        return drop_channels(x, self.p) if self.training and self.p > 0 else x


class DropToAlpha(nn.Module):
    """:func:`drop_to_alpha` in training, the identity otherwise."""

    def __init__(self, p: float = 0.5, channels: bool = False):
        super().__init__()
        self.p, self.channels = p, channels

    def __call__(self, x: mx.array) -> mx.array:
        return drop_to_alpha(x, self.p, self.channels) if self.training and self.p > 0 else x


class DropAll(nn.Module):
    """Dropout with p=1, which ``nn.Dropout`` refuses: zeros in training, the identity otherwise."""

    def __call__(self, x: mx.array) -> mx.array:
        return x * 0 if self.training else x
