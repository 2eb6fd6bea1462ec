"""Convolutions and transposed convolutions, as layers and as functions."""

from torch import nn as torch_nn

from .array import standard
from .axes import AxisMove
from .expression import blocks, mx, nn
from .layouts import Layout, Plan
from .registry import Layer, layer, op, refuse
from .spatial import SPATIAL, batched, once, options, per_axis, spatial_order

_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0, "bias": True}
_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "circular"}
_AXES = {1: "L", 2: "HW", 3: "DHW"}


def same_widths(kernel, dilation) -> tuple[tuple[int, int], ...]:
    """(before, after) per axis of ``padding="same"``: the odd one goes after."""
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def padding_of(padding, kernel, dilation):
    """A padding argument as numbers per axis, or as (before, after) where the two differ."""
    if padding == "valid":
        return (0,) * len(kernel)
    if padding == "same":
        widths = same_widths(kernel, dilation)
        return tuple(low for low, _ in widths) if all(low == high for low, high in widths) else widths
    return per_axis(padding, len(kernel))


def _layer(spatial: int):
    def convolution(m):
        padding, extra = padding_of(m.padding, m.kernel_size, m.dilation), {}
        if m.padding_mode != "zeros":
            widths = tuple(p if isinstance(p, tuple) else (p, p) for p in padding)
            extra, padding = {"widths": widths, "mode": _PAD_MODES[m.padding_mode]}, (0,)
        elif isinstance(padding[0], tuple):
            extra, padding = {"widths": padding}, (0,)
        if spatial == 3 and m.groups > 1:
            name = blocks.GroupedConv3d
        else:
            name = getattr(blocks, f"PaddedConv{spatial}d") if extra else getattr(nn, f"Conv{spatial}d")
        built = name(m.in_channels, m.out_channels, kernel_size=once(m.kernel_size),
                     **options(_DEFAULTS, stride=m.stride, padding=padding, dilation=m.dilation, groups=m.groups,
                               bias=m.bias is not None), **extra)
        return Layer(built, call=lambda self, input: batched(input, spatial, self))
    convolution.__doc__ = f"""Weight {_AXES[spatial]} moves before the input channels; "same" padding with an even
    kernel and padding modes other than zeros become a padded block."""
    return convolution


for _n, _class in enumerate((torch_nn.Conv1d, torch_nn.Conv2d, torch_nn.Conv3d), 1):
    layer(_class, weights={"weight": f"OI{_AXES[_n]}->O{_AXES[_n]}I"}, layout=SPATIAL[_n])(_layer(_n))


def _output_padding(m, x, output_size):
    """What ``output_size`` asks to add to the smallest output, per axis, from the input's sizes."""
    spatial = len(m.kernel_size)
    wanted = tuple(output_size)[-spatial:]
    least = [(x.shape[x.ndim - spatial + i] - 1) * m.stride[i] - 2 * m.padding[i]
             + m.dilation[i] * (m.kernel_size[i] - 1) + 1 for i in range(spatial)]
    return tuple(w - at_least for w, at_least in zip(wanted, least, strict=True))


def _transposed_weights(spatial: int):
    axes = _AXES[spatial]

    def weights(m):
        if m.groups == 1:
            return {"weight": f"IO{axes}->O{axes}I"}
        split = " ".join(axes)
        return {"weight": AxisMove(f"(g I) O {split} -> (g O) {split} I", (("g", m.groups),))}
    return weights


def _transposed_layer(spatial: int):
    def transposed(m):
        kind = f"ConvTranspose{spatial}d"
        name = getattr(blocks, f"Grouped{kind}") if m.groups > 1 or any(m.output_padding) else getattr(nn, kind)
        built = name(m.in_channels, m.out_channels, kernel_size=once(m.kernel_size),
                     **options(_DEFAULTS, stride=m.stride, padding=m.padding, dilation=m.dilation,
                               output_padding=m.output_padding, groups=m.groups, bias=m.bias is not None))

        def call(self, input, output_size=None):
            if output_size is None:
                return batched(input, spatial, self)
            padding = _output_padding(m, input, output_size)

            def apply(x):
                y = _transposed(spatial, x, self.weight, m.stride, m.padding, padding, m.groups, m.dilation)
                return y + self.bias if m.bias is not None else y
            return batched(input, spatial, apply)
        return Layer(built, call=call)
    transposed.__doc__ = """With `output_size` the padding of the output is computed from the input's size."""
    return transposed


