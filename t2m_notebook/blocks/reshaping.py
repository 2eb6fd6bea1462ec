"""Changes of shape as layers, for use in a list of layers."""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["FlattenAxes", "UnflattenAxes"]


class FlattenAxes(nn.Module):
    """Merges the axes from ``start_axis`` to ``end_axis``."""

    def __init__(self, start_axis: int = 1, end_axis: int = -1):
        super().__init__()
        self.start_axis, self.end_axis = start_axis, end_axis

    def __call__(self, x: mx.array) -> mx.array:
        return mx.flatten(x, self.start_axis, self.end_axis)


class UnflattenAxes(nn.Module):
    """Splits ``axis`` into axes of the given sizes, one of which may be -1."""

    def __init__(self, axis: int, sizes: tuple[int, ...]):
        super().__init__()
        self.axis, self.sizes = axis, tuple(sizes)

    def __call__(self, x: mx.array) -> mx.array:
        return mx.unflatten(x, self.axis, self.sizes)
