"""Comparisons, logic, bits and masks."""

import pytest
import torch

from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "logical_not", "where",
         "masked_fill", "isclose", "isnan", "isfinite", "isinf", "isposinf", "isneginf", "isreal", "signbit", "isin"]
INTEGERS = ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "bitwise_left_shift", "bitwise_right_shift",
            "__rand__", "__ror__", "__rxor__"]
READS = ["equal", "allclose", "item"]


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(name, orders):
    check(name, orders=orders)


@pytest.mark.parametrize("name, dtype", supported(NAMES + INTEGERS))
def test_dtype(name, dtype):
    check(name, dtype, limit=5)


@pytest.mark.parametrize("name", READS)
def test_reads(name):
    check(name)


X, MASK = torch.tensor([[1.0, -2.0, 3.0], [4.0, 0.0, -6.0]]), torch.tensor([True, False, True])


@pytest.mark.parametrize("text, source", [
    ("x > 0", "v0 > 0"), ("0 < x", "v0 > 0"), ("(x > 0) & (x < 3)", "&"), ("~(x > 0)", "~"),
    ("x.masked_fill(m, float('-inf'))", "mx.where(v1, -float('inf'), v0)"),
    ("torch.where(m, x, 0.0)", "mx.where(v1, v0, 0.0)"), ("torch.where(m, 1, 2)", ".astype(mx.int64)"),
    ("torch.logical_and(m, m)", "v1 & v1"), ("x == x.shape[1]", "v0 == v0.shape[1]"),
])
def test_text(text, source):
    outcome = replay(eval(f"lambda x, m: {text}", {"torch": torch}), (X.clone(), MASK))
    assert outcome.kind == "matched" and source in outcome.source, outcome


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_scalars_without_dimensions_keep_the_dtype(dtype):
    x, zero = X.to(dtype), torch.tensor(0.0 if dtype.is_floating_point else 0)
    for function in (lambda x, m, z: torch.where(m, x, z), lambda x, m, z: x.masked_fill(m, z), lambda x, m, z: x == z):
        outcome = replay(function, (x, MASK, zero), gradients=False)
        assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("orders", ORDERS)
def test_where_of_a_condition_alone_counts_in_torchs_order(orders):
    outcome = replay(lambda x: torch.where(x > 0.3), (torch.randn(2, 3, 4, 5),), orders=orders)
    assert outcome.kind == "matched" and outcome.caveats, outcome


def test_a_branch_on_data_says_so():
    outcome = replay(lambda x: x + 1 if (x > 0).any() else x - 1, (X.clone(),))
    assert outcome.kind == "matched" and any("branch" in caveat for caveat in outcome.caveats), outcome
