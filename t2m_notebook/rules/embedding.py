"""Lookups in a table of embeddings."""

from torch import nn as torch_nn

from .expression import blocks, nn
from .registry import caveat, layer, op, refuse

_TABLE_KEPT = "the table itself is not shortened in place: a row is shortened whenever it is read"


@layer(torch_nn.Embedding)
def embedding_layer(m):
    """`nn.Embedding`; with `padding_idx` a block, whose padding row gets no gradient."""
    if m.max_norm is not None or m.scale_grad_by_freq:
        options = {"padding_idx": m.padding_idx}
        if m.max_norm is not None:
            caveat(_TABLE_KEPT)
            options |= {"max_norm": float(m.max_norm), "norm_type": float(m.norm_type)}
        if m.scale_grad_by_freq:
            options["scale_grad_by_freq"] = True
        return blocks.EmbeddingWithOptions(m.num_embeddings, m.embedding_dim, **options)
    if m.padding_idx is not None:
        return blocks.PaddedEmbedding(m.num_embeddings, m.embedding_dim, padding_idx=m.padding_idx)
    return nn.Embedding(m.num_embeddings, m.embedding_dim)


@op("torch.nn.functional.embedding", "torch.embedding")
def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False,
              *, call):
    """`weight[x]`; a block where `padding_idx` keeps a row from being trained."""
    if call.name == "torch.embedding":  # takes the table first
        input, weight = weight, input
        padding_idx = None if padding_idx == -1 else padding_idx
    if max_norm is not None:
        refuse("max_norm", max_norm, "it shortens the table's rows in place; use the layer nn.Embedding(max_norm=...)")
    options = {}
    if padding_idx is not None:
        options["padding_idx"] = weight.shape[0] + padding_idx if padding_idx < 0 else padding_idx
    if scale_grad_by_freq:
        options["scale_grad_by_freq"] = True
    return blocks.embedding_lookup(input, weight, **options) if options else weight[input]
