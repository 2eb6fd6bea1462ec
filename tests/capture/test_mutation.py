"""Writes in place: the value that was written, and the views that changed with it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from t2m_notebook.capture import ModuleCall, Ref, record


def run(forward, *args, keep="none"):
    class Net(nn.Module):
        def forward(self, *given):
            return forward(*given)

    recording, _ = record(Net(), args or (torch.ones(4, 3),), keep=keep)
    return recording, {e.name.rpartition(".")[2]: e for e in recording.calls()}


@pytest.mark.parametrize(("name", "write"), [
    ("add_", lambda y: y.add_(1)), ("add_", lambda y: y.__iadd__(1)),
    ("__setitem__", lambda y: y.__setitem__(0, 2.0)),
    ("relu_", lambda y: torch.relu_(y)), ("zero_", lambda y: y.zero_()), ("copy_", lambda y: y.copy_(torch.ones(3))),
    ("masked_fill_", lambda y: y.masked_fill_(y > 0, 3.0))])
def test_a_write_gives_a_new_value_for_the_same_tensor(name, write):
    def forward(x):
        y = x.clone()
        write(y)
        return y * 2

    recording, calls = run(forward)
    (before, after), = calls[name].mutated
    assert Ref(before) == calls["clone"].outputs
    assert recording.values[after].previous == before
    assert calls["mul"].args[0] == Ref(after)


def test_out_is_a_write():
    def forward(x):
        y = torch.empty(4, 3)
        torch.add(x, x, out=y)
        return y.exp()

    _, calls = run(forward)
    (before, after), = calls["add"].mutated
    assert calls["empty"].outputs == Ref(before) and calls["exp"].args == (Ref(after),)


def test_a_functions_inplace_argument_and_a_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU(inplace=True)

        def forward(self, x):
            y = x.clone()
            torch.nn.functional.silu(y, inplace=True)
            self.act(y)
            return y.exp()

    recording, _ = record(Net(), (torch.ones(3),))
    clone, silu, act, exp = recording.calls()
    assert isinstance(act, ModuleCall) and act.leaf
    assert silu.mutated[0][0] == clone.outputs.index
    assert act.mutated[0][0] == silu.mutated[0][1]
    assert exp.args == (Ref(act.mutated[0][1]),)


def test_a_write_through_a_view_refreshes_the_base_when_it_is_read():
    def forward(x):
        y = x.clone()
        row = y[0]
        row.mul_(5)
        return y.exp()

    recording, calls = run(forward)
    base = calls["clone"].outputs.index
    (old, new, at), = recording.refreshed
    assert old == base and calls["exp"].args == (Ref(new),)
    assert calls["mul_"].index < at <= calls["exp"].index
    assert recording.values[new].previous == base
    assert recording.values[base].storage == recording.values[calls["__getitem__"].outputs.index].storage


def test_a_write_to_the_base_refreshes_its_views():
    def forward(x):
        y = x.clone()
        row = y[0]
        y.zero_()
        return row.exp()

    recording, calls = run(forward)
    (old, new, _), = recording.refreshed
    assert Ref(old) == calls["__getitem__"].outputs and calls["exp"].args == (Ref(new),)


def test_tensors_that_share_nothing_are_not_refreshed():
    recording, _ = run(lambda x: (x.clone().add_(1), x.exp()))
    assert recording.refreshed == []


def test_kept_tensors_keep_what_they_were():
    def forward(x):
        y = x * 3
        y[0] = 7.0
        return y

    x = torch.ones(4, 3)
    recording, calls = run(forward, x, keep="all")
    before, after = calls["__setitem__"].mutated[0]
    assert torch.equal(recording.tensors[before], torch.full((4, 3), 3.0))
    assert recording.tensors[after][0].tolist() == [7.0] * 3
    assert torch.equal(x, torch.ones(4, 3))


def test_an_input_written_in_place_keeps_its_first_content():
    x = torch.ones(3)
    recording, _ = run(lambda t: t.mul_(4), x, keep="boundaries")
    first = next(v for v in recording.values if v.kind == "input" and v.previous is None)
    assert recording.tensors[first.index].tolist() == [1.0] * 3
    assert x.tolist() == [4.0] * 3  # torch's own effect stays


def test_a_buffer_that_the_forward_counts_up():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("steps", torch.zeros(()))

        def forward(self, x):
            self.steps += 1
            return x * self.steps

    recording, _ = record(Counter(), (torch.ones(2),))
    write, multiply = [c for c in recording.calls() if c.mutated or "mul" in c.name]
    (before, after), = write.mutated
    assert recording.values[before].kind == recording.values[after].kind == "buffer"
    assert multiply.args[1] == Ref(after)


def test_batch_norms_statistics_in_train_mode():
    model = nn.Sequential(nn.BatchNorm1d(3)).train()
    recording, _ = record(model, (torch.randn(4, 3),))
    norm = next(recording.calls())
    assert norm.leaf and norm.outputs is not None
    assert model[0].num_batches_tracked == 1
