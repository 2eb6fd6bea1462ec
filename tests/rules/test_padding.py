"""Padding in every mode, as layers and as functions."""

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_module, failing_op

LAYERS = [f"nn.{kind}{n}d" for kind in ("ConstantPad", "ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")
          for n in (1, 2, 3)]


def image(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0), requires_grad=True)


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    return outcome


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", ["nn.functional.pad", "constant_pad_nd"])
def test_function_samples(name, orders):
    assert failing_op(name, orders, seconds=5) == []


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.bfloat16, torch.uint8])
def test_other_types(dtype):
    assert failing_op("nn.functional.pad", "standard", dtype=dtype, seconds=2, gradients=False) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_samples(name, orders):
    assert failing_module(name, orders) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("pad", [(1, 2, 3, 0), (2, -1, -2, 3), (-1, -1, 0, 2), (0, 0, 0, 0)], ids=str)
def test_every_mode(mode, pad, orders):
    matched(lambda x: F.pad(x, pad, mode=mode), image(2, 3, 6, 7), orders=orders, also=((image(1, 3, 8, 9),),))


def test_a_value_and_other_dimensions():
    matched(lambda x: F.pad(x, (1, 1, 0, 0, 2, 1), value=-2.5), image(2, 3, 6, 7), orders="channels last")


def test_to_a_multiple_of_the_window():
    """The widths are arithmetic on sizes and follow the input."""
    def pad(x):
        height, width = x.shape[-2:]
        return F.pad(x, (0, (4 - width % 4) % 4, 0, (4 - height % 4) % 4))

    matched(pad, image(2, 3, 6, 7), also=((image(1, 3, 9, 5),),), orders="channels last")


def test_unbatched_layers():
    for layer in (nn.ZeroPad2d((1, 2, 3, 4)), nn.ReflectionPad2d(2), nn.CircularPad2d((1, 0, 2, 1))):
        matched(layer, image(3, 6, 7))


def test_reads_as_mx_pad():
    source = matched(lambda x: F.pad(x, (1, 2)), image(2, 3, 5)).source
    assert "mx.pad(v0, [(0, 0), (0, 0), (1, 2)])" in source


def test_blocks_under_compile():
    x = mx.random.normal((2, 5, 6))
    widths = [(0, 0), (2, -1), (1, 3)]
    for run in (lambda x: blocks.pad_circular(x, widths), lambda x: blocks.pad_and_crop(x, widths, "edge")):
        assert mx.array_equal(mx.compile(run)(x), run(x))
        assert mx.compile(mx.grad(lambda x: mx.square(run(x)).sum()))(x).shape == x.shape
