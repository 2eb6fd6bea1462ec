"""Running extremes with indices, differences, areas and numerical derivatives."""

import mlx.core as mx

__all__ = ["cummax_with_indices", "cummin_with_indices", "cumulative_trapezoid", "diff", "gradient", "gradient_at",
           "trapezoid"]


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


def _trapezoids(y, x, dx, axis):
    y = mx.moveaxis(y, axis, -1)
    if x is not None:
        x = x if x.ndim == 1 else mx.moveaxis(x, axis, -1)
        dx = x[..., 1:] - x[..., :-1]
    return dx * (y[..., 1:] + y[..., :-1]) / 2


def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Area under ``y`` at the points ``x``, or at steps of ``dx``, along an axis."""
    return mx.sum(_trapezoids(y, x, dx, axis), axis=-1)


def cumulative_trapezoid(y, x=None, dx=1.0, axis=-1):
    """Area under ``y`` up to each point but the first, along an axis."""
    return mx.moveaxis(mx.cumsum(_trapezoids(y, x, dx, axis), axis=-1), -1, axis)


def gradient(y, step, axis, edge_order=1):
    """Derivative of ``y`` sampled at equal steps: central differences, one-sided at the edges."""
    y = mx.moveaxis(y, axis, -1)
    inside = (y[..., 2:] - y[..., :-2]) / (2 * step)
    if edge_order == 1:
        first, last = (y[..., 1:2] - y[..., :1]) / step, (y[..., -1:] - y[..., -2:-1]) / step
    else:
        first = (-3 * y[..., :1] + 4 * y[..., 1:2] - y[..., 2:3]) / (2 * step)
        last = (3 * y[..., -1:] - 4 * y[..., -2:-1] + y[..., -3:-2]) / (2 * step)
    return mx.moveaxis(mx.concatenate([first, inside, last], axis=-1), -1, axis)


def gradient_at(y, x, axis, edge_order=1):
    """Derivative of ``y`` sampled at the points ``x``: three-point differences, one-sided at the edges."""
    y = mx.moveaxis(y, axis, -1)
    h = x[1:] - x[:-1]
    before, after = h[:-1], h[1:]
    inside = (y[..., 2:] * before**2 + y[..., 1:-1] * (after**2 - before**2) - y[..., :-2] * after**2) \
        / (before * after * (before + after))
    if edge_order == 1:
        first, last = (y[..., 1:2] - y[..., :1]) / h[0], (y[..., -1:] - y[..., -2:-1]) / h[-1]
    else:
        a, b = h[0], h[1]
        first = -(2 * a + b) / (a * (a + b)) * y[..., :1] + (a + b) / (a * b) * y[..., 1:2] \
            - a / (b * (a + b)) * y[..., 2:3]
        a, b = h[-2], h[-1]
        last = b / (a * (a + b)) * y[..., -3:-2] - (a + b) / (a * b) * y[..., -2:-1] \
            + (2 * b + a) / (b * (a + b)) * y[..., -1:]
    return mx.moveaxis(mx.concatenate([first, inside, last], axis=-1), -1, axis)
