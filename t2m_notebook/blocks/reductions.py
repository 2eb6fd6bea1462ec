"""Reductions that MLX lacks, and those whose gradient at ties is torch's."""

import mlx.core as mx

__all__ = ["max_with_indices", "min_with_indices", "nanmean"]


def max_with_indices(x, axis, keepdims=False):
    """Largest values along an axis and their indices (the first of equal ones). The gradient goes to
    the element at the index; ``mx.max`` would share it among equal ones."""
    indices = mx.argmax(mx.stop_gradient(x), axis=axis, keepdims=True)
    values = mx.take_along_axis(x, indices, axis=axis)
    if not keepdims:
        values, indices = values.squeeze(axis), indices.squeeze(axis)
    return values, indices.astype(mx.int64)


def min_with_indices(x, axis, keepdims=False):
    """Smallest values along an axis and their indices; see :func:`max_with_indices`."""
    indices = mx.argmin(mx.stop_gradient(x), axis=axis, keepdims=True)
    values = mx.take_along_axis(x, indices, axis=axis)
    if not keepdims:
        values, indices = values.squeeze(axis), indices.squeeze(axis)
    return values, indices.astype(mx.int64)


def nanmean(x, axis=None, keepdims=False):
    """Mean of the values that are not NaN."""
    valid = ~mx.isnan(x)
    total = mx.sum(mx.where(valid, x, 0), axis=axis, keepdims=keepdims)
    return total / mx.sum(valid, axis=axis, keepdims=keepdims)
