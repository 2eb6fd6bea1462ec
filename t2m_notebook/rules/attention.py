"""Attention."""

import ast

from torch import nn as torch_nn

from .expression import Expr, blocks, mx, to_node
from .registry import caveat, layer, op, refuse

_RANDOM = "dropout draws other random numbers than torch"


@op("torch.nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                 enable_gqa=False):
    """`mx.fast.scaled_dot_product_attention`; a block where a mask may leave a query nothing to attend to,
    where torch aligns the causal mask differently, or where there are not just four axes."""
    heads = [int(x.shape[-3]) if x.ndim > 2 else 1 for x in (query, key, value)]
    four_axes = query.ndim == key.ndim == value.ndim == 4 and (attn_mask is None or attn_mask.ndim <= 4)
    same_batch = len({int(x.shape[0]) for x in (query, key, value)}) == 1
    grouped = heads[1] == heads[2] and heads[0] % max(heads[1], 1) == 0
    if dropout_p or not (four_axes and same_batch and grouped):
        options = {} if attn_mask is None else {"mask": attn_mask}
        if is_causal:
            options["is_causal"] = True
        if scale is not None:
            options["scale"] = scale
        if dropout_p:
            caveat(_RANDOM)
            options["dropout_p"] = dropout_p
        return blocks.scaled_dot_product_attention(query, key, value, **options)
    if scale is None:
        scale = Expr(ast.BinOp(to_node(query.shape[-1]), ast.Pow(), ast.Constant(-0.5)))  # no parentheses
    if is_causal and query is key:
        return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale, mask="causal")
    if is_causal:
        return blocks.causal_attention(query, key, value, scale=scale)
    if attn_mask is not None:
        return blocks.masked_attention(query, key, value, mask=attn_mask, scale=scale)
    return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale)


@layer(torch_nn.MultiheadAttention)
def multihead_attention_layer(m):
    """A block with torch's parameters and masks; unused attention weights are never computed."""
    options = {}
    if m.dropout:
        options["dropout"] = m.dropout
    if m.in_proj_bias is None:
        options["bias"] = False
    if m.bias_k is not None:
        options["add_bias_kv"] = True
    if m.add_zero_attn:
        options["add_zero_attn"] = True
    if not m._qkv_same_embed_dim:
        options |= {"kdim": m.kdim, "vdim": m.vdim}
    if m.batch_first:
        options["batch_first"] = True
    return blocks.MultiheadAttention(m.embed_dim, m.num_heads, **options)


@op("torch.nn.functional.multi_head_attention_forward")
def multi_head_attention_forward(
        query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn,
        dropout_p, out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True,
        attn_mask=None, use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None,
        static_k=None, static_v=None, average_attn_weights=True, is_causal=False):
    """The block behind `MultiheadAttention`, given the weights as arrays."""
    for name, given in (("static_k", static_k), ("static_v", static_v)):
        if given is not None:
            refuse(name, None, "project the keys and values yourself and call scaled_dot_product_attention")
    weights = [q_proj_weight, k_proj_weight, v_proj_weight] if use_separate_proj_weight else mx.split(in_proj_weight, 3)
    biases = [None] * 3 if in_proj_bias is None else mx.split(in_proj_bias, 3)
    options = {"bias_k": bias_k, "bias_v": bias_v, "key_padding_mask": key_padding_mask, "attn_mask": attn_mask}
    options = {name: given for name, given in options.items() if given is not None}
    if add_zero_attn:
        options["add_zero_attn"] = True
    if training and dropout_p:
        caveat(_RANDOM)
        options["dropout_p"] = dropout_p
    if not need_weights:
        options["need_weights"] = False
    elif not average_attn_weights:
        options["average_attn_weights"] = False
    if is_causal:
        options["is_causal"] = True
    return blocks.multi_head_attention(query, key, value, num_heads, weights, biases, out_proj_weight, out_proj_bias,
                                       **options)
