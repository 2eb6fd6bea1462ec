"""Upsampling and interpolation, as layers and as functions."""

from torch import nn as torch_nn

from .array import Array
from .expression import Size, SizeFloat, blocks, mlx_dtype, nn
from .layouts import CHANNELS_LAST
from .registry import Layer, layer, op, refuse
from .spatial import once, per_axis

_MLX_MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}
_EXACT = ("nearest", "nearest-exact", "area")


def _is_plain(factor) -> bool:
    return isinstance(factor, (int, float)) and not isinstance(factor, (Size, SizeFloat)) and factor == int(factor) > 0


def _upsample(size, scale_factor, mode, align_corners, recompute, antialias, spatial):
    """MLX's layer where it computes the same (whole factors), or None."""
    if size is not None or antialias or mode not in _MLX_MODES or scale_factor is None:
        return None
    factors = scale_factor if isinstance(scale_factor, (tuple, list)) else (scale_factor,)
    if not all(_is_plain(factor) for factor in factors):
        return None
    keywords = {"scale_factor": once([int(factor) for factor in factors])}
    if mode != "nearest":
        keywords["mode"] = _MLX_MODES[mode]
    if align_corners:
        keywords["align_corners"] = True
    return nn.Upsample(**keywords)


def _options(size, scale_factor, mode, align_corners, recompute, antialias, spatial) -> dict:
    name, value = ("size", size) if size is not None else ("scale_factor", scale_factor)
    given = {name: per_axis(value, spatial) if spatial else once(value)}
    given["mode"] = "bilinear" if mode in ("linear", "trilinear") else mode
    if align_corners:
        given["align_corners"] = True
    if antialias:
        given["antialias"] = True
    if recompute and size is None:
        given["recompute_scale_factor"] = True
    return given


def _same_type(value, x: Array, mode: str):
    """MLX's weights are float32 and would widen half precision."""
    return value if mode == "nearest" or x.dtype in ("float32", "float64") else value.astype(mlx_dtype(x.dtype))


@layer(torch_nn.Upsample, layout=CHANNELS_LAST)
def upsample_layer(m):
    """`nn.Upsample` for whole scale factors; a block for `size=` and fractions."""
    options = (m.size, m.scale_factor, m.mode, m.align_corners, m.recompute_scale_factor, False)
    plain = _upsample(*options, None)
    if plain is not None:
        return Layer(plain, call=lambda self, input: _same_type(self(input), input, m.mode))
    given = _options(*options, None)
    return blocks.InterpolateSpatial(**given)


@op("torch.nn.functional.interpolate", "torch.nn.functional.upsample", layout=CHANNELS_LAST)
def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
                antialias=False):
    """`nn.Upsample` for whole scale factors; a block for sizes and fractions. Sizes follow the input."""
    if not input.is_floating and mode not in ("nearest", "nearest-exact"):
        refuse("input", input.dtype, "torch rounds integers in its own way here; interpolate in float32")
    spatial = input.ndim - 2
    options = (size, scale_factor, mode, align_corners, recompute_scale_factor, antialias, spatial)
    plain = _upsample(*options)
    if plain is not None:
        return _same_type(plain(input), input, mode)
    return blocks.interpolate_spatial(input, **_options(*options))
