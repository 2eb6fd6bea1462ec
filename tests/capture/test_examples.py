"""What a user can get wrong, and what the message says; a forward that raises."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest
import torch
from torch import nn

from t2m_notebook.analysis import analyze
from t2m_notebook.capture import argument_names, normalise, record
from t2m_notebook.errors import BadExample, ForwardFailed, ModelNotReady, NotAModule, T2MError

X = torch.ones(2, 4)


class Two(nn.Module):
    def forward(self, x, mask=None, *rest, scale: float = 1.0, **options):
        return x * scale


def meta():
    return nn.Linear(2, 2, device="meta")


def sparse():
    model = nn.Linear(4, 4)
    model.weight = nn.Parameter(model.weight.detach().to_sparse(), requires_grad=False)
    return model


@pytest.mark.parametrize(("model", "args", "kwargs", "error", "message"), [
    (nn.Linear, (X,), None, NotAModule, r"Linear is a class\. Pass an instance: Linear\(\.\.\.\)"),
    (torch.relu, (X,), None, NotAModule, "Wrap a function in an nn.Module"),
    (None, (X,), None, NotAModule, "got builtins.NoneType"),
    ({"state": X}, (X,), None, NotAModule, "got builtins.dict"),
    (meta(), (X,), None, ModelNotReady, "weight is on the meta device"),
    (nn.Sequential(nn.LazyLinear(4)), (X,), None, ModelNotReady, "0.weight is a lazy parameter.*Run one forward"),
    (sparse(), (X,), None, ModelNotReady, r"weight is torch.sparse_coo.*\.to_dense\(\)"),
    (nn.Linear(4, 4), (), None, BadExample, "missing a required argument: 'input'"),
    (nn.Linear(4, 4), (X, X), None, BadExample, "Linear.forward.*does not take this example: too many positional"),
    (nn.Linear(4, 4), (X,), {"mask": X}, BadExample, "unexpected keyword argument 'mask'"),
    (nn.Linear(4, 4), (X,), {"input": X}, BadExample, "multiple values for argument 'input'"),
    (nn.Linear(4, 4), (X,), [X], BadExample, "kwargs: expected a dict.*got list"),
    (nn.Linear(4, 4), (X,), {0: X}, BadExample, "kwargs: expected a dict"),
])
def test_a_bad_input_is_refused_with_what_to_try(model, args, kwargs, error, message):
    with pytest.raises(error, match=message) as caught:
        record(model, args, kwargs)
    assert isinstance(caught.value, T2MError)


@pytest.mark.parametrize(("args", "expected"), [
    (None, ()), ((), ()), (X, (X,)), ((X, 1), (X, 1)), ([X], ([X],)), ({"a": X}, ({"a": X},)), (3, (3,))])
def test_arguments_become_a_tuple(args, expected):
    found, kwargs = normalise(args, None)
    assert kwargs == {} and len(found) == len(expected)
    assert all(a is b or a == b for a, b in zip(found, expected, strict=True))


def test_a_named_tuple_is_one_argument():
    pair = collections.namedtuple("Pair", "a b")(X, X)
    assert normalise(pair, None)[0] == (pair,)


def test_the_users_dict_is_not_the_one_that_is_passed_on():
    given = {"x": X}
    assert normalise((), given)[1] == given and normalise((), given)[1] is not given


def test_arguments_get_the_forwards_names_in_its_order():
    named = argument_names(Two(), (X, None, 1, 2), {"extra": 3, "scale": 2.0})
    assert [name for name, _ in named] == ["x", "mask", "rest0", "rest1", "scale", "extra"]
    assert [name for name, _ in argument_names(Two(), (), {})] == []
    assert [name for name, _ in argument_names(nn.Linear(1, 1), (1, 2), {"z": 3})] == ["argument0", "argument1", "z"]


class Deep(nn.Module):
    """Fails in blocks.1, on the line of the addition."""

    def __init__(self, width=5):
        super().__init__()
        self.blocks = nn.ModuleList([Inner(4), Inner(width)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Inner(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.bias = nn.Parameter(torch.ones(width))
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x) + self.bias


def test_a_failing_forward_names_module_and_line():
    with pytest.raises(ForwardFailed, match="must match the size") as caught:
        record(Deep(), (X,))
    error = caught.value
    assert error.module_path == "blocks.1"
    line = next(i for i, text in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines(), 1)
                if "self.act(x) + self.bias" in text and "return" in text)
    assert (error.location.file, error.location.line) == (__file__, line)
    text = str(error)
    assert "in blocks.1 (Inner)" in text and f"test_examples.py:{line}: self.act(x) + self.bias" in text
    assert "RuntimeError: The size of tensor a (4)" in text
    assert isinstance(error.__cause__, RuntimeError)


def test_what_ran_until_then_is_kept():
    with pytest.raises(ForwardFailed) as caught:
        record(Deep(), (X,))
    recording = caught.value.recording
    assert [call.path for call in recording.root.walk()] == ["", "blocks.0", "blocks.0.act", "blocks.1", "blocks.1.act"]
    assert [call.path for call in recording.root.walk() if call.failed] == ["", "blocks.1"]


def test_analyze_carries_the_partial_tree():
    with pytest.raises(ForwardFailed) as caught:
        analyze(Deep(), (X,))
    analysis = caught.value.analysis
    statuses = {node.path: node.status.value for node in analysis.tree.walk()}
    assert statuses["blocks.0"] == "MAPPED" and statuses["blocks.0.act"] == "MAPPED"
    assert any("blocks.1" in note for note in analysis.report.notes)


def test_an_error_inside_a_layer_names_the_layer_and_the_users_line():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.ReLU(), nn.Linear(5, 5))

        def forward(self, x):
            return self.net(x)

    with pytest.raises(ForwardFailed, match=r"in net\.1 \(Linear\)") as caught:
        record(Net(), (X,))
    assert caught.value.module_path == "net.1" and "self.net(x)" in str(caught.value)


class Says(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(("error", "hint"), [
    (AssertionError("Torch not compiled with CUDA enabled"), "Move the model and the example to the CPU"),
    (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x4 and 5x5)"), "shape does not fit the model"),
    (IndexError("index out of range in self"), "larger than the embedding table"),
    (RuntimeError("expected scalar type Long but found Float"), "token ids are torch.long"),
    (ValueError(), r"ValueError: \(no message\)"),
])
def test_common_errors_come_with_a_hint(error, hint):
    with pytest.raises(ForwardFailed, match=hint):
        record(Says(error), (X,))


def test_train_mode_is_recorded_and_said():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).train()
    recording, _ = record(model, (X,))
    assert recording.training and "train mode" in recording.notes[0]
    assert not record(model.eval(), (X,))[0].notes
