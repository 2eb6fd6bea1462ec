"""Padding that ``mx.pad`` has no mode for."""

import mlx.core as mx

__all__ = ["crop_and_pad", "pad_circular", "Pad"]


def pad_circular(x: mx.array, widths: list[tuple[int, int]]) -> mx.array:
    """Wrap around: ``widths`` gives (before, after) for every axis of ``x``, each at most the
    size of that axis; a negative width crops."""
    for axis, (before, after) in enumerate(widths):
        size = x.shape[axis]
        if before < 0 or after < 0:
            x = mx.take(x, mx.arange(max(-before, 0), size - max(-after, 0)), axis=axis)
        # The two ends are wrapped from what is left after cropping, as torch does.
        kept = x.shape[axis]
        head, body = mx.arange(kept - max(before, 0), kept), mx.arange(kept)
        tail = mx.arange(max(after, 0))
        if before > 0 or after > 0:
            x = mx.take(x, mx.concatenate([head, body, tail]), axis=axis)
    return x


def crop_and_pad(x: mx.array, widths: list[tuple[int, int]], mode: str = "constant", value: float = 0) -> mx.array:
    """``mx.pad`` where a negative width crops that end of the axis."""
    ends = tuple(slice(max(-before, 0), size - max(-after, 0)) for (before, after), size in zip(widths, x.shape))
    grown = [(max(before, 0), max(after, 0)) for before, after in widths]
    return mx.pad(x[ends], grown, mode=mode, constant_values=value)
