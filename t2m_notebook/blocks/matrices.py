"""Constructions on matrices and distances between rows."""

import itertools
import math

import mlx.core as mx

__all__ = ["block_diagonal", "cartesian_product", "diagonal_matrices", "element_combinations", "limit_norms",
           "pairwise_distances", "power_norm", "row_distances", "vandermonde"]


def diagonal_matrices(x: mx.array, offset: int = 0, axis1: int = -2, axis2: int = -1) -> mx.array:
    """``(..., N) -> (..., N + |offset|, N + |offset|)`` with ``x`` on a diagonal, zero elsewhere."""
    size = x.shape[-1] + abs(offset)
    columns = mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(max(offset, 0), max(-offset, 0))])
    matrices = mx.where(mx.eye(size, k=offset, dtype=mx.bool_), columns[..., None, :], mx.zeros((), x.dtype))
    axis1, axis2 = axis1 % matrices.ndim, axis2 % matrices.ndim
    if (axis1, axis2) == (matrices.ndim - 2, matrices.ndim - 1):
        return matrices
    rest = iter(range(x.ndim - 1))
    return matrices.transpose([{axis1: x.ndim - 1, axis2: x.ndim}[axis] if axis in (axis1, axis2) else next(rest)
                               for axis in range(matrices.ndim)])


def block_diagonal(matrices: list[mx.array]) -> mx.array:
    """Matrices along the diagonal of one, zero elsewhere. A vector counts as one row."""
    matrices = [mx.atleast_2d(matrix) for matrix in matrices]
    width = sum(matrix.shape[1] for matrix in matrices)
    rows, before = [], 0
    for matrix in matrices:
        rows.append(mx.pad(matrix, [(0, 0), (before, width - before - matrix.shape[1])]))
        before += matrix.shape[1]
    return mx.concatenate(rows)


def cartesian_product(*vectors: mx.array) -> mx.array:
    """All combinations of one element of each vector, one per row."""
    grids = mx.meshgrid(*vectors, indexing="ij")
    return mx.stack([grid.reshape(-1) for grid in grids], axis=-1)


def element_combinations(x: mx.array, r: int = 2, with_replacement: bool = False) -> mx.array:
    """All ways to choose ``r`` elements of a vector, one per row."""
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = list(choose(range(x.shape[0]), r))
    return mx.take(x, mx.array(places)) if places else mx.zeros((0, r), x.dtype)


def vandermonde(x: mx.array, count: int) -> mx.array:
    """Powers 0 to ``count - 1`` of ``x`` along a new last axis."""
    ones = mx.ones((*x.shape, 1), x.dtype)
    if count < 2:
        return ones[..., :count]
    factors = mx.broadcast_to(x[..., None], (*x.shape, count - 1))
    return mx.concatenate([ones, mx.cumprod(factors, axis=-1)], axis=-1)


def power_norm(x: mx.array, p: float = 2, axis=-1, keepdims: bool = False) -> mx.array:
    """The p-norm along ``axis``; its gradient is zero where the norm is zero, as in torch."""
    size = mx.abs(x)
    if p == 0:
        return (x != 0).astype(size.dtype).sum(axis=axis, keepdims=keepdims)
    if p == 1:
        return size.sum(axis=axis, keepdims=keepdims)
    if math.isinf(p):
        return size.max(axis=axis, keepdims=keepdims) if p > 0 else size.min(axis=axis, keepdims=keepdims)
    total = (mx.square(size) if p == 2 else mx.power(mx.where(size == 0, 1, size), p) * (size != 0)).sum(
        axis=axis, keepdims=keepdims)
    root = mx.power(mx.where(total == 0, 1, total), 1 / p) if p != 2 else mx.sqrt(mx.where(total == 0, 1, total))
    return mx.where(total == 0, 0, root)


def pairwise_distances(a: mx.array, b: mx.array, p: float = 2) -> mx.array:
    """p-norm distances of all pairs of rows: ``(..., P, M), (..., R, M) -> (..., P, R)``."""
    return power_norm(a[..., :, None, :] - b[..., None, :, :], p)


def row_distances(x: mx.array, p: float = 2) -> mx.array:
    """Distances of all pairs of rows of one matrix, the upper triangle as a vector."""
    pairs = mx.array(list(itertools.combinations(range(x.shape[0]), 2)), dtype=mx.int32).reshape(-1, 2)
    return power_norm(mx.take(x, pairs[:, 0], axis=0) - mx.take(x, pairs[:, 1], axis=0), p)


def limit_norms(x: mx.array, p: float, axis: int, maximum: float) -> mx.array:
    """Slices along ``axis`` with a p-norm above ``maximum`` scaled down to it (``torch.renorm``)."""
    others = [other for other in range(x.ndim) if other != axis % x.ndim]
    norms = power_norm(x, p, axis=others, keepdims=True)
    return x * mx.where(norms > maximum, maximum / (norms + 1e-7), 1).astype(x.dtype)
