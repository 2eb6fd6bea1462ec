"""Variance, norms, medians and quantiles."""

from __future__ import annotations

import math

from .array import Array
from .expression import blocks, mlx_dtype, mx
from .layouts import REDUCE, STANDARD, dims_of
from .promotion import HALF, cast, in_float, wide, wide_dtype
from .reductions import over
from .registry import op, refuse


def _ddof(dim, unbiased, correction):
    """torch's ``(dim, correction)``; a mask in the place of ``dim`` is ``unbiased``."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, int(correction) if float(correction).is_integer() else correction


def _spread(root: bool, x, dim, keepdim, ddof, want):
    """The variance, or its square root."""
    options = over(x, dim, keepdim)
    if isinstance(ddof, int) and ddof:
        options["ddof"] = ddof
    if x.is_complex:  # the spread of both parts together
        value = mx.var(mx.real(x), **options) + mx.var(mx.imag(x), **options)
    elif root and isinstance(ddof, int):
        return cast(blocks.standard_deviation(in_float(x), **options), "float32", want)
    else:
        value = mx.var(in_float(x), **options)
    if isinstance(ddof, float):  # MLX's ddof is a whole number
        count = math.prod(x.shape[d] for d in dims_of(dim, x.ndim))
        value = value * (count / (count - ddof))
    return cast(mx.sqrt(value) if root else value, "float32", want)


@op("torch.var", layout=REDUCE)
def var(x, dim=None, unbiased=None, keepdim=False, correction=None, *, call):
    """`mx.var(..., ddof=1)`; torch divides by n - 1 unless told otherwise."""
    dim, ddof = _ddof(dim, unbiased, correction)
    return _spread(False, x, dim, keepdim, ddof, call.dtype)


@op("torch.std", layout=REDUCE)
def std(x, dim=None, unbiased=None, keepdim=False, correction=None, *, call):
    """The root of `mx.var(..., ddof=1)`, with gradient 0 where all values are equal; that of `mx.std` is NaN."""
    dim, ddof = _ddof(dim, unbiased, correction)
    return _spread(True, x, dim, keepdim, ddof, call.dtype)


def _mean(x, dim, keepdim, want):
    return cast(mx.mean(in_float(x), **over(x, dim, keepdim)), wide_dtype(x), want)


@op("torch.var_mean", layout=REDUCE)
def var_mean(x, dim=None, unbiased=None, keepdim=False, correction=None, *, call):
    """`mx.var` and `mx.mean`."""
    dim, ddof = _ddof(dim, unbiased, correction)
    return _spread(False, x, dim, keepdim, ddof, call.dtype), _mean(x, dim, keepdim, call.outputs[1].dtype)


@op("torch.std_mean", layout=REDUCE)
def std_mean(x, dim=None, unbiased=None, keepdim=False, correction=None, *, call):
    """The standard deviation and `mx.mean`."""
    dim, ddof = _ddof(dim, unbiased, correction)
    return _spread(True, x, dim, keepdim, ddof, call.dtype), _mean(x, dim, keepdim, call.outputs[1].dtype)


@op("torch.linalg.vector_norm", layout=REDUCE)
def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None, *, call):
    """A vector norm whose gradient at 0 is 0, as in torch; that of `mx.linalg.norm` is NaN there."""
    options = over(x, dim, keepdim)
    value = x if dtype is None else cast(x, x.dtype, str(dtype).removeprefix("torch."))
    value = wide(x) if dtype is None else cast(value, str(dtype).removeprefix("torch."), "float32") \
        if not x.is_complex else value
    ord = ord if ord in (math.inf, -math.inf) or not float(ord).is_integer() else int(ord)
    ordinal = {} if ord == 2 else {"ord": ord}
    return cast(blocks.vector_norm(value, **ordinal, **options), "float32", call.dtype)


@op("torch.norm", layout=REDUCE)
def norm(x, p="fro", dim=None, keepdim=False, dtype=None, *, call):
    """A vector norm over the dimensions; the Frobenius norm is that of order 2."""
    if p == "nuc":
        refuse("p", p, "use torch.linalg.matrix_norm, or the sum of torch.linalg.svdvals")
    return vector_norm(x, 2 if p in ("fro", None) else p, dim, keepdim, dtype, call=call)


@op("torch.dist", layout=STANDARD)
def dist(x, other, p=2, *, call):
    """The norm of `x - y`."""
    p = p if p in (math.inf, -math.inf) or not float(p).is_integer() else int(p)
    difference = cast(x - other, call.dtype, "float32") if call.dtype in HALF else x - other
    return cast(blocks.vector_norm(difference, **({} if p == 2 else {"ord": p})), "float32", call.dtype)


def _median(name, x, dim, keepdim):
    block = getattr(blocks, f"{name}_with_indices")
    if dim is None:
        if x.ndim == 0:
            return x
        return getattr(blocks, name)(x) if x.is_floating else block(x.reshape(-1))[0]
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mlx_dtype("int64"))
    return block(x, **over(x, dim, keepdim))


@op("torch.median", layout=REDUCE)
def median(x, dim=None, keepdim=False):
    """The lower of the two middle values, with its index; `mx.median` averages them."""
    return _median("median", x, dim, keepdim)


@op("torch.nanmedian", layout=REDUCE)
def nanmedian(x, dim=None, keepdim=False):
    """The lower of the two middle values that are not NaN, with its index."""
    return _median("nanmedian" if x.is_floating else "median", x, dim, keepdim)


@op("torch.mode", layout=REDUCE)
def mode(x, dim=-1, keepdim=False):
    """The most frequent value, the smallest of equally frequent ones, and its last index."""
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mlx_dtype("int64"))
    return blocks.mode_with_indices(x, **over(x, dim, keepdim))


def _quantile(block, x, q, dim, keepdim, interpolation):
    q = mx.array(q) if not isinstance(q, Array) else q
    options = {"interpolation": interpolation} if interpolation != "linear" else {}
    if dim is None:
        value = block(x.reshape(-1), q, axis=0, **options)
        if keepdim and x.ndim:
            batch = [-1] if isinstance(q, Array) and q.ndim else []
            return value.reshape(*batch, *[1] * x.ndim)
        return value
    if x.ndim == 0:
        return block(x.reshape(1), q, axis=0, **options)
    return block(x, q, axis=int(dim), **({"keepdims": True} if keepdim else {}), **options)


@op("torch.quantile", layout=STANDARD)
def quantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    """Quantiles from the sorted values."""
    return _quantile(blocks.quantile, x, q, dim, keepdim, interpolation)


@op("torch.nanquantile", layout=STANDARD)
def nanquantile(x, q, dim=None, keepdim=False, interpolation="linear"):
    """Quantiles of the values that are not NaN."""
    return _quantile(blocks.nanquantile, x, q, dim, keepdim, interpolation)


def _in_float32(function, x, call, **options):
    if call.dtype in HALF:
        return cast(function(in_float(x), **options), "float32", call.dtype)
    return function(x, **options)


@op("torch.cov", layout=STANDARD)
def cov(x, correction=1, fweights=None, aweights=None, *, call):
    """The covariance matrix of the rows."""
    options = {"correction": correction} if correction != 1 else {}
    options |= {"repeats": fweights} if fweights is not None else {}
    options |= {"weights": aweights} if aweights is not None else {}
    return _in_float32(blocks.covariance, x, call, **options)


@op("torch.corrcoef", layout=STANDARD)
def corrcoef(x, *, call):
    """The correlation matrix of the rows."""
    return _in_float32(blocks.correlation, x, call)
