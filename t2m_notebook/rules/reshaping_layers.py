"""Flatten, Unflatten and Identity, with the function rules for flatten and unflatten."""

from __future__ import annotations

from torch import nn as torch_nn

from .array import Array, OutputFacts
from .expression import blocks, nn
from .layouts import POINTWISE, Call, Layout
from .registry import Layer, layer, op_rule, refuse
from .view_layouts import RESHAPE


def _forward(call, arrays, wanted):
    return RESHAPE.forward(call, arrays, [None] * len(call.outputs))


#: As for the function, but chosen from the input alone, so that the layer can tell its result's order.
_LAYER_RESHAPE = Layout("reshape", _forward, RESHAPE.backward)


def _reshaped(name: str, x: Array, shape: tuple[int, ...], *args):
    """What the function's rule emits for a result of ``shape``."""
    call = Call(name, {}, (OutputFacts(shape, x.dtype, tuple(range(len(shape)))),))
    order = _LAYER_RESHAPE.forward(call, [x], [None]).outputs[0]
    call.outputs = (OutputFacts(shape, x.dtype, order),)
    return op_rule(name).emit(x, *args, call=call)


def _layer(built, plain, inline) -> Layer:
    """``plain`` is what the constructed layer would compute; elsewhere the expression stands."""
    def call(self, input):
        expression = inline(input)
        return self(input) if str(expression) == str(plain(input)) or input.is_standard else expression
    return Layer(built, call=call, inline=inline)


@layer(torch_nn.Flatten, layout=_LAYER_RESHAPE)
def flatten_layer(m):
    """`x.flatten(1)`; free in channels-last order where the flattened axes lie together."""
    def inline(input):
        start, end = m.start_dim % max(input.ndim, 1), m.end_dim % max(input.ndim, 1)
        sizes = [int(size) for size in input.shape] or [1]
        product = 1
        for size in sizes[start:end + 1]:
            product *= size
        return _reshaped("torch.flatten", input, (*sizes[:start], product, *sizes[end + 1:]), m.start_dim, m.end_dim)

    keywords = {} if m.start_dim == 1 else {"start_axis": m.start_dim}
    keywords |= {} if m.end_dim == -1 else {"end_axis": m.end_dim}
    ends = (m.start_dim,) if m.end_dim == -1 else (m.start_dim, m.end_dim)
    return _layer(blocks.FlattenAxes(**keywords), lambda x: x.flatten(*ends), inline)


@layer(torch_nn.Unflatten, layout=_LAYER_RESHAPE)
def unflatten_layer(m):
    if not isinstance(m.dim, int):
        refuse("dim", m.dim, "named dimensions have no MLX form; give the dimension's number")

    def inline(input):
        sizes, dim = [int(size) for size in input.shape], m.dim % input.ndim
        known = 1
        for size in m.unflattened_size:
            known *= size if size != -1 else 1
        split = [sizes[dim] // known if size == -1 else size for size in m.unflattened_size]
        return _reshaped("torch.unflatten", input, (*sizes[:dim], *split, *sizes[dim + 1:]), m.dim,
                         tuple(m.unflattened_size))

    built = blocks.UnflattenAxes(m.dim, tuple(m.unflattened_size))
    return _layer(built, lambda x: x, inline)


@layer(torch_nn.Identity, layout=POINTWISE)
def identity_layer(m):
    """Nothing is emitted; in a list it stays `nn.Identity()`."""
    return Layer(nn.Identity(), call=lambda self, input: self(input), inline=lambda input: input)
