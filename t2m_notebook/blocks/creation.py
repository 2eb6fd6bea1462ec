"""Index arrays that MLX does not make, and points whose rounding is torch's."""

import mlx.core as mx

__all__ = ["linspace_from_both_ends", "tril_indices", "triu_indices"]


def tril_indices(rows, columns, offset=0):
    """``(2, n)`` int64: row and column of each element on or below the diagonal, row by row."""
    pairs = [(r, c) for r in range(rows) for c in range(max(0, min(columns, r + offset + 1)))]
    return mx.array(pairs, dtype=mx.int64).reshape(-1, 2).T


def triu_indices(rows, columns, offset=0):
    """``(2, n)`` int64: row and column of each element on or above the diagonal, row by row."""
    pairs = [(r, c) for r in range(rows) for c in range(max(0, r + offset), columns)]
    return mx.array(pairs, dtype=mx.int64).reshape(-1, 2).T


def linspace_from_both_ends(start, end, steps):
    """``steps`` points from ``start`` to ``end``, the second half counted back from the end as torch does.
    ``mx.linspace`` rounds differently: cut to an integer, some of its points are one less."""
    if steps == 1:
        return mx.full((1,), start, dtype=mx.float32)
    step, i = (end - start) / max(steps - 1, 1), mx.arange(steps)
    return mx.where(i < steps // 2, start + step * i, end - step * (steps - 1 - i)).astype(mx.float32)
