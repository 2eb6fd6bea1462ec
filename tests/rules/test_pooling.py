"""Pooling: torch's samples, and the options that they leave out."""

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_module, failing_op

KINDS = ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "max_unpool")
FUNCTIONS = [f"nn.functional.{kind}{n}d" for kind in KINDS for n in (1, 2, 3)]
LAYERS = [f"nn.{kind}{n}d" for kind in ("MaxPool", "AvgPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
          for n in (1, 2, 3)]


def image(spatial, batch=(2,), size=9, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    sizes = [size + axis for axis in range(spatial)]
    return torch.randn(*batch, 3, *sizes, generator=generator).to(dtype).requires_grad_()


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    return outcome


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_samples(name, orders):
    assert failing_op(name, orders, seconds=0.8) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_samples(name, orders):
    assert failing_module(name, orders) == []


@pytest.mark.parametrize("name", ["nn.functional.avg_pool2d", "nn.functional.adaptive_avg_pool2d",
                                  "nn.functional.max_pool1d", "nn.functional.adaptive_max_pool2d"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(name, dtype):
    assert failing_op(name, "standard", seconds=0.8, dtype=dtype, gradients=False) == []


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("batch", [(2,), ()], ids=["batch", "unbatched"])
@pytest.mark.parametrize("options", [
    {"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 3, "dilation": 2, "padding": 1, "stride": 1}, {"kernel_size": 2, "return_indices": True},
    {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "return_indices": True, "dilation": 2}], ids=str)
def test_max_pool_follows_the_input(spatial, batch, options):
    layer = getattr(nn, f"MaxPool{spatial}d")(**options)
    other = tuple(n + 1 for n in batch)
    matched(layer, image(spatial, batch), also=((image(spatial, other, size=12),),))
    matched(lambda x: getattr(F, f"max_pool{spatial}d")(x, **options), image(spatial, batch),
            also=((image(spatial, other, size=12),),))


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4, 5, 9], ids=str)
def test_adaptive_follows_the_input(spatial, size):
    for kind in ("Avg", "Max"):
        layer = getattr(nn, f"Adaptive{kind}Pool{spatial}d")(size)
        matched(layer, image(spatial), also=((image(spatial, (3,), size=13),),), orders="channels last")


def test_adaptive_keeps_an_axis():
    matched(nn.AdaptiveAvgPool2d((None, 3)), image(2), also=((image(2, (1,), size=13),),))
    matched(lambda x: F.adaptive_max_pool2d(x, (3, None)), image(2), also=((image(2, (1,), size=13),),))


def test_kernel_of_the_size_of_the_input():
    matched(lambda x: F.avg_pool2d(x, x.shape[2:]), image(2), also=((image(2, (1,), size=13),),))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_unpool(spatial):
    class Through(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = getattr(nn, f"MaxPool{spatial}d")(3, stride=2, return_indices=True)
            self.unpool = getattr(nn, f"MaxUnpool{spatial}d")(3, stride=2)

        def forward(self, x):
            y, indices = self.pool(x)
            return self.unpool(y, indices, output_size=x.shape), self.unpool(y, indices)

    def cube(batch, size):
        return torch.randn(batch, 3, *[size] * spatial, requires_grad=True)
    matched(Through(), cube(2, 9), also=((cube(3, 11),),), orders="channels last")


def test_fractional_needs_its_samples():
    x, samples = image(2), torch.rand(2, 3, 2)
    matched(lambda x, s: F.fractional_max_pool2d(x, (2, 3), output_size=(4, 5), _random_samples=s), x, samples)
    matched(nn.FractionalMaxPool2d(2, output_ratio=0.5, return_indices=True, _random_samples=samples), x)
    matched(nn.FractionalMaxPool3d(2, output_size=(3, 4, 5), _random_samples=torch.rand(2, 3, 3)), image(3))
    for layer in (nn.FractionalMaxPool2d(2, output_size=3), lambda x: F.fractional_max_pool2d(x, 2, output_size=3)):
        outcome = replay(layer, (x,))
        assert outcome.kind == "refused" and "adaptive_max_pool" in outcome.detail


def test_mlx_layers_where_they_serve():
    def text(layer):
        return str(emit_layer(layer).layer.constructor)
    assert text(nn.MaxPool2d(3, stride=2, padding=1)) == "nn.MaxPool2d(3, stride=2, padding=1)"
    assert text(nn.MaxPool2d(2)) == "nn.MaxPool2d(2)"
    assert text(nn.AvgPool1d(4, stride=(2,))) == "nn.AvgPool1d(4, stride=2)"
    assert "x.mean" in replay(nn.AdaptiveAvgPool2d(1), (image(2),)).source.replace("v0", "x")


def test_global_average_of_half_precision_does_not_overflow():
    x = torch.full((1, 2, 64, 64), 300.0, dtype=torch.float16)
    assert replay(nn.AdaptiveAvgPool2d(1), (x,), gradients=False).kind == "matched"


def test_blocks_under_compile():
    x = mx.random.normal((2, 9, 8, 3))
    options = ((3, 2), (2, 1), (1, 0), (1, 1), True)
    values, indices = mx.compile(lambda x: blocks.max_pool_windows_with_indices(x, *options))(x)
    flat = mx.take_along_axis(x.reshape(2, -1, 3), indices.reshape(2, -1, 3), axis=1).reshape(values.shape)
    assert np.array_equal(np.array(flat), np.array(values))
    assert mx.compile(mx.grad(lambda x: blocks.adaptive_avg_pool_to(x, (4, 3)).sum()))(x).shape == x.shape
