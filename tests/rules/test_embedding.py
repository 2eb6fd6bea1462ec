"""Lookups in a table, their options and their gradients."""

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import replay
from tests.rules.samples import run_module, run_op

TOKENS = torch.tensor([[1, 2, 2, 0], [4, 0, 2, 9]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_operation(dtype):
    tally = run_op("nn.functional.embedding", dtype)
    assert tally.verdict == "matched", tally.line()


def test_layer():
    tally = run_module("nn.Embedding")
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("options", [{}, {"padding_idx": 0}, {"padding_idx": -1}, {"sparse": False},
                                     {"scale_grad_by_freq": True}, {"max_norm": 1.0},
                                     {"max_norm": 0.5, "norm_type": 1.0, "padding_idx": 2}])
def test_layer_options_with_gradients(options):
    torch.manual_seed(0)
    outcome = replay(nn.Embedding(10, 5, **options), (TOKENS,), also=((TOKENS[:, :1],),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    assert bool(outcome.caveats) == ("max_norm" in options)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True}])
def test_function_options_with_gradients(options):
    weight = torch.randn(10, 5, requires_grad=True)
    outcome = replay(lambda w: F.embedding(TOKENS, w, **options), (weight,))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_plain_lookup_reads_as_indexing():
    outcome = replay(lambda w, x: F.embedding(x, w), (torch.randn(10, 5), TOKENS))
    assert "= v0[v1]" in outcome.source


def test_function_that_would_rewrite_the_table_is_refused():
    outcome = replay(lambda w: F.embedding(TOKENS, w, max_norm=1.0), (torch.randn(10, 5),))
    assert outcome.kind == "refused" and "in place" in outcome.detail


def test_constructors():
    assert str(emit_layer(nn.Embedding(10, 5)).layer.constructor) == "nn.Embedding(10, 5)"
    padded = emit_layer(nn.Embedding(10, 5, padding_idx=-1)).layer.constructor
    assert str(padded) == "PaddedEmbedding(10, 5, padding_idx=9)"


def test_padded_embedding_compiled():
    layer = blocks.PaddedEmbedding(10, 5, padding_idx=0)
    tokens = mx.array(TOKENS.numpy())

    def loss(weight):
        layer.weight = weight
        return layer(tokens).sum()

    weight = layer.weight
    gradient = mx.compile(mx.grad(loss))(weight)
    assert gradient[0].sum().item() == 0 and gradient[2].sum().item() == 15


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bag_samples(dtype):
    tally = run_op("nn.functional.embedding_bag", dtype, seconds=4)
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"include_last_offset": True}])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode, options):
    torch.manual_seed(0)
    module = nn.EmbeddingBag(10, 5, mode=mode, **options)
    if "include_last_offset" not in options:
        outcome = replay(module, (TOKENS,), also=((TOKENS[:1, :3],),))
        assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    tokens, last = TOKENS.reshape(-1), "include_last_offset" in options
    offsets, fewer = torch.tensor([0, 3, 3, 8 if last else 7]), torch.tensor([0, 6 if last else 5])
    outcome = replay(module, (tokens, offsets), also=((tokens[:6], fewer),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_weighted_bags():
    weights = torch.rand(TOKENS.shape, requires_grad=True)
    outcome = replay(nn.EmbeddingBag(10, 5, mode="sum", max_norm=1.0), (TOKENS, None, weights))
    assert outcome.kind == "matched" and outcome.gradients == "matched" and outcome.caveats, outcome
