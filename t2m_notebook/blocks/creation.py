"""Index arrays that MLX does not make."""

import mlx.core as mx

__all__ = ["tril_indices", "triu_indices"]


def tril_indices(rows, columns, offset=0):
    """``(2, n)`` int64: row and column of each element on or below the diagonal, row by row."""
    pairs = [(r, c) for r in range(rows) for c in range(max(0, min(columns, r + offset + 1)))]
    return mx.array(pairs, dtype=mx.int64).reshape(-1, 2).T


def triu_indices(rows, columns, offset=0):
    """``(2, n)`` int64: row and column of each element on or above the diagonal, row by row."""
    pairs = [(r, c) for r in range(rows) for c in range(max(0, r + offset), columns)]
    return mx.array(pairs, dtype=mx.int64).reshape(-1, 2).T
