"""Losses between two or three arrays, with torch's reductions and gradients."""

import math

import mlx.core as mx
import mlx.nn as nn

__all__ = ["Loss", "at_least_zero", "binary_cross_entropy", "binary_cross_entropy_with_logits", "clipped_log",
           "cosine_embedding_loss", "elementwise_loss", "gaussian_nll_loss", "hinge_embedding_loss", "kl_div_loss",
           "margin_ranking_loss", "paired_distances", "poisson_nll_loss", "reduce_loss", "soft_margin_loss",
           "triplet_margin_loss"]


def reduce_loss(loss, reduction):
    """``none``, ``mean``, ``sum`` or ``batchmean`` (sum over the first size), summed in float32."""
    if reduction == "none":
        return loss
    total = loss.astype(mx.float32).sum()
    if reduction == "mean":
        total = total / loss.size if loss.size else mx.array(math.nan)
    elif reduction == "batchmean" and loss.ndim:
        total = total / loss.shape[0]
    return total.astype(loss.dtype)


class Loss(nn.Module):
    """A loss function with its options as a layer; class weights among them are not trained."""

    def __init__(self, function, **options):
        super().__init__()
        self.function = function
        arrays = {name: value for name, value in options.items() if isinstance(value, mx.array)}
        self._options = {name: value for name, value in options.items() if name not in arrays}
        self._weights = list(arrays)
        for name, value in arrays.items():
            self[name] = value
        self.freeze(keys=self._weights)

    def __call__(self, *args, **kwargs):
        return self.function(*args, **kwargs, **self._options, **{name: self[name] for name in self._weights})


def at_least_zero(x):
    """``max(x, 0)`` whose gradient at 0 is 1, as that of torch's ``clamp_min``."""
    return mx.where(x >= 0, x, 0)


def elementwise_loss(kind, x, y, weight=None, reduction="mean", threshold=1.0):
    """``mse``, ``l1``, ``smooth_l1`` or ``huber`` of arrays that broadcast, weighted element by element."""
    error = mx.abs(x - y)
    if kind == "mse":
        loss = mx.square(x - y)
    elif kind == "smooth_l1" and threshold > 0:
        loss = mx.where(error < threshold, 0.5 * mx.square(error) / threshold, error - 0.5 * threshold)
    elif kind == "huber":
        loss = mx.where(error <= threshold, 0.5 * mx.square(error), threshold * (error - 0.5 * threshold))
    else:
        loss = error
    if weight is None:
        return reduce_loss(loss, reduction)
    if reduction == "mean" and kind != "huber":  # torch divides by the weights, by their number for huber
        return (loss * weight).sum() / weight.sum()
    return reduce_loss(loss * weight, reduction)


def clipped_log(p):
    """``log(p)``, at least -100, with a gradient of at most 1e12: a probability of exactly 0 gives no NaN."""
    log_p = mx.log(p + mx.stop_gradient(mx.maximum(p, 1e-12) - p))
    return log_p + mx.stop_gradient(mx.maximum(mx.log(p), -100) - log_p)


def binary_cross_entropy(x, y, weight=None, reduction="mean"):
    """Of probabilities ``x`` and targets ``y``; ``weight`` broadcasts."""
    loss = -(y * clipped_log(x) + (1 - y) * clipped_log(1 - x))
    return reduce_loss(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(x, y, weight=None, pos_weight=None, reduction="mean"):
    """Of logits ``x`` and targets ``y``; ``weight`` and ``pos_weight`` broadcast."""
    positive = 1 if pos_weight is None else 1 + (pos_weight - 1) * y
    loss = (1 - y) * x + positive * mx.logaddexp(0, -x)
    return reduce_loss(loss if weight is None else loss * weight, reduction)


def kl_div_loss(x, y, reduction="mean", log_target=False):
    """Of log-probabilities ``x`` and a target ``y`` of probabilities, or their logarithms."""
    if log_target:
        return reduce_loss(mx.exp(y) * (y - x), reduction)
    log_y = mx.log(mx.where(y == 0, 1, y))
    return reduce_loss(y * log_y - y * x, reduction)


def poisson_nll_loss(x, y, log_input=True, full=False, eps=1e-8, reduction="mean"):
    """``x`` is the expected count or its logarithm; ``full`` adds Stirling's approximation of log(y!)."""
    loss = mx.exp(x) - y * x if log_input else x - y * mx.log(x + eps)
    if full:
        safe = mx.where(y > 1, y, 1)
        loss = loss + mx.where(y > 1, safe * mx.log(safe) - safe + 0.5 * mx.log(2 * math.pi * safe), 0)
    return reduce_loss(loss, reduction)


def gaussian_nll_loss(x, y, variance, full=False, eps=1e-6, reduction="mean"):
    """``variance`` is a number, has the shape of ``x``, or lacks its last axis or has one of size 1 there."""
    if not isinstance(variance, mx.array):
        variance = mx.full(x.shape, variance, dtype=x.dtype)
    elif variance.ndim == x.ndim - 1:
        variance = variance[..., None]
    variance = variance + mx.stop_gradient(mx.maximum(variance, eps) - variance)  # clipped, its gradient is not
    loss = 0.5 * (mx.log(variance) + mx.square(x - y) / variance)
    return reduce_loss(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def hinge_embedding_loss(x, y, margin=1.0, reduction="mean"):
    """``x`` where ``y`` is 1, ``max(0, margin - x)`` where it is -1."""
    loss = mx.where(y != 1, at_least_zero(margin - x), 0) + mx.where(y != -1, x, 0)
    return reduce_loss(loss, reduction)


def margin_ranking_loss(x1, x2, y, margin=0.0, reduction="mean"):
    """``max(0, -y * (x1 - x2) + margin)``"""
    return reduce_loss(at_least_zero(-y * (x1 - x2) + margin), reduction)


def soft_margin_loss(x, y, reduction="mean"):
    """``log(1 + exp(-y * x))``"""
    return reduce_loss(mx.log1p(mx.exp(-y * x)), reduction)


def cosine_embedding_loss(x1, x2, y, margin=0.0, reduction="mean"):
    """Of pairs ``(N, D)`` or one pair ``(D,)``, alike where ``y`` is 1, unlike where it is -1."""
    squares = (mx.square(x1).sum(axis=-1) + 1e-12) * (mx.square(x2).sum(axis=-1) + 1e-12)
    cosine = (x1 * x2).sum(axis=-1) / mx.sqrt(squares)
    loss = mx.where(y == 1, 1 - cosine, 0) + mx.where(y == -1, at_least_zero(cosine - margin), 0)
    return reduce_loss(loss, reduction)


def paired_distances(x, y, p=2.0, eps=1e-6):
    """The ``p``-norm of ``x - y + eps`` over the last axis."""
    difference = mx.abs(x - y + eps)
    if math.isinf(p):
        return difference.max(axis=-1)
    return mx.sqrt(mx.square(difference).sum(axis=-1)) if p == 2 else (difference**p).sum(axis=-1) ** (1 / p)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean"):
    """``max(0, margin + |anchor - positive| - |anchor - negative|)`` over the last axis; with ``swap``
    the negative's distance is the smaller of those to anchor and positive."""
    near, far = paired_distances(anchor, positive, p, eps), paired_distances(anchor, negative, p, eps)
    if swap:
        far = mx.minimum(far, paired_distances(positive, negative, p, eps))
    return reduce_loss(at_least_zero(margin + near - far), reduction)
