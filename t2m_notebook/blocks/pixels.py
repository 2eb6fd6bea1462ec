"""Moves between channels and space, patches, and sampling at given positions. Channels last."""

import math
from itertools import product

import mlx.core as mx
import mlx.nn as nn

from .pooling import pool_windows
from .upsampling import cubic_weight

__all__ = ["pixel_shuffle_last_axis", "pixel_unshuffle_last_axis", "channel_shuffle_last_axis", "unfold_patches",
           "fold_patches", "affine_sampling_grid", "sample_at_grid", "PixelShuffleLastAxis", "PixelUnshuffleLastAxis",
           "ChannelShuffleLastAxis", "UnfoldPatches", "FoldPatches"]


def pixel_shuffle_last_axis(x: mx.array, factor: int) -> mx.array:
    """(..., H, W, C * r * r) to (..., H * r, W * r, C)."""
    *lead, height, width, channels = x.shape
    x = x.reshape(*lead, height, width, channels // factor**2, factor, factor)
    x = mx.moveaxis(mx.moveaxis(x, -2, -4), -1, -2)  # (..., H, W, C, r, r) to (..., H, r, W, r, C)
    return x.reshape(*lead, height * factor, width * factor, channels // factor**2)


def pixel_unshuffle_last_axis(x: mx.array, factor: int) -> mx.array:
    """(..., H * r, W * r, C) to (..., H, W, C * r * r)."""
    *lead, height, width, channels = x.shape
    x = x.reshape(*lead, height // factor, factor, width // factor, factor, channels)
    x = mx.moveaxis(mx.moveaxis(x, -4, -1), -3, -1)  # (..., H, r, W, r, C) to (..., H, W, C, r, r)
    return x.reshape(*lead, height // factor, width // factor, channels * factor**2)


def channel_shuffle_last_axis(x: mx.array, groups: int) -> mx.array:
    """Take the channels of ``groups`` equal parts in turn."""
    return mx.unflatten(x, -1, (groups, -1)).swapaxes(-1, -2).reshape(x.shape)


def unfold_patches(x: mx.array, kernel_size, dilation=(1, 1), padding=(0, 0), stride=(1, 1)) -> mx.array:
    """Patches of (N, H, W, C): (N, patches, C * kH * kW), the channels outermost."""
    patches = mx.stack(pool_windows(x, kernel_size, stride, padding, dilation, False, 0), axis=-1)
    return patches.flatten(3).flatten(1, 2)


def fold_patches(x: mx.array, output_size, kernel_size, dilation=(1, 1), padding=(0, 0), stride=(1, 1)) -> mx.array:
    """Adds patches (N, patches, C * kH * kW) up to (N, H, W, C): the transpose of :func:`unfold_patches`."""
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1
              for n, k, d, p, s in zip(output_size, kernel_size, dilation, padding, stride)]
    x = x.reshape(x.shape[0], *counts, -1, math.prod(kernel_size))
    total = mx.zeros((x.shape[0], *[n + 2 * p for n, p in zip(output_size, padding)], x.shape[3]), x.dtype)
    for number, offsets in enumerate(product(*map(range, kernel_size))):
        rows, columns = (slice(o * d, o * d + (n - 1) * s + 1, s)
                         for o, d, n, s in zip(offsets, dilation, counts, stride))
        total = total.at[:, rows, columns].add(x[..., number])
    (top, left), (height, width) = padding, output_size
    return total[:, top:top + height, left:left + width]


def affine_sampling_grid(theta: mx.array, size, align_corners: bool = False) -> mx.array:
    """Sampling positions of (N, C, *spatial) under the affine maps ``theta`` (N, n, n + 1), for
    :func:`sample_at_grid`: (N, *spatial, n), the last spatial axis first among the coordinates."""
    spatial = size[2:]
    axes = []
    for count in spatial:
        reach = 1.0 if align_corners or count == 1 else (count - 1) / count
        axes.append(mx.linspace(-reach, reach, count) if count > 1 else mx.zeros(1))
    places = mx.meshgrid(*axes, indexing="ij")[::-1]
    base = mx.stack([*places, mx.ones(tuple(spatial))], axis=-1).reshape(-1, len(spatial) + 1).astype(theta.dtype)
    return (base @ theta.swapaxes(-1, -2)).reshape(theta.shape[0], *spatial, len(spatial))


def reflect_position(place: mx.array, low: float, high: float) -> mx.array:
    """``place`` reflected at ``low`` and ``high`` until it lies between them."""
    span = high - low
    if span == 0:
        return mx.zeros_like(place)
    distance = mx.abs(place - low)
    turns, rest = mx.stop_gradient(mx.floor(distance / span)), distance - mx.floor(distance / span) * span
    return mx.where(turns % 2 == 0, rest + low, high - rest)


def sample_at_grid(x: mx.array, grid: mx.array, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool = False) -> mx.array:
    """Sample (N, *spatial, C) at ``grid`` (N, *out, n), positions from -1 to 1 with the last spatial
    axis first, as :func:`torch.nn.functional.grid_sample`; returns (N, *out, C)."""
    batch, *sizes, channels = x.shape
    n = len(sizes)
    out = grid.shape[1:-1]

    def inside(place, size):
        if padding_mode == "reflection":
            place = (reflect_position(place, 0, size - 1) if align_corners
                     else reflect_position(place, -0.5, size - 0.5))
        return place if padding_mode == "zeros" else mx.clip(place, 0, size - 1)

    places = []
    for axis, size in enumerate(sizes):
        place = grid[..., n - 1 - axis].astype(mx.float32)
        place = (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2
        places.append(place if mode == "bicubic" else inside(place, size))

    taps = []  # per axis: (position, weight) of each neighbour
    for place, size in zip(places, sizes):
        if mode == "nearest":
            taps.append([(mx.round(place), None)])
            continue
        low = mx.stop_gradient(mx.floor(place))
        if mode == "bicubic":
            taps.append([(inside(low + k, size), cubic_weight(place - (low + k), -0.75)) for k in range(-1, 3)])
        else:
            taps.append([(low, 1 - (place - low)), (low + 1, place - low)])

    flat = x.reshape(batch, -1, channels)
    total = 0
    for corner in product(*taps):
        index, weight = 0, mx.ones(grid.shape[:-1])
        for (position, share), size in zip(corner, sizes):
            valid = (position >= 0) & (position <= size - 1)
            index = index * size + mx.clip(position, 0, size - 1).astype(mx.int32)
            weight = weight * (valid if share is None else mx.where(valid, share, 0))
        values = mx.take_along_axis(flat, mx.stop_gradient(index).reshape(batch, -1, 1), axis=1)
        total = total + values.reshape(batch, *out, channels) * weight[..., None]
    return total.astype(x.dtype)


class PixelShuffleLastAxis(nn.Module):
    """:func:`pixel_shuffle_last_axis` as a layer."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def __call__(self, x: mx.array) -> mx.array:
        return pixel_shuffle_last_axis(x, self.factor)


class PixelUnshuffleLastAxis(nn.Module):
    """:func:`pixel_unshuffle_last_axis` as a layer."""

    def __init__(self, factor: int):
        super().__init__()
        self.factor = factor

    def __call__(self, x: mx.array) -> mx.array:
        return pixel_unshuffle_last_axis(x, self.factor)


class ChannelShuffleLastAxis(nn.Module):
    """:func:`channel_shuffle_last_axis` as a layer."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        return channel_shuffle_last_axis(x, self.groups)


class UnfoldPatches(nn.Module):
    """:func:`unfold_patches` as a layer."""

    def __init__(self, kernel_size, dilation=(1, 1), padding=(0, 0), stride=(1, 1)):
        super().__init__()
        self._options = (kernel_size, dilation, padding, stride)

    def __call__(self, x: mx.array) -> mx.array:
        return unfold_patches(x, *self._options)


class FoldPatches(nn.Module):
    """:func:`fold_patches` as a layer."""

    def __init__(self, output_size, kernel_size, dilation=(1, 1), padding=(0, 0), stride=(1, 1)):
        super().__init__()
        self._options = (output_size, kernel_size, dilation, padding, stride)

    def __call__(self, x: mx.array) -> mx.array:
        return fold_patches(x, *self._options)
