"""Pooling with torch's options. Channels last: inputs are (N, *spatial, C), as many spatial axes as
``kernel_size`` has entries."""

from functools import reduce
from itertools import product

import mlx.core as mx
import mlx.nn as nn

__all__ = ["pool_windows", "max_pool_windows", "max_pool_windows_with_indices", "avg_pool_windows", "lp_pool_windows",
           "max_unpool_to", "adaptive_avg_pool_to", "adaptive_max_pool_to", "adaptive_max_pool_to_with_indices",
           "MaxPoolWindows", "AvgPoolWindows", "LPPoolWindows", "MaxUnpoolWindows", "AdaptiveAvgPoolTo",
           "AdaptiveMaxPoolTo"]


def pooled_sizes(sizes, kernel_size, stride, padding, dilation, ceil_mode: bool) -> list[int]:
    """Number of windows per axis. With ``ceil_mode`` a last window may reach over the end, but
    it starts inside the input or its left padding."""
    result = []
    for size, k, s, p, d in zip(sizes, kernel_size, stride, padding, dilation):
        room = size + 2 * p - d * (k - 1) - 1
        count = (room + s - 1) // s + 1 if ceil_mode else room // s + 1
        if ceil_mode and (count - 1) * s >= size + p:
            count -= 1
        result.append(count)
    return result


def pool_windows(x: mx.array, kernel_size, stride, padding, dilation, ceil_mode: bool, fill: float) -> list[mx.array]:
    """One strided view of ``x`` per position in the window, in row-major order; each has the shape
    of the result. Positions outside the input hold ``fill``."""
    counts = pooled_sizes(x.shape[1:-1], kernel_size, stride, padding, dilation, ceil_mode)
    reach = [(n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(counts, stride, dilation, kernel_size)]
    widths = [(p, max(r - size - p, 0)) for p, r, size in zip(padding, reach, x.shape[1:-1])]
    if any(low or high for low, high in widths):
        x = mx.pad(x, [(0, 0), *widths, (0, 0)], constant_values=fill)
    views = []
    for offsets in product(*map(range, kernel_size)):
        starts = [o * d for o, d in zip(offsets, dilation)]
        views.append(x[(slice(None), *[slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, counts, stride)])])
    return views


def lowest_of_type(dtype: mx.Dtype) -> float:
    """The value that any element of a window is at least as large as."""
    return float("-inf") if mx.issubdtype(dtype, mx.floating) else mx.iinfo(dtype).min


def max_pool_windows(x: mx.array, kernel_size, stride, padding, dilation, ceil_mode: bool = False) -> mx.array:
    """Maximum of each window; positions outside the input don't take part."""
    fill = lowest_of_type(x.dtype)
    return reduce(mx.maximum, pool_windows(x, kernel_size, stride, padding, dilation, ceil_mode, fill))


def max_pool_windows_with_indices(x: mx.array, kernel_size, stride, padding, dilation,
                          ceil_mode: bool = False) -> tuple[mx.array, mx.array]:
    """Maximum of each window and its position in the input: the flat index over the spatial axes."""
    windows = mx.stack(pool_windows(x, kernel_size, stride, padding, dilation, ceil_mode, lowest_of_type(x.dtype)))
    # NaN counts as the largest, and the first of equal elements wins.
    ranked = mx.where(mx.isnan(windows), float("inf"), windows) if mx.issubdtype(x.dtype, mx.floating) else windows
    best = mx.stop_gradient(mx.argmax(ranked, axis=0, keepdims=True))
    flat = mx.zeros((1,) * x.ndim, mx.int64)
    offsets = mx.array(list(product(*map(range, kernel_size))))
    for axis, size in enumerate(x.shape[1:-1]):
        start = mx.arange(windows.shape[axis + 2]) * stride[axis] - padding[axis]
        start = start.reshape([-1 if a == axis + 1 else 1 for a in range(x.ndim)])
        flat = flat * size + start + offsets[:, axis][best[0]] * dilation[axis]
    return mx.take_along_axis(windows, best, axis=0).squeeze(0), flat.astype(mx.int64)


