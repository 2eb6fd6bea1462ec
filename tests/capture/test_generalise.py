"""Numbers that follow the input's size are found by recording twice; constants stay."""

from __future__ import annotations

import ast
import math

import pytest
import torch
from torch import nn

from t2m_notebook.capture import record
from t2m_notebook.capture.generalise import generalise, same_program
from t2m_notebook.rules import Size
from t2m_notebook.rules.expression import SizeFloat


class Uses(nn.Module):
    """Passes one number that is computed out of sight of the recorder."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        number = self.number(*map(int, x.shape))  # int() drops the expression
        return x * number if isinstance(number, float) else torch.arange(100000)[:number]


def generalised(number, first=(4, 16), second=(6, 36)):
    model = Uses(number)
    one, _ = record(model, (torch.ones(first),))
    two, _ = record(model, (torch.ones(second),))
    assert same_program(one, two)
    found = generalise(one, two)
    last = list(one.calls())[-1]
    value = last.args[1] if isinstance(last.args[1], float) else last.args[1].stop
    return found, value, one, two


def at(value, recording) -> float:
    """The expression evaluated with the sizes of ``recording``."""
    text = ast.unparse(value.node)
    for index, facts in enumerate(recording.values):
        for dim, size in enumerate(facts.shape):
            text = text.replace(f"${index}.$shape[{dim}]", str(size))
    return eval(text, {"math": math})


@pytest.mark.parametrize("number", [
    lambda b, n: n, lambda b, n: math.isqrt(n), lambda b, n: n // 2, lambda b, n: n * 3, lambda b, n: n + 5,
    lambda b, n: n - 3, lambda b, n: 40 - n, lambda b, n: b * n, lambda b, n: 2 * b * n, lambda b, n: 2 * n - 1,
    lambda b, n: n // 4 + 1, lambda b, n: b, lambda b, n: -(-n // 3)])
def test_a_number_that_follows_the_size(number):
    found, value, one, two = generalised(number)
    assert found >= 1 and isinstance(value, Size)
    assert value == number(4, 16) == at(value, one)
    assert at(value, two) == number(6, 36)


@pytest.mark.parametrize("number", [
    lambda b, n: 1.0 / n, lambda b, n: 0.5 * n, lambda b, n: 1 / math.sqrt(n), lambda b, n: 3.0 / n,
    lambda b, n: n / 8])
def test_a_float_that_follows_the_size(number):
    found, value, one, two = generalised(number)
    assert found == 1 and isinstance(value, SizeFloat)
    assert value == pytest.approx(number(4, 16)) and at(value, one) == pytest.approx(number(4, 16))
    assert at(value, two) == pytest.approx(number(6, 36))


@pytest.mark.parametrize("number", [lambda b, n: 7, lambda b, n: 16, lambda b, n: 0.25])
def test_a_constant_stays_even_when_it_equals_a_size(number):
    found, value, *_ = generalised(number)
    assert found == 0 and not isinstance(value, (Size, SizeFloat)) and value == number(4, 16)


def test_a_number_that_nothing_explains_stays():
    found, value, *_ = generalised(lambda b, n: {16: 13, 36: 5}[n])
    assert found == 0 and type(value) is int and value == 13


def test_containers_and_keywords_are_looked_into():
    class Net(nn.Module):
        def forward(self, x):
            n = int(x.shape[1])
            return torch.nn.functional.pad(x, (0, n), value=2.0).reshape([x.shape[0], n * 2])

    one, two = (record(Net(), (torch.ones(2, n),))[0] for n in (4, 6))
    assert generalise(one, two) == 2
    pad, reshape = one.calls()
    assert isinstance(pad.args[1][1], Size) and pad.args[1][0] == 0 and not isinstance(pad.args[1][0], Size)
    assert pad.kwargs["value"] == 2.0 and type(pad.kwargs["value"]) is float
    assert [ast.unparse(s.node) for s in reshape.args[1]] == ["$0.$shape[0]", "$1.$shape[1]"]


def test_different_programs_are_told_apart():
    class Branches(nn.Module):
        def forward(self, x):
            return x.sin() if x.shape[1] > 5 else x.cos()

    one, two, three = (record(Branches(), (torch.ones(2, n),))[0] for n in (4, 6, 5))
    assert not same_program(one, two)
    assert same_program(one, three)
    longer, _ = record(nn.Sequential(Branches(), nn.ReLU()), (torch.ones(2, 4),))
    assert not same_program(one, longer)
