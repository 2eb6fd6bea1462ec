"""Convolutions: torch's samples, and the options that they leave out."""

import itertools

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_module, failing_op

# Torch says so once in a process, in whichever test comes first.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

FUNCTIONS = [f"nn.functional.{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3)]
LAYERS = [f"nn.{kind}{n}d" for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)]
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def image(spatial, channels=4, batch=(2,), size=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = [size + axis for axis in range(spatial)]
    return torch.randn(*batch, channels, *sizes, generator=generator, requires_grad=True)


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    return outcome


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_samples(name, orders):
    assert failing_op(name, orders) == []


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if "3d" not in n])
def test_bfloat16(name):
    assert failing_op(name, "standard", dtype=torch.bfloat16, gradients=False) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_samples(name, orders):
    assert failing_module(name, orders) == []


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("options", [
    {"groups": 2}, {"groups": 4, "stride": 2, "padding": 1}, {"dilation": 2, "padding": 3, "bias": False},
    {"padding": "same", "kernel_size": 4}, {"padding": "same", "dilation": 2, "groups": 2}, {"padding": "valid"},
    {"padding": 2, "padding_mode": "circular"}, {"padding": 1, "padding_mode": "reflect", "groups": 2},
    {"padding": "same", "kernel_size": 2, "padding_mode": "replicate"}], ids=str)
@pytest.mark.parametrize("batch", [(2,), ()], ids=["batch", "unbatched"])
def test_layer_options(spatial, options, batch):
    torch.manual_seed(0)
    layer = CONV[spatial](4, 8, **({"kernel_size": 3} | options))
    matched(layer, image(spatial, batch=batch), orders="channels last" if batch else "standard")


@pytest.mark.parametrize("spatial", [1, 2, 3])
@pytest.mark.parametrize("options", [
    {"groups": 2, "stride": 2}, {"stride": 2, "output_padding": 1}, {"stride": 3, "padding": 1, "output_padding": 2},
    {"stride": 2, "padding": 2, "output_padding": 1, "groups": 2, "bias": False},
    {"dilation": 2, "padding": 1}], ids=str)
@pytest.mark.parametrize("batch", [(2,), ()], ids=["batch", "unbatched"])
def test_transposed_options(spatial, options, batch):
    torch.manual_seed(0)
    matched(TRANSPOSED[spatial](4, 6, 3, **options), image(spatial, batch=batch, size=4))


@pytest.mark.parametrize("spatial", [1, 2, 3])
def test_output_size_follows_another_array(spatial):
    class Up(nn.Module):
        def __init__(self):
            super().__init__()
            self.up = TRANSPOSED[spatial](4, 3, 3, stride=2, padding=1)

        def forward(self, x, like):
            return self.up(x, output_size=like.shape[2:])

    def like(n, x):
        return torch.randn(n, 1, *[2 * size - 1 + (axis + n) % 2 for axis, size in enumerate(x.shape[2:])])
    first, second = image(spatial, size=4), image(spatial, batch=(3,), size=6)
    matched(Up(), first, like(2, first), also=((second, like(3, second)),))


def test_same_padding_follows_the_weight():
    first = (image(1), torch.randn(5, 4, 3))
    matched(lambda x, w: F.conv1d(x, w, padding="same"), *first, also=((image(1, size=9), torch.randn(5, 4, 5)),))


def test_the_emitted_layer_reads_as_an_expert_writes_it():
    from t2m_notebook.rules import emit_layer
    def text(layer):
        return str(emit_layer(layer).layer.constructor)
    assert text(nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)) == \
        "nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)"
    assert text(nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=8)) == \
        "nn.Conv2d(8, 8, kernel_size=(1, 3), padding=(0, 1), groups=8)"
    assert text(nn.ConvTranspose2d(8, 4, 2, stride=2)) == "nn.ConvTranspose2d(8, 4, kernel_size=2, stride=2)"


def test_integers_are_refused():
    outcome = replay(lambda x, w: F.conv1d(x, w), (torch.ones(1, 2, 5, dtype=torch.int64),
                                                   torch.ones(3, 2, 2, dtype=torch.int64)), gradients=False)
    assert outcome.kind == "refused" and "cast" in outcome.detail


@pytest.mark.parametrize("stride, padding, dilation, groups", list(itertools.product((1, 2), (0, 1), (1, 2), (2, 4))))
def test_conv3d_grouped_under_compile(stride, padding, dilation, groups):
    x, w = mx.random.normal((2, 7, 6, 5, 4)), mx.random.normal((8, 3, 2, 3, 4 // groups))
    def run(x, w):
        return blocks.conv3d_grouped(x, w, stride, padding, dilation, groups)
    want = F.conv3d(torch.tensor(np.array(x)).permute(0, 4, 1, 2, 3), torch.tensor(np.array(w)).permute(0, 4, 1, 2, 3),
                    None, stride, padding, dilation, groups).permute(0, 2, 3, 4, 1).numpy()
    assert np.allclose(np.array(mx.compile(run)(x, w)), want, atol=1e-4)
    assert mx.compile(mx.grad(lambda w: mx.square(run(x, w)).sum()))(w).shape == w.shape
