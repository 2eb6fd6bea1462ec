"""Activation layers. Applied on their own they read as a function call (``nn.relu(x)``); the
constructor serves a list of layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn as torch_nn

from .expression import blocks, nn
from .layouts import AXIS, CHANNELS_LAST, POINTWISE, Layout
from .registry import Layer, caveat, layer, op_rule, refuse
from .spatial import SPATIAL


def _applied(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """The function's own rule with the layer's options."""
    def inline(input):
        rule = op_rule(name)
        if rule is None:
            refuse(name, None, "no rule for the function that this layer applies")
        return rule.emit(input, *args, **kwargs)
    return inline


def _activation(cls: type, name: str, build: Callable[[Any], Any], options: tuple[str, ...] = (),
                layout: Layout = POINTWISE) -> None:
    """Register a layer that applies ``name`` with its attributes ``options`` as arguments."""
    def activation(m):
        return Layer(build(m), inline=_applied(name, **{option: getattr(m, option) for option in options}))
    activation.__doc__ = f"As `{name.removeprefix('torch.nn.functional.').removeprefix('torch.')}`."
    layer(cls, layout=layout)(activation)


_F = "torch.nn.functional."
_activation(torch_nn.ReLU, _F + "relu", lambda m: nn.ReLU())
_activation(torch_nn.ReLU6, _F + "relu6", lambda m: nn.ReLU6())
_activation(torch_nn.SiLU, _F + "silu", lambda m: nn.SiLU())
_activation(torch_nn.Mish, _F + "mish", lambda m: nn.Mish())
_activation(torch_nn.Sigmoid, "torch.sigmoid", lambda m: nn.Sigmoid())
_activation(torch_nn.Tanh, "torch.tanh", lambda m: nn.Tanh())
_activation(torch_nn.LogSigmoid, _F + "logsigmoid", lambda m: nn.LogSigmoid())
_activation(torch_nn.Softsign, _F + "softsign", lambda m: nn.Softsign())
_activation(torch_nn.Tanhshrink, _F + "tanhshrink", lambda m: blocks.TanhShrinkLayer())
_activation(torch_nn.Hardswish, _F + "hardswish", lambda m: nn.Hardswish())
_activation(torch_nn.Hardsigmoid, _F + "hardsigmoid", lambda m: blocks.HardSigmoidLayer())
_activation(torch_nn.SELU, _F + "selu", lambda m: blocks.SELULayer())


def _given(default: float, **value: float) -> dict[str, float]:
    return {} if default in value.values() else value


_activation(torch_nn.ELU, _F + "elu", lambda m: blocks.ELULayer(**_given(1.0, alpha=m.alpha)), ("alpha",))
_activation(torch_nn.CELU, _F + "celu", lambda m: blocks.CELULayer(**_given(1.0, alpha=m.alpha)), ("alpha",))
_activation(torch_nn.Hardshrink, _F + "hardshrink", lambda m: nn.HardShrink(**_given(0.5, lambd=m.lambd)), ("lambd",))
_activation(torch_nn.Softshrink, _F + "softshrink", lambda m: nn.Softshrink(**_given(0.5, lambd=m.lambd)), ("lambd",))
_activation(torch_nn.Threshold, _F + "threshold", lambda m: blocks.ThresholdLayer(m.threshold, m.value),
            ("threshold", "value"))
_activation(torch_nn.GELU, _F + "gelu", lambda m: nn.GELU() if m.approximate == "none" else nn.GELU(approx="tanh"),
            ("approximate",))
_activation(torch_nn.Hardtanh, _F + "hardtanh", lambda m: nn.HardTanh() if (m.min_val, m.max_val) == (-1, 1)
            else blocks.HardTanhLayer(min_val=m.min_val, max_val=m.max_val), ("min_val", "max_val"))
_activation(torch_nn.Softplus, _F + "softplus", lambda m: nn.Softplus() if (m.beta, m.threshold) == (1, 20)
            else blocks.SoftplusLayer(beta=m.beta, threshold=m.threshold), ("beta", "threshold"))
_activation(torch_nn.LeakyReLU, _F + "leaky_relu", lambda m: (
    nn.LeakyReLU if 0 < m.negative_slope <= 1 else blocks.LeakyReLULayer)(
        **_given(0.01, negative_slope=m.negative_slope)), ("negative_slope",))


@layer(torch_nn.RReLU, layout=POINTWISE)
def rrelu_layer(m):
    """The mean slope in eval mode; a random one in training."""
    if m.training:
        caveat("random: MLX draws other numbers than torch for the same seed")
    return Layer(blocks.RReLULayer(lower=m.lower, upper=m.upper))


@layer(torch_nn.PReLU, layout=CHANNELS_LAST)
def prelu_layer(m):
    """One slope per channel, which is MLX's last axis, or one for all."""
    built = nn.PReLU(num_parameters=m.num_parameters) if m.num_parameters != 1 else nn.PReLU()
    return Layer(built, call=lambda self, input: self(input) if input.ndim else self(input).squeeze())


# -- along a dimension ------------------------------------------------------------------

def _where_axis(dim: int | None, inline: Callable[..., Any]) -> Callable[..., Any]:
    """The layer itself where its axis is the one meant in this layout, else the function."""
    return lambda self, input: self(input) if dim is not None and input.axis(dim) == dim else inline(input)


def _over(cls: type, name: str, mlx_class: Any) -> None:
    def softmax_layer(m):
        """`dim=None` takes torch's old rule: dimension 0 of 0-, 1- and 3-d inputs, else 1."""
        axis, inline = -1 if m.dim is None else m.dim, _applied(name, m.dim)
        built = mlx_class() if axis == -1 else mlx_class(axis=axis)
        return Layer(built, call=_where_axis(m.dim, inline), inline=inline)
    layer(cls, layout=AXIS)(softmax_layer)


_over(torch_nn.Softmax, "torch.softmax", blocks.SoftmaxOverAxis)
_over(torch_nn.Softmin, _F + "softmin", blocks.SoftminOverAxis)
_over(torch_nn.LogSoftmax, "torch.log_softmax", blocks.LogSoftmaxOverAxis)


@layer(torch_nn.Softmax2d, layout=SPATIAL[2])
def softmax2d_layer(m):
    """Over the channels, MLX's last axis."""
    return Layer(blocks.SoftmaxOverAxis(), inline=lambda input: _applied("torch.softmax", -3)(input))


@layer(torch_nn.GLU, layout=AXIS)
def glu_layer(m):
    inline = _applied(_F + "glu", m.dim)
    return Layer(nn.GLU() if m.dim == -1 else nn.GLU(axis=m.dim), call=_where_axis(m.dim, inline), inline=inline)
