"""Running sums, products, extremes, and differences along a dimension."""

from __future__ import annotations

from .expression import blocks, mlx_dtype, mx
from .layouts import AXIS
from .promotion import HALF, cast, in_float
from .registry import op


def _running(function, x, dim, call):
    if x.ndim == 0:
        return cast(x, x.dtype, call.dtype)
    if x.dtype in HALF and call.dtype in HALF:
        return cast(function(in_float(x), axis=x.axis(dim)), "float32", call.dtype)
    return function(cast(x, x.dtype, call.dtype), axis=x.axis(dim))


@op("torch.cumsum", layout=AXIS)
def cumsum(x, dim, dtype=None, *, call):
    """`mx.cumsum`; integers add up in int64 as in torch."""
    return _running(mx.cumsum, x, dim, call)


@op("torch.cumprod", layout=AXIS)
def cumprod(x, dim, dtype=None, *, call):
    """`mx.cumprod`; integers multiply in int64 as in torch."""
    return _running(mx.cumprod, x, dim, call)


@op("torch.logcumsumexp", layout=AXIS)
def logcumsumexp(x, dim, *, call):
    """`mx.logcumsumexp`."""
    return _running(mx.logcumsumexp, x, dim, call)


@op("torch.cummax", layout=AXIS)
def cummax(x, dim):
    """Running maximum and the index of it, the last of equal ones."""
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mlx_dtype("int64"))
    return blocks.cummax_with_indices(x, axis=x.axis(dim))


@op("torch.cummin", layout=AXIS)
def cummin(x, dim):
    """Running minimum and the index of it, the last of equal ones."""
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mlx_dtype("int64"))
    return blocks.cummin_with_indices(x, axis=x.axis(dim))


@op("torch.diff", layout=AXIS)
def diff(x, n=1, dim=-1, prepend=None, append=None):
    """Differences of neighbours: `x[1:] - x[:-1]`, `n` times."""
    if n == 0:
        return x
    axis = x.axis(dim)
    parts = [part for part in (prepend, x, append) if part is not None]
    value = mx.concatenate(parts, axis=axis) if len(parts) > 1 else x
    return blocks.diff(value, axis=axis) if n == 1 else blocks.diff(value, n=n, axis=axis)
