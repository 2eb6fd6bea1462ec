"""Recurrent layers and cells: stacked, bidirectional, projected, with given states, at any length."""

import itertools

import mlx.core as mx
import pytest
import torch
from torch import nn

from t2m_notebook import blocks
from tests.rules.replay import replay
from tests.rules.samples import run_module

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's advice on its own old arguments and kernels

LAYERS = ["nn.LSTM", "nn.GRU", "nn.RNN"]
CELLS = ["nn.LSTMCell", "nn.GRUCell", "nn.RNNCell"]
KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


@pytest.mark.parametrize("name", LAYERS + CELLS)
def test_layer(name):
    tally = run_module(name)
    assert tally.verdict == "matched", tally.line()


def test_relu_rnn():
    outcome = replay(nn.RNN(3, 4, num_layers=2, nonlinearity="relu"), (torch.randn(5, 2, 3),))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("kind, num_layers, bidirectional, bias",
                         list(itertools.product(KINDS, (1, 3), (False, True), (False, True))))
def test_stacks_with_states_at_other_lengths(kind, num_layers, bidirectional, bias):
    torch.manual_seed(0)
    module = KINDS[kind](3, 4, num_layers=num_layers, bidirectional=bidirectional, bias=bias, batch_first=True)
    count = num_layers * (1 + bidirectional)

    def given(batch, length):
        state = torch.randn(count, batch, 4)
        return torch.randn(batch, length, 3), ((state, torch.randn(count, batch, 4)) if kind == "lstm" else state)

    outcome = replay(module, given(2, 5), also=(given(3, 1), given(1, 9)))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("bidirectional", [False, True])
def test_projected_lstm(bidirectional):
    module = nn.LSTM(3, 6, num_layers=2, proj_size=2, bidirectional=bidirectional)
    states = (torch.randn(2 + 2 * bidirectional, 2, 2), torch.randn(2 + 2 * bidirectional, 2, 6))
    assert replay(module, (torch.randn(5, 2, 3),)).gradients == "matched"
    assert replay(module, (torch.randn(5, 2, 3), states)).gradients == "matched"


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_batch(kind):
    assert replay(KINDS[kind](3, 4, bidirectional=True), (torch.randn(5, 3),)).gradients == "matched"


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_layers_only_in_training(kind):
    module = KINDS[kind](3, 4, num_layers=2, dropout=0.5)
    assert replay(module.train(), (torch.randn(5, 2, 3),)).detail.startswith("random numbers")
    assert replay(module.eval(), (torch.randn(5, 2, 3),)).gradients == "matched"


def test_half_precision():
    outcome = replay(nn.LSTM(3, 4).bfloat16(), (torch.randn(5, 2, 3).bfloat16(),), gradients=False)
    assert outcome.kind == "matched", outcome


def test_constructor_names_what_differs_from_the_default():
    source = replay(nn.GRU(3, 4, 2, bidirectional=True), (torch.randn(5, 2, 3),))
    assert source.kind == "matched"


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("bias", [False, True])
def test_layer_opened_by_a_subclass(cls, bias):
    class Doubled(cls):
        def forward(self, x):
            return super().forward(x * 2)

    shape = (2, 3) if issubclass(cls, nn.RNNCellBase) else (5, 2, 3)
    outcome = replay(Doubled(3, 4, bias=bias), (torch.randn(shape),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_opened_rnn(nonlinearity):
    class Doubled(nn.RNN):
        def forward(self, x):
            return super().forward(x * 2)

    class DoubledCell(nn.RNNCell):
        def forward(self, x):
            return super().forward(x * 2)

    assert replay(Doubled(3, 4, nonlinearity=nonlinearity), (torch.randn(5, 2, 3),)).kind == "matched"
    assert replay(DoubledCell(3, 4, nonlinearity=nonlinearity), (torch.randn(2, 3),)).kind == "matched"


def test_packed_sequences_are_refused_with_the_way_around():
    module = nn.LSTM(3, 4, batch_first=True)

    def packed(x):
        sequence = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True)
        return nn.utils.rnn.pad_packed_sequence(module(sequence)[0], batch_first=True)[0]

    outcome = replay(packed, (torch.randn(2, 3, 3),))
    assert outcome.kind == "refused" and "padded" in outcome.detail


@pytest.mark.parametrize("block", [blocks.StackedLSTM, blocks.StackedGRU, blocks.StackedRNN])
def test_compiled(block):
    layer, x = block(3, 4, num_layers=2, bidirectional=True), mx.random.normal((5, 2, 3))
    compiled = mx.compile(lambda x: layer(x)[0])
    assert mx.allclose(compiled(x), layer(x)[0], atol=1e-6).item()
    assert mx.grad(lambda x: compiled(x).sum())(x).shape == x.shape
