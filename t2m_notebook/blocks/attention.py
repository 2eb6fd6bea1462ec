"""Attention with torch's conventions, on top of mx.fast."""

import math

import mlx.core as mx
import mlx.nn as nn

__all__ = ["causal_attention", "masked_attention", "scaled_dot_product_attention"]


def causal_attention(q, k, v, scale):
    """Attention in which query ``i`` sees the keys up to ``i``: ``(B, H, L, E)`` with keys and values
    ``(B, H, S, E)``. ``mx.fast`` lets the last query see the last key, which is the same where ``L == S``.
    """
    length, keys = q.shape[-2], k.shape[-2]
    mask = "causal" if length == keys else mx.tril(mx.ones((length, keys), dtype=mx.bool_))
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)


def masked_attention(q, k, v, mask, scale):
    """Attention in which a query that may attend to nothing gives zeros, not an average or NaN.

    ``q`` is ``(B, H, L, E)``, ``k`` and ``v`` are ``(B, H, S, E)``, ``mask`` broadcasts to
    ``(B, H, L, S)``: boolean (True is attended to) or added to the scores.
    """
    if mask.dtype == mx.bool_:
        attends = mask.any(axis=-1, keepdims=True)
    else:
        attends = (mask > -math.inf).any(axis=-1, keepdims=True)
        mask = mx.maximum(mask.astype(q.dtype), mx.finfo(q.dtype).min)
    output = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
    return mx.where(attends, output, 0)


def scaled_dot_product_attention(q, k, v, mask=None, is_causal=False, scale=None, dropout_p=0.0):
    """Attention over any number of leading axes that broadcast, with dropout on the weights.

    ``q`` is ``(..., H, L, E)``, ``k`` and ``v`` are ``(..., H_kv, S, E)``, ``mask`` broadcasts
    to ``(..., H, L, S)``; the result is ``(..., H, L, E)``. Two axes stand for one head.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    one_head = q.ndim == k.ndim == v.ndim == 2
    q, k, v = (x[None] if x.ndim == 2 else x for x in (q, k, v))
    batch = mx.broadcast_shapes(q.shape[:-3], k.shape[:-3], v.shape[:-3])
    heads = max(x.shape[-3] for x in (q, k, v))

    def four_axes(x):
        x = mx.repeat(x, heads // x.shape[-3], axis=-3)
        return mx.broadcast_to(x, (*batch, *x.shape[-3:])).reshape(math.prod(batch), *x.shape[-3:])

    q, k, v = four_axes(q), four_axes(k), four_axes(v)
    if mask is not None and mask.ndim > 4:
        mask = mx.broadcast_to(mask, (*batch, *mask.shape[-3:]))
        mask = mask.reshape(math.prod(batch), *mask.shape[-3:])
    if dropout_p > 0:
        scores = (q * scale) @ k.swapaxes(-1, -2)
        keep = mx.tril(mx.ones(scores.shape[-2:], dtype=mx.bool_)) if is_causal else True
        if mask is not None:
            keep = mask if mask.dtype == mx.bool_ else mask > -math.inf
            scores = scores if mask.dtype == mx.bool_ else scores + mask.astype(scores.dtype)
        scores = mx.where(keep, scores, mx.finfo(scores.dtype).min)
        weights = mx.where(keep, mx.softmax(scores, axis=-1, precise=True), 0)
        output = nn.Dropout(dropout_p)(weights) @ v
    elif is_causal:
        output = causal_attention(q, k, v, scale)
    elif mask is not None:
        output = masked_attention(q, k, v, mask, scale)
    else:
        output = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale)
    return output[0, 0] if one_head else output.reshape(*batch, *output.shape[-3:])
