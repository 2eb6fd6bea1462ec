"""Angles of complex and real numbers."""

import mlx.core as mx

__all__ = ["angle", "angle_of_real"]


def angle(z):
    """The argument of complex numbers, in (-pi, pi]."""
    return mx.arctan2(mx.imag(z), mx.real(z))


def angle_of_real(x):
    """0 for numbers from 0 on, pi below, NaN for NaN."""
    return mx.where(mx.isnan(x), x, mx.where(x < 0, mx.pi, 0.0).astype(x.dtype))
