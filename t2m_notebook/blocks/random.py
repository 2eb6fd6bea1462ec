"""Draws that mx.random does not have."""

import mlx.core as mx

__all__ = ["multinomial_without_replacement"]


def multinomial_without_replacement(weights, num_samples):
    """``num_samples`` different indices along the last axis, drawn in proportion to the weights: the
    largest of their logarithms with Gumbel noise (Efraimidis and Spirakis)."""
    keys = mx.log(weights) + mx.random.gumbel(weights.shape)
    return mx.argsort(-keys, axis=-1)[..., :num_samples].astype(mx.int64)
