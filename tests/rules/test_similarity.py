"""Normalised vectors, similarity and distance, with finite gradients at zero."""

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_op

FUNCTIONS = ["nn.functional.normalize", "nn.functional.cosine_similarity", "nn.functional.pairwise_distance"]


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def vectors(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), requires_grad=True)


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_samples(name, orders):
    assert failing_op(name, orders, seconds=3) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_half_precision(name, dtype):
    assert failing_op(name, "standard", seconds=3, dtype=dtype, gradients=False) == []


@pytest.mark.parametrize("p", [1, 2, 3, 0.5, float("inf")])
@pytest.mark.parametrize("dim", [1, -1, 0, (1, 2)], ids=str)
def test_normalize(p, dim):
    matched(lambda x: F.normalize(x, p=p, dim=dim), vectors(2, 3, 4, 5), orders="channels last")


def test_normalize_of_zero():
    matched(lambda x: F.normalize(x, dim=-1), torch.zeros(2, 3, requires_grad=True))


@pytest.mark.parametrize("dim", [1, -1, 2])
def test_cosine_similarity(dim):
    first, second = vectors(2, 3, 4, 5), vectors(2, 3, 4, 5, seed=1)
    matched(lambda a, b: F.cosine_similarity(a, b, dim=dim), first, second, orders="channels last")
    matched(nn.CosineSimilarity(dim=dim, eps=1e-6), first, second, orders="channels last")


@pytest.mark.parametrize("options", [{}, {"p": 1, "keepdim": True}, {"p": 3.0, "eps": 1e-3}], ids=str)
def test_pairwise_distance(options):
    matched(nn.PairwiseDistance(**options), vectors(4, 5), vectors(4, 5, seed=1))


def test_blocks_under_compile():
    x, y = mx.random.normal((4, 5)), mx.random.normal((4, 5))
    for run in (lambda x: blocks.normalize_along(x), lambda x: blocks.cosine_similarity_along(x, y),
                lambda x: blocks.distance_last_axis(x, y, p=3.0)):
        assert mx.allclose(mx.compile(run)(x), run(x), atol=1e-6)
        assert mx.compile(mx.grad(lambda x: run(x).sum()))(x).shape == x.shape
