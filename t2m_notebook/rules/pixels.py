"""Moves between channels and space, patches, and sampling at given positions."""

from torch import nn as torch_nn

from .array import standard
from .expression import blocks
from .layouts import CHANNELS_LAST, STANDARD, Layout, Plan
from .registry import Layer, layer, op, refuse
from .spatial import SPATIAL, batched, per_axis, spatial_order

# -- shuffles ---------------------------------------------------------------------------


@layer(torch_nn.PixelShuffle, layout=SPATIAL[2])
def pixel_shuffle_layer(m):
    return Layer(blocks.PixelShuffleLastAxis(m.upscale_factor),
                 inline=lambda input: pixel_shuffle(input, m.upscale_factor))


@op("torch.nn.functional.pixel_shuffle", layout=SPATIAL[2])
def pixel_shuffle(input, upscale_factor):
    return blocks.pixel_shuffle_last_axis(input, upscale_factor)


@layer(torch_nn.PixelUnshuffle, layout=SPATIAL[2])
def pixel_unshuffle_layer(m):
    return Layer(blocks.PixelUnshuffleLastAxis(m.downscale_factor),
                 inline=lambda input: pixel_unshuffle(input, m.downscale_factor))


@op("torch.nn.functional.pixel_unshuffle", layout=SPATIAL[2])
def pixel_unshuffle(input, downscale_factor):
    return blocks.pixel_unshuffle_last_axis(input, downscale_factor)


@layer(torch_nn.ChannelShuffle, layout=CHANNELS_LAST)
def channel_shuffle_layer(m):
    return Layer(blocks.ChannelShuffleLastAxis(m.groups), inline=lambda input: channel_shuffle(input, m.groups))


@op("torch.nn.functional.channel_shuffle", "torch.nn.functional.native_channel_shuffle", layout=CHANNELS_LAST)
def channel_shuffle(input, groups):
    return blocks.channel_shuffle_last_axis(input, groups)


# -- patches ----------------------------------------------------------------------------

def _patch_order(ndim: int):
    """``(N, C * kH * kW, L)`` as ``(N, L, C * kH * kW)``: where the patches come from and go to."""
    return (*range(ndim - 2), ndim - 1, ndim - 2)


def _unfold_forward(call, arrays, wanted) -> Plan:
    return Plan((spatial_order(arrays[0].ndim, 2),), (_patch_order(len(call.outputs[0].shape)),))


def _fold_forward(call, arrays, wanted) -> Plan:
    return Plan((_patch_order(arrays[0].ndim),), (spatial_order(len(call.outputs[0].shape), 2),))


_UNFOLD = Layout("patches", _unfold_forward, SPATIAL[2].backward)
_FOLD = Layout("patches", _fold_forward, lambda call, arrays, wanted: [_patch_order(arrays[0].ndim)])


def _patch_options(dilation, padding, stride) -> dict:
    given = {"dilation": (per_axis(dilation, 2), (1, 1)), "padding": (per_axis(padding, 2), (0, 0)),
             "stride": (per_axis(stride, 2), (1, 1))}
    return {name: value for name, (value, default) in given.items() if value != default}


@layer(torch_nn.Unfold, layout=_UNFOLD)
def unfold_layer(m):
    built = blocks.UnfoldPatches(per_axis(m.kernel_size, 2), **_patch_options(m.dilation, m.padding, m.stride))
    return Layer(built, call=lambda self, input: batched(input, 2, self))


@op("torch.nn.functional.unfold", layout=_UNFOLD)
def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """The patches come out as (N, L, C * kH * kW)."""
    options = _patch_options(dilation, padding, stride)
    return batched(input, 2, lambda x: blocks.unfold_patches(x, per_axis(kernel_size, 2), **options))


@layer(torch_nn.Fold, layout=_FOLD)
def fold_layer(m):
    built = blocks.FoldPatches(per_axis(m.output_size, 2), per_axis(m.kernel_size, 2),
                        **_patch_options(m.dilation, m.padding, m.stride))
    return Layer(built, call=lambda self, input: batched(input, 1, self))


@op("torch.nn.functional.fold", layout=_FOLD)
def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The patches arrive as (N, L, C * kH * kW)."""
    options = _patch_options(dilation, padding, stride)
    sizes = per_axis(output_size, 2), per_axis(kernel_size, 2)
    return batched(input, 1, lambda x: blocks.fold_patches(x, *sizes, **options))


# -- sampling ---------------------------------------------------------------------------

def _sample_forward(call, arrays, wanted) -> Plan:
    x, grid = arrays
    order = spatial_order(x.ndim, x.ndim - 2)
    return Plan((order, standard(grid.ndim)), (order,))


def _sample_backward(call, arrays, wanted):
    return [spatial_order(arrays[0].ndim, arrays[0].ndim - 2), standard(arrays[1].ndim)]


_SAMPLE = Layout("channels last", _sample_forward, _sample_backward)


@op("torch.nn.functional.grid_sample", layout=_SAMPLE)
def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    options = {} if mode == "bilinear" else {"mode": mode}
    options |= {} if padding_mode == "zeros" else {"padding_mode": padding_mode}
    options |= {"align_corners": True} if align_corners else {}
    return blocks.sample_at_grid(input, grid, **options)


@op("torch.grid_sampler", "torch.grid_sampler_2d", "torch.grid_sampler_3d", layout=_SAMPLE)
def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    return grid_sample(input, grid, modes[interpolation_mode], paddings[padding_mode], align_corners)


@op("torch.nn.functional.affine_grid", "torch.affine_grid_generator", layout=STANDARD)
def affine_grid(theta, size, align_corners=None):
    if not theta.is_floating:
        refuse("theta", theta.dtype, "cast it to float32")
    return blocks.affine_sampling_grid(theta, tuple(size), **({"align_corners": True} if align_corners else {}))
