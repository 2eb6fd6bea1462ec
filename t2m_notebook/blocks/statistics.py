"""Norms, medians, modes and quantiles as torch defines them."""

import mlx.core as mx

__all__ = ["correlation", "covariance", "median", "nanmedian", "standard_deviation", "median_with_indices",
           "mode_with_indices", "nanmedian_with_indices", "nanquantile", "quantile", "vector_norm"]


def vector_norm(x, ord=2, axis=None, keepdims=False):
    """``sum(|x| ** ord) ** (1 / ord)`` over the axes; the largest or smallest size for an infinite
    order, the count of non-zeros for 0. The gradient at 0 is 0."""
    size = mx.abs(x)
    if ord == float("inf"):
        return mx.max(size, axis=axis, keepdims=keepdims)
    if ord == -float("inf"):
        return mx.min(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return mx.sum((size != 0).astype(size.dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return mx.sum(size, axis=axis, keepdims=keepdims)
    powers = mx.square(size) if ord == 2 else mx.where(size == 0, 0 if ord > 0 else mx.inf,
                                                       mx.where(size == 0, 1, size) ** ord)
    total = mx.sum(powers, axis=axis, keepdims=keepdims)
    root = mx.where(total == 0, 1, total)
    return mx.where(total == 0, 0 if ord > 0 else mx.inf, mx.sqrt(root) if ord == 2 else root ** (1 / ord))


def _pick(x, index, axis, keepdims):
    index = mx.stop_gradient(index)
    values = mx.take_along_axis(x, index, axis=axis)
    if not keepdims:
        values, index = values.squeeze(axis), index.squeeze(axis)
    return values, index.astype(mx.int64)


def median_with_indices(x, axis=0, keepdims=False):
    """The lower median along an axis and its index; NaN if there is one."""
    fixed = mx.stop_gradient(x)
    order = mx.argsort(fixed, axis=axis)
    index = mx.take(order, mx.array([(x.shape[axis] - 1) // 2]), axis=axis)
    nan = mx.isnan(fixed)
    index = mx.where(mx.any(nan, axis=axis, keepdims=True), mx.argmax(nan, axis=axis, keepdims=True), index)
    return _pick(x, index, axis, keepdims)


def _shared(x, value):
    """``value`` as the mean of the elements equal to it, so that each gets its part of the gradient."""
    equal = mx.stop_gradient(x == value)
    return mx.sum(mx.where(equal, x, 0)) / mx.sum(equal).astype(x.dtype)


def median(x):
    """The lower median of all elements; NaN if there is one. Equal elements share the gradient."""
    return _shared(x, median_with_indices(mx.stop_gradient(x).reshape(-1))[0])


def nanmedian(x):
    """The lower median of all elements that are not NaN. Equal elements share the gradient."""
    return _shared(x, nanmedian_with_indices(mx.stop_gradient(x).reshape(-1))[0])


def standard_deviation(x, axis=None, keepdims=False, ddof=0):
    """``mx.std`` whose gradient is 0 where all values are equal, instead of NaN."""
    variance = mx.var(x, axis=axis, keepdims=keepdims, ddof=ddof)
    spread = variance != 0
    return mx.where(spread, mx.sqrt(mx.where(spread, variance, 1)), 0)


def nanmedian_with_indices(x, axis=0, keepdims=False):
    """The lower median of the values that are not NaN along an axis, and its index."""
    fixed = mx.stop_gradient(x)
    order = mx.argsort(fixed, axis=axis)  # NaN comes last
    valid = mx.sum((~mx.isnan(fixed)).astype(mx.int32), axis=axis, keepdims=True)
    return _pick(x, mx.take_along_axis(order, mx.maximum(valid - 1, 0) // 2, axis=axis), axis, keepdims)


def mode_with_indices(x, axis=-1, keepdims=False):
    """The most frequent value along an axis, the smallest of equally frequent ones, and its last
    index. Compares all pairs along the axis."""
    fixed = mx.moveaxis(mx.stop_gradient(x), axis, -1)
    counts = mx.sum((fixed[..., :, None] == fixed[..., None, :]).astype(mx.int32), axis=-1)
    order = mx.argsort(fixed, axis=-1)
    best = mx.argmax(mx.take_along_axis(counts, order, axis=-1), axis=-1, keepdims=True)
    value = mx.take_along_axis(fixed, mx.take_along_axis(order, best, axis=-1), axis=-1)
    positions = mx.where(fixed == value, mx.arange(fixed.shape[-1]), -1)
    return _pick(x, mx.moveaxis(mx.max(positions, axis=-1, keepdims=True), -1, axis), axis, keepdims)


def _interpolated(ordered, position, interpolation):
    """Values at fractional positions along the last axis; the positions have the leading axes of
    ``ordered`` and any number along the last."""
    low, high = mx.floor(position), mx.ceil(position)
    if interpolation == "nearest":
        low = high = mx.round(position)
    elif interpolation == "lower":
        high = low
    elif interpolation == "higher":
        low = high
    low, high = mx.stop_gradient(low), mx.stop_gradient(high)
    below = mx.take_along_axis(ordered, low.astype(mx.int32), axis=-1)
    above = mx.take_along_axis(ordered, high.astype(mx.int32), axis=-1)
    weight = (position - low).astype(ordered.dtype) if interpolation != "midpoint" else 0.5
    return below + weight * (above - below)


def _arranged(value, q, axis, ndim, keepdims):
    """From quantiles along the last axis to torch's shape: those of a 1-d ``q`` come first."""
    value = mx.moveaxis(value, -1, 0)
    if keepdims:
        value = mx.expand_dims(value, 1 + axis % ndim)
    return value if q.ndim else value[0]


def quantile(x, q, axis=0, keepdims=False, interpolation="linear"):
    """Quantiles ``q`` (a number or a vector) along an axis; NaN where there is one."""
    ordered = mx.sort(mx.moveaxis(x, axis, -1), axis=-1)
    position = mx.broadcast_to(q.reshape(-1).astype(mx.float32) * (x.shape[axis] - 1),
                               (*ordered.shape[:-1], q.size))
    value = _interpolated(ordered, position, interpolation)
    value = mx.where(mx.any(mx.isnan(ordered), axis=-1, keepdims=True), mx.nan, value)
    return _arranged(value, q, axis, x.ndim, keepdims)


def nanquantile(x, q, axis=0, keepdims=False, interpolation="linear"):
    """Quantiles ``q`` of the values along an axis that are not NaN."""
    ordered = mx.sort(mx.moveaxis(x, axis, -1), axis=-1)  # NaN comes last
    last = mx.maximum(mx.sum((~mx.isnan(mx.stop_gradient(ordered))).astype(mx.float32), axis=-1, keepdims=True) - 1, 0)
    value = _interpolated(ordered, q.reshape(-1).astype(mx.float32) * last, interpolation)
    return _arranged(value, q, axis, x.ndim, keepdims)


def covariance(x, correction=1, repeats=None, weights=None):
    """Covariance matrix of the rows of ``x``, a scalar for one row. ``repeats`` counts how often each
    column was seen, ``weights`` says how much it matters."""
    rows = x.astype(mx.float32) if not mx.issubdtype(x.dtype, mx.inexact) else x
    rows = rows.reshape(1, -1) if rows.ndim < 2 else rows
    factors = [w.reshape(-1).astype(mx.float32) for w in (repeats, weights) if w is not None]
    if not factors:
        centred = rows - mx.mean(rows, axis=1, keepdims=True)
        product, count = centred @ mx.conj(centred).T, rows.shape[1] - correction
    else:
        w = factors[0] * factors[-1] if len(factors) == 2 else factors[0]
        total = mx.sum(w)
        centred = rows - mx.sum(rows * w, axis=1, keepdims=True) / total
        product = (centred * w) @ mx.conj(centred).T
        count = total - correction * (mx.sum(w * factors[-1]) / total if weights is not None else 1)
    matrix = product / (mx.maximum(count, 0) if isinstance(count, mx.array) else max(count, 0))
    return matrix.squeeze() if x.ndim < 2 or x.shape[0] == 1 else matrix


def correlation(x):
    """Pearson's correlation matrix of the rows of ``x``."""
    matrix = covariance(x)
    if matrix.ndim == 0:
        return matrix / matrix
    deviation = mx.sqrt(mx.real(mx.diagonal(matrix)))
    scaled = matrix / deviation[:, None] / deviation[None, :]
    return scaled if scaled.dtype == mx.complex64 else mx.clip(scaled, -1, 1)
