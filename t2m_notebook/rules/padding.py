"""Padding, as layers and as functions."""

from torch import nn as torch_nn

from .array import Array
from .expression import Size, SizeFloat, blocks, mx
from .layouts import AXIS
from .registry import Layer, layer, op, refuse
from .spatial import SPATIAL, batched, per_axis

_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "circular"}


def _widths(x: Array, pad) -> list:
    """(before, after) per axis of MLX's array; torch lists them from the last dimension on."""
    pairs = [(0, 0)] * x.ndim
    for number in range(len(pad) // 2):
        pairs[x.ndim - 1 - number] = (pad[2 * number], pad[2 * number + 1])
    return [pairs[dim] for dim in x.order]


def padded(x: Array, pad, mode: str = "constant", value=0):
    if mode not in _MODES:
        refuse("mode", mode, "use constant, reflect, replicate or circular")
    widths = _widths(x, pad)
    flat = [width for pair in widths for width in pair]
    known = [width for width in flat if not isinstance(width, (Size, SizeFloat))]
    if len(known) == len(flat) and not any(flat):
        return x
    extra = {} if mode == "constant" else {"mode": _MODES[mode]}
    if mode == "circular":
        return blocks.pad_circular(x, widths)
    value = 0 if value is None else value
    if not x.is_floating and not x.is_complex and not isinstance(value, Array):
        value = bool(value) if x.is_bool else int(value)
    negative = any(width < 0 for width in flat)
    if mode == "constant" and not (isinstance(value, (int, float)) and value == 0):
        extra["value" if negative else "constant_values"] = value
    return (blocks.pad_and_crop if negative else mx.pad)(x, widths, **extra)


@op("torch.nn.functional.pad", layout=AXIS)
def pad(input, pad, mode="constant", value=None):
    """`mx.pad` lists the axes from the first on; negative and circular padding are blocks."""
    return padded(input, pad, mode, value)


@op("torch.constant_pad_nd", layout=AXIS)
def constant_pad_nd(input, pad, value=0):
    return padded(input, pad, "constant", value)


def _layer(spatial: int, mode: str):
    def pad_layer(m):
        """Channels last: the widths move to the spatial axes in MLX's order."""
        pad, value = per_axis(m.padding, 2 * spatial), getattr(m, "value", 0)
        widths = tuple((pad[2 * i], pad[2 * i + 1]) for i in reversed(range(spatial)))
        extra = {} if mode == "constant" else {"mode": _MODES[mode]}
        extra |= {"value": value} if value else {}
        return Layer(blocks.PadSpatial(widths, **extra), call=lambda self, input: batched(input, spatial, self),
                     inline=lambda input: padded(input, pad, mode, value))
    return pad_layer


for _n in (1, 2, 3):
    for _name, _mode in (("ConstantPad", "constant"), ("ZeroPad", "constant"), ("ReflectionPad", "reflect"),
                         ("ReplicationPad", "replicate"), ("CircularPad", "circular")):
        layer(getattr(torch_nn, f"{_name}{_n}d"), layout=SPATIAL[_n])(_layer(_n, _mode))


def _primitive(mode: str):
    return lambda input, padding: padded(input, padding, mode)


for _n in (1, 2, 3):
    for _name, _mode in (("reflection_pad", "reflect"), ("replication_pad", "replicate")):
        op(f"torch.nn.functional.{_name}{_n}d", layout=AXIS)(_primitive(_mode))
