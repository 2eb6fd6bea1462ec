"""Embedding lookups whose gradients and norms follow torch's options."""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["EmbeddingBag", "EmbeddingWithOptions", "PaddedEmbedding", "embedding_bag",
           "embedding_lookup"]


def embedding_lookup(x, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False):
    """Rows ``x`` of ``weight``: ``(*)`` and ``(N, D)`` give ``(*, D)``.

    None of the options of torch's ``F.embedding`` changes how a gradient flows otherwise:
    row ``padding_idx`` gets none; rows longer than ``max_norm`` are shortened without
    the gradient noticing; ``scale_grad_by_freq`` divides it by how often a row was read.
    """
    rows = weight[x]
    if max_norm is not None:
        norms = (mx.abs(rows) ** norm_type).sum(axis=-1, keepdims=True) ** (1 / norm_type)
        shortened = mx.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
        rows = rows + mx.stop_gradient(shortened - rows)
    if scale_grad_by_freq:
        counts = mx.zeros(weight.shape[0], dtype=weight.dtype).at[x].add(1)[x][..., None]
        scaled = rows / counts
        rows = scaled + mx.stop_gradient(rows - scaled)
    if padding_idx is not None:
        rows = mx.where((x == padding_idx)[..., None], mx.stop_gradient(rows), rows)
    return rows


class PaddedEmbedding(nn.Embedding):
    """An embedding whose row ``padding_idx`` is never trained."""

    def __init__(self, num_embeddings, dims, padding_idx):
        super().__init__(num_embeddings, dims)
        self.padding_idx = padding_idx

    def __call__(self, x):
        rows = self.weight[x]
        return mx.where((x == self.padding_idx)[..., None], mx.stop_gradient(rows), rows)


class EmbeddingWithOptions(nn.Embedding):
    """An embedding with the options of ``embedding_lookup``."""

    def __init__(self, num_embeddings, dims, **options):
        super().__init__(num_embeddings, dims)
        self._options = options

    def __call__(self, x):
        return embedding_lookup(x, self.weight, **self._options)


def embedding_bag(x, weight, offsets=None, mode="mean", per_sample_weights=None, include_last_offset=False,
                  padding_idx=None, **options):
    """Embeddings of each bag of tokens reduced to one: ``sum``, ``mean`` or ``max``.

    ``x`` is ``(B, N)``, or ``(L,)`` with the ``offsets`` ``(B,)`` at which the bags start; the result is
    ``(B, D)``. Tokens equal to ``padding_idx`` don't count; an empty bag gives zeros.
    """
    rows = embedding_lookup(x, weight, **options)
    counts = mx.ones(x.shape, dtype=mx.bool_) if padding_idx is None else x != padding_idx
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[..., None]
    if x.ndim == 1:  # (1, L) tokens, each in at most one of B bags
        starts = offsets[:-1] if include_last_offset else offsets
        bag = (mx.arange(x.shape[0])[:, None] >= starts).sum(axis=1) - 1
        belongs = mx.arange(starts.shape[0])[:, None] == bag
        if include_last_offset:
            belongs = belongs & (mx.arange(x.shape[0]) < offsets[-1])
        rows, counts = rows[None], belongs & counts
    if mode == "max":
        found = mx.where(counts[..., None], rows, -mx.inf).max(axis=1)
        return mx.where(counts.any(axis=1)[:, None], found, 0)
    members = counts.astype(rows.dtype)
    total = members @ rows[0] if x.ndim == 1 else (members[..., None] * rows).sum(axis=1)
    return total if mode == "sum" else total / mx.maximum(members.sum(axis=1, keepdims=True), 1)


class EmbeddingBag(nn.Embedding):
    """``torch.nn.EmbeddingBag``: an embedding that reduces each bag of tokens to one vector."""

    def __init__(self, num_embeddings, dims, **options):
        super().__init__(num_embeddings, dims)
        self._options = options

    def __call__(self, input, offsets=None, per_sample_weights=None):
        return embedding_bag(input, self.weight, offsets, per_sample_weights=per_sample_weights, **self._options)
