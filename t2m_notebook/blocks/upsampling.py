"""Resampling with torch's rules for sizes and source positions. Channels last: (N, *spatial, C)."""

import math

import mlx.core as mx
import mlx.nn as nn

from .pooling import adaptive_avg_pool_to

__all__ = ["interpolate_spatial", "InterpolateSpatial"]


def cubic_weight(distance: mx.array, a: float) -> mx.array:
    """Keys' cubic kernel: ``a`` is -0.75, with antialiasing -0.5."""
    d = mx.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return mx.where(d <= 1, near, mx.where(d < 2, far, 0))


def source_taps(size: int, count: int, scale: float, mode: str, align_corners: bool,
                antialias: bool) -> tuple[mx.array, mx.array | None]:
    """Which input positions make each of ``count`` outputs, (count, taps), and their weights."""
    place = mx.arange(count, dtype=mx.float32)
    if mode == "nearest":
        return mx.minimum(mx.floor(place * scale), size - 1).astype(mx.int32)[:, None], None
    if mode == "nearest-exact":
        return mx.minimum(mx.floor((place + 0.5) * scale), size - 1).astype(mx.int32)[:, None], None
    if antialias:
        radius = 2 if mode == "bicubic" else 1
        support, step = radius * max(scale, 1), max(scale, 1)
        center = scale * (place + 0.5)[:, None]
        first = mx.maximum(mx.floor(center - support + 0.5), 0)
        last = mx.minimum(mx.floor(center + support + 0.5), size)
        index = first + mx.arange(2 * math.ceil(support) + 1)
        distance = (index - center + 0.5) / step
        weight = cubic_weight(distance, -0.5) if mode == "bicubic" else mx.maximum(1 - mx.abs(distance), 0)
        weight = mx.where(index < last, weight, 0)
        weight = weight / weight.sum(1, keepdims=True)
        return mx.clip(index, 0, size - 1).astype(mx.int32), weight
    source = (place * scale if align_corners else (place + 0.5) * scale - 0.5)[:, None]
    if mode == "bicubic":
        index = mx.floor(source) + mx.arange(-1, 3)
        return mx.clip(index, 0, size - 1).astype(mx.int32), cubic_weight(source - index, -0.75)
    source = mx.clip(source, 0, size - 1)
    low = mx.floor(source)
    index = mx.concatenate([low, mx.minimum(low + 1, size - 1)], axis=1)
    return index.astype(mx.int32), mx.concatenate([1 - (source - low), source - low], axis=1)


def interpolate_spatial(x: mx.array, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool = False,
                antialias: bool = False, recompute_scale_factor: bool = False) -> mx.array:
    """Resize the spatial axes to ``size`` or by ``scale_factor``: one number, or one per axis. A given
    scale also sets the source positions, unless ``recompute_scale_factor``. Half precision is
    computed in float32."""
    sizes = x.shape[1:-1]
    size, scale_factor = ((v,) * len(sizes) if isinstance(v, (int, float)) else v for v in (size, scale_factor))
    if size is None:
        size = [math.floor(n * s) for n, s in zip(sizes, scale_factor)]
    if mode == "area":
        return adaptive_avg_pool_to(x, size)
    smooth = mode not in ("nearest", "nearest-exact")
    y = x.astype(mx.float32) if smooth else x
    for axis, (n, count) in enumerate(zip(sizes, size), 1):
        scale = n / count
        if smooth and align_corners:
            scale = (n - 1) / (count - 1) if count > 1 else 0.0
        elif scale_factor is not None and not recompute_scale_factor:
            scale = 1 / scale_factor[axis - 1]
        if n == count and scale == 1:
            continue
        index, weight = source_taps(n, count, scale, mode, align_corners, antialias)
        if weight is None:
            y = mx.take(y, index[:, 0], axis=axis)
            continue
        shape = [-1 if a == axis else 1 for a in range(y.ndim)]
        y = sum(mx.take(y, index[:, tap], axis=axis) * weight[:, tap].reshape(shape) for tap in range(index.shape[1]))
    return y.astype(x.dtype)


class InterpolateSpatial(nn.Module):
    """:func:`interpolate_spatial` as a layer."""

    def __init__(self, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool = False,
                 recompute_scale_factor: bool = False):
        super().__init__()
        self._options = dict(size=size, scale_factor=scale_factor, mode=mode, align_corners=align_corners,
                             recompute_scale_factor=recompute_scale_factor)

    def __call__(self, x: mx.array) -> mx.array:
        return interpolate_spatial(x, **self._options)
