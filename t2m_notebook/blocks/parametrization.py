"""Weights computed from other parameters, and sequences of unequal length."""

import mlx.core as mx

__all__ = ["householder_product", "norm_except_axis", "pad_sequence", "weight_norm"]


def norm_except_axis(v, axis=None, power=2):
    """The norm over every axis but ``axis`` (None: over all), with ones kept: ``(O, 1, 1)`` for ``axis=0``."""
    if axis is None:
        return (mx.abs(v.astype(mx.float32)) ** power).sum().astype(v.dtype) ** (1 / power)
    others = [other for other in range(v.ndim) if other != axis % v.ndim]
    total = (mx.abs(v.astype(mx.float32)) ** power).sum(axis=others, keepdims=True)
    return (total ** (1 / power)).astype(v.dtype)


def weight_norm(v, g, axis=None):
    """The direction of ``v`` with length ``g``: ``g * v / |v|``, one length for each index of ``axis``."""
    return v * (g / norm_except_axis(v, axis))


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Arrays ``(L_i, *)`` as one ``(L, N, *)``, or ``(N, L, *)`` with ``batch_first``; ``L`` is the longest."""
    longest = max(len(sequence) for sequence in sequences)
    padded = []
    for sequence in sequences:
        missing = longest - len(sequence)
        widths = [(0, missing) if padding_side == "right" else (missing, 0)] + [(0, 0)] * (sequence.ndim - 1)
        padded.append(mx.pad(sequence, widths, constant_values=mx.array(padding_value, sequence.dtype)))
    return mx.stack(padded, axis=0 if batch_first else 1)


def householder_product(x, tau):
    """The first columns of ``H_1 H_2 ... H_k``, reflections whose vectors stand below the diagonal of ``x``
    ``(..., m, n)``, as QR leaves them; ``tau`` is ``(..., k)``. Orthogonal columns where ``x`` is from QR."""
    rows, columns = x.shape[-2:]
    vectors = mx.tril(x, -1) + mx.eye(rows, columns, dtype=x.dtype)
    product = mx.broadcast_to(mx.eye(rows, columns, dtype=x.dtype), x.shape)
    for index in reversed(range(tau.shape[-1])):
        vector = vectors[..., index, None]
        product = product - tau[..., index, None, None] * vector @ (vector.swapaxes(-1, -2) @ product)
    return product
