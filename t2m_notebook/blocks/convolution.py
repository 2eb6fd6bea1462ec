"""Convolutions with options that MLX's layers don't take. Channels last throughout."""

import mlx.core as mx
import mlx.nn as nn

from .padding import PadSpatial

__all__ = ["PaddedConv1d", "PaddedConv2d", "PaddedConv3d", "GroupedConv3d", "conv3d_grouped",
           "GroupedConvTranspose1d", "GroupedConvTranspose2d", "GroupedConvTranspose3d", "conv_transpose_grouped",
           "grouped_transpose_weight"]


class PaddedConv1d(nn.Conv1d):
    """1-d convolution of an input that is padded first: ``widths`` holds (before, after) per spatial
    axis, which may differ ("same" with an even kernel), ``mode`` says with what (see :class:`PadSpatial`)."""

    def __init__(self, *args, widths, mode: str = "constant", **kwargs):
        super().__init__(*args, **kwargs)
        self.pad = PadSpatial(widths, mode)

    def __call__(self, x: mx.array) -> mx.array:
        return super().__call__(self.pad(x))


class PaddedConv2d(nn.Conv2d):
    """2-d convolution of an input that is padded first: ``widths`` holds (before, after) per spatial
    axis, which may differ ("same" with an even kernel), ``mode`` says with what (see :class:`PadSpatial`)."""

    def __init__(self, *args, widths, mode: str = "constant", **kwargs):
        super().__init__(*args, **kwargs)
        self.pad = PadSpatial(widths, mode)

    def __call__(self, x: mx.array) -> mx.array:
        return super().__call__(self.pad(x))


def conv3d_grouped(x: mx.array, weight: mx.array, stride=1, padding=0, dilation=1, groups: int = 1) -> mx.array:
    """3-d convolution with groups, which ``mx.conv3d`` lacks: the sum over the kernel's depth of
    grouped 2-d convolutions, whatever the number of groups.

    ``x`` is (N, D, H, W, C), ``weight`` (O, kD, kH, kW, C / groups).
    """
    (sd, *stride), (pd, *padding), (dd, *dilation) = (
        (v, v, v) if isinstance(v, int) else v for v in (stride, padding, dilation))
    x = mx.pad(x, [(0, 0), (pd, pd), (0, 0), (0, 0), (0, 0)])
    depth = (x.shape[1] - dd * (weight.shape[1] - 1) - 1) // sd + 1
    total = 0
    for k in range(weight.shape[1]):
        start = k * dd
        frames = x[:, start:start + (depth - 1) * sd + 1:sd]
        y = mx.conv2d(frames.flatten(0, 1), weight[:, k], tuple(stride), tuple(padding), tuple(dilation), groups)
        total = total + y
    return mx.unflatten(total, 0, (x.shape[0], depth))


