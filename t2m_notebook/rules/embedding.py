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


def _bag_options(mode, max_norm, norm_type, scale_grad_by_freq, include_last_offset, padding_idx) -> dict:
    options = {} if mode == "mean" else {"mode": mode}
    if include_last_offset:
        options["include_last_offset"] = True
    if padding_idx is not None:
        options["padding_idx"] = padding_idx
    if max_norm is not None:
        caveat(_TABLE_KEPT)
        options |= {"max_norm": float(max_norm), "norm_type": float(norm_type)}
    if scale_grad_by_freq:
        options["scale_grad_by_freq"] = True
    return options


@layer(torch_nn.EmbeddingBag)
def embedding_bag_layer(m):
    """A block: a lookup, then a sum, mean or maximum over each bag."""
    return blocks.EmbeddingBag(m.num_embeddings, m.embedding_dim, **_bag_options(
        m.mode, m.max_norm, m.norm_type, m.scale_grad_by_freq, m.include_last_offset, m.padding_idx))


@op("torch.nn.functional.embedding_bag")
def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, mode="mean",
                  sparse=False, per_sample_weights=None, include_last_offset=False, padding_idx=None):
    """A block: a lookup, then a sum, mean or maximum over each bag."""
    if max_norm is not None:
        refuse("max_norm", max_norm, "it shortens the table's rows in place; use the layer nn.EmbeddingBag(max_norm=)")
    if padding_idx is not None and padding_idx < 0:
        padding_idx = weight.shape[0] + padding_idx
    options = _bag_options(mode, None, norm_type, scale_grad_by_freq, include_last_offset, padding_idx)
    given = {"offsets": offsets, "per_sample_weights": per_sample_weights}
    return blocks.embedding_bag(input, weight, **{name: array for name, array in given.items() if array is not None},
                                **options)
