"""Multi-head attention with torch's parameters, masks and results."""

import math

import mlx.core as mx
import mlx.nn as nn

from .attention import scaled_dot_product_attention

__all__ = ["MultiheadAttention", "attention_mask", "multi_head_attention"]


def attention_mask(blocked, padding, num_heads):
    """One mask for ``mx.fast`` from torch's two, whose True means blocked: ``blocked`` is ``(L, S)``
    or ``(N * H, L, S)``, ``padding`` is ``(N, S)``; either may also be added to the scores."""
    masks = []
    if blocked is not None:
        masks.append(blocked.reshape(-1, num_heads, *blocked.shape[1:]) if blocked.ndim == 3 else blocked)
    if padding is not None:
        masks.append(padding[:, None, None, :])
    if all(mask.dtype == mx.bool_ for mask in masks):
        return ~(masks[0] | masks[-1])
    return sum(mx.where(mask, -math.inf, 0.0) if mask.dtype == mx.bool_ else mask for mask in masks)


def multi_head_attention(query, key, value, num_heads, weights, biases, out_weight, out_bias=None, *, bias_k=None,
                         bias_v=None, add_zero_attn=False, dropout_p=0.0, key_padding_mask=None, need_weights=True,
                         attn_mask=None, average_attn_weights=True, is_causal=False, batch_first=False):
    """Torch's ``F.multi_head_attention_forward``: ``(output, weights or None)``.

    ``query`` is ``(L, N, E)``, ``(N, L, E)`` with ``batch_first``, or ``(L, E)``; ``weights`` and
    ``biases`` are those of the query, key and value projection. The attention weights are
    ``(N, L, S)``, or ``(N, H, L, S)`` where they are not averaged over the heads.
    """
    batched = query.ndim == 3
    if not batched:
        query, key, value = query[None], key[None], value[None]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
    elif not batch_first:
        query, key, value = (x.swapaxes(0, 1) for x in (query, key, value))
    q, k, v = (x @ w.T if b is None else mx.addmm(b, x, w.T)
               for x, w, b in zip((query, key, value), weights, biases, strict=True))

    # keys and values that stand in no sequence: a learned one, then zeros
    extra = []
    if bias_k is not None:
        extra.append((bias_k, bias_v))
    if add_zero_attn:
        extra.append((mx.zeros_like(k[:1, :1]), mx.zeros_like(v[:1, :1])))
    for more_k, more_v in extra:
        k = mx.concatenate([k, mx.broadcast_to(more_k, (len(k), 1, k.shape[-1]))], axis=1)
        v = mx.concatenate([v, mx.broadcast_to(more_v, (len(v), 1, v.shape[-1]))], axis=1)
    if extra:  # which nothing blocks
        attn_mask, key_padding_mask = (
            mask if mask is None else mx.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, len(extra))])
            for mask in (attn_mask, key_padding_mask))

    q, k, v = (x.reshape(*x.shape[:2], num_heads, -1).swapaxes(1, 2) for x in (q, k, v))
    scale = q.shape[-1] ** -0.5
    use_causal = is_causal and key_padding_mask is None and not need_weights
    mask = None
    if not use_causal and not (attn_mask is None and key_padding_mask is None):
        mask = attention_mask(attn_mask, key_padding_mask, num_heads)

    attention = None
    if need_weights:  # lazy: where nobody reads the weights, they are not computed
        scores = (q * scale) @ k.swapaxes(-1, -2)
        if mask is not None:
            additive = mx.where(mask, 0.0, -math.inf) if mask.dtype == mx.bool_ else mask
            scores = scores + additive.astype(scores.dtype)
        attention = mx.softmax(scores, axis=-1, precise=True)
        attention = nn.Dropout(dropout_p)(attention) if dropout_p > 0 else attention
    if need_weights and (mask is not None or dropout_p > 0):
        output = attention @ v  # a query that may attend to nothing gives NaN, as in torch
    else:
        output = scaled_dot_product_attention(q, k, v, mask=mask, is_causal=use_causal, dropout_p=dropout_p)

    output = output.swapaxes(1, 2).reshape(*query.shape[:2], -1) @ out_weight.T
    output = output if out_bias is None else output + out_bias
    attention = attention if need_weights else None
    if need_weights and average_attn_weights:
        attention = attention.mean(axis=1)
    if not batched:
        return output[0], attention[0] if need_weights else None
    return output if batch_first else output.swapaxes(0, 1), attention


class MultiheadAttention(nn.Module):
    """``torch.nn.MultiheadAttention``: same arguments, parameters and results."""

    def __init__(self, embed_dim, num_heads, dropout=0.0, bias=True, add_bias_kv=False, add_zero_attn=False,
                 kdim=None, vdim=None, batch_first=False):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.add_zero_attn, self.batch_first = add_zero_attn, batch_first
        self.packed = kdim in (None, embed_dim) and vdim in (None, embed_dim)
        xavier = nn.init.glorot_uniform()
        if self.packed:
            self.in_proj_weight = xavier(mx.zeros((3 * embed_dim, embed_dim)))
        else:
            self.q_proj_weight = xavier(mx.zeros((embed_dim, embed_dim)))
            self.k_proj_weight = xavier(mx.zeros((embed_dim, kdim or embed_dim)))
            self.v_proj_weight = xavier(mx.zeros((embed_dim, vdim or embed_dim)))
        if bias:
            self.in_proj_bias = mx.zeros(3 * embed_dim)
        if add_bias_kv:
            self.bias_k = mx.random.normal((1, 1, embed_dim)) * embed_dim**-0.5
            self.bias_v = mx.random.normal((1, 1, embed_dim)) * embed_dim**-0.5
        self.out_proj = nn.Linear(embed_dim, embed_dim, bias=bias)

    def __call__(self, query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None,
                 average_attn_weights=True, is_causal=False):
        weights = mx.split(self.in_proj_weight, 3) if self.packed else (
            self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = mx.split(self.in_proj_bias, 3) if "in_proj_bias" in self else (None, None, None)
        return multi_head_attention(
            query, key, value, self.num_heads, weights, biases, self.out_proj.weight, self.out_proj.get("bias"),
            bias_k=self.get("bias_k"), bias_v=self.get("bias_v"), add_zero_attn=self.add_zero_attn,
            dropout_p=self.dropout if self.training else 0.0, key_padding_mask=key_padding_mask,
            need_weights=need_weights, attn_mask=attn_mask, average_attn_weights=average_attn_weights,
            is_causal=is_causal, batch_first=self.batch_first)
