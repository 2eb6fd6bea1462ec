"""Sums, means, extremes and truth over dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arithmetic import extreme
from .array import Array, Order
from .expression import Expr, blocks, mlx_dtype, mx
from .layouts import POINTWISE, REDUCE, STANDARD, Call, Layout, Plan
from .promotion import HALF, cast, in_float, result, steady
from .registry import op, refuse


def over(x: Array, dim: Any, keepdim: Any = False) -> dict[str, Any]:
    """``axis`` and ``keepdims`` of an MLX reduction, left out where they are MLX's defaults."""
    options: dict[str, Any] = {}
    if isinstance(dim, (tuple, list)):
        dims = [int(d) % max(x.ndim, 1) for d in dim]
        if 0 < len(dims) and x.ndim:
            everything = len(dims) == x.ndim
            axes = tuple(x.axis(d) for d in dim)
            if not everything:
                options["axis"] = axes if len(axes) > 1 else axes[0]
    elif dim is not None and x.ndim:
        options["axis"] = x.axis(dim)
    if keepdim and x.ndim:
        options["keepdims"] = True
    return options


def _total(function: Expr, x: Array, dim, keepdim, dtype, call: Call) -> Expr:
    """A sum or product in the dtype that torch accumulates and returns."""
    want = call.dtype
    options = over(x, dim, keepdim)
    if want in HALF and x.dtype in HALF:
        return cast(function(in_float(x), **options), "float32", want)
    if want == "bool":  # a product or sum written into a mask in place
        return function(x, **options).astype(mlx_dtype("bool"))
    return function(cast(x, x.dtype, want), **options)


@op("torch.sum", "torch.Tensor.sum", "torch.sum_copy", layout=REDUCE)
def sum_over(x, dim=None, keepdim=False, dtype=None, *, call):
    """`mx.sum`; integers add up in int64 as in torch, half precision in float32."""
    return _total(mx.sum, x, dim, keepdim, dtype, call)


@op("torch.prod", layout=REDUCE)
def prod_over(x, dim=None, keepdim=False, dtype=None, *, call):
    """`mx.prod`; integers multiply in int64 as in torch."""
    if dim is None and x.numel == 0:
        return mx.ones((), dtype=mlx_dtype(call.dtype))  # MLX may never end on an empty array
    return _total(mx.prod, x, dim, keepdim, dtype, call)


@op("torch.nansum", layout=REDUCE)
def nansum(x, dim=None, keepdim=False, dtype=None, *, call):
    """`mx.sum` with NaN counted as 0."""
    if not x.is_floating:
        return _total(mx.sum, x, dim, keepdim, dtype, call)
    value = mx.where(mx.isnan(x), 0, x)
    return cast(mx.sum(cast(value, x.dtype, "float32" if x.dtype in HALF else call.dtype), **over(x, dim, keepdim)),
                "float32" if x.dtype in HALF else call.dtype, call.dtype)


@op("torch.mean", layout=REDUCE)
def mean_over(x, dim=None, keepdim=False, dtype=None, *, call):
    """`mx.mean`; half precision is summed in float32."""
    if x.dtype in HALF:
        return cast(mx.mean(in_float(x), **over(x, dim, keepdim)), "float32", call.dtype)
    return cast(mx.mean(x, **over(x, dim, keepdim)), _mean_dtype(x), call.dtype)


def _mean_dtype(x: Array) -> str:
    return x.dtype if x.is_floating or x.is_complex else "float32"


@op("torch.nanmean", layout=REDUCE)
def nanmean(x, dim=None, keepdim=False, dtype=None, *, call):
    """The mean of the values that are not NaN."""
    return cast(blocks.nanmean(in_float(x), **over(x, dim, keepdim)),
                "float32" if x.dtype in HALF else x.dtype, call.dtype)


@op("torch.amax", layout=REDUCE)
def amax(x, dim=(), keepdim=False):
    """`mx.max`."""
    return mx.max(x, **over(x, dim, keepdim)) if x.ndim else x


@op("torch.amin", layout=REDUCE)
def amin(x, dim=(), keepdim=False):
    """`mx.min`."""
    return mx.min(x, **over(x, dim, keepdim)) if x.ndim else x


@op("torch.aminmax", layout=REDUCE)
def aminmax(x, dim=None, keepdim=False):
    """`mx.min` and `mx.max`."""
    options = over(x, dim, keepdim)
    return mx.min(x, **options), mx.max(x, **options)


