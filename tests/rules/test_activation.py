"""Activations as functions and softmax, with their gradients at the corners."""

import mlx.core as mx
import pytest
import torch
from torch.nn import functional as F

from t2m_notebook import blocks
from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["softmax", "log_softmax", "nn.functional.softmin", *(f"nn.functional.{name}" for name in (
    "relu", "relu6", "gelu", "silu", "mish", "softplus", "logsigmoid", "softsign", "tanhshrink", "hardtanh",
    "hardsigmoid", "hardswish", "hardshrink", "softshrink", "threshold", "leaky_relu", "elu", "celu", "selu", "prelu",
    "rrelu", "glu"))]
EXCEPTIONS = {"log_softmax": "refused: shape", "softmax": "refused: shape"}


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(name, orders):
    check(name, orders=orders, exceptions=EXCEPTIONS)


@pytest.mark.parametrize("name, dtype", supported(NAMES, ("bfloat16", "float16", "int64")))
def test_dtype(name, dtype):
    check(name, dtype, exceptions=EXCEPTIONS, limit=5)


@pytest.mark.parametrize("function", [
    F.relu, F.relu6, F.elu, F.selu, F.celu, F.leaky_relu, F.hardtanh, F.hardswish, F.hardsigmoid, F.softplus,
    F.hardshrink, F.softshrink, lambda x: F.prelu(x, torch.tensor([0.3])), lambda x: F.threshold(x, 0.5, 7.0),
    lambda x: F.rrelu(x, 0.1, 0.3), lambda x: F.leaky_relu(x, 1.5), lambda x: F.leaky_relu(x, -0.5),
    lambda x: F.elu(x, alpha=0.3), lambda x: F.softplus(x, beta=2, threshold=3), lambda x: F.softplus(x, beta=3),
])
def test_gradients_at_the_corners(function):
    x = torch.tensor([-100.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 100.0], requires_grad=True)
    outcome = replay(function, (x,))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("text, source", [
    ("F.relu(x)", "nn.relu(v0)"), ("F.gelu(x)", "nn.gelu(v0)"), ("F.gelu(x, approximate='tanh')", "nn.gelu_approx(v0)"),
    ("F.silu(x)", "nn.silu(v0)"), ("F.softmax(x, dim=-1)", "mx.softmax(v0, axis=-1)"),
    ("F.leaky_relu(x, 0.2)", "mx.maximum(v0, 0.2 * v0)"),
])
def test_text(text, source):
    assert source in replay(eval(f"lambda x: {text}", {"F": F}), (torch.rand(2, 3),)).source


def test_prelu_has_a_weight_per_channel_in_any_order():
    x, weight = torch.randn(2, 3, 4, 5, requires_grad=True), torch.rand(3, requires_grad=True)
    for orders in ORDERS:
        outcome = replay(F.prelu, (x, weight), orders=orders)
        assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax(hard):
    outcome = replay(lambda x: F.gumbel_softmax(x, tau=0.5, hard=hard), (torch.randn(5, 4),))
    assert outcome.kind == "matched" and "random" in outcome.caveats[0], outcome
    sample = blocks.gumbel_softmax(mx.zeros((5, 4)), hard=hard)
    assert mx.allclose(sample.sum(axis=-1), mx.ones((5,))).item()
