"""Sorting with values and indices together, and distinct values."""

import mlx.core as mx

__all__ = ["kth_smallest", "repeat_positions", "search_rows", "sort_descending", "top_values", "unique_runs",
           "unique_slices", "unique_values"]


def sort_descending(x: mx.array, axis: int = -1) -> tuple[mx.array, mx.array]:
    """Values from large to small and where they stood. Stable; NaN first, as in torch."""
    last = x.shape[axis] - 1
    order = last - mx.flip(mx.argsort(mx.flip(mx.stop_gradient(x), axis), axis=axis).astype(mx.int32), axis)
    return mx.take_along_axis(x, order, axis=axis), order


def top_values(x: mx.array, k: int, axis: int = -1, largest: bool = True) -> tuple[mx.array, mx.array]:
    """The ``k`` largest (or smallest) values in order, and where they stand."""
    steady = mx.stop_gradient(x)
    order = sort_descending(steady, axis)[1] if largest else mx.argsort(steady, axis=axis).astype(mx.int32)
    order = mx.split(order, [k], axis=axis)[0]
    return mx.take_along_axis(x, order, axis=axis), order


def kth_smallest(x: mx.array, k: int, axis: int = -1, keepdims: bool = False) -> tuple[mx.array, mx.array]:
    """The ``k``-th smallest value along ``axis`` (counting from one) and where it stands."""
    order = mx.argsort(mx.stop_gradient(x), axis=axis).astype(mx.int32)
    place = mx.split(order, [k - 1, k], axis=axis)[1]
    value = mx.take_along_axis(x, place, axis=axis)
    return (value, place) if keepdims else (value.squeeze(axis), place.squeeze(axis))


def search_rows(rows: mx.array, values: mx.array, side: str = "left") -> mx.array:
    """``mx.searchsorted`` for each row: ``(..., N)`` sorted, ``(..., M)`` values."""
    before = rows[..., None, :] < values[..., None] if side == "left" else rows[..., None, :] <= values[..., None]
    return before.sum(axis=-1)


def repeat_positions(counts: mx.array, size: int | None = None) -> mx.array:
    """``[2, 0, 3] -> [0, 0, 2, 2, 2]``. Without ``size``, their sum, the counts are evaluated."""
    ends = mx.cumsum(counts)
    size = counts.sum().item() if size is None else size
    return mx.searchsorted(ends, mx.arange(size, dtype=ends.dtype), side="right")


def unique_values(x: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """Distinct values in ascending order, for each element which one it is, and how often
    each occurs. Evaluates ``x`` to know their number."""
    flat = x.reshape(-1)
    order = mx.argsort(flat)
    return _runs(mx.take(flat, order)[:, None], order, x.shape, lambda firsts: mx.take(flat, mx.take(order, firsts)))


def unique_slices(x: mx.array, axis: int = 0) -> tuple[mx.array, mx.array, mx.array]:
    """Distinct slices along ``axis`` in lexicographic order, as :func:`unique_values`."""
    rows = mx.moveaxis(x[..., None], axis % x.ndim, 0).flatten(1)
    order = mx.arange(rows.shape[0])
    for column in range(rows.shape[1] - 1, -1, -1):  # a stable sort by each column, the last first
        order = mx.take(order, mx.argsort(mx.take(rows[:, column], order)))
    def take(firsts):
        return mx.take(x, mx.take(order, firsts), axis=axis)
    return _runs(mx.take(rows, order, axis=0), order, (x.shape[axis],), take)


def unique_runs(x: mx.array, axis: int | None = None) -> tuple[mx.array, mx.array, mx.array]:
    """As :func:`unique_values`, but equal elements (or slices along ``axis``) are joined only
    where they follow one another."""
    if axis is None:
        flat = x.reshape(-1)
        return _runs(flat[:, None], mx.arange(flat.size), x.shape, lambda firsts: mx.take(flat, firsts))
    rows = mx.moveaxis(x[..., None], axis % x.ndim, 0).flatten(1)
    return _runs(rows, mx.arange(rows.shape[0]), (x.shape[axis],), lambda firsts: mx.take(x, firsts, axis=axis))


def _runs(rows, order, shape, take):
    """Runs of equal ``rows``; ``order`` says where each row came from."""
    count = rows.shape[0]
    changed = mx.any(rows[1:] != rows[:-1], axis=1) if count else mx.zeros((0,), mx.bool_)
    begins = mx.concatenate([mx.ones((min(count, 1),), mx.bool_), changed])
    run = mx.cumsum(begins.astype(mx.int32)) - 1
    runs = begins.sum().item()
    firsts = mx.sort(mx.where(begins, mx.arange(count), count))[:runs]
    inverse = mx.put_along_axis(mx.zeros_like(run), order, run, axis=0).reshape(shape) if count else run.reshape(shape)
    ends = mx.concatenate([firsts[1:], mx.full((min(runs, 1),), count, firsts.dtype)])
    return take(firsts), inverse, ends - firsts
