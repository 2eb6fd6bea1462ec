"""Dropout: the identity in eval mode, MLX's random numbers in training."""

import mlx.core as mx
import mlx.nn as mlx_nn
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import replay

LAYERS = [(nn.Dropout, (3, 4)), (nn.Dropout1d, (2, 3, 5)), (nn.Dropout2d, (2, 3, 5, 4)),
          (nn.Dropout3d, (2, 3, 5, 4, 2)), (nn.AlphaDropout, (3, 4)), (nn.FeatureAlphaDropout, (2, 3, 5, 4))]
FUNCTIONS = [(F.dropout, (3, 4)), (F.dropout1d, (2, 3, 5)), (F.dropout2d, (2, 3, 5, 4)),
             (F.dropout3d, (2, 3, 5, 4, 2)), (F.alpha_dropout, (3, 4)), (F.feature_alpha_dropout, (2, 3, 5, 4))]


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("cls, shape", LAYERS)
def test_layer_in_eval_mode(cls, shape, p):
    outcome = replay(cls(p).eval(), (torch.randn(shape, requires_grad=True),), orders="channels last")
    assert outcome.kind == "matched" and not outcome.caveats, outcome


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("cls, shape", LAYERS)
def test_layer_in_training_where_nothing_is_random(cls, shape, p):
    outcome = replay(cls(p).train(), (torch.randn(shape, requires_grad=True),))
    assert outcome.kind == "matched" and not outcome.caveats, outcome


@pytest.mark.parametrize("cls, shape", LAYERS)
def test_layer_in_training_has_a_caveat(cls, shape):
    outcome = replay(cls(0.5).train(), (torch.randn(shape),), gradients=False)
    assert any("random" in caveat for caveat in outcome.caveats), outcome


@pytest.mark.parametrize("p, training", [(0.0, True), (0.5, False), (1.0, True)])
@pytest.mark.parametrize("function, shape", FUNCTIONS)
def test_function(function, shape, p, training):
    outcome = replay(lambda x: function(x, p, training), (torch.randn(shape, requires_grad=True),))
    assert outcome.kind == "matched" and not outcome.caveats, outcome


def test_layers_stay_so_that_the_port_can_be_trained():
    def text(layer):
        return str(emit_layer(layer).layer.constructor)
    assert text(nn.Dropout(0.1).eval()) == "nn.Dropout(p=0.1)"
    assert text(nn.Dropout2d(0.1).eval()) == "nn.Dropout2d(p=0.1)"


def test_channels_are_dropped_whole_and_means_kept():
    mx.random.seed(0)
    y = blocks.drop_channels(mx.ones((64, 7, 5, 32)), 0.25)
    assert mx.array_equal(y, mx.broadcast_to(y[:, :1, :1], y.shape))
    assert abs(y.mean().item() - 1) < 0.1


@pytest.mark.parametrize("channels", [False, True])
def test_alpha_dropout_keeps_mean_and_variance(channels):
    mx.random.seed(0)
    y = blocks.drop_to_alpha(mx.random.normal((500, 4, 500)), 0.3, channels)
    assert abs(y.mean().item()) < 0.02 and abs(y.var().item() - 1) < 0.03


def test_block_layers_follow_the_mode():
    x = mx.ones((4, 6, 8))
    for layer in (blocks.DropChannels(0.5), blocks.DropToAlpha(0.5), blocks.DropAll()):
        assert isinstance(layer, mlx_nn.Module)
        assert not mx.array_equal(layer(x), x)
        assert mx.array_equal(layer.eval()(x), x)
