"""Reads and writes at places that index tensors name."""

import mlx.core as mx
import pytest
import torch

from t2m_notebook import blocks
from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says about its own samples
NAMES = ["gather", "take_along_dim", "take", "index_select", "masked_select", "scatter", "scatter_add",
         "scatter_reduce", "index_add", "index_copy", "index_fill", "index_reduce", "put", "masked_scatter",
         "select_scatter", "slice_scatter", "diagonal_scatter", "nonzero", "argwhere", "nonzero_static", "histc"]
INTEGER = ["nn.functional.one_hot", "bincount", "unravel_index", "gather", "scatter", "index_add", "index_copy",
           "index_select", "scatter_add", "scatter_reduce", "take", "nonzero", "masked_scatter"]
EXCEPTIONS = {"index_fill": "gradient", "nonzero": "tensor without dimensions", "argwhere": "tensor without dimensions"}
# index_fill: torch counts the gradient of the value once for each repetition of an index


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_samples(name, orders):
    check(name, orders=orders, exceptions=EXCEPTIONS)


@pytest.mark.parametrize("name, dtype", supported(INTEGER, ("int64",)) + supported(
    ["gather", "index_add"], ("bfloat16",)))
def test_other_dtypes(name, dtype):
    check(name, dtype, exceptions=EXCEPTIONS)


def test_a_shorter_index_reads_the_corner():
    x, index = torch.randn(4, 5, requires_grad=True), torch.tensor([[0], [3]])
    outcome = replay(lambda x, index: x.gather(1, index), (x, index))
    assert outcome.kind == "matched" and ":v1.shape[0]" in outcome.source, outcome


def test_an_index_found_from_the_values():
    x = torch.randn(3, 5, requires_grad=True)
    outcome = replay(lambda x: x.gather(1, x.argsort(1)[:, :2]), (x,))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_blocks_compile():
    x, index = mx.random.normal((4, 5)), mx.array([[0, 1, 1, 0, 2]])
    plain = blocks.scatter_reduce(x, 0, index, mx.ones((1, 5)), reduce="maximum", include_self=False)
    compiled = mx.compile(lambda x: blocks.scatter_reduce(x, 0, index, mx.ones((1, 5)), "maximum", False))(x)
    assert mx.array_equal(plain, compiled)
    assert mx.grad(lambda v: blocks.scatter(x, 0, index, v).sum())(mx.ones((1, 5))).sum().item() == 5


def test_positions_in_other_dtypes():
    assert [p.tolist() for p in blocks.where_true(mx.array([[0, 2], [3, 0]]))] == [[0, 1], [1, 0]]
    assert blocks.first_nonzero(mx.array([0, 1, 1]), 3).tolist() == [[1], [2], [-1]]
