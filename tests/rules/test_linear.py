"""Linear and bilinear maps against torch's samples."""

import pytest
import torch
from torch.nn import functional as F

from tests.rules.replay import replay
from tests.rules.samples import run_module, run_op

OPERATIONS = ["nn.functional.linear", "nn.functional.bilinear"]


@pytest.mark.parametrize("orders", ["standard", "channels last"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name, orders):
    tally = run_op(name, orders=orders)
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_in_half_precision(name, dtype):
    tally = run_op(name, dtype)
    assert tally.verdict == "matched", tally.line()


@pytest.mark.parametrize("orders", ["standard", "channels last"])
@pytest.mark.parametrize("name", ["nn.Linear", "nn.Bilinear"])
def test_layer(name, orders):
    tally = run_module(name, orders=orders)
    assert tally.verdict == "matched", tally.line()


def test_weights_that_arrive_as_arrays_at_another_batch_size():
    weight, bias = torch.randn(5, 4), torch.randn(5)
    outcome = replay(lambda x: F.linear(x, weight, bias), (torch.randn(2, 3, 4),), also=((torch.randn(7, 1, 4),),))
    assert outcome.kind == "matched", outcome


def test_linear_without_bias_says_so():
    outcome = replay(torch.nn.Linear(4, 5, bias=False), (torch.randn(2, 4),))
    assert outcome.kind == "matched"


def test_weight_of_one_axis():
    assert replay(lambda x, w: F.linear(x, w), (torch.randn(2, 4), torch.randn(4))).kind == "matched"
