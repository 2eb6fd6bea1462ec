"""Sorting, searching, distinct values, repetition of elements."""

import mlx.core as mx
import pytest
import torch

from t2m_notebook import blocks
from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says about its own samples
#: Among equal elements torch chooses freely (stable=False); MLX takes the first.
TIES = {name: "integers differ" for name in ("sort", "argsort", "topk", "kthvalue")}
NAMES = ["sort", "argsort", "msort", "topk", "kthvalue", "searchsorted", "bucketize", "unique", "unique_consecutive",
         "repeat_interleave"]


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_samples(name, orders):
    check(name, orders=orders)


@pytest.mark.parametrize("name, dtype", supported(
    ["sort", "argsort", "topk", "kthvalue", "unique", "searchsorted", "repeat_interleave"],
    ("int64", "bfloat16", "bool")))
def test_other_dtypes(name, dtype):
    check(name, dtype, exceptions=TIES, seconds=0.5)


@pytest.mark.parametrize("function", [
    lambda x: x.sort(descending=True), lambda x: x.sort(dim=0, descending=True, stable=True),
    lambda x: x.argsort(descending=True, stable=True), lambda x: x.sort()])
def test_ties_keep_their_sequence(function):
    x = torch.tensor([[1.0, 2.0, 1.0, float("nan"), 2.0], [0.0, -0.0, 3.0, 3.0, float("inf")]])
    assert replay(function, (x,), gradients=False).kind == "matched"


@pytest.mark.parametrize("arguments", [{}, {"dim": 0}, {"dim": 1}, {"dim": -1, "output_size": 6}])
def test_repetition_by_a_tensor(arguments):
    x, dim = torch.randn(3, 3, requires_grad=True), arguments.get("dim")
    repeats = torch.tensor([2, 0, 4] if dim is not None else [1, 0, 2, 0, 0, 1, 3, 0, 1])
    outcome = replay(lambda x, repeats: torch.repeat_interleave(x, repeats, **arguments), (x, repeats))
    assert outcome.kind == "matched", outcome
    assert bool(outcome.caveats) == ("output_size" not in arguments)


def test_top_values_have_gradients_inside_compile():
    x = mx.random.normal((3, 6))
    gradient = mx.compile(mx.grad(lambda x: blocks.top_values(x, 2)[0].sum()))(x)
    assert gradient.sum(axis=1).tolist() == [2, 2, 2]
