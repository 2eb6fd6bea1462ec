"""Products that MLX leaves out."""

import mlx.core as mx

__all__ = ["integer_matmul", "cross_product"]


def integer_matmul(a: mx.array, b: mx.array) -> mx.array:
    """``a @ b`` for integers, exact: products are formed and summed in the integer dtype.
    ``(..., M, K) @ (..., K, N) -> (..., M, N)``; vectors as in ``mx.matmul``."""
    dtype = mx.result_type(a, b)
    if b.ndim == 1:
        return (a * b).sum(axis=-1).astype(dtype)
    if a.ndim == 1:
        return (a[:, None] * b).sum(axis=-2).astype(dtype)
    return (a[..., :, None] * b[..., None, :, :]).sum(axis=-2).astype(dtype)


def cross_product(a: mx.array, b: mx.array, axis: int = -1) -> mx.array:
    """``a x b`` of vectors of three components along ``axis``; the others broadcast."""
    ax, ay, az = mx.unstack(a, axis=axis)
    bx, by, bz = mx.unstack(b, axis=axis)
    return mx.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=axis)