def _transposed(spatial, x, weight, stride, padding, output_padding, groups, dilation):
    tidy = options(_DEFAULTS, stride=per_axis(stride, spatial), padding=per_axis(padding, spatial),
                   dilation=per_axis(dilation, spatial), groups=groups)
    extra = per_axis(output_padding, spatial)
    if all(type(p) is int and p == 0 for p in extra) and not (spatial == 3 and groups > 1):
        return getattr(mx, f"conv_transpose{spatial}d")(x, weight, **tidy)
    if not all(type(p) is int and p == 0 for p in extra):
        tidy["output_padding"] = _sizes(extra)
    return blocks.conv_transpose_grouped(x, weight, **tidy)


def _sizes(values):
    """Numbers that are equal by construction as one; sizes of an example may be equal by chance."""
    return once(values) if all(type(value) is int for value in values) else tuple(values)


for _n, _class in enumerate((torch_nn.ConvTranspose1d, torch_nn.ConvTranspose2d, torch_nn.ConvTranspose3d), 1):
    layer(_class, weights=_transposed_weights(_n), layout=SPATIAL[_n])(_transposed_layer(_n))


def _function(spatial: int):
    def convolution(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        if not input.is_floating:
            refuse("input", input.dtype, "MLX convolves floating point only: cast the input and the weight first")
        dilation = per_axis(dilation, spatial)
        kernel = tuple(weight.shape[2:])
        padding = padding_of(padding, kernel, dilation)
        tidy = options(_DEFAULTS, stride=per_axis(stride, spatial), dilation=dilation, groups=groups)

        def apply(x):
            function, keywords = getattr(mx, f"conv{spatial}d"), dict(tidy)
            if isinstance(padding[0], tuple):
                x = mx.pad(x, [(0, 0), *padding, (0, 0)])
            elif any(type(p) is not int or p for p in padding):
                keywords["padding"] = padding[0] if spatial == 1 else _sizes(padding)
            if spatial == 3 and groups > 1:
                function = blocks.conv3d_grouped
            y = function(x, weight, **keywords)
            return y if bias is None else y + bias
        return batched(input, spatial, apply)
    convolution.__doc__ = "The weight arrives as O *k I."
    return convolution


def _transposed_layout(spatial: int) -> Layout:
    """As for a convolution, but the weight ``I O *k`` arrives as ``O *k I``."""
    def forward(call, arrays, wanted) -> Plan:
        order = (1, *range(2, spatial + 2), 0)
        inputs = (spatial_order(arrays[0].ndim, spatial), order, *(standard(a.ndim) for a in arrays[2:]))
        return Plan(inputs, tuple(spatial_order(len(o.shape), spatial) for o in call.outputs))

    return Layout("channels last", forward, SPATIAL[spatial].backward)


def _transposed_function(spatial: int):
    def transposed(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
        if not input.is_floating:
            refuse("input", input.dtype, "MLX convolves floating point only: cast the input and the weight first")
        moved = weight if groups == 1 else blocks.grouped_transpose_weight(weight, groups)

        def apply(x):
            y = _transposed(spatial, x, moved, stride, padding, output_padding, groups, dilation)
            return y if bias is None else y + bias
        return batched(input, spatial, apply)
    transposed.__doc__ = "The weight arrives as O *k I."
    return transposed


@op("torch.nn.functional.conv_tbc", "torch.conv_tbc")
def conv_tbc(input, weight, bias, pad=0):
    """`mx.conv1d` of (time, batch, channels); the weight is (width, in, out)."""
    padding = {"padding": pad} if pad else {}
    y = mx.conv1d(input.swapaxes(0, 1), weight.transpose(2, 0, 1), **padding).swapaxes(0, 1)
    return y + bias


for _n in (1, 2, 3):
    op(f"torch.nn.functional.conv{_n}d", layout=SPATIAL[_n])(_function(_n))
    op(f"torch.nn.functional.conv_transpose{_n}d", layout=_transposed_layout(_n))(_transposed_function(_n))
