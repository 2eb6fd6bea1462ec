"""What a recording knows of the sizes that a forward compares, and what a run leaves behind."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from t2m_notebook.capture import record
from t2m_notebook.capture.module_state import attributes_restored
from t2m_notebook.rules import Size


class Compares(nn.Module):
    def __init__(self, test):
        super().__init__()
        self.test = test

    def forward(self, x):
        return x + 1 if self.test(x) else x


@pytest.mark.parametrize(("test", "text", "outcome"), [
    (lambda x: x.shape[1] > 3, "$0.$shape[1] > 3", True),
    (lambda x: 3 >= x.size(1), "$0.$shape[1] <= 3", False),
    (lambda x: x.shape[1] % 2, "$0.$shape[1] % 2", False),
    (lambda x: x.shape[1] / 8 == 0.5, "$0.$shape[1] / 8 == 0.5", True),
    (lambda x: x.shape[0] in (2, 5), "$0.$shape[0] == 2", True),
    (lambda x: max(0, x.shape[1] - 6), "$0.$shape[1] - 6 > 0", False),
])
def test_a_comparison_is_kept_with_its_outcome(test, text, outcome):
    recording, _ = record(Compares(test), (torch.ones(2, 4),))
    guard = recording.guards[0]
    assert ast.unparse(ast.fix_missing_locations(guard.test)) == text and guard.outcome is outcome
    assert guard.position == 1 and guard.owner is recording.root


def test_outside_a_recording_a_size_compares_as_a_number():
    size = Size.of(4, 0, 1)
    assert size == 4 and size > 3 and not size < 4 and {4: "four"}[size] == "four" and hash(size) == hash(4)
    assert not Size.of(0, 0, 1) and size != "4"


class Keeps(nn.Module):
    """Derives its window from the input, and keeps it."""

    def __init__(self):
        super().__init__()
        self.window = 8

    def forward(self, x):
        self.window = min(self.window, x.shape[1])
        self.seen = [x.shape[0]]
        return x[:, : self.window]


def test_kept_sizes_are_plain_and_can_be_taken_back():
    model = Keeps()
    with attributes_restored(model):
        record(model, (torch.ones(2, 4),))
        assert type(model.window) is int and model.window == 4
        assert type(model.seen[0]) is int
    assert model.window == 8 and not hasattr(model, "seen")
