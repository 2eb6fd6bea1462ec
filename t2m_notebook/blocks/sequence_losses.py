"""Losses over sequences and over very many classes."""

import math

import mlx.core as mx
import mlx.nn as nn

from .losses import reduce_loss

__all__ = ["AdaptiveLogSoftmaxWithLoss", "ctc_loss"]


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """Connectionist temporal classification (Graves et al., 2006), by the forward recursion in log space.

    ``log_probs`` is ``(T, N, C)`` or ``(T, C)``; ``targets`` is ``(N, S)``, ``(S,)``, or all targets of a
    batch one after the other; lengths are numbers or arrays ``(N,)``.
    """
    batched = log_probs.ndim == 3
    log_probs = log_probs if batched else log_probs[:, None]
    steps, batch, _ = log_probs.shape
    longest = max(target_lengths) if isinstance(target_lengths, (tuple, list)) else targets.shape[-1]
    input_lengths, target_lengths = (mx.array(lengths).reshape(-1) for lengths in (input_lengths, target_lengths))
    if batched and targets.ndim == 1:  # one after the other
        starts = mx.cumsum(target_lengths) - target_lengths
        places = starts[:, None] + mx.arange(longest)
        targets = targets[mx.minimum(places, max(len(targets) - 1, 0))]
    targets = targets.reshape(batch, -1)[:, :longest]
    targets = mx.where(mx.arange(targets.shape[1]) < target_lengths[:, None], targets, blank)

    # the target with a blank before, between and after its labels
    blanks = mx.full(targets.shape, blank, dtype=targets.dtype)
    labels = mx.stack([blanks, targets], axis=-1).reshape(batch, -1)
    labels = mx.concatenate([labels, mx.full((batch, 1), blank, dtype=targets.dtype)], axis=1)
    emitted = mx.take_along_axis(log_probs, mx.broadcast_to(labels, (steps, *labels.shape)), axis=-1)
    emitted = emitted.astype(mx.float32)
    never = -1e30
    may_skip = mx.pad((labels[:, 2:] != labels[:, :-2]) & (labels[:, 2:] != blank), [(0, 0), (2, 0)])

    def later(alpha, by):
        return mx.pad(alpha, [(0, 0), (by, 0)], constant_values=never)[:, : alpha.shape[1]]

    alpha = mx.where(mx.arange(labels.shape[1]) < 2, emitted[0], never)
    for step in range(1, steps):
        total = mx.logaddexp(mx.logaddexp(alpha, later(alpha, 1)), mx.where(may_skip, later(alpha, 2), never))
        alpha = mx.where((step < input_lengths)[:, None], total + emitted[step], alpha)

    last = 2 * target_lengths[:, None]
    at_blank = mx.take_along_axis(alpha, last, axis=1)[:, 0]
    at_label = mx.take_along_axis(alpha, mx.maximum(last - 1, 0), axis=1)[:, 0]
    loss = -mx.where(target_lengths > 0, mx.logaddexp(at_blank, at_label), at_blank)
    # torch differentiates as if a log_softmax stood before: adds the probabilities to the gradient
    inside = mx.arange(steps)[:, None] < input_lengths
    mass = mx.where(inside, mx.exp(log_probs.astype(mx.float32)).sum(axis=-1), 0).sum(axis=0)
    loss = loss + mass - mx.stop_gradient(mass)
    loss = mx.where(loss > -never / 2, 0.0 if zero_infinity else math.inf, loss).astype(log_probs.dtype)
    if reduction == "mean":
        return (loss / mx.maximum(target_lengths, 1).astype(loss.dtype)).mean()
    return reduce_loss(loss if batched or reduction == "sum" else loss[0], reduction)


class AdaptiveLogSoftmaxWithLoss(nn.Module):
    """``torch.nn.AdaptiveLogSoftmaxWithLoss``: frequent classes in the head, the others in clusters of
    smaller width (Grave et al., 2017). Gives ``(log-probability of the target, mean loss)``."""

    def __init__(self, in_features, n_classes, cutoffs, div_value=4.0, head_bias=False):
        super().__init__()
        self._cutoffs = [*cutoffs, n_classes]
        clusters = len(self._cutoffs) - 1
        self.head = nn.Linear(in_features, self._cutoffs[0] + clusters, bias=head_bias)
        self.tail = []
        for index in range(clusters):
            width = int(in_features // div_value ** (index + 1))
            size = self._cutoffs[index + 1] - self._cutoffs[index]
            self.tail.append([nn.Linear(in_features, width, bias=False), nn.Linear(width, size, bias=False)])

    def log_prob(self, input):
        """Log-probabilities of all classes."""
        head = nn.log_softmax(self.head(input), axis=-1)
        first = self._cutoffs[0]
        parts = [head[..., :first]]
        for index, (narrow, wide) in enumerate(self.tail):
            parts.append(nn.log_softmax(wide(narrow(input)), axis=-1) + head[..., first + index, None])
        return mx.concatenate(parts, axis=-1)

    def predict(self, input):
        """The most probable class."""
        return mx.argmax(self.log_prob(input), axis=-1).astype(mx.int64)

    def __call__(self, input_, target_):
        output = mx.take_along_axis(self.log_prob(input_), target_[..., None], axis=-1).squeeze(-1)
        return output, -output.mean()
