"""Activations whose values or gradients MLX's own form does not give as torch does."""

import mlx.core as mx

__all__ = ["celu", "elu", "gumbel_softmax", "rrelu_training", "selu", "softplus_with_threshold"]


def _expm1_below_zero(x):
    """``exp(x) - 1`` for ``x`` up to 0, in float32, as its gradient is taken from the result."""
    return mx.expm1(mx.minimum(0, x).astype(mx.float32)).astype(x.dtype)


def elu(x, alpha=1.0):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below. The exponent is bounded by 0, so neither the
    value nor the gradient of the branch that is not taken can overflow."""
    return mx.where(x > 0, x, alpha * _expm1_below_zero(x))


def celu(x, alpha=1.0):
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below: smooth at 0 for every alpha."""
    return mx.where(x > 0, x, alpha * _expm1_below_zero(x / alpha))


def selu(x):
    """Self-normalising ELU (Klambauer et al. 2017)."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return scale * mx.where(x > 0, x, alpha * _expm1_below_zero(x))


def softplus_with_threshold(x, beta=1.0, threshold=20.0):
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` exceeds the threshold."""
    return mx.where(beta * x > threshold, x, mx.logaddexp(beta * x, 0) / beta)


def rrelu_training(x, lower=1 / 8, upper=1 / 3):
    """Leaky ReLU whose slope is drawn for each element from ``[lower, upper)``."""
    slope = mx.random.uniform(lower, upper, x.shape).astype(x.dtype)
    return mx.where(x > 0, x, slope * x)


def gumbel_softmax(logits, tau=1.0, hard=False, axis=-1):
    """A sample from the relaxed categorical distribution (Jang et al. 2017). ``hard`` returns one-hot
    vectors whose gradient is that of the soft sample."""
    soft = mx.softmax((logits + mx.random.gumbel(logits.shape).astype(logits.dtype)) / tau, axis=axis)
    if not hard:
        return soft
    best = mx.argmax(soft, axis=axis, keepdims=True)
    one_hot = mx.put_along_axis(mx.zeros_like(soft), best, mx.array(1, soft.dtype), axis=axis)
    return soft + mx.stop_gradient(one_hot - soft)
