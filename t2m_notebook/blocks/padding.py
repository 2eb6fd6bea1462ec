"""Padding that ``mx.pad`` has no mode for."""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["pad_circular", "pad_and_crop", "PadSpatial"]


def pad_circular(x: mx.array, widths: list[tuple[int, int]]) -> mx.array:
    """Wrap around. ``widths`` gives (before, after) for every axis of ``x``; a negative width crops
    that end, and what is left is wrapped."""
    for axis, (before, after) in enumerate(widths):
        if before or after:
            index = mx.arange(max(-before, 0), x.shape[axis] - max(-after, 0))
            size = index.shape[0]
            index = mx.concatenate([index[size - max(before, 0):], index, index[:max(after, 0)]])
            x = mx.take(x, index, axis=axis)
    return x


def pad_and_crop(x: mx.array, widths: list[tuple[int, int]], mode: str = "constant", value: float = 0) -> mx.array:
    """``mx.pad`` where a negative width crops that end of the axis."""
    x = mx.pad(x, [(max(before, 0), max(after, 0)) for before, after in widths], mode=mode, constant_values=value)
    return x[tuple(slice(max(-before, 0), size - max(-after, 0)) for (before, after), size in zip(widths, x.shape))]


class PadSpatial(nn.Module):
    """Pads the spatial axes of ``(N, *spatial, C)``. ``widths``: (before, after) per spatial axis;
    ``mode``: "constant", "edge", "reflect" or "circular"."""

    def __init__(self, widths: tuple[tuple[int, int], ...], mode: str = "constant", value: float = 0):
        super().__init__()
        self.widths, self.mode, self.value = tuple(widths), mode, value

    def __call__(self, x: mx.array) -> mx.array:
        widths = [(0, 0), *self.widths, (0, 0)]
        if self.mode == "circular":
            return pad_circular(x, widths)
        return pad_and_crop(x, widths, self.mode, self.value)