def _extreme_forward(call: Call, arrays: Sequence[Array], wanted: Sequence[Order | None]) -> Plan:
    return (POINTWISE if len(arrays) > 1 else REDUCE).forward(call, arrays, wanted)


def _extreme_backward(call: Call, arrays: Sequence[Array], wanted: Sequence[Order | None]):
    return (POINTWISE if len(arrays) > 1 else REDUCE).backward(call, arrays, wanted)


#: ``torch.max`` of one tensor reduces, of two compares elementwise.
EXTREME = Layout("extreme", _extreme_forward, _extreme_backward)


def _extreme(x, dim, keepdim, other, call, pick: str):
    reduction, index = getattr(mx, pick), getattr(mx, f"arg{pick}")
    other = dim if isinstance(dim, Array) else other
    if other is not None:
        return extreme("maximum" if pick == "max" else "minimum", x, other, call)
    if dim is None:
        return reduction(x)
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mlx_dtype("int64"))
    options = over(x, dim, keepdim)
    if x.is_floating:  # torch sends the gradient to the element at the index
        return getattr(blocks, f"{pick}_with_indices")(x, **options)
    return reduction(x, **options), index(x, **options).astype(mlx_dtype("int64"))


@op("torch.max", layout=EXTREME)
def max_over(x, dim=None, keepdim=False, other=None, *, call):
    """`mx.max`; the elementwise maximum of two tensors; values and indices along a dimension."""
    return _extreme(x, dim, keepdim, other, call, "max")


@op("torch.min", layout=EXTREME)
def min_over(x, dim=None, keepdim=False, other=None, *, call):
    """`mx.min`; the elementwise minimum of two tensors; values and indices along a dimension."""
    return _extreme(x, dim, keepdim, other, call, "min")


def _index_of(function, x, dim, keepdim):
    if dim is None and not x.is_standard:
        refuse("dim", None, "the flat index depends on the order of the axes")
    if x.ndim == 0:
        return mx.zeros((), dtype=mlx_dtype("int64"))
    return steady(function(x, **over(x, dim, keepdim)), x).astype(mlx_dtype("int64"))


def _argument_forward(call: Call, arrays: Sequence[Array], wanted: Sequence[Order | None]) -> Plan:
    return (STANDARD if call.arguments.get("dim") is None else REDUCE).forward(call, arrays, wanted)


#: An index over all dimensions counts in torch's order, one along a dimension in any.
INDEX = Layout("index", _argument_forward, REDUCE.backward)


@op("torch.argmax", layout=INDEX)
def argmax(x, dim=None, keepdim=False):
    """`mx.argmax`, as int64 and without a gradient."""
    return _index_of(mx.argmax, x, dim, keepdim)


@op("torch.argmin", layout=INDEX)
def argmin(x, dim=None, keepdim=False):
    """`mx.argmin`, as int64 and without a gradient."""
    return _index_of(mx.argmin, x, dim, keepdim)


@op("torch.any", layout=REDUCE)
def any_over(x, dim=None, keepdim=False, *, call):
    """`mx.any`."""
    return result(mx.any(x, **over(x, dim, keepdim)), "bool", call)


@op("torch.all", layout=REDUCE)
def all_over(x, dim=None, keepdim=False, *, call):
    """`mx.all`."""
    return result(mx.all(x, **over(x, dim, keepdim)), "bool", call)


@op("torch.count_nonzero", layout=REDUCE)
def count_nonzero(x, dim=None):
    """`mx.sum(x != 0)`, as int64."""
    mask = x if x.is_bool else x != 0
    return mx.sum(mask.astype(mlx_dtype("int64")), **over(x, dim))


@op("torch.logsumexp", "torch.special.logsumexp", layout=REDUCE)
def logsumexp(x, dim=None, keepdim=False, *, call):
    """`mx.logsumexp`; half precision is summed in float32."""
    if x.is_complex:
        refuse("dtype", x.dtype, "MLX's logsumexp takes real numbers")
    if x.ndim == 0:
        return cast(x, x.dtype, call.dtype)
    value = in_float(x) if x.is_floating else x.astype(mlx_dtype("float32"))
    return cast(mx.logsumexp(value, **over(x, dim, keepdim)), "float32", call.dtype)
