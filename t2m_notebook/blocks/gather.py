"""Writes to places that index arrays name, and counts."""

import mlx.core as mx

__all__ = ["bincount", "fill_at", "first_nonzero", "histogram_counts", "index_mean", "index_reduce",
           "neutral_element", "places_along", "put_flat", "scatter", "scatter_mean", "scatter_reduce", "set_diagonal"]


def places_along(index: mx.array, axis: int) -> tuple[mx.array, ...]:
    """``index`` counts along ``axis`` and stands for itself elsewhere: one index array per
    axis, so that ``x[places_along(index, axis)]`` has the shape of ``index``."""
    own = [mx.arange(size).reshape(-1, *[1] * (index.ndim - position - 1)) for position, size in enumerate(index.shape)]
    own[axis] = index
    return tuple(own)


def fill_at(x: mx.array, axis: int, index: mx.array, value) -> mx.array:
    """``value``, a number or an array without axes, at the places ``index`` along ``axis``."""
    chosen = mx.zeros((x.shape[axis],), mx.bool_)
    chosen[index] = True
    return mx.where(chosen.reshape(-1, *[1] * (x.ndim - axis % x.ndim - 1)), value, x)


def scatter(x: mx.array, axis: int, index: mx.array, values) -> mx.array:
    """``y[..., index[i], ...] = values[i]`` along ``axis`` (``torch.scatter``)."""
    y = mx.array(x)
    if index.ndim == 0:
        index = index.reshape(1)
    if index.size:
        y[places_along(index, axis)] = values
    return y


def scatter_reduce(x: mx.array, axis: int, index: mx.array, values, reduce: str = "add",
                   include_self: bool = True) -> mx.array:
    """Combines ``values`` into ``x`` at ``index`` along ``axis``: ``reduce`` is one of ``add``,
    ``multiply``, ``maximum``, ``minimum``. Without ``include_self`` the old content of the
    places that are written does not count."""
    if index.size == 0:
        return x
    if x.ndim == 0:
        return scatter_reduce(x[None], 0, index.reshape(-1), mx.array(values).reshape(-1), reduce, include_self)[0]
    places = places_along(index, axis)
    if not include_self:
        x = mx.array(x)
        x[places] = neutral_element(reduce, x.dtype)
    return getattr(x.at[places], reduce)(values)


def neutral_element(reduce: str, dtype: mx.Dtype):
    """The value that changes nothing when reduced with."""
    if reduce in ("add", "multiply"):
        return 0 if reduce == "add" else 1
    if dtype == mx.bool_:
        return reduce == "minimum"
    limits = mx.finfo(dtype) if mx.issubdtype(dtype, mx.floating) else mx.iinfo(dtype)
    if mx.issubdtype(dtype, mx.floating):
        return -float("inf") if reduce == "maximum" else float("inf")
    return limits.min if reduce == "maximum" else limits.max


