"""Linear and bilinear maps."""

from torch import nn as torch_nn

from .expression import mx, nn
from .layouts import FEATURES_LAST
from .registry import layer, op, refuse


@layer(torch_nn.Linear, layout=FEATURES_LAST)
def linear_layer(m):
    """`nn.Linear`; same weight."""
    bias = {} if m.bias is not None else {"bias": False}
    return nn.Linear(m.in_features, m.out_features, **bias)


def _not_integers(name, x):
    if x.is_integer or x.is_bool:
        refuse(name, x.dtype, "MLX multiplies matrices of floating point here: cast the arguments first")


@op("torch.nn.functional.linear", layout=FEATURES_LAST)
def linear(input, weight, bias=None):
    """`x @ weight.T + bias`"""
    _not_integers("input", input)
    product = input @ (weight.T if weight.ndim == 2 else weight)
    return product if bias is None else product + bias


@layer(torch_nn.Bilinear, weights={"weight": "OIJ->OJI"})
def bilinear_layer(m):
    """`nn.Bilinear`; its weight has the second input's axis before the first's."""
    bias = {} if m.bias is not None else {"bias": False}
    return nn.Bilinear(m.in1_features, m.in2_features, m.out_features, **bias)


@op("torch.nn.functional.bilinear", "torch.bilinear")
def bilinear(input1, input2, weight, bias=None):
    _not_integers("input1", input1)
    product = mx.einsum("...i,oij,...j->...o", input1, weight, input2)
    return product if bias is None else product + bias
