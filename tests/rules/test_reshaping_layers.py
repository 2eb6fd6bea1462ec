"""Flatten, Unflatten and Identity in both layouts, on their own and in a list."""

import pytest
import torch
from torch import nn

from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS


def image(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("layer, sizes, other", [
    (nn.Flatten(), (2, 3, 4, 5), (3, 2, 6, 1)), (nn.Flatten(), (2, 6, 1, 1), (5, 6, 1, 1)),
    (nn.Flatten(), (4, 5), (2, 7)),
    (nn.Flatten(2), (2, 3, 4, 5), (1, 3, 2, 2)), (nn.Flatten(0, 1), (2, 3, 4, 5), (4, 3, 2, 2)),
    (nn.Flatten(1, 2), (2, 3, 4, 5), (4, 3, 2, 2)), (nn.Flatten(0), (2, 3, 4), (4, 3, 2)),
    (nn.Unflatten(1, (2, 3)), (2, 6, 4, 5), (3, 6, 1, 2)), (nn.Unflatten(2, (-1, 2)), (2, 3, 4, 5), (1, 3, 8, 2)),
    (nn.Unflatten(-1, (2, 2, 1)), (2, 3, 4), (5, 2, 4)), (nn.Identity(), (2, 3, 4, 5), (1, 2, 3, 4))], ids=str)
def test_layer(layer, sizes, other, orders):
    outcome = replay(layer, (image(*sizes),), also=((image(*other),),), orders=orders)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("orders", ORDERS)
def test_between_a_convolution_and_a_linear_layer(orders):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 3, 5))
    outcome = replay(model, (image(2, 3, 6, 5),), also=((image(3, 3, 6, 5),),), orders=orders)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_named_dimensions_are_refused():
    layer = nn.Unflatten(1, (2, 3))
    layer.dim = "channels"
    from t2m_notebook.errors import Refused
    from t2m_notebook.rules import emit_layer
    with pytest.raises(Refused, match="dimension's number"):
        emit_layer(layer)
