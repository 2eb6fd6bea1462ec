"""Cutting arrays into pieces as torch does."""

import mlx.core as mx

__all__ = ["uneven_chunks", "uneven_sections", "sliding_windows"]


def uneven_chunks(x: mx.array, chunks: int, axis: int) -> list[mx.array]:
    """At most ``chunks`` pieces of equal size, the last one smaller (``torch.chunk``)."""
    length = x.shape[axis]
    size = -(-length // chunks) or 1
    return mx.split(x, range(size, length, size), axis=axis) if length else [x] * chunks


def uneven_sections(x: mx.array, sections: int, axis: int) -> list[mx.array]:
    """Exactly ``sections`` pieces, the first ones larger by one (``torch.tensor_split``)."""
    size, larger = divmod(x.shape[axis], sections)
    return mx.split(x, [i * size + min(i, larger) for i in range(1, sections)], axis=axis)


def sliding_windows(x: mx.array, axis: int, size: int, step: int) -> mx.array:
    """All windows of ``size`` elements along ``axis``, ``step`` apart, as a new last axis:
    ``(..., L, ...) -> (..., (L - size) // step + 1, ..., size)``."""
    if x.ndim == 0:
        return x.reshape(1)[:size]
    axis %= x.ndim
    starts = mx.arange(0, x.shape[axis] - size + 1, step)
    windows = mx.take(x, starts[:, None] + mx.arange(size), axis=axis)
    return mx.moveaxis(windows, axis + 1, -1)
