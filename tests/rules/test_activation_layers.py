"""Activation layers: applied on their own, and as members of a list."""

import mlx.core as mx
import mlx.nn as mlx_nn
import pytest
import torch
from torch import nn

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import difference, replay, to_mlx
from tests.rules.verdicts import ORDERS, failing_module

LAYERS = [f"nn.{name}" for name in (
    "ReLU ReLU6 SiLU Mish Sigmoid Tanh LogSigmoid Softsign Tanhshrink Hardswish SELU ELU CELU Hardshrink Softshrink "
    "Threshold GELU Hardtanh Softplus LeakyReLU PReLU Softmax Softmin LogSoftmax Softmax2d GLU").split()]
OPTIONS = [
    nn.ReLU(inplace=True), nn.ReLU6(), nn.SiLU(), nn.Mish(), nn.Sigmoid(), nn.Tanh(), nn.LogSigmoid(), nn.Softsign(),
    nn.Tanhshrink(), nn.Hardswish(), nn.Hardsigmoid(), nn.SELU(), nn.ELU(), nn.ELU(0.7), nn.CELU(), nn.CELU(2.0),
    nn.Hardshrink(0.3), nn.Softshrink(), nn.Softshrink(0.2), nn.Threshold(0.1, 20), nn.GELU(), nn.GELU("tanh"),
    nn.Hardtanh(), nn.Hardtanh(-2, 0.5), nn.Softplus(), nn.Softplus(2.0, 3.0), nn.LeakyReLU(), nn.LeakyReLU(1.5),
    nn.LeakyReLU(-0.1), nn.RReLU().eval(), nn.RReLU(0.1, 0.2).eval(), nn.PReLU(), nn.PReLU(6, init=0.4),
    nn.Softmax(1), nn.Softmax(-1), nn.Softmin(2), nn.LogSoftmax(1), nn.Softmax2d(), nn.GLU(), nn.GLU(1)]


def image():
    return (torch.randn(2, 6, 4, 8, generator=torch.Generator().manual_seed(0)) * 3).requires_grad_()


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", LAYERS)
def test_samples(name, orders):
    assert failing_module(name, orders) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("layer", OPTIONS, ids=str)
def test_options(layer, orders):
    x = image().detach() if getattr(layer, "inplace", False) else image()
    outcome = replay(layer, (x,), orders=orders)
    assert outcome.kind == "matched" and (outcome.gradients == "matched" or not x.requires_grad), outcome


@pytest.mark.parametrize("layer", [layer for layer in OPTIONS if not isinstance(layer, (nn.PReLU, nn.Softmax2d))],
                         ids=str)
def test_constructor_for_a_list_of_layers(layer):
    names = {"nn": mlx_nn, "mx": mx, **vars(blocks)}
    built = eval(str(emit_layer(layer).layer.constructor), names)
    built.train(layer.training)
    assert isinstance(built, mlx_nn.Module)
    assert difference(built(to_mlx(image())), layer(image().detach())) == ""


@pytest.mark.parametrize("shape", [(5,), (5, 6), (3, 4, 5), (2, 3, 4, 5)])
@pytest.mark.parametrize("cls", [nn.Softmax, nn.Softmin, nn.LogSoftmax])
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_implicit_dim(cls, shape):
    outcome = replay(cls(), (torch.randn(shape, requires_grad=True),), orders="channels last")
    assert outcome.kind == "matched", outcome


def test_reads_as_a_function():
    assert "nn.relu(" in replay(nn.ReLU(), (image(),)).source
    assert "nn.gelu_approx(" in replay(nn.GELU("tanh"), (image(),)).source
    assert "mx.softmax(" in replay(nn.Softmax(-1), (image(),)).source


def test_large_values_do_not_poison_the_gradient():
    x = torch.tensor([-200.0, -1.0, 0.5, 200.0], requires_grad=True)
    for layer in (nn.ELU(), nn.SELU(), nn.CELU(0.5), nn.Softplus(), nn.Mish()):
        assert replay(layer, (x,)).kind == "matched", layer


def test_random_slope_in_training_is_a_caveat():
    outcome = replay(nn.RReLU().train(), (image(),), gradients=False)
    assert any("random" in caveat for caveat in outcome.caveats)
