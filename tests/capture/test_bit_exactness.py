"""A recording changes nothing: results, random numbers, and everything that was touched meanwhile."""

from __future__ import annotations

import contextlib
import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._pytree import tree_leaves

from t2m_notebook.capture import record
from t2m_notebook.errors import ForwardFailed


class Block(nn.Module):
    """Many kinds of operations in one forward."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.lstm = nn.LSTM(4, 5, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.drop = nn.Dropout(0.3)
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return getattr(self, self.kind)(x)

    def convolution(self, x):
        return F.max_pool2d(F.relu(self.norm(self.conv(x)), inplace=True), 2)

    def recurrent(self, x):
        return self.lstm(x[:, 0, :, :4])

    def attend(self, x):
        y = x[:, 0, :, :4]
        return self.attention(y, y, y), self.encoder(y)

    def in_place(self, x):
        x = x.clone()
        x[:, 0].mul_(2).add_(x[:, 1])
        x[:, :, ::2] = 0
        x += torch.ones_like(x)
        return x.transpose(1, 2).copy_(x.transpose(1, 2) * 3)

    def spectrum(self, x):
        z = torch.fft.rfft2(x) * torch.tensor(1j)
        return z, torch.view_as_real(z), z.conj(), torch.fft.irfft2(z)

    def half(self, x):
        return self.linear(x[..., :4]).softmax(-1), x.mean(), (x * 3).exp()

    def dropped(self, x):
        return self.drop(x), F.dropout2d(x, 0.5, self.training), torch.rand(3), torch.randn_like(x)


def make(kind: str, training: bool = False, dtype=torch.float32):
    torch.manual_seed(0)
    model = Block(kind).to(dtype).train(training)
    return model, torch.randn(2, 3, 8, 8, dtype=dtype)


def equal(one, other) -> bool:
    pairs = list(zip(tree_leaves(one), tree_leaves(other), strict=True))
    return bool(pairs) and all(torch.equal(a, b) and a.dtype == b.dtype and a.stride() == b.stride()
                               for a, b in pairs if isinstance(a, torch.Tensor))


KINDS = ("convolution", "recurrent", "attend", "in_place", "spectrum", "half", "dropped")
CASES = [(kind, training, torch.float32) for kind in KINDS for training in (False, True)]
CASES += [("half", False, torch.bfloat16), ("half", False, torch.float16), ("convolution", True, torch.float64)]


@pytest.mark.parametrize("keep", ["none", "boundaries", "all"])
@pytest.mark.parametrize(("kind", "training", "dtype"), CASES)
def test_results_state_and_random_numbers_are_the_same(kind, training, dtype, keep):
    model, x = make(kind, training, dtype)
    torch.manual_seed(7)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # what a recording does too
    try:
        with torch.no_grad():
            plain = model(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    random_after = torch.get_rng_state()
    state_after = {k: v.clone() for k, v in model.state_dict().items()}

    model, x = make(kind, training, dtype)
    torch.manual_seed(7)
    _, recorded = record(model, (x,), keep=keep)
    assert equal(plain, recorded)
    assert torch.equal(torch.get_rng_state(), random_after)
    assert equal(state_after, dict(model.state_dict()))


def test_dropout_in_train_mode_does_drop():
    """The test above would be empty if nothing were random."""
    model, x = make("dropped", True)
    _, (first, *_) = record(model, (x,))
    _, (second, *_) = record(model, (x,))
    assert not torch.equal(first, second)


def test_gradients_are_the_same():
    grads = []
    for run in (lambda m, x: m(x), lambda m, x: record(m, (x,), grad=True)[1]):
        model, x = make("convolution", True)
        run(model, x).square().sum().backward()
        grads.append([p.grad for p in model.conv.parameters()])
    assert equal(*grads)


def test_without_grad_nothing_is_tracked():
    model, x = make("convolution")
    _, result = record(model, (x,))
    assert not result.requires_grad and torch.is_grad_enabled()


class Raises(nn.Module):
    """Raises in its own forward, inside a child's, or inside a leaf."""

    def __init__(self, where: str):
        super().__init__()
        self.where = where
        self.linear = nn.Linear(4, 4)
        self.inner = nn.ModuleDict({"child": nn.Sequential(nn.ReLU(), nn.Linear(5, 5))})

    def forward(self, x):
        x = self.linear(x)
        if self.where == "own":
            raise ValueError("on purpose")
        return self.inner["child"](x) if self.where == "leaf" else x


@pytest.mark.parametrize("where", ["own", "leaf", "nowhere"])
@pytest.mark.parametrize("training", [False, True])
def test_everything_touched_is_put_back(where, training):
    model = Raises(where).train(training)
    model.inner.train(not training)
    before = _surroundings(model)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    with contextlib.nullcontext() if where == "nowhere" else pytest.raises(ForwardFailed):
        record(model, (torch.randn(2, 4),), keep="boundaries")
    assert _surroundings(model) == before
    assert equal(state, dict(model.state_dict()))
    assert record(Raises("nowhere"), (torch.randn(2, 4),))[0].event_count  # recording still works


def test_an_interrupt_is_put_back_too():
    class Interrupted(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    model = Interrupted()
    before = _surroundings(model)
    with pytest.raises(KeyboardInterrupt):
        record(model, (torch.ones(1),))
    assert _surroundings(model) == before


def _surroundings(model) -> tuple:
    hooks = [(name, dict(value)) for m in model.modules() for name, value in vars(m).items()
             if name.endswith("_hooks")]
    return (nn.Module.__call__, torch.backends.mha.get_fastpath_enabled(), torch.is_grad_enabled(),
            [m.training for m in model.modules()], hooks, torch._C._len_torch_function_stack(),
            [sorted(vars(m)) for m in model.modules()], torch.is_inference_mode_enabled())


def test_the_fast_path_flag_stays_off_where_it_was_off():
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        record(nn.Linear(2, 2), (torch.ones(1, 2),))
        assert not torch.backends.mha.get_fastpath_enabled()
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


def test_a_recording_inside_a_recording_is_refused_and_the_outer_one_goes_on():
    class Nested(nn.Module):
        def forward(self, x):
            try:
                record(nn.Linear(2, 2), (x,))
            except Exception as error:
                self.message = str(error)
            return x + 1

    model = Nested()
    recording, _ = record(model, (torch.ones(1, 2),))
    assert "already running" in model.message
    assert any(call.name == "torch.Tensor.add" for call in recording.calls())


def test_another_thread_is_not_recorded():
    other, gate, done = nn.Linear(3, 3), threading.Event(), threading.Event()
    results = []

    def elsewhere():
        gate.wait(10)
        results.append(other(torch.ones(1, 3)).relu())
        done.set()

    class Waits(nn.Module):
        def __init__(self):
            super().__init__()
            self.other = other  # even a module of the recorded tree

        def forward(self, x):
            gate.set()
            assert done.wait(10)
            return x * 2

    thread = threading.Thread(target=elsewhere)
    thread.start()
    recording, _ = record(Waits(), (torch.ones(2),))
    thread.join()
    assert results[0].shape == (1, 3)
    assert [call.name for call in recording.calls()] == ["torch.Tensor.mul"]
    assert [call.path for call in recording.root.walk()] == [""]