class GroupedConv3d(nn.Module):
    """3-d convolution with groups. Weight (O, kD, kH, kW, C / groups). Padding as in :class:`PadSpatial`
    when ``widths`` is given."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0, dilation=1,
                 groups: int = 1, bias: bool = True, widths=None, mode: str = "constant"):
        super().__init__()
        kernel_size = (kernel_size,) * 3 if isinstance(kernel_size, int) else kernel_size
        fan_in = in_channels // groups * kernel_size[0] * kernel_size[1] * kernel_size[2]
        shape = (out_channels, *kernel_size, in_channels // groups)
        self.weight = mx.random.uniform(-fan_in**-0.5, fan_in**-0.5, shape)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.pad = PadSpatial(widths, mode) if widths is not None else None

    def __call__(self, x: mx.array) -> mx.array:
        x = x if self.pad is None else self.pad(x)
        y = conv3d_grouped(x, self.weight, self.stride, self.padding, self.dilation, self.groups)
        return y + self.bias if "bias" in self else y


class PaddedConv3d(nn.Conv3d):
    """3-d convolution of an input that is padded first: ``widths`` holds (before, after) per spatial
    axis, which may differ ("same" with an even kernel), ``mode`` says with what (see :class:`PadSpatial`)."""

    def __init__(self, *args, widths, mode: str = "constant", **kwargs):
        super().__init__(*args, **kwargs)
        self.pad = PadSpatial(widths, mode)

    def __call__(self, x: mx.array) -> mx.array:
        return super().__call__(self.pad(x))


def conv_transpose_grouped(x: mx.array, weight: mx.array, stride=1, padding=0, dilation=1, output_padding=0,
                           groups: int = 1) -> mx.array:
    """Transposed convolution in 1, 2 or 3 dimensions with groups and output padding.

    ``x`` is (N, *spatial, C), ``weight`` (O, *k, C / groups). The padding is cropped from the full
    result, as the gradient of ``mx.conv_transpose*`` is wrong with ``output_padding``.
    """
    n = x.ndim - 2
    padding, extra = ((v,) * n if isinstance(v, int) else v for v in (padding, output_padding))
    if n == 3 and groups > 1:
        parts = zip(mx.split(x, groups, axis=-1), mx.split(weight, groups, axis=0))
        y = mx.concatenate([mx.conv_transpose3d(xi, wi, stride, 0, dilation) for xi, wi in parts], axis=-1)
    else:
        convolve = (mx.conv_transpose1d, mx.conv_transpose2d, mx.conv_transpose3d)[n - 1]
        y = convolve(x, weight, stride, 0, dilation, groups=groups)
    y = mx.pad(y, [(0, 0), *[(0, max(e - p, 0)) for p, e in zip(padding, extra)], (0, 0)])
    ends = [size - max(p - e, 0) for size, p, e in zip(y.shape[1:-1], padding, extra)]
    return y[(slice(None), *[slice(p, end) for p, end in zip(padding, ends)])]


class GroupedConvTranspose1d(nn.ConvTranspose1d):
    """1-d transposed convolution with groups or output padding. Weight (O, k, C / groups)."""

    def __init__(self, in_channels: int, out_channels: int, *args, groups: int = 1, **kwargs):
        super().__init__(in_channels // groups, out_channels, *args, **kwargs)
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        y = conv_transpose_grouped(x, self.weight, self.stride, self.padding, self.dilation, self.output_padding,
                                   self.groups)
        return y + self.bias if "bias" in self else y


class GroupedConvTranspose2d(nn.ConvTranspose2d):
    """2-d transposed convolution with groups or output padding. Weight (O, kH, kW, C / groups)."""

    def __init__(self, in_channels: int, out_channels: int, *args, groups: int = 1, **kwargs):
        super().__init__(in_channels // groups, out_channels, *args, **kwargs)
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        y = conv_transpose_grouped(x, self.weight, self.stride, self.padding, self.dilation, self.output_padding,
                                   self.groups)
        return y + self.bias if "bias" in self else y


class GroupedConvTranspose3d(nn.ConvTranspose3d):
    """3-d transposed convolution with groups or output padding. Weight (O, kD, kH, kW, C / groups)."""

    def __init__(self, in_channels: int, out_channels: int, *args, groups: int = 1, **kwargs):
        super().__init__(in_channels // groups, out_channels, *args, **kwargs)
        self.groups = groups

    def __call__(self, x: mx.array) -> mx.array:
        y = conv_transpose_grouped(x, self.weight, self.stride, self.padding, self.dilation, self.output_padding,
                                   self.groups)
        return y + self.bias if "bias" in self else y


def grouped_transpose_weight(weight: mx.array, groups: int) -> mx.array:
    """The weight of a grouped transposed convolution from (O / groups, *k, C), groups side by side
    on the last axis, to (O, *k, C / groups)."""
    parts = mx.unflatten(weight, -1, (groups, -1))
    return mx.moveaxis(parts, -2, 0).flatten(0, 1)
