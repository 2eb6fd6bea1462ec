"""Normalisations that also give their statistics, and a softmax for rows that are masked entirely."""

import mlx.core as mx

__all__ = ["batch_norm_with_statistics", "group_norm_with_statistics", "layer_norm_with_statistics", "safe_softmax"]


def _standardised(x, axes, eps):
    """``x`` with mean 0 and variance 1 over ``axes``, the mean, and the reciprocal deviation; in float32."""
    wide = x.astype(mx.float32)
    mean = wide.mean(axes, keepdims=True)
    scale = mx.rsqrt(wide.var(axes, keepdims=True) + eps)
    return (wide - mean) * scale, mean, scale


def _scaled(y, weight, bias, dtype):
    y = y if weight is None else y * weight
    return (y if bias is None else y + bias).astype(dtype)


def layer_norm_with_statistics(x, ndim, weight=None, bias=None, eps=1e-5):
    """Layer normalisation over the last ``ndim`` axes, their mean, and their reciprocal deviation."""
    y, mean, scale = _standardised(x, tuple(range(x.ndim - ndim, x.ndim)), eps)
    return _scaled(y, weight, bias, x.dtype), mean.astype(x.dtype), scale.astype(x.dtype)


def group_norm_with_statistics(x, num_groups, weight=None, bias=None, eps=1e-5):
    """Group normalisation of ``(N, C, *spatial)``; mean and reciprocal deviation are ``(N, groups)``."""
    y, mean, scale = _standardised(x.reshape(x.shape[0], num_groups, -1), (2,), eps)
    channels = (x.shape[1], *[1] * (x.ndim - 2))
    weight, bias = (a if a is None else a.reshape(channels) for a in (weight, bias))
    return _scaled(y.reshape(x.shape), weight, bias, x.dtype), mean.squeeze(2).astype(x.dtype), \
        scale.squeeze(2).astype(x.dtype)


def batch_norm_with_statistics(x, weight=None, bias=None, eps=1e-5):
    """Batch normalisation of ``(N, C, *spatial)`` by its own statistics, which are ``(C,)``, in float32."""
    y, mean, scale = _standardised(x, (0, *range(2, x.ndim)), eps)
    channels = (x.shape[1], *[1] * (x.ndim - 2))
    weight, bias = (a if a is None else a.reshape(channels) for a in (weight, bias))
    return _scaled(y, weight, bias, x.dtype), mean.reshape(-1), scale.reshape(-1)


def safe_softmax(x, axis=-1):
    """Softmax that is 0 along an axis of which every element is ``-inf``."""
    masked = mx.stop_gradient(mx.all(x == -mx.inf, axis=axis, keepdims=True))
    return mx.where(masked, 0, mx.softmax(mx.where(masked, 0, x), axis=axis))
