"""Joining and splitting."""

import pytest
import torch

from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay
from tests.rules.test_shape import image

NAMES = ["cat", "stack", "hstack", "vstack", "dstack", "column_stack", "split", "split_with_sizes", "unsafe_split",
         "chunk", "unsafe_chunk", "tensor_split", "hsplit", "vsplit", "dsplit", "split_with_sizes_copy"]


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_samples(name, orders):
    check(name, orders=orders)


@pytest.mark.parametrize("name, dtype", supported(["cat", "stack", "split"], ("bfloat16", "int64", "bool")))
def test_other_dtypes(name, dtype):
    check(name, dtype, seconds=0.5)


CASES = {
    "channels": lambda x: torch.cat([x, x * 2], 1),
    "negative": lambda x: torch.cat([x, x], dim=-1),
    "one": lambda x: torch.cat([x], 1),
    "new in front": lambda x: torch.stack([x, x * 2]),
    "new in the middle": lambda x: torch.stack([x, x * 2], dim=2),
    "new at the end": lambda x: torch.stack([x, x * 2], dim=-1),
    "halves": lambda x: [part * 2 for part in x.chunk(2, dim=1)],
    "uneven chunks": lambda x: [part.sum() for part in x.chunk(3, dim=1)],
    "by size": lambda x: [part * 2 for part in x.split(2, dim=1)],
    "by sizes": lambda x: [part * 2 for part in x.split([1, 3], dim=1)],
    "at points": lambda x: list(x.tensor_split((1, 3), dim=1)),
}


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("case", CASES)
def test_case(case, orders):
    outcome = replay(CASES[case], (image(2, 4, 6, 8),), also=((image(3, 4, 3, 2),),), orders=orders)
    assert outcome.kind == "matched", outcome


def test_mixed_dtypes_are_promoted():
    a, b = torch.randn(2, 3, dtype=torch.bfloat16), torch.randn(2, 3)
    assert replay(lambda a, b: torch.cat([a, b, a.to(torch.float16)]), (a, b)).kind == "matched"


def test_an_empty_tensor_is_left_out():
    outcome = replay(lambda x: torch.cat([torch.zeros(0), x]), (image(2, 3),))
    assert outcome.kind == "matched", outcome
