"""Activations as functions, softmax and its kin."""

from __future__ import annotations

from .array import Array
from .expression import blocks, dtype_text, mlx_dtype, mx, nn
from .layouts import AXIS, POINTWISE
from .promotion import cast
from .registry import caveat, op, refuse


@op("torch.nn.functional.relu", "torch.relu", layout=POINTWISE)
def relu(x):
    """`nn.relu`."""
    return nn.relu(x)


@op("torch.nn.functional.relu6", layout=POINTWISE)
def relu6(x):
    """`nn.relu6`."""
    return nn.relu6(x) if x.is_floating else mx.clip(x, 0, 6)


@op("torch.nn.functional.gelu", layout=POINTWISE)
def gelu(x, approximate="none"):
    """`nn.gelu` (with erf), `nn.gelu_approx` for `approximate="tanh"`."""
    return nn.gelu(x) if approximate == "none" else nn.gelu_approx(x)


@op("torch.nn.functional.silu", layout=POINTWISE)
def silu(x):
    """`nn.silu`."""
    return nn.silu(x)


@op("torch.nn.functional.mish", layout=POINTWISE)
def mish(x):
    """`nn.mish`."""
    return nn.mish(x)


@op("torch.nn.functional.softplus", layout=POINTWISE)
def softplus(x, beta=1, threshold=20):
    """`nn.softplus`. Above the threshold torch returns x itself, which differs by less than rounding from 20 on."""
    if threshold < 15:
        return blocks.softplus_with_threshold(x, beta=beta, threshold=threshold)
    return nn.softplus(x) if beta == 1 else nn.softplus(beta * x) / beta


@op("torch.nn.functional.logsigmoid", layout=POINTWISE)
def logsigmoid(x):
    """`nn.log_sigmoid`."""
    return nn.log_sigmoid(x)


@op("torch.nn.functional.softsign", layout=POINTWISE)
def softsign(x):
    """`nn.softsign`."""
    return nn.softsign(x)


@op("torch.nn.functional.tanhshrink", layout=POINTWISE)
def tanhshrink(x):
    """`x - mx.tanh(x)`."""
    return x - mx.tanh(x)


@op("torch.nn.functional.hardtanh", layout=POINTWISE)
def hardtanh(x, min_val=-1.0, max_val=1.0):
    """`mx.clip`; both frameworks give the bounds a gradient of 0."""
    if x.is_integer:
        min_val, max_val = int(min_val), int(max_val)
    return mx.clip(x, min_val, max_val)


@op("torch.nn.functional.hardsigmoid", layout=POINTWISE)
def hardsigmoid(x):
    """`mx.clip(x + 3, 0, 6) / 6`."""
    return mx.clip(x + 3, 0, 6) / 6


@op("torch.nn.functional.hardswish", layout=POINTWISE)
def hardswish(x):
    """`nn.hardswish`."""
    return nn.hardswish(x)


@op("torch.nn.functional.hardshrink", layout=POINTWISE)
def hardshrink(x, lambd=0.5):
    """`nn.hard_shrink`."""
    return nn.hard_shrink(x) if lambd == 0.5 else nn.hard_shrink(x, lambd=lambd)


@op("torch.nn.functional.softshrink", layout=POINTWISE)
def softshrink(x, lambd=0.5):
    """`nn.softshrink`."""
    return nn.softshrink(x) if lambd == 0.5 else nn.softshrink(x, lambd=lambd)


@op("torch.nn.functional.threshold", layout=POINTWISE)
def threshold(x, threshold, value):
    """`mx.where(x > threshold, x, value)`."""
    return mx.where(x > threshold, x, int(value) if x.is_integer else value)


@op("torch.nn.functional.leaky_relu", layout=POINTWISE)
def leaky_relu(x, negative_slope=0.01):
    """`mx.maximum(x, slope * x)`; in this order the gradient at 0 is the slope, as in torch."""
    if 0 < negative_slope <= 1:
        return mx.maximum(x, negative_slope * x)
    return mx.where(x > 0, x, negative_slope * x)


@op("torch.nn.functional.elu", layout=POINTWISE)
def elu(x, alpha=1.0):
    """`alpha * (exp(x) - 1)` below 0, without the overflow of `nn.elu`'s gradient."""
    return blocks.elu(x) if alpha == 1 else blocks.elu(x, alpha=alpha)


@op("torch.nn.functional.celu", layout=POINTWISE)
def celu(x, alpha=1.0):
    """`alpha * (exp(x / alpha) - 1)` below 0."""
    return blocks.elu(x) if alpha == 1 else blocks.celu(x, alpha=alpha)