def scatter_mean(x: mx.array, axis: int, index: mx.array, values: mx.array, include_self: bool = True) -> mx.array:
    """The mean of what meets at each place (``torch.scatter_reduce(reduce="mean")``)."""
    total = scatter_reduce(x, axis, index, values, include_self=include_self)
    counts = scatter_reduce(mx.ones(x.shape, mx.int32), axis, index, mx.ones(index.shape, mx.int32),
                            include_self=include_self)
    counts = mx.maximum(counts, 1).astype(x.dtype)
    return total / counts if mx.issubdtype(x.dtype, mx.floating) else (total // counts).astype(x.dtype)


def index_reduce(x: mx.array, axis: int, index: mx.array, values: mx.array, reduce: str,
                 include_self: bool = True) -> mx.array:
    """Combines the slices of ``values`` into the slices ``index`` of ``x`` along ``axis``."""
    if x.ndim == 0:
        return index_reduce(x[None], 0, index, values.reshape(-1), reduce, include_self)[0]
    places = (*[slice(None)] * (axis % x.ndim), index)
    if not include_self:
        x = mx.array(x)
        x[places] = neutral_element(reduce, x.dtype)
    return getattr(x.at[places], reduce)(values)


def index_mean(x: mx.array, axis: int, index: mx.array, values: mx.array, include_self: bool = True) -> mx.array:
    """The mean of the slices of ``values`` that meet at each slice of ``x`` along ``axis``."""
    total = index_reduce(x, axis, index, values, "add", include_self)
    counts = index_reduce(mx.ones(x.shape, mx.int32), axis, index, mx.ones(values.shape, mx.int32), "add", include_self)
    counts = mx.maximum(counts, 1).astype(x.dtype)
    return total / counts if mx.issubdtype(x.dtype, mx.floating) else (total // counts).astype(x.dtype)


def put_flat(x: mx.array, index: mx.array, values: mx.array, accumulate: bool = False) -> mx.array:
    """Writes (or adds) ``values`` at places of the flattened array."""
    flat, index, values = mx.array(x).reshape(-1), index.reshape(-1), values.reshape(-1)
    if index.size == 0:
        return x
    if accumulate:
        return flat.at[index].add(values).reshape(x.shape)
    flat[index] = values
    return flat.reshape(x.shape)


def set_diagonal(x: mx.array, values: mx.array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> mx.array:
    """A copy of ``x`` with ``values`` on its diagonal (``torch.diagonal_scatter``)."""
    axis1, axis2 = axis1 % x.ndim, axis2 % x.ndim
    steps = mx.arange(values.shape[-1])
    rest = [axis for axis in range(x.ndim) if axis not in (axis1, axis2)]
    y = mx.array(x.transpose(axis1, axis2, *rest))
    y[steps + max(-offset, 0), steps + max(offset, 0)] = mx.moveaxis(values, -1, 0)
    moved = [axis1, axis2, *rest]
    return y.transpose(*[moved.index(axis) for axis in range(x.ndim)])


def first_nonzero(x: mx.array, size: int, fill_value: int = -1) -> mx.array:
    """Positions of the first ``size`` nonzero elements, one row each, filled up with
    ``fill_value``. The shape does not depend on the data (``torch.nonzero_static``)."""
    flat = (x != 0).reshape(-1)
    places = mx.sort(mx.where(flat, mx.arange(flat.size), flat.size))[:size]
    places = mx.pad(places, (0, size - places.size), constant_values=flat.size)
    found, rest = [], places
    for length in reversed(x.shape):
        found.append(rest % max(length, 1))
        rest = rest // max(length, 1)
    rows = mx.stack(found[::-1], axis=-1) if found else mx.zeros((size, 0), mx.int32)
    return mx.where((places < flat.size)[:, None], rows, fill_value).astype(mx.int64)


def bincount(x: mx.array, weights: mx.array | None = None, minlength: int = 0) -> mx.array:
    """How often each value from 0 to the largest occurs, or the sum of its weights.
    Evaluates ``x`` to know the largest."""
    length = max(minlength, x.max().item() + 1 if x.size else 0)
    if weights is None:
        return mx.zeros((length,), mx.int64).at[x].add(mx.array(1, mx.int64))
    return mx.zeros((length,), weights.dtype).at[x].add(weights)


def histogram_counts(x: mx.array, bins: int = 100, low: float | None = None, high: float | None = None) -> mx.array:
    """Counts of ``x`` in equal bins between ``low`` and ``high``, by default its extremes;
    values outside are not counted (``torch.histc``)."""
    x = x.reshape(-1)
    if x.size == 0:
        return mx.zeros((bins,), x.dtype)
    low = x.min() if low is None else low
    high = x.max() if high is None else high
    equal = mx.array(low == high)
    low, high = mx.where(equal, low - 1, low), mx.where(equal, high + 1, high)
    inside = mx.logical_and(x >= low, x <= high)
    places = mx.minimum(((x - low) / (high - low) * bins).astype(mx.int32), bins - 1)
    return mx.zeros((bins + 1,), x.dtype).at[mx.where(inside, places, bins)].add(mx.array(1, x.dtype))[:bins]
