"""Windows for short-time transforms, ``(length,)`` float32. A periodic window of length n is the
symmetric one of length n + 1 without its last point."""

import mlx.core as mx

from .special import i0

__all__ = ["bartlett_window", "cosine_window", "kaiser_window"]


def cosine_window(length, coefficients, periodic=True):
    """``a0 - a1 cos(t) + a2 cos(2 t) - ...`` over one turn: Hann is [0.5, 0.5]."""
    if length == 1:
        return mx.ones((1,))
    angle = mx.arange(length) * (2 * mx.pi / (length if periodic else length - 1))
    return sum(((-1) ** k * a * mx.cos(k * angle) for k, a in enumerate(coefficients)), mx.zeros((length,)))


def bartlett_window(length, periodic=True):
    """A triangle from 0 to 1 and back."""
    if length == 1:
        return mx.ones((1,))
    position = mx.arange(length) * (2 / (length if periodic else length - 1))
    return 1 - mx.abs(position - 1)


def kaiser_window(length, beta=12.0, periodic=True):
    """``i0(beta * sqrt(1 - t ** 2)) / i0(beta)`` for t from -1 to 1."""
    if length == 1:
        return mx.ones((1,))
    position = mx.arange(length) * (2 / (length if periodic else length - 1)) - 1
    return i0(beta * mx.sqrt(mx.maximum(1 - mx.square(position), 0))) / i0(mx.array(beta))
