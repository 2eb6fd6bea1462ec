"""Activations as layers, for use in a list of layers, where MLX has no class or one without the options."""

import mlx.core as mx
import mlx.nn as nn

from .activation import celu, elu, rrelu_training, selu, softplus_with_threshold

__all__ = ["ELULayer", "CELULayer", "SELULayer", "SoftplusLayer", "LeakyReLULayer", "HardTanhLayer",
           "HardSigmoidLayer", "TanhShrinkLayer", "ThresholdLayer", "RReLULayer", "SoftmaxOverAxis",
           "SoftminOverAxis", "LogSoftmaxOverAxis"]


class ELULayer(nn.Module):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` below."""

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha

    def __call__(self, x: mx.array) -> mx.array:
        return elu(x, self.alpha)


class CELULayer(nn.Module):
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` below."""

    def __init__(self, alpha: float = 1.0):
        super().__init__()
        self.alpha = alpha

    def __call__(self, x: mx.array) -> mx.array:
        return celu(x, self.alpha)


class SELULayer(nn.Module):
    """Self-normalising ELU."""

    def __call__(self, x: mx.array) -> mx.array:
        return selu(x)


class SoftplusLayer(nn.Module):
    """``log(1 + exp(beta * x)) / beta``, and ``x`` itself where ``beta * x`` exceeds the threshold."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def __call__(self, x: mx.array) -> mx.array:
        return softplus_with_threshold(x, self.beta, self.threshold)


class LeakyReLULayer(nn.Module):
    """``x`` above 0, ``negative_slope * x`` below, for any slope."""

    def __init__(self, negative_slope: float = 0.01):
        super().__init__()
        self.negative_slope = negative_slope

    def __call__(self, x: mx.array) -> mx.array:
        return mx.where(x > 0, x, self.negative_slope * x)


class HardTanhLayer(nn.Module):
    """``x`` clipped to ``[min_val, max_val]``."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0):
        super().__init__()
        self.min_val, self.max_val = min_val, max_val

    def __call__(self, x: mx.array) -> mx.array:
        return mx.clip(x, self.min_val, self.max_val)


class HardSigmoidLayer(nn.Module):
    """``(x + 3) / 6`` clipped to ``[0, 1]``."""

    def __call__(self, x: mx.array) -> mx.array:
        return mx.clip(x + 3, 0, 6) / 6


class TanhShrinkLayer(nn.Module):
    """``x - tanh(x)``."""

    def __call__(self, x: mx.array) -> mx.array:
        return x - mx.tanh(x)


class ThresholdLayer(nn.Module):
    """``x`` where it exceeds the threshold, ``value`` elsewhere."""

    def __init__(self, threshold: float, value: float):
        super().__init__()
        self.threshold, self.value = threshold, value

    def __call__(self, x: mx.array) -> mx.array:
        return mx.where(x > self.threshold, x, self.value)


class RReLULayer(nn.Module):
    """Leaky ReLU with a random slope in training and the mean slope otherwise."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3):
        super().__init__()
        self.lower, self.upper = lower, upper

    def __call__(self, x: mx.array) -> mx.array:
        if self.training:
            return rrelu_training(x, self.lower, self.upper)
        return mx.where(x > 0, x, (self.lower + self.upper) / 2 * x)


class SoftmaxOverAxis(nn.Module):
    """Softmax over one axis."""

    def __init__(self, axis: int = -1):
        super().__init__()
        self.axis = axis

    def __call__(self, x: mx.array) -> mx.array:
        return mx.softmax(x, axis=self.axis, precise=True)


class SoftminOverAxis(nn.Module):
    """Softmax of ``-x`` over one axis."""

    def __init__(self, axis: int = -1):
        super().__init__()
        self.axis = axis

    def __call__(self, x: mx.array) -> mx.array:
        return mx.softmax(-x, axis=self.axis, precise=True)


class LogSoftmaxOverAxis(nn.Module):
    """Logarithm of the softmax over one axis."""

    def __init__(self, axis: int = -1):
        super().__init__()
        self.axis = axis

    def __call__(self, x: mx.array) -> mx.array:
        return nn.log_softmax(x, axis=self.axis)