@op("torch.nn.functional.selu", layout=POINTWISE)
def selu(x):
    """Scaled `elu` with torch's constants."""
    return blocks.selu(x)


@op("torch.nn.functional.prelu", layout=AXIS)
def prelu(x, weight):
    """`mx.where(x > 0, x, weight * x)`, a weight per channel."""
    if weight.ndim == 1 and int(weight.numel) != 1 and x.ndim > 1:
        behind = x.ndim - 1 - (x.axis(1) % x.ndim)
        weight = weight.reshape(-1, *[1] * behind) if behind else weight
    elif weight.ndim == 1 and x.ndim == 0:
        weight = weight[0]
    return mx.where(x > 0, x, weight * x)


@op("torch.nn.functional.rrelu", layout=POINTWISE)
def rrelu(x, lower=1.0 / 8, upper=1.0 / 3, training=False):
    """The mean slope in evaluation; a random slope per element in training."""
    if training is False:
        slope = (lower + upper) / 2
        return mx.maximum(x, slope * x) if 0 < slope <= 1 else mx.where(x > 0, x, slope * x)
    caveat("random: MLX draws other numbers than torch for the same seed")
    return blocks.rrelu_training(x, lower=lower, upper=upper)


@op("torch.nn.functional.glu", layout=AXIS)
def glu(x, dim=-1):
    """`nn.glu`."""
    axis = x.axis(dim)
    return nn.glu(x) if axis in (-1, x.ndim - 1) else nn.glu(x, axis=axis)


def _in(x: Array, dtype) -> tuple[Array, str]:
    """``x`` in the dtype asked for, and that dtype's name."""
    if dtype is None:
        return x, x.dtype
    return cast(x, x.dtype, dtype_text(dtype)), dtype_text(dtype)


def _softmax_dim(x, dim):
    if dim is None:  # torch's old rule for calls without dim
        dim = 0 if x.ndim in (0, 1, 3) else 1
    return x.axis(dim)


def _half(dtype: str) -> bool:
    return dtype in ("float16", "bfloat16")


def _softmax(x, axis, dtype):
    value, name = _in(x, dtype)
    return mx.softmax(value, axis=axis, precise=True) if _half(name) else mx.softmax(value, axis=axis)


@op("torch.softmax", "torch.nn.functional.softmax", "torch.special.softmax", "torch._softmax",
    "torch._safe_softmax", layout=AXIS)
def softmax(x, dim=None, dtype=None, _stacklevel=3):
    """`mx.softmax`; half precision sums in float32."""
    if x.ndim == 0:
        return mx.ones_like(_in(x, dtype)[0])
    return _softmax(x, _softmax_dim(x, dim), dtype)


@op("torch.nn.functional.softmin", layout=AXIS)
def softmin(x, dim=None, dtype=None, _stacklevel=3):
    """`mx.softmax(-x)`."""
    if x.ndim == 0:
        return mx.ones_like(_in(x, dtype)[0])
    axis = _softmax_dim(x, dim)
    value, name = _in(x, dtype)
    return mx.softmax(-value, axis=axis, precise=True) if _half(name) else mx.softmax(-value, axis=axis)


@op("torch.log_softmax", "torch.nn.functional.log_softmax", "torch.special.log_softmax", layout=AXIS)
def log_softmax(x, dim=None, dtype=None, _stacklevel=3):
    """`nn.log_softmax`; half precision is computed in float32."""
    if x.ndim == 0:
        return mx.zeros_like(_in(x, dtype)[0])
    if 0 in x.shape:
        refuse("shape", tuple(x.shape), "MLX loses an empty axis here; guard the call for an empty batch")
    axis = _softmax_dim(x, dim)
    value, name = _in(x, dtype)
    if _half(name):
        return cast(nn.log_softmax(value.astype(mlx_dtype("float32")), axis=axis), "float32", name)
    return nn.log_softmax(value) if axis in (-1, x.ndim - 1) else nn.log_softmax(value, axis=axis)


@op("torch.nn.functional.gumbel_softmax", layout=AXIS)
def gumbel_softmax(x, tau=1, hard=False, eps=1e-10, dim=-1):
    """Softmax of logits with Gumbel noise; straight-through when hard."""
    caveat("random: MLX draws other numbers than torch for the same seed")
    return blocks.gumbel_softmax(x, tau=tau, hard=hard, axis=x.axis(dim))