def avg_pool_windows(x: mx.array, kernel_size, stride, padding, ceil_mode: bool = False, count_include_pad: bool = True,
             divisor_override: int | None = None) -> mx.array:
    """Mean of each window, summed in float32. The divisor counts the positions inside the input
    and, with ``count_include_pad``, inside its padding, but never beyond."""
    wide = x.astype(mx.float32) if mx.issubdtype(x.dtype, mx.floating) else x
    total = sum(pool_windows(wide, kernel_size, stride, padding, (1,) * len(kernel_size), ceil_mode, 0))
    if divisor_override is not None:
        return (total / divisor_override).astype(x.dtype)
    divisor = mx.array(1)
    for axis, size in enumerate(x.shape[1:-1]):
        start = mx.arange(total.shape[axis + 1]) * stride[axis] - padding[axis]
        end = mx.minimum(start + kernel_size[axis], size + padding[axis])
        if not count_include_pad:
            start, end = mx.maximum(start, 0), mx.minimum(end, size)
        divisor = divisor * (end - start).reshape([-1 if a == axis + 1 else 1 for a in range(x.ndim)])
    return (total / divisor).astype(x.dtype)


def lp_pool_windows(x: mx.array, norm_type: float, kernel_size, stride, ceil_mode: bool = False) -> mx.array:
    """``sum(x ** p) ** (1 / p)`` of each window, without an absolute value inside, as torch does;
    a negative sum counts with its size."""
    count = 1
    for k in kernel_size:
        count *= k
    mean = avg_pool_windows(x**norm_type, kernel_size, stride, (0,) * len(kernel_size), ceil_mode)
    return (mx.sign(mean) * mx.maximum(mx.abs(mean), 0) * count) ** (1 / norm_type)


def max_unpool_to(x: mx.array, indices: mx.array, output_size) -> mx.array:
    """Puts each element at its flat index over the spatial axes of a zero array of ``output_size``."""
    batch, channels = x.shape[0], x.shape[-1]
    places = 1
    for size in output_size:
        places *= size
    flat = mx.zeros((batch, places, channels), x.dtype)
    values, at = x.reshape(batch, -1, channels), indices.reshape(batch, -1, channels)
    return mx.put_along_axis(flat, at, values, axis=1).reshape(batch, *output_size, channels)


def adaptive_bounds(size: int, count: int) -> tuple[mx.array, mx.array]:
    """First position of each of ``count`` windows, and the position after its last."""
    cell = mx.arange(count)
    return cell * size // count, ((cell + 1) * size + count - 1) // count


