"""Losses over classes, with torch's class weights, ignored targets and label smoothing."""

import math

import mlx.core as mx
import mlx.nn as nn

from .losses import at_least_zero, reduce_loss

__all__ = ["LinearCrossEntropyLoss", "cross_entropy", "multi_margin_loss", "multilabel_margin_loss",
           "multilabel_soft_margin_loss", "nll_loss", "weighted_mean_over_kept"]


def weighted_mean_over_kept(loss, weights, reduction):
    """``loss`` summed, or divided by the summed weights of the targets that count."""
    if reduction == "mean":
        total = weights.astype(mx.float32).sum()
        mean = loss.astype(mx.float32).sum() / mx.where(total == 0, 1, total)
        return mx.where(total == 0, math.nan, mean).astype(loss.dtype)  # without a target: NaN, no gradient
    return reduce_loss(loss, reduction)


def nll_loss(log_probs, targets, weight=None, axis=1, ignore_index=-100, reduction="mean"):
    """Minus the log-probability of the target class: classes along ``axis``, ``targets`` without that axis.
    Targets equal to ``ignore_index`` count nothing; ``weight`` has one number for each class."""
    axis = axis % log_probs.ndim
    keep = targets != ignore_index
    targets = mx.where(keep, targets, 0)
    loss = -mx.take_along_axis(log_probs, mx.expand_dims(targets, axis), axis).squeeze(axis)
    weights = keep.astype(loss.dtype) if weight is None else mx.where(keep, weight[targets], 0)
    return weighted_mean_over_kept(mx.where(keep, loss, 0) * weights, weights, reduction)


def cross_entropy(logits, targets, weight=None, axis=1, ignore_index=-100, label_smoothing=0.0, reduction="mean"):
    """Cross entropy as torch has it: ``targets`` are classes (without the class ``axis``) or, in the shape
    of ``logits``, probabilities. ``nn.losses.cross_entropy`` knows no ignored targets and no class weights."""
    axis = axis % logits.ndim
    classes = logits.shape[axis]
    shape = [1] * logits.ndim
    shape[axis] = classes
    along = None if weight is None else weight.reshape(shape)

    if targets.ndim == logits.ndim:
        targets = targets * (1 - label_smoothing) + label_smoothing / classes
        log_probs = logits - mx.logsumexp(logits, axis=axis, keepdims=True)
        loss = -(log_probs * targets if along is None else log_probs * targets * along).sum(axis=axis)
        return reduce_loss(loss, reduction)

    keep = targets != ignore_index
    targets = mx.where(keep, targets, 0)
    if weight is None:
        loss = nn.losses.cross_entropy(logits, targets, axis=axis, label_smoothing=label_smoothing)
        return weighted_mean_over_kept(mx.where(keep, loss, 0), keep, reduction)
    log_probs = logits - mx.logsumexp(logits, axis=axis, keepdims=True)
    weights = mx.where(keep, weight[targets], 0)
    loss = -mx.take_along_axis(log_probs, mx.expand_dims(targets, axis), axis).squeeze(axis) * weights
    smooth = mx.where(keep, -(log_probs * along).sum(axis=axis), 0)
    loss = (1 - label_smoothing) * loss + label_smoothing / classes * smooth
    return weighted_mean_over_kept(loss, weights, reduction)


def multi_margin_loss(x, y, p=1, margin=1.0, weight=None, reduction="mean"):
    """Scores ``(N, C)`` or ``(C,)`` and classes: the mean over the other classes of
    ``max(0, margin - x[y] + x)**p``, times the target's weight."""
    x = mx.atleast_1d(x)
    y = y.reshape(x.shape[:-1])
    target = mx.take_along_axis(x, y[..., None], axis=-1)
    loss = at_least_zero(margin - target + x) ** p
    loss = mx.where(mx.arange(x.shape[-1]) == y[..., None], 0, loss)
    loss = loss if weight is None else loss * weight[y][..., None]
    return reduce_loss(loss.sum(axis=-1) / x.shape[-1], reduction)


def multilabel_margin_loss(x, y, reduction="mean"):
    """Scores and classes, both ``(N, C)`` or ``(C,)``; the classes of a row end at its first -1."""
    x, y = mx.atleast_1d(x), mx.atleast_1d(y)
    listed = mx.cumprod((y >= 0).astype(mx.int32), axis=-1) == 1
    classes = mx.where(listed, y, 0)
    is_target = ((classes[..., None] == mx.arange(x.shape[-1])) & listed[..., None]).any(axis=-2)
    target_scores = mx.take_along_axis(x, classes, axis=-1)
    loss = at_least_zero(1 - (target_scores[..., :, None] - x[..., None, :]))
    loss = mx.where(listed[..., :, None] & ~is_target[..., None, :], loss, 0)
    return reduce_loss(loss.sum(axis=(-1, -2)) / x.shape[-1], reduction)


def multilabel_soft_margin_loss(x, y, weight=None, reduction="mean"):
    """The mean over the classes of the binary cross entropy of logits ``(*, C)``."""
    loss = -(y * nn.log_sigmoid(x) + (1 - y) * nn.log_sigmoid(-x))
    loss = loss if weight is None else loss * weight
    return reduce_loss(loss.mean(axis=-1), reduction)


class LinearCrossEntropyLoss(nn.Module):
    """A linear layer followed by the cross entropy of its results."""

    def __init__(self, in_features, num_classes, out_features=(), bias=False, weight=None, **options):
        super().__init__()
        self.shape = (num_classes, *out_features)
        size = num_classes
        for features in out_features:
            size *= features
        self.linear = nn.Linear(in_features, size, bias=bias)
        self._options = options
        if weight is not None:
            self.weight = weight
            self.freeze(recurse=False, keys=["weight"])

    def __call__(self, input, target):
        logits = self.linear(input).reshape(*input.shape[:-1], *self.shape)
        return cross_entropy(logits, target, self.get("weight"), axis=input.ndim - 1, **self._options)
