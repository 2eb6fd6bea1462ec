"""Attention: every form of mask, every number of axes, whatever the lengths."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from t2m_notebook import blocks
from tests.rules.replay import replay
from tests.rules.samples import run_module, run_op

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice on its own old arguments and kernels

ATTENTION = "nn.functional.scaled_dot_product_attention"


def qkv(*batch, heads=4, kv_heads=None, queries=5, keys=5, dims=8, dtype=torch.float32, requires_grad=True):
    generator = torch.Generator().manual_seed(0)
    shapes = [(*batch, heads, queries, dims)] + [(*batch, kv_heads or heads, keys, dims)] * 2
    return tuple(torch.randn(shape, generator=generator).to(dtype).requires_grad_(requires_grad) for shape in shapes)


def masks(queries=5, keys=5):
    keep = torch.rand(2, 1, queries, keys, generator=torch.Generator().manual_seed(1)) > 0.4
    keep[..., 0] = True
    some_row_off = keep.clone()
    some_row_off[1, 0, 2] = False
    additive = torch.zeros(keep.shape).masked_fill(~some_row_off, float("-inf"))
    lowest = torch.zeros(keep.shape).masked_fill(~some_row_off, torch.finfo(torch.float32).min)
    return {"bool": keep, "bool, a query sees nothing": some_row_off, "keys only": some_row_off[:, :, :1],
            "two axes": keep[0, 0], "a bias": torch.randn(1, 4, queries, keys), "minus infinity": additive,
            "lowest number": lowest, "everything off": torch.zeros(queries, keys, dtype=torch.bool)}


@pytest.mark.parametrize("orders", ["standard", "channels last"])
def test_samples(orders):
    tally = run_op(ATTENTION, orders=orders)
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("batch", [(2,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, batch, is_causal):
    # torch's samples have scores of several hundred, which MLX's CPU kernel rounds to half precision
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=is_causal),
                     qkv(*batch, keys=7, dtype=dtype), gradients=False)
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("name", masks())
def test_mask(name):
    mask = masks()[name]
    larger = masks(7, 9)[name] if name != "two axes" else masks(7, 9)["bool"][0, 0]
    outcome = replay(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m), (*qkv(2), mask),
                     gradients=name != "lowest number",  # torch's flash kernel takes its weights for ones there
                     also=((*qkv(2, queries=7, keys=9), larger),))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("name", masks())
def test_float32_mask_with_half_precision_queries(name):
    outcome = replay(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m),
                     (*qkv(2, dtype=torch.bfloat16), masks()[name]), gradients=False)
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("queries, keys", [(5, 5), (3, 5), (5, 3), (1, 4)])
def test_causal_is_aligned_top_left_also_at_other_lengths(queries, keys):
    others = tuple(qkv(2, queries=q, keys=k) for q, k in [(4, 4), (2, 6), (6, 2)])
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                     qkv(2, queries=queries, keys=keys), also=others)
    assert outcome.kind == "matched", outcome
    assert "causal_attention(" in outcome.source


def test_causal_attention_of_a_value_to_itself_needs_no_block():
    outcome = replay(lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), (qkv(2)[0],))
    assert outcome.kind == "matched", outcome
    assert "mask='causal'" in outcome.source


def test_plain_attention_is_the_fast_one():
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), qkv(2),
                     also=(qkv(3, queries=9, keys=2, dims=16),))
    assert outcome.kind == "matched", outcome
    assert "mx.fast.scaled_dot_product_attention(v0, v1, v2, scale=v0.shape[3] ** -0.5)" in outcome.source


@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_scale(scale):
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=scale), qkv(2))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_queries(kv_heads, is_causal):
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=True),
                     qkv(2, kv_heads=kv_heads))
    assert outcome.kind == "matched", outcome


def test_grouped_queries_with_other_numbers_of_key_and_value_heads():
    q, k, v = qkv(2)
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
                     (q, k[:, :2].detach().requires_grad_(), v))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("batch", [(), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("mask", ["none", "causal", "two axes", "all axes"])
def test_number_of_axes(batch, mask):
    q, k, v = qkv(*batch, queries=3)
    given = {"none": None, "causal": None, "two axes": masks(3)["two axes"],
             "all axes": torch.rand(*batch, 4, 3, 5) > 0.7}[mask]
    outcome = replay(lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m, is_causal=mask == "causal"),
                     (q, k, v, given))
    assert outcome.kind == "matched", outcome


def test_one_head_of_two_axes():
    q, k, v = (x[0].detach() for x in qkv())
    assert replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), (q, k, v)).kind == "matched"


def test_leading_axes_broadcast():
    q, k, v = qkv(2)
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), (q, k[:1].detach(), v[:1].detach()))
    assert outcome.kind == "matched", outcome


def test_no_keys_at_all():
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v), qkv(2, keys=0))
    assert outcome.kind == "matched", outcome


def test_dropout_keeps_the_expected_value_and_is_declared():
    outcome = replay(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, dropout_p=0.5), qkv(2))
    assert outcome.kind == "matched" and outcome.caveats
    mx.random.seed(0)
    q, k, v = (mx.random.normal((64, 8, 16, 4)) for _ in range(3))
    weights = mx.ones_like(v)
    mean = blocks.scaled_dot_product_attention(q, k, weights, dropout_p=0.3).mean().item()
    assert abs(mean - 1) < 0.02


@pytest.mark.parametrize("name", masks())
def test_masked_attention_compiled_has_finite_gradients(name):
    q, k, v = (mx.array(x.detach().numpy()) for x in qkv(2))
    mask = mx.array(masks()[name].numpy())
    run = mx.compile(lambda q: blocks.masked_attention(q, k, v, mask=mask, scale=0.5).sum())
    plain = mx.grad(lambda q: blocks.masked_attention(q, k, v, mask=mask, scale=0.5).sum())(q)
    gradient = mx.grad(run)(q)
    assert np.isfinite(np.array(gradient)).all()
    assert mx.allclose(gradient, plain, atol=1e-5).item()


def test_multihead_attention_samples():
    tally = run_module("nn.MultiheadAttention")
    assert tally.verdict == "matched", tally.line()


def test_multihead_attention_function_samples():
    tally = run_op("nn.functional.multi_head_attention_forward", seconds=6)
    assert tally.verdict == "matched", tally.line()


def sequences(batch=2, queries=4, keys=6, query_dim=8, key_dim=8, value_dim=8):
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randn(batch, length, dims, generator=generator)
                 for length, dims in ((queries, query_dim), (keys, key_dim), (keys, value_dim)))


LAYERS = {"plain": {}, "no bias": {"bias": False}, "other widths": {"kdim": 5, "vdim": 7},
          "a learned key": {"add_bias_kv": True}, "a zero key": {"add_zero_attn": True},
          "everything": {"add_bias_kv": True, "add_zero_attn": True, "kdim": 5, "vdim": 7, "bias": False}}
PADDING = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
BLOCKED = torch.rand(4, 6, generator=torch.Generator().manual_seed(3)) > 0.6
BLOCKED[:, 0] = False
CALLS = {"no masks": {}, "no weights": {"need_weights": False}, "weights of each head": {"average_attn_weights": False},
         "padding": {"key_padding_mask": PADDING}, "blocked": {"attn_mask": BLOCKED},
         "both": {"attn_mask": BLOCKED, "key_padding_mask": PADDING, "need_weights": False},
         "added to the scores": {"attn_mask": torch.randn(4, 6)},
         "added and padding": {"attn_mask": torch.randn(4, 6), "key_padding_mask": PADDING},
         "each head": {"attn_mask": torch.randn(4, 4, 6), "need_weights": False},
         "causal": {"attn_mask": torch.ones(4, 6, dtype=torch.bool).triu(1), "is_causal": True, "need_weights": False},
         "a query sees nothing": {"attn_mask": torch.ones(4, 6, dtype=torch.bool), "need_weights": False},
         "a query sees nothing, weights": {"attn_mask": torch.ones(4, 6, dtype=torch.bool)}}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layer", LAYERS)
def test_multihead_attention(layer, call):
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True, **LAYERS[layer])
    dims = (LAYERS[layer].get("kdim", 8), LAYERS[layer].get("vdim", 8))
    outcome = replay(module, sequences(key_dim=dims[0], value_dim=dims[1]), CALLS[call],
                     gradients="nothing, weights" not in call)
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("batch_first", [False, True])
def test_multihead_attention_at_other_sizes(batch_first):
    def given(*sizes):
        return tuple(x if batch_first else x.transpose(0, 1) for x in sequences(*sizes))

    outcome = replay(torch.nn.MultiheadAttention(8, 2, batch_first=batch_first).eval(), given(2, 4, 6),
                     also=(given(1, 9, 3), given(5, 1, 1)))
    assert outcome.kind == "matched", outcome


def test_multihead_attention_without_a_batch():
    query, key, value = (x[0] for x in sequences())
    mask = {"key_padding_mask": PADDING[1], "attn_mask": torch.randn(2, 4, 6), "average_attn_weights": False}
    assert replay(torch.nn.MultiheadAttention(8, 2), (query, key, value), mask).kind == "matched"


def test_multihead_attention_with_dropout_in_training():
    module = torch.nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True).train()
    for need_weights in (False, True):
        assert replay(module, sequences(), {"need_weights": need_weights}).kind == "matched"
    assert replay(module.eval(), sequences()).gradients == "matched"


@pytest.mark.parametrize("name", ["nn.TransformerEncoderLayer", "nn.TransformerDecoderLayer", "nn.TransformerEncoder",
                                  "nn.Transformer"])
def test_transformer_containers_are_opened(name):
    tally = run_module(name)
    assert tally.verdict == "matched", tally.line()


def test_multihead_attention_compiled():
    layer = blocks.MultiheadAttention(8, 2, batch_first=True)
    query, key, value = (mx.array(x.numpy()) for x in sequences())
    padding = mx.array(PADDING.numpy())
    run = mx.compile(lambda q: layer(q, key, value, key_padding_mask=padding, need_weights=False)[0])
    assert mx.allclose(run(query), layer(query, key, value, key_padding_mask=padding)[0], atol=1e-5).item()
