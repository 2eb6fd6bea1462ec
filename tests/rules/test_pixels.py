"""Shuffles, patches and sampling."""

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_op

FUNCTIONS = ["nn.functional.pixel_shuffle", "nn.functional.pixel_unshuffle", "nn.functional.channel_shuffle",
             "nn.functional.unfold", "nn.functional.grid_sample", "grid_sampler_2d", "grid_sampler_3d"]


def image(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0), requires_grad=True)


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_samples(name, orders):
    assert failing_op(name, orders, seconds=3) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("layer, sizes, other", [
    (nn.PixelShuffle(2), (2, 12, 3, 4), (1, 8, 5, 2)), (nn.PixelShuffle(3), (9, 3, 4), (18, 2, 2)),
    (nn.PixelUnshuffle(2), (2, 3, 4, 6), (1, 2, 8, 2)), (nn.ChannelShuffle(3), (2, 6, 3, 4), (1, 9, 5, 2)),
    (nn.Unfold(3, dilation=2, padding=2, stride=2), (2, 3, 7, 8), (1, 3, 9, 6)),
    (nn.Unfold((2, 3), padding=(0, 1)), (3, 5, 6), (3, 6, 7)),
    (nn.Fold((7, 8), 3, padding=1, stride=2), (2, 27, 16), (1, 18, 16)),
    (nn.Fold((5, 6), (2, 3), dilation=2), (12, 6), (6, 6))], ids=str)
def test_layers(layer, sizes, other, orders):
    matched(layer, image(*sizes), also=((image(*other),),), orders=orders)


def test_unfold_then_fold():
    def function(x):
        return F.fold(F.unfold(x, 2, stride=2) * 3, x.shape[-2:], 2, stride=2)
    matched(function, image(2, 3, 6, 8), also=((image(1, 3, 4, 10),),), orders="channels last")


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample(mode, padding_mode, align_corners):
    grid = torch.rand(2, 4, 5, 2, generator=torch.Generator().manual_seed(1)) * 4 - 2
    grid.requires_grad_(mode != "nearest")
    def function(x, g):
        return F.grid_sample(x, g, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
    matched(function, image(2, 3, 6, 7), grid, also=((image(1, 3, 5, 4), grid[:1, :3].detach()),))


@pytest.mark.parametrize("align_corners", [False, True])
def test_affine_grid_follows_the_input(align_corners):
    def function(theta, x):
        return F.affine_grid(theta, list(x.shape), align_corners=align_corners)
    matched(function, image(2, 2, 3), torch.zeros(2, 3, 4, 5), also=((image(1, 2, 3), torch.zeros(1, 3, 7, 2)),))
    matched(function, image(2, 3, 4), torch.zeros(2, 3, 4, 5, 2))


def test_spatial_transformer():
    def transform(x, theta):
        return F.grid_sample(x, F.affine_grid(theta, x.size(), align_corners=False), align_corners=False)

    matched(transform, image(2, 3, 6, 7), image(2, 2, 3), also=((image(1, 3, 5, 9), image(1, 2, 3)),))


def test_blocks_under_compile():
    x, grid = mx.random.normal((2, 4, 6, 8)), mx.random.uniform(-1, 1, (2, 3, 5, 2))
    for run in (lambda x: blocks.pixel_shuffle_last_axis(x, 2), lambda x: blocks.unfold_patches(x, (2, 2)),
                lambda x: blocks.sample_at_grid(x, grid),
                lambda x: blocks.fold_patches(blocks.unfold_patches(x, (2, 2)), (4, 6), (2, 2))):
        assert mx.allclose(mx.compile(run)(x), run(x), atol=1e-5)
        assert mx.compile(mx.grad(lambda x: mx.square(run(x)).sum()))(x).shape == x.shape
