"""Embedding lookups whose gradients and norms follow torch's options."""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["EmbeddingWithOptions", "PaddedEmbedding", "embedding_lookup"]


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
        self.options = options

    def __call__(self, x):
        return embedding_lookup(x, self.weight, **self.options)
