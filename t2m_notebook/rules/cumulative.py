"""Running sums, products, extremes, and differences along a dimension."""

from __future__ import annotations

from .array import Array
from .expression import blocks, mlx_dtype, mx
from .layouts import AXIS, STANDARD
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


@op("torch.trapezoid", "torch.trapz", layout=STANDARD)
def trapezoid(y, x=None, dx=None, dim=-1):
    """The area under the values, by the trapezoidal rule."""
    return _area(blocks.trapezoid, y, x, dx, dim)


@op("torch.cumulative_trapezoid", layout=STANDARD)
def cumulative_trapezoid(y, x=None, dx=None, dim=-1):
    """The area up to each value, by the trapezoidal rule."""
    return _area(blocks.cumulative_trapezoid, y, x, dx, dim)


def _area(block, y, x, dx, dim):
    if x is not None and not isinstance(x, Array):
        x, dx = None, x
    options = {"dx": dx} if dx not in (None, 1) else {}
    options |= {"x": x} if x is not None else {}
    return block(y, **options, **({"axis": dim} if dim != -1 else {}))


@op("torch.gradient", layout=STANDARD)
def gradient(x, spacing=1, dim=None, edge_order=1):
    """Central differences inside, one-sided ones at the edges: an array per dimension."""
    spacing = 1 if spacing is None else spacing
    dims = list(range(x.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    spacings = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    def block(step):
        return blocks.gradient_at if isinstance(step, Array) else blocks.gradient
    edges = {"edge_order": 2} if edge_order == 2 else {}
    return tuple(block(step)(x, step, axis=int(d), **edges) for step, d in zip(spacings, dims, strict=True))
