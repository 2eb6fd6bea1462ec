"""Normalisations that MLX's layers don't cover. Channels last where there are channels."""

import math

import mlx.core as mx
import mlx.nn as nn

__all__ = ["batch_norm_by_statistics", "batch_norm_by_batch", "group_norm_last_axis", "instance_norm_last_axis",
           "layer_norm_over", "rms_norm_over", "local_response_norm_last_axis", "BatchNormLastAxis",
           "InstanceNormLastAxis", "LayerNormOver", "RMSNormOver", "LocalResponseNormLastAxis",
           "GroupNormWithoutBias", "CrossMapLRNLastAxis"]


def batch_norm_by_statistics(x: mx.array, mean: mx.array, variance: mx.array, weight=None, bias=None,
                             eps: float = 1e-5) -> mx.array:
    """Normalise the last axis of ``x`` by given statistics."""
    y = (x - mean) * mx.rsqrt(variance + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


def batch_norm_by_batch(x: mx.array, running_mean=None, running_var=None, weight=None, bias=None, momentum: float = 0.1,
                     eps: float = 1e-5) -> tuple[mx.array, mx.array, mx.array]:
    """Normalise the last axis of ``x`` by its own statistics, taken in float32; also returns the
    running statistics, moved towards them (the variance unbiased)."""
    wide = x.astype(mx.float32)
    axes = tuple(range(x.ndim - 1))
    mean, variance = wide.mean(axes), wide.var(axes)
    y = batch_norm_by_statistics(wide, mean, variance, weight, bias, eps).astype(x.dtype)
    if running_mean is not None:
        running_mean = ((1 - momentum) * running_mean + momentum * mean).astype(running_mean.dtype)
    if running_var is not None:
        count = x.size // x.shape[-1]
        unbiased = variance * (count / max(count - 1, 1))
        running_var = ((1 - momentum) * running_var + momentum * unbiased).astype(running_var.dtype)
    return y, running_mean, running_var


class BatchNormLastAxis(nn.Module):
    """Batch normalisation of the last axis for inputs of any rank. ``momentum=None`` keeps the plain
    average of all batches seen; without running statistics those of the batch are used always."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 bias: bool = True, track_running_stats: bool = True):
        super().__init__()
        if affine:
            self.weight = mx.ones((num_features,))
        if affine and bias:
            self.bias = mx.zeros((num_features,))
        if track_running_stats:
            self.running_mean = mx.zeros((num_features,))
            self.running_var = mx.ones((num_features,))
            if momentum is None:
                self.num_batches_tracked = mx.array(0)
        self.eps, self.momentum = eps, momentum
        self._freeze_statistics()

    def _freeze_statistics(self):
        keys = ["running_mean", "running_var", "num_batches_tracked"]
        self.freeze(keys=[key for key in keys if key in self], recurse=False)

    def unfreeze(self, *args, **kwargs):
        super().unfreeze(*args, **kwargs)
        self._freeze_statistics()

    def __call__(self, x: mx.array) -> mx.array:
        weight, bias = self.get("weight"), self.get("bias")
        if "running_mean" not in self:
            return batch_norm_by_batch(x, weight=weight, bias=bias, eps=self.eps)[0]
        if not self.training:
            return batch_norm_by_statistics(x, self.running_mean, self.running_var, weight, bias, self.eps)
        if x.size == 0:
            return x
        momentum = self.momentum
        if momentum is None:
            self.num_batches_tracked = self.num_batches_tracked + 1
            momentum = 1 / self.num_batches_tracked
        y, self.running_mean, self.running_var = batch_norm_by_batch(
            x, self.running_mean, self.running_var, weight, bias, momentum, self.eps)
        return y


def group_norm_last_axis(x: mx.array, num_groups: int, weight=None, bias=None, eps: float = 1e-5) -> mx.array:
    """Normalise (N, *spatial, C) over the spatial axes and each of ``num_groups`` runs of channels."""
    batch, *spatial, channels = x.shape
    groups = x.reshape(batch, math.prod(spatial), num_groups, channels // num_groups).transpose(0, 2, 1, 3)
    y = mx.fast.layer_norm(groups.flatten(2), None, None, eps).reshape(groups.shape)
    y = y.transpose(0, 2, 1, 3).reshape(x.shape)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


def instance_norm_last_axis(x: mx.array, weight=None, bias=None, eps: float = 1e-5) -> mx.array:
    """Normalise each channel of each item of (N, *spatial, C) over the spatial axes."""
    axes = tuple(range(1, x.ndim - 1))
    wide = x.astype(mx.float32)
    y = (wide - wide.mean(axes, keepdims=True)) * mx.rsqrt(wide.var(axes, keepdims=True) + eps)
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(x.dtype)


class InstanceNormLastAxis(nn.Module):
    """Instance normalisation of (N, *spatial, C). Running statistics, where tracked, are used in eval mode."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 bias: bool = True, track_running_stats: bool = False):
        super().__init__()
        if affine:
            self.weight = mx.ones((num_features,))
        if affine and bias:
            self.bias = mx.zeros((num_features,))
        if track_running_stats:
            self.running_mean = mx.zeros((num_features,))
            self.running_var = mx.ones((num_features,))
        self.eps, self.momentum = eps, momentum
        self._freeze_statistics()

    def _freeze_statistics(self):
        self.freeze(keys=[key for key in ("running_mean", "running_var") if key in self], recurse=False)

    def unfreeze(self, *args, **kwargs):
        super().unfreeze(*args, **kwargs)
        self._freeze_statistics()

    def __call__(self, x: mx.array) -> mx.array:
        weight, bias = self.get("weight"), self.get("bias")
        if "running_mean" in self and not self.training:
            return batch_norm_by_statistics(x, self.running_mean, self.running_var, weight, bias, self.eps)
        if "running_mean" in self:
            axes = tuple(range(1, x.ndim - 1))
            wide = x.astype(mx.float32)
            mean, variance = wide.mean(axes).mean(0), wide.var(axes, ddof=1).mean(0)
            self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * mean
            self.running_var = (1 - self.momentum) * self.running_var + self.momentum * variance
        return instance_norm_last_axis(x, weight, bias, self.eps)


def layer_norm_over(x: mx.array, ndim: int, weight=None, bias=None, eps: float = 1e-5) -> mx.array:
    """Layer normalisation over the last ``ndim`` axes, with ``weight`` and ``bias`` of their shape."""
    def flat(a):
        return None if a is None else a.flatten()
    return mx.fast.layer_norm(x.flatten(-ndim), flat(weight), flat(bias), eps).reshape(x.shape)


class LayerNormOver(nn.Module):
    """Layer normalisation over several last axes of sizes ``normalized_shape``."""

    def __init__(self, normalized_shape: tuple[int, ...], eps: float = 1e-5, affine: bool = True, bias: bool = True):
        super().__init__()
        if affine:
            self.weight = mx.ones(normalized_shape)
            if bias:
                self.bias = mx.zeros(normalized_shape)
        self.ndim, self.eps = len(normalized_shape), eps

    def __call__(self, x: mx.array) -> mx.array:
        return layer_norm_over(x, self.ndim, self.get("weight"), self.get("bias"), self.eps)


def rms_norm_over(x: mx.array, ndim: int, weight=None, eps: float = 1e-5) -> mx.array:
    """Root mean square normalisation over the last ``ndim`` axes, with a ``weight`` of their shape."""
    flat = None if weight is None else weight.flatten()
    return mx.fast.rms_norm(x.flatten(-ndim), flat, eps).reshape(x.shape)


class RMSNormOver(nn.Module):
    """Root mean square normalisation over the last axes of sizes ``normalized_shape``; without a weight
    when ``affine`` is False."""

    def __init__(self, normalized_shape: tuple[int, ...], eps: float, affine: bool = True):
        super().__init__()
        if affine:
            self.weight = mx.ones(normalized_shape)
        self.ndim, self.eps = len(normalized_shape), eps

    def __call__(self, x: mx.array) -> mx.array:
        return rms_norm_over(x, self.ndim, self.get("weight"), self.eps)


def local_response_norm_last_axis(x: mx.array, size: int, alpha: float = 1e-4, beta: float = 0.75,
                                  k: float = 1.0) -> mx.array:
    """Divide by ``(k + alpha * mean of the squares of the size nearest channels) ** beta``; the
    channels are the last axis, those beyond its ends count as zero."""
    lead = [(0, 0)] * (x.ndim - 1)
    squares = mx.pad(mx.square(x), [*lead, (size // 2, (size - 1) // 2)])
    channels = x.shape[-1]
    total = sum(squares[..., i:i + channels] for i in range(size))
    return x / (k + alpha / size * total) ** beta


class LocalResponseNormLastAxis(nn.Module):
    """:func:`local_response_norm_last_axis` as a layer."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def __call__(self, x: mx.array) -> mx.array:
        return local_response_norm_last_axis(x, self.size, self.alpha, self.beta, self.k)


class GroupNormWithoutBias(nn.Module):
    """:func:`group_norm_last_axis` as a layer with a weight and no bias."""

    def __init__(self, num_groups: int, dims: int, eps: float = 1e-5):
        super().__init__()
        self.weight = mx.ones((dims,))
        self.num_groups, self.eps = num_groups, eps

    def __call__(self, x: mx.array) -> mx.array:
        return group_norm_last_axis(x, self.num_groups, self.weight, eps=self.eps)


class CrossMapLRNLastAxis(nn.Module):
    """Local response normalisation of (N, H, W, C) as ``torch.nn.CrossMapLRN2d`` computes it: the sum of
    squares for a channel takes in its neighbours on both sides and always channel 0."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def __call__(self, x: mx.array) -> mx.array:
        channel, reach = mx.arange(x.shape[-1]), (self.size + 1) // 2 - 1
        near = (mx.abs(channel[:, None] - channel) <= reach) | (channel[:, None] == 0)
        total = mx.square(x) @ near.astype(x.dtype)
        return x * (self.k + self.alpha / self.size * total) ** -self.beta
