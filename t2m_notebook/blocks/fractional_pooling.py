"""Fractional max pooling (Graham 2014) with given random samples. Channels last."""

import math

import mlx.core as mx
import mlx.nn as nn

__all__ = ["fractional_max_pool_at", "fractional_max_pool_at_with_indices", "FractionalMaxPoolAt"]


def window_starts(sample: mx.array, size: int, count: int, window: int) -> mx.array:
    """First positions of ``count`` windows of one axis, (N, count, C), from one number in [0, 1) per
    item and channel (N, C). The last window ends with the axis."""
    step = (size - window) / (count - 1) if count > 1 else 0.0
    place = mx.arange(count)[:, None]
    start = ((place + sample[:, None]) * step).astype(mx.int32) - (sample[:, None] * step).astype(mx.int32)
    return mx.where(place == count - 1, size - window, start)


def fractional_max_pool_at_with_indices(x: mx.array, samples: mx.array, kernel_size,
                                     output_size) -> tuple[mx.array, mx.array]:
    """Maximum of each window of (N, *spatial, C) and its flat index over the spatial axes. ``samples``
    (N, C, n) place the windows; in two dimensions torch gives the width's number first."""
    batch, *sizes, channels = x.shape
    samples = samples[:batch]
    n, window = len(sizes), math.prod(kernel_size)
    index = mx.zeros((1,) * (2 * n + 2), mx.int32)
    for axis, (size, k, count) in enumerate(zip(sizes, kernel_size, output_size)):
        start = window_starts(samples[..., n - 1 - axis if n == 2 else axis], size, count, k)
        shape = [batch, *[count if a == axis else 1 for a in range(n)], *[1] * n, channels]
        offset = mx.arange(k).reshape([-1 if a == n + 1 + axis else 1 for a in range(2 * n + 2)])
        index = index * size + start.reshape(shape) + offset
    index = index.reshape(batch, *output_size, window, channels)
    values = mx.take_along_axis(x.reshape(batch, -1, channels), index.reshape(batch, -1, channels), axis=1)
    values = values.reshape(index.shape)
    best = mx.stop_gradient(mx.argmax(values, axis=-2, keepdims=True))
    value, place = (mx.take_along_axis(a, best, axis=-2).squeeze(-2) for a in (values, index))
    return value, place.astype(mx.int64)


def fractional_max_pool_at(x: mx.array, samples: mx.array, kernel_size, output_size) -> mx.array:
    """Maximum of each window, see :func:`fractional_max_pool_at_with_indices`."""
    return fractional_max_pool_at_with_indices(x, samples, kernel_size, output_size)[0]


class FractionalMaxPoolAt(nn.Module):
    """:func:`fractional_max_pool_at` with fixed samples. ``output_ratio`` gives the output's size as a
    fraction of the input's."""

    def __init__(self, samples_shape: tuple[int, ...], kernel_size, output_size=None, output_ratio=None,
                 return_indices: bool = False):
        super().__init__()
        self.samples = mx.zeros(samples_shape)
        self.freeze(keys=["samples"], recurse=False)
        self._options = (kernel_size, output_size, output_ratio)
        self._pool = fractional_max_pool_at_with_indices if return_indices else fractional_max_pool_at

    def __call__(self, x: mx.array):
        kernel_size, output_size, output_ratio = self._options
        if output_size is None:
            output_size = tuple(int(size * ratio) for size, ratio in zip(x.shape[1:-1], output_ratio))
        return self._pool(x, self.samples, kernel_size, output_size)
