"""Running extremes with indices, and differences."""

import mlx.core as mx

__all__ = ["cummax_with_indices", "cummin_with_indices", "diff"]


def _along(size, ndim, axis):
    shape = [1] * ndim
    shape[axis] = size
    return mx.arange(size, dtype=mx.int32).reshape(shape)


def cummax_with_indices(x, axis):
    """Running maximum along an axis and the index of the last element that reached it. The gradient
    goes to the element at the index."""
    values = mx.stop_gradient(x)
    hit = (values == mx.cummax(values, axis=axis)) | mx.isnan(values)
    indices = mx.cummax(mx.where(hit, _along(x.shape[axis], x.ndim, axis), 0), axis=axis)
    return mx.take_along_axis(x, indices, axis=axis), indices.astype(mx.int64)


def cummin_with_indices(x, axis):
    """Running minimum along an axis and the index of the last element that reached it."""
    values = mx.stop_gradient(x)
    hit = (values == mx.cummin(values, axis=axis)) | mx.isnan(values)
    indices = mx.cummax(mx.where(hit, _along(x.shape[axis], x.ndim, axis), 0), axis=axis)
    return mx.take_along_axis(x, indices, axis=axis), indices.astype(mx.int64)


def diff(x, n=1, axis=-1):
    """Differences of neighbours along an axis, ``n`` times; a mask gives where it changes."""
    for _ in range(min(n, x.shape[axis])):
        later, earlier = mx.split(x, [1], axis=axis)[1], mx.split(x, [x.shape[axis] - 1], axis=axis)[0]
        x = later != earlier if x.dtype == mx.bool_ else later - earlier
    return x
