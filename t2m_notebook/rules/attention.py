"""Attention."""

from .expression import blocks, mx
from .registry import caveat, op


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
            caveat("dropout draws other random numbers than torch")
            options["dropout_p"] = dropout_p
        return blocks.scaled_dot_product_attention(query, key, value, **options)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if is_causal and query is key:
        return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale, mask="causal")
    if is_causal:
        return blocks.causal_attention(query, key, value, scale=scale)
    if attn_mask is not None:
        return blocks.masked_attention(query, key, value, mask=attn_mask, scale=scale)
    return mx.fast.scaled_dot_product_attention(query, key, value, scale=scale)
