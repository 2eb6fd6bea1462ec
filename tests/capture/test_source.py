"""Where each call stands in the source, and sizes that know their expression."""

from __future__ import annotations

import ast
import inspect
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from t2m_notebook.capture import location, record, source_text
from t2m_notebook.rules import Size
from t2m_notebook.rules.expression import SizeFloat

HERE = __file__


def helper(x, k):
    return torch.clamp(x, max=k)


class Model(nn.Module):
    def forward(self, x):
        a = torch.cat(
            [x, x],
            dim=1,
        )
        b = (a + 1) * 2
        c = (lambda t: t.exp())(b)
        d = helper(c, 3)
        e = sum(part for part in d.split(2, dim=1))
        return e.relu() - torch.ones(1) if e.mean() > -1 else e


@pytest.fixture(scope="module")
def calls():
    recording, _ = record(Model(), (torch.ones(2, 2),))
    return {call.name.rpartition(".")[2]: call for call in recording.calls()}


@pytest.mark.parametrize(("name", "text"), [
    ("cat", "torch.cat( [x, x], dim=1, )"), ("mul", "(a + 1) * 2"), ("exp", "t.exp()"),
    ("clamp", "torch.clamp(x, max=k)"), ("split", "d.split(2, dim=1)"), ("relu", "e.relu()"),
    ("mean", "e.mean()"), ("gt", "e.mean() > -1"),
    ("__bool__", "return e.relu() - torch.ones(1) if e.mean() > -1 else e")])
def test_the_source_expression_of_a_call(calls, name, text):
    if name == "__bool__":  # the jump has no span of its own in every Python
        assert "e.mean() > -1" in source_text(location(calls[name].frames))
        return
    assert source_text(location(calls[name].frames)) == text


def test_each_location_is_one_node_of_the_syntax_tree(calls):
    spans = {(n.lineno, n.end_lineno, n.col_offset, n.end_col_offset)
             for n in ast.walk(ast.parse(Path(HERE).read_text(encoding="utf-8"))) if isinstance(n, ast.expr)}
    for call in calls.values():
        place = location(call.frames)
        assert place.file == HERE
        assert (place.line, place.end_line, place.column, place.end_column) in spans, call.name


def test_frames_go_from_the_helper_up_to_the_forward(calls):
    names = [frame.code.co_qualname for frame in calls["clamp"].frames]
    assert names == ["helper", "Model.forward"]
    outer = calls["clamp"].frames[1]
    assert source_text(location((outer,))) == "helper(c, 3)"


def test_calls_of_one_invocation_share_its_identity():
    class Twice(nn.Module):
        def half(self, x):
            x = x + 1
            return x * 2

        def forward(self, x):
            return self.half(self.half(x))

    recording, _ = record(Twice(), (torch.ones(1),))
    first = [call.frames[-1].identity for call in recording.calls()]
    assert len(set(first)) == 1  # all below the same forward
    assert [source_text(location(c.frames)) for c in recording.calls()] == ["x + 1", "x * 2"] * 2


def test_lines_of_a_multi_line_call(calls):
    place = location(calls["cat"].frames)
    first = inspect.getsourcelines(Model.forward)[1] + 1
    assert (place.line, place.end_line) == (first, first + 3)
    assert place.function == "Model.forward"


def test_source_that_can_not_be_read_is_empty_and_no_error():
    scope: dict = {}
    exec("import torch\nclass M(torch.nn.Module):\n    def forward(self, x): return x.sin()", scope)
    recording, _ = record(scope["M"](), (torch.ones(1),))
    place = location(next(recording.calls()).frames)
    assert place.file == "<string>" and source_text(place) == ""


def test_a_leaf_layer_is_where_it_was_called():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x):
            return self.fc(x[:, :2])

    recording, _ = record(Net(), (torch.ones(1, 3),))
    assert [source_text(location(c.frames)) for c in recording.calls()] == ["x[:, :2]", "self.fc(x[:, :2])"]


def test_text_before_columns_counts_in_bytes():
    class Net(nn.Module):
        def forward(self, größe):
            return "ü" and torch.cat([größe, größe])

    recording, _ = record(Net(), (torch.ones(1),))
    assert source_text(location(next(recording.calls()).frames)) == "torch.cat([größe, größe])"


def text(size) -> str:
    assert isinstance(size, (Size, SizeFloat)), size
    return ast.unparse(size.node)


@pytest.mark.parametrize(("make", "value", "expected"), [
    (lambda x: x.shape[0], 6, "$0.$shape[0]"),
    (lambda x: x.shape[-1], 8, "$0.$shape[1]"),
    (lambda x: x.size(-1), 8, "$0.$shape[1]"),
    (lambda x: x.size(dim=-2), 6, "$0.$shape[0]"),
    (lambda x: len(x) and x.size()[1], 8, "$0.$shape[1]"),
    (lambda x: (lambda B, T: B * T)(*x.shape), 48, "$0.$shape[0] * $0.$shape[1]"),
    (lambda x: x.shape[1] // 2 + 1, 5, "$0.$shape[1] // 2 + 1"),
    (lambda x: 10 - x.shape[0], 4, "10 - $0.$shape[0]"),
    (lambda x: -x.shape[0] + 9, 3, "-$0.$shape[0] + 9"),
    (lambda x: x.shape[1] % 3, 2, "$0.$shape[1] % 3"),
    (lambda x: math.ceil(x.shape[1] / 3), 3, "math.ceil($0.$shape[1] / 3)"),
    (lambda x: int(x.shape[1] / 3), 2, None),
    (lambda x: round(x.shape[1] / 3), 3, "round($0.$shape[1] / 3)"),
    (lambda x: x.numel(), 48, "$0.$shape[0] * $0.$shape[1]"),
    (lambda x: x.nelement() // x.shape[0], 8, "$0.$shape[0] * $0.$shape[1] // $0.$shape[0]"),
])
def test_a_size_knows_its_expression(make, value, expected):
    class Net(nn.Module):
        def forward(self, x):
            return torch.arange(100)[:make(x)]

    recording, result = record(Net(), (torch.ones(6, 8),))
    stop = list(recording.calls())[-1].args[1].stop
    assert stop == value == len(result)
    if expected is None:  # int() drops it; recording at another size finds it again
        assert not isinstance(stop, Size)
    else:
        # the input is the first value after the model's own
        assert text(stop) == expected


def test_a_size_is_an_int_for_everyone_else():
    class Net(nn.Module):
        def forward(self, x):
            n = x.shape[0]
            assert type(n) is not int and isinstance(n, int) and n == 6 and hash(n) == hash(6) and {6: 1}[n]
            assert list(range(n)) == list(range(6)) and f"{n:02d}" == "06" and [0] * n == [0] * 6
            assert isinstance(x.shape, torch.Size) and x.shape == (6, 8) and x.shape.numel() == 48
            return x.view(n, -1)

    recording, _ = record(Net(), (torch.ones(6, 8),))
    assert text(list(recording.calls())[-1].args[1]) == "$0.$shape[0]"


def test_sizes_do_not_leave_the_recording_in_pickles():
    import pickle
    assert type(pickle.loads(pickle.dumps(Size.of(3, 0, 0)))) is int
    assert type(pickle.loads(pickle.dumps(Size.of(3, 0, 0) / 2))) is float
