"""Functions of whole matrices: powers, exponential, norms, rank, pseudo-inverse."""

import math

import mlx.core as mx

from .linear_algebra import inverse, singular_values
from .matrices import power_norm

__all__ = ["condition_number", "matrix_exponential", "matrix_norm", "matrix_power", "numerical_rank", "pseudo_inverse"]


def matrix_power(a: mx.array, n: int) -> mx.array:
    """``a`` multiplied with itself ``n`` times; negative powers are those of the inverse."""
    if n == 0:
        return mx.broadcast_to(mx.eye(a.shape[-1], dtype=a.dtype), a.shape)
    if n < 0:
        return matrix_power(inverse(a), -n)
    half = matrix_power(a, n // 2) if n > 1 else None
    return a if half is None else half @ half @ a if n % 2 else half @ half


def matrix_exponential(a: mx.array) -> mx.array:
    """``exp(a)`` by scaling, a Taylor polynomial of degree 12, and squaring. The number of
    squarings is chosen per matrix without branching, up to a norm of 4096. Half precision is computed in float32."""
    if a.dtype in (mx.float16, mx.bfloat16):
        return matrix_exponential(a.astype(mx.float32)).astype(a.dtype)
    size = mx.abs(a).sum(axis=-2).max(axis=-1) if a.size else mx.zeros(a.shape[:-2])
    steps = mx.stop_gradient(mx.clip(mx.ceil(mx.log2(mx.maximum(size.astype(mx.float32), 1e-30))) + 1, 0, 13))
    scaled = a * mx.power(2.0, -steps)[..., None, None].astype(a.dtype)
    identity = mx.eye(a.shape[-1], dtype=a.dtype)
    result = identity + scaled / 12
    for degree in range(11, 0, -1):
        result = identity + scaled @ result / degree
    for step in range(13):
        result = mx.where((step < steps)[..., None, None], result @ result, result)
    return result


def matrix_norm(a: mx.array, order="fro", axes: tuple[int, int] = (-2, -1), keepdims: bool = False) -> mx.array:
    """Matrix norms over two axes: ``"fro"``, ``"nuc"``, 1, 2, inf and the negative ones."""
    rows, columns = axes[0] % a.ndim, axes[1] % a.ndim
    if order == "fro":
        return power_norm(a, 2, axis=(rows, columns), keepdims=keepdims)
    if not isinstance(order, str) and abs(order) in (1, math.inf):
        summed, chosen = (rows, columns) if abs(order) == 1 else (columns, rows)
        sums = mx.abs(a).sum(axis=summed, keepdims=True)
        norm = sums.max(axis=chosen, keepdims=True) if order > 0 else sums.min(axis=chosen, keepdims=True)
    else:
        moved = mx.moveaxis(mx.moveaxis(a, rows, -1), columns - (columns > rows), -1)
        values = singular_values(moved)
        norm = values.sum(axis=-1) if order == "nuc" else values.max(axis=-1) if order > 0 else values.min(axis=-1)
        norm = mx.expand_dims(norm, sorted((rows, columns)))
    return norm if keepdims else norm.squeeze((rows, columns))


def condition_number(a: mx.array, order=None) -> mx.array:
    """How much a relative error grows when ``a`` is solved with, in the given matrix norm."""
    if order in (None, 2, -2):
        values = singular_values(a)
        return values[..., -1] / values[..., 0] if order == -2 else values[..., 0] / values[..., -1]
    return matrix_norm(a, order) * matrix_norm(inverse(a), order)


def _threshold(values, shape, rtol, atol):
    """Singular values up to this count as zero (torch's default: eps times the larger side)."""
    if rtol is None:
        rtol = 0.0 if atol is not None and not isinstance(atol, mx.array) and atol > 0 else \
            mx.finfo(values.dtype).eps * max(shape[-2:])
    largest = values.max(axis=-1, keepdims=True)
    return mx.maximum(rtol * largest, 0.0 if atol is None else atol)


def numerical_rank(a: mx.array, rtol=None, atol=None) -> mx.array:
    """Number of singular values above the tolerance."""
    if 0 in a.shape[-2:]:
        return mx.zeros(a.shape[:-2], mx.int32)
    values = mx.linalg.svd(mx.stop_gradient(a), compute_uv=False, stream=mx.cpu)
    return (values > _threshold(values, a.shape, rtol, atol)).sum(axis=-1)


def pseudo_inverse(a: mx.array, rtol=None, atol=None) -> mx.array:
    """Moore-Penrose inverse: ``(..., M, N) -> (..., N, M)``, with the gradient of Golub and
    Pereyra for a constant rank."""
    if 0 in a.shape[-2:]:
        return mx.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)

    @mx.custom_function
    def pinv(a):
        u, s, vt = mx.linalg.svd(a, stream=mx.cpu)
        keep = s > _threshold(s, a.shape, rtol, atol)
        scale = mx.where(keep, 1 / mx.where(keep, s, 1), 0)
        count = s.shape[-1]
        return (vt[..., :count, :].mT * scale[..., None, :]) @ u[..., :count].mT

    @pinv.vjp
    def gradient(a, cotangent, p):
        turned = cotangent.mT
        beside_rows = turned - a @ (p @ turned)
        beside_columns = turned - (turned @ p) @ a
        return beside_rows @ p @ p.mT + p.mT @ p @ beside_columns - p.mT @ cotangent @ p.mT

    return pinv(a)
