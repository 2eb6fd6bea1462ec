"""weight_norm, spectral_norm and orthogonal compute their weights in MLX as they do in torch."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn import utils
from torch.nn.utils import parametrizations

from tests.rules.replay import replay
from tests.rules.samples import run_op

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice on its own old arguments and kernels


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_of_a_linear(dim, training):
    outcome = replay(parametrizations.weight_norm(nn.Linear(4, 5), dim=dim).train(training), (torch.randn(2, 4),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_weight_norm_as_a_hook():
    outcome = replay(utils.weight_norm(nn.Linear(4, 5)), (torch.randn(2, 4),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("dim", [0, 1, 2, None])
@pytest.mark.parametrize("orders", ["standard", "channels last"])
@pytest.mark.parametrize("style", [parametrizations.weight_norm, utils.weight_norm])
def test_weight_norm_of_a_convolution(style, orders, dim):
    module = style(nn.Conv1d(4, 5, kernel_size=3, padding=1), dim=dim)
    outcome = replay(module, (torch.randn(2, 4, 7),), orders=orders)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_weight_norm_of_a_recurrent_layer():
    module = parametrizations.weight_norm(nn.LSTM(4, 3), name="weight_hh_l0")
    outcome = replay(module, (torch.randn(5, 2, 4),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("style", [parametrizations.spectral_norm, utils.spectral_norm])
def test_spectral_norm_in_inference(style):
    outcome = replay(style(nn.Linear(4, 5)).eval(), (torch.randn(2, 4),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_norm_except_dim(dim):
    assert replay(lambda v: torch.norm_except_dim(v, 2, dim), (torch.randn(3, 4, 5),)).kind == "matched"


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"padding_value": 2.5}, {"padding_side": "left"}])
def test_pad_sequence(options):
    sequences = [torch.randn(length, 3) for length in (4, 2, 5)]
    longer = [torch.randn(length, 3) for length in (7, 2, 1)]
    outcome = replay(lambda *x: utils.rnn.pad_sequence(list(x), **options), tuple(sequences), also=(tuple(longer),))
    assert outcome.kind == "matched", outcome


def test_weight_norm_by_hand_reads_like_the_formula():
    v, g = torch.randn(5, 4, requires_grad=True), torch.rand(5, 1, requires_grad=True)
    outcome = replay(lambda x, v, g: F.linear(x, torch._weight_norm(v, g, 0)), (torch.randn(2, 4), v, g))
    assert outcome.kind == "matched" and "weight_norm(v1, v2, axis=0)" in outcome.source


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivialized", [False, True])
@pytest.mark.parametrize("sizes", [(4, 4), (4, 6), (6, 4)])
def test_orthogonal(sizes, trivialized, orthogonal_map):
    torch.manual_seed(0)
    module = parametrizations.orthogonal(nn.Linear(*sizes), orthogonal_map=orthogonal_map,
                                         use_trivialization=trivialized)
    # torch reads the signs on a weight's diagonal as integers, which cuts the gradient; MLX's cast passes it on
    outcome = replay(module, (torch.randn(2, sizes[0]),), gradients=orthogonal_map != "householder")
    assert outcome.kind == "matched", outcome


def test_householder_product_samples():
    tally = run_op("linalg.householder_product", seconds=4)
    assert tally.verdict == "matched", tally.line()
