"""Normalised vectors, similarity and distance along one axis. The gradient at zero is finite."""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["safe_norm", "normalize_along", "cosine_similarity_along", "distance_last_axis", "CosineSimilarityAlong",
           "DistanceLastAxis"]


def safe_norm(x: mx.array, axis, p: float = 2.0) -> mx.array:
    """The p-norm along ``axis``, which is kept with size one; its gradient at zero is zero."""
    size = mx.abs(x)
    if p == float("inf"):
        return size.max(axis, keepdims=True)
    if p == float("-inf"):
        return size.min(axis, keepdims=True)
    if p == 0:
        return (x != 0).astype(x.dtype).sum(axis, keepdims=True)
    if p == 1:
        return size.sum(axis, keepdims=True)
    power = mx.square(x) if p == 2 else mx.where(size > 0, mx.where(size > 0, size, 1) ** p, 0)
    total = power.sum(axis, keepdims=True)
    return mx.where(total > 0, mx.where(total > 0, total, 1) ** (1 / p), 0)


def normalize_along(x: mx.array, axis=-1, p: float = 2.0, eps: float = 1e-12) -> mx.array:
    """``x`` divided by its p-norm along ``axis``, or by ``eps`` where the norm is smaller."""
    wide = x.astype(mx.float32)
    return (wide / mx.maximum(safe_norm(wide, axis, p), eps)).astype(x.dtype)


def cosine_similarity_along(a: mx.array, b: mx.array, axis: int = -1, eps: float = 1e-8) -> mx.array:
    """Cosine of the angle between ``a`` and ``b`` along ``axis``; a norm counts as at least ``eps``."""
    a, b = mx.broadcast_arrays(a, b)
    return (a / mx.maximum(safe_norm(a, axis), eps) * (b / mx.maximum(safe_norm(b, axis), eps))).sum(axis)


def distance_last_axis(a: mx.array, b: mx.array, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False) -> mx.array:
    """The p-norm of ``a - b + eps`` along the last axis."""
    distance = safe_norm(a - b + eps, -1, p)
    return distance if keepdims else distance.squeeze(-1)


class CosineSimilarityAlong(nn.Module):
    """:func:`cosine_similarity_along` as a layer."""

    def __init__(self, axis: int = 1, eps: float = 1e-8):
        super().__init__()
        self.axis, self.eps = axis, eps

    def __call__(self, a: mx.array, b: mx.array) -> mx.array:
        return cosine_similarity_along(a, b, self.axis, self.eps)


class DistanceLastAxis(nn.Module):
    """:func:`distance_last_axis` as a layer."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False):
        super().__init__()
        self.p, self.eps, self.keepdims = p, eps, keepdims

    def __call__(self, a: mx.array, b: mx.array) -> mx.array:
        return distance_last_axis(a, b, self.p, self.eps, self.keepdims)
