"""Recurrent layers with torch's parameters and results: stacked, bidirectional, with given states.

As in ``mlx.nn``, one product projects the whole sequence and a loop runs over time.
"""

import mlx.core as mx
import mlx.nn as nn

__all__ = ["GRUCell", "LSTMCell", "RNNCell", "RecurrentCell", "RecurrentLayers", "StackedGRU", "StackedLSTM",
           "StackedRNN", "gru_cell", "gru_sweep", "lstm_cell", "lstm_sweep", "recurrent_layers", "relu_rnn_sweep",
           "rnn_cell", "rnn_sweep"]


def lstm_sweep(x, state, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None, reverse=False):
    """One LSTM direction over ``(N, L, D)``: ``((N, L, H), (h, c))``; ``w_hr`` projects the hidden state."""
    x = x @ w_ih.T if b_ih is None else mx.addmm(b_ih + b_hh, x, w_ih.T)
    if state is None:
        state = [mx.zeros((len(x), size), x.dtype) for size in (w_hh.shape[1], w_hh.shape[0] // 4)]
    hidden, cell = state
    steps = range(x.shape[1])
    outputs = []
    for step in reversed(steps) if reverse else steps:
        i, f, g, o = mx.split(mx.addmm(x[:, step], hidden, w_hh.T), 4, axis=-1)
        cell = mx.sigmoid(f) * cell + mx.sigmoid(i) * mx.tanh(g)
        hidden = mx.sigmoid(o) * mx.tanh(cell)
        hidden = hidden if w_hr is None else hidden @ w_hr.T
        outputs.append(hidden)
    return mx.stack(outputs[::-1] if reverse else outputs, axis=1), (hidden, cell)


def gru_sweep(x, state, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False):
    """One GRU direction over ``(N, L, D)``: ``((N, L, H), (h,))``."""
    x = x @ w_ih.T if b_ih is None else mx.addmm(b_ih, x, w_ih.T)
    hidden = mx.zeros((len(x), w_hh.shape[1]), x.dtype) if state is None else state[0]
    steps = range(x.shape[1])
    outputs = []
    for step in reversed(steps) if reverse else steps:
        h = hidden @ w_hh.T if b_hh is None else mx.addmm(b_hh, hidden, w_hh.T)
        (x_r, x_z, x_n), (h_r, h_z, h_n) = mx.split(x[:, step], 3, axis=-1), mx.split(h, 3, axis=-1)
        r, z = mx.sigmoid(x_r + h_r), mx.sigmoid(x_z + h_z)
        n = mx.tanh(x_n + r * h_n)
        hidden = (1 - z) * n + z * hidden
        outputs.append(hidden)
    return mx.stack(outputs[::-1] if reverse else outputs, axis=1), (hidden,)


def rnn_sweep(x, state, w_ih, w_hh, b_ih=None, b_hh=None, reverse=False, activation=mx.tanh):
    """One Elman direction over ``(N, L, D)``: ``((N, L, H), (h,))``."""
    x = x @ w_ih.T if b_ih is None else mx.addmm(b_ih + b_hh, x, w_ih.T)
    hidden = mx.zeros((len(x), w_hh.shape[1]), x.dtype) if state is None else state[0]
    steps = range(x.shape[1])
    outputs = []
    for step in reversed(steps) if reverse else steps:
        hidden = activation(mx.addmm(x[:, step], hidden, w_hh.T))
        outputs.append(hidden)
    return mx.stack(outputs[::-1] if reverse else outputs, axis=1), (hidden,)


def relu_rnn_sweep(*args, **kwargs):
    """``rnn_sweep`` with a relu."""
    return rnn_sweep(*args, **kwargs, activation=nn.relu)


def recurrent_layers(sweep, x, states, weights, bidirectional=False, batch_first=False, dropout=0.0):
    """A stack of recurrent layers: ``(output, h_n)``, for an LSTM ``(output, h_n, c_n)``.

    ``x`` is ``(L, N, D)``, ``(N, L, D)`` with ``batch_first``, or ``(L, D)``; ``states`` are None
    (zeros) or arrays ``(layers * directions, N, H)``; ``weights`` has one list for each
    layer and direction, the forward one first.
    """
    batched = x.ndim == 3
    if not batched:
        x = x[None]
        states = None if states is None else [state[:, None] for state in states]
    elif not batch_first:
        x = x.swapaxes(0, 1)

    directions = 2 if bidirectional else 1
    finals = []
    for first in range(0, len(weights), directions):
        if first and dropout > 0:
            x = nn.Dropout(dropout)(x)
        outputs = []
        for index in range(first, first + directions):
            state = None if states is None else [state[index] for state in states]
            output, final = sweep(x, state, *weights[index], reverse=index > first)
            outputs.append(output)
            finals.append(final)
        x = mx.concatenate(outputs, axis=-1) if bidirectional else outputs[0]

    finals = [mx.stack(final) for final in zip(*finals, strict=True)]
    if not batched:
        return x[0], *(final[:, 0] for final in finals)
    return x if batch_first else x.swapaxes(0, 1), *finals


class RecurrentLayers(nn.Module):
    """What the three stacks share: ``weight_ih_l0``, ``weight_hh_l0_reverse`` and so on, as in torch."""

    gates = 1
    sweep = staticmethod(rnn_sweep)

    def __init__(self, input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
                 bidirectional=False, proj_size=0):
        super().__init__()
        self.batch_first, self.bidirectional, self.dropout = batch_first, bidirectional, dropout
        self._suffixes = [f"l{layer}{direction}" for layer in range(num_layers)
                         for direction in ("", "_reverse")[: 1 + bidirectional]]
        rows, state_size = self.gates * hidden_size, proj_size or hidden_size
        bound = hidden_size**-0.5
        for suffix in self._suffixes:
            width = input_size if suffix.startswith("l0") else state_size * (1 + bidirectional)
            shapes = {"weight_ih": (rows, width), "weight_hh": (rows, state_size)}
            if bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for name, shape in shapes.items():
                self[f"{name}_{suffix}"] = mx.random.uniform(-bound, bound, shape)

    def run(self, x, states):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        weights = [[self.get(f"{name}_{suffix}") for name in names[: 5 if self.gates == 4 else 4]]
                   for suffix in self._suffixes]
        return recurrent_layers(self.sweep, x, states, weights, self.bidirectional, self.batch_first,
                                self.dropout if self.training else 0.0)


class StackedLSTM(RecurrentLayers):
    """``torch.nn.LSTM``: ``(x, (h_0, c_0))`` gives ``output, (h_n, c_n)``."""

    gates = 4
    sweep = staticmethod(lstm_sweep)

    def __call__(self, input, hx=None):
        output, hidden, cell = self.run(input, hx)
        return output, (hidden, cell)


class StackedGRU(RecurrentLayers):
    """``torch.nn.GRU``: ``(x, h_0)`` gives ``output, h_n``."""

    gates = 3
    sweep = staticmethod(gru_sweep)

    def __call__(self, input, hx=None):
        return self.run(input, None if hx is None else [hx])


class StackedRNN(RecurrentLayers):
    """``torch.nn.RNN``: ``(x, h_0)`` gives ``output, h_n``."""

    def __init__(self, *args, nonlinearity="tanh", **kwargs):
        super().__init__(*args, **kwargs)
        self.sweep = relu_rnn_sweep if nonlinearity == "relu" else rnn_sweep

    def __call__(self, input, hx=None):
        return self.run(input, None if hx is None else [hx])


def lstm_cell(x, state, w_ih, w_hh, b_ih=None, b_hh=None):
    """One LSTM step for ``(N, D)`` or ``(D,)``: the next ``(h, c)``."""
    hidden, cell = state
    gates = x @ w_ih.T + hidden @ w_hh.T
    i, f, g, o = mx.split(gates if b_ih is None else gates + (b_ih + b_hh), 4, axis=-1)
    cell = mx.sigmoid(f) * cell + mx.sigmoid(i) * mx.tanh(g)
    return mx.sigmoid(o) * mx.tanh(cell), cell


def gru_cell(x, hidden, w_ih, w_hh, b_ih=None, b_hh=None):
    """One GRU step for ``(N, D)`` or ``(D,)``: the next hidden state."""
    x, h = x @ w_ih.T, hidden @ w_hh.T
    x, h = (x, h) if b_ih is None else (x + b_ih, h + b_hh)
    (x_r, x_z, x_n), (h_r, h_z, h_n) = mx.split(x, 3, axis=-1), mx.split(h, 3, axis=-1)
    r, z = mx.sigmoid(x_r + h_r), mx.sigmoid(x_z + h_z)
    n = mx.tanh(x_n + r * h_n)
    return (1 - z) * n + z * hidden


def rnn_cell(x, hidden, w_ih, w_hh, b_ih=None, b_hh=None, activation=mx.tanh):
    """One Elman step for ``(N, D)`` or ``(D,)``: the next hidden state."""
    total = x @ w_ih.T + hidden @ w_hh.T
    return activation(total if b_ih is None else total + (b_ih + b_hh))


class RecurrentCell(nn.Module):
    """What the three cells share: torch's parameters."""

    gates = 1

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__()
        rows, bound = self.gates * hidden_size, hidden_size**-0.5
        self.weight_ih = mx.random.uniform(-bound, bound, (rows, input_size))
        self.weight_hh = mx.random.uniform(-bound, bound, (rows, hidden_size))
        if bias:
            self.bias_ih = mx.random.uniform(-bound, bound, (rows,))
            self.bias_hh = mx.random.uniform(-bound, bound, (rows,))

    def weights(self):
        return self.weight_ih, self.weight_hh, self.get("bias_ih"), self.get("bias_hh")

    def zeros(self, x):
        return mx.zeros((*x.shape[:-1], self.weight_hh.shape[1]), x.dtype)


class LSTMCell(RecurrentCell):
    """``torch.nn.LSTMCell``: ``(x, (h, c))`` gives the next ``(h, c)``."""

    gates = 4

    def __call__(self, input, hx=None):
        return lstm_cell(input, (self.zeros(input), self.zeros(input)) if hx is None else hx, *self.weights())


class GRUCell(RecurrentCell):
    """``torch.nn.GRUCell``: ``(x, h)`` gives the next ``h``."""

    gates = 3

    def __call__(self, input, hx=None):
        return gru_cell(input, self.zeros(input) if hx is None else hx, *self.weights())


class RNNCell(RecurrentCell):
    """``torch.nn.RNNCell``: ``(x, h)`` gives the next ``h``."""

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh"):
        super().__init__(input_size, hidden_size, bias)
        self.activation = nn.relu if nonlinearity == "relu" else mx.tanh

    def __call__(self, input, hx=None):
        return rnn_cell(input, self.zeros(input) if hx is None else hx, *self.weights(), self.activation)