def adaptive_avg_pool_to(x: mx.array, output_size) -> mx.array:
    """Mean over windows that divide each axis into ``output_size`` parts (None: the axis stays)."""
    wide = x.astype(mx.float32)
    for axis, count in enumerate(output_size, 1):
        size = x.shape[axis]
        if count is None or count == size:
            continue
        if size % count == 0:
            wide = mx.unflatten(wide, axis, (count, size // count)).mean(axis + 1)
            continue
        start, end = adaptive_bounds(size, count)
        place = mx.arange(size)
        share = ((place >= start[:, None]) & (place < end[:, None])) / (end - start)[:, None]
        wide = mx.moveaxis(mx.moveaxis(wide, axis, -1) @ share.T, -1, axis)
    return wide.astype(x.dtype)


def adaptive_windows(x: mx.array, axis: int, count: int | None) -> mx.array:
    """Index of every position in each window of one axis, (count, longest); a shorter window repeats
    its last position."""
    size = x.shape[axis]
    count = size if count is None else count
    start, end = adaptive_bounds(size, count)
    longest = size // count + (0 if size % count == 0 else 2)
    return mx.minimum(start[:, None] + mx.arange(longest), end[:, None] - 1)


def adaptive_max_pool_to(x: mx.array, output_size) -> mx.array:
    """Maximum over windows that divide each axis into ``output_size`` parts (None: the axis stays)."""
    for axis, count in enumerate(output_size, 1):
        if count is not None and count != x.shape[axis]:
            x = mx.take(x, adaptive_windows(x, axis, count), axis=axis).max(axis + 1)
    return x


def adaptive_max_pool_to_with_indices(x: mx.array, output_size) -> tuple[mx.array, mx.array]:
    """:func:`adaptive_max_pool_to` and the position of each maximum: the flat index over the spatial axes."""
    position = mx.zeros((1,) * x.ndim, mx.int64)
    for axis, size in enumerate(x.shape[1:-1], 1):
        place = mx.arange(size).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        position = position * size + place
    position = mx.broadcast_to(position, x.shape)
    # Last axis first: the first of equal elements in row-major order wins.
    for axis in range(len(output_size), 0, -1):
        windows = adaptive_windows(x, axis, output_size[axis - 1])
        values = mx.take(x, windows, axis=axis)
        best = mx.stop_gradient(mx.argmax(values, axis=axis + 1, keepdims=True))
        x = mx.take_along_axis(values, best, axis=axis + 1).squeeze(axis + 1)
        position = mx.take_along_axis(mx.take(position, windows, axis=axis), best, axis=axis + 1).squeeze(axis + 1)
    return x, position.astype(mx.int64)


class MaxPoolWindows(nn.Module):
    """:func:`max_pool_windows` as a layer; ``return_indices`` gives the positions too."""

    def __init__(self, kernel_size, stride, padding, dilation, ceil_mode: bool = False, return_indices: bool = False):
        super().__init__()
        self._options = (kernel_size, stride, padding, dilation, ceil_mode)
        self._pool = max_pool_windows_with_indices if return_indices else max_pool_windows

    def __call__(self, x: mx.array):
        return self._pool(x, *self._options)


class AvgPoolWindows(nn.Module):
    """:func:`avg_pool_windows` as a layer."""

    def __init__(self, kernel_size, stride, padding, ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None):
        super().__init__()
        self._options = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    def __call__(self, x: mx.array) -> mx.array:
        return avg_pool_windows(x, *self._options)


class LPPoolWindows(nn.Module):
    """:func:`lp_pool_windows` as a layer."""

    def __init__(self, norm_type: float, kernel_size, stride, ceil_mode: bool = False):
        super().__init__()
        self._options = (norm_type, kernel_size, stride, ceil_mode)

    def __call__(self, x: mx.array) -> mx.array:
        return lp_pool_windows(x, *self._options)


class MaxUnpoolWindows(nn.Module):
    """:func:`max_unpool_to` as a layer: undoes a max pooling with these windows."""

    def __init__(self, kernel_size, stride, padding):
        super().__init__()
        self._windows = tuple(zip(kernel_size, stride, padding))

    def __call__(self, x: mx.array, indices: mx.array, output_size=None) -> mx.array:
        if output_size is None:
            output_size = [(n - 1) * s - 2 * p + k for n, (k, s, p) in zip(x.shape[1:-1], self._windows)]
        return max_unpool_to(x, indices, output_size)


class AdaptiveAvgPoolTo(nn.Module):
    """:func:`adaptive_avg_pool_to` as a layer."""

    def __init__(self, output_size):
        super().__init__()
        self._output_size = output_size

    def __call__(self, x: mx.array) -> mx.array:
        return adaptive_avg_pool_to(x, self._output_size)


class AdaptiveMaxPoolTo(nn.Module):
    """:func:`adaptive_max_pool_to` as a layer; ``return_indices`` gives the positions too."""

    def __init__(self, output_size, return_indices: bool = False):
        super().__init__()
        self._output_size = output_size
        self._pool = adaptive_max_pool_to_with_indices if return_indices else adaptive_max_pool_to

    def __call__(self, x: mx.array):
        return self._pool(x, self._output_size)
