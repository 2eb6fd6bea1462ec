"""Recurrent layers and cells."""

from torch import nn as torch_nn

from .array import Array
from .expression import blocks, nn
from .registry import Layer, caveat, layer, op, refuse

_PADDED = "pass padded sequences and read each one's results at its own length; mask the padding in the loss"


def _options(m) -> dict:
    options = {"num_layers": m.num_layers} if m.num_layers != 1 else {}
    if not m.bias:
        options["bias"] = False
    if m.batch_first:
        options["batch_first"] = True
    if m.dropout:
        options["dropout"] = float(m.dropout)
    if m.bidirectional:
        options["bidirectional"] = True
    return options


def _call(target, input, hx=None):
    if not isinstance(input, Array):
        refuse("input", "PackedSequence", _PADDED)
    return target(input) if hx is None else target(input, hx)


@layer(torch_nn.LSTM)
def lstm_layer(m):
    """`StackedLSTM`, a block: MLX's LSTM has one layer, one direction and one bias."""
    options = _options(m) | ({"proj_size": m.proj_size} if m.proj_size else {})
    return Layer(blocks.StackedLSTM(m.input_size, m.hidden_size, **options), call=_call)


@layer(torch_nn.GRU)
def gru_layer(m):
    """`StackedGRU`, a block: MLX's GRU has one layer and one direction."""
    return Layer(blocks.StackedGRU(m.input_size, m.hidden_size, **_options(m)), call=_call)


@layer(torch_nn.RNN)
def rnn_layer(m):
    """`StackedRNN`, a block: MLX's RNN has one layer, one direction and one bias."""
    options = _options(m) | ({"nonlinearity": m.nonlinearity} if m.nonlinearity != "tanh" else {})
    return Layer(blocks.StackedRNN(m.input_size, m.hidden_size, **options), call=_call)


def _cell(block, m, **options):
    if not m.bias:
        options["bias"] = False
    return block(m.input_size, m.hidden_size, **options)


@layer(torch_nn.LSTMCell)
def lstm_cell_layer(m):
    """A block with torch's parameters."""
    return _cell(blocks.LSTMCell, m)


@layer(torch_nn.GRUCell)
def gru_cell_layer(m):
    """A block with torch's parameters."""
    return _cell(blocks.GRUCell, m)


@layer(torch_nn.RNNCell)
def rnn_cell_layer(m):
    """A block with torch's parameters."""
    return _cell(blocks.RNNCell, m, **({"nonlinearity": m.nonlinearity} if m.nonlinearity != "tanh" else {}))


def _layers(sweep, input, states, params, has_biases, num_layers, dropout, train, bidirectional, batch_first):
    """What a recurrent layer calls inside (seen where weight_norm or a subclass opened it)."""
    if not isinstance(params, (list, tuple)):
        refuse("input", "PackedSequence", _PADDED)
    count = num_layers * (2 if bidirectional else 1)
    each = len(params) // count
    weights = []
    for start in range(0, len(params), each):
        group = list(params[start:start + each])
        weights.append(group if has_biases or each == 2 else [*group[:2], None, None, *group[2:]])
    options = {}
    if bidirectional:
        options["bidirectional"] = True
    if batch_first:
        options["batch_first"] = True
    if train and dropout and num_layers > 1:
        caveat("dropout between the layers draws other random numbers than torch")
        options["dropout"] = float(dropout)
    return blocks.recurrent_layers(sweep, input, list(states), weights, **options)


@op("torch.lstm")
def lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first=False):
    return _layers(blocks.lstm_sweep, input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                   batch_first)


@op("torch.gru")
def gru(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first=False):
    return _layers(blocks.gru_sweep, input, [hx], params, has_biases, num_layers, dropout, train, bidirectional,
                   batch_first)


@op("torch.rnn_tanh")
def rnn_tanh(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first=False):
    return _layers(blocks.rnn_sweep, input, [hx], params, has_biases, num_layers, dropout, train, bidirectional,
                   batch_first)


@op("torch.rnn_relu")
def rnn_relu(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first=False):
    return _layers(blocks.relu_rnn_sweep, input, [hx], params, has_biases, num_layers, dropout, train, bidirectional,
                   batch_first)


@op("torch.lstm_cell")
def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return blocks.lstm_cell(input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


@op("torch.gru_cell")
def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return blocks.gru_cell(input, hx, w_ih, w_hh, b_ih, b_hh)


@op("torch.rnn_tanh_cell")
def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return blocks.rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh)


@op("torch.rnn_relu_cell")
def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return blocks.rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh, activation=nn.relu)


@op("torch._pack_padded_sequence", "torch._pad_packed_sequence", "torch.nn.utils.rnn.pack_padded_sequence",
    "torch.nn.utils.rnn.pad_packed_sequence", "torch.nn.utils.rnn.pack_sequence")
def packed_sequence(input, *rest, **options):
    """Packed sequences have no form in MLX."""
    refuse("PackedSequence", None, _PADDED)
