"""Running sums and extremes, differences, areas and numerical derivatives."""

import mlx.core as mx
import pytest
import torch

from t2m_notebook import blocks
from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "diff", "gradient", "trapezoid", "trapz",
         "cumulative_trapezoid"]
#: Beside a logit of 10000; against float64 the port is as exact as torch in float32, more so in half precision.
EXCEPTIONS = {"logcumsumexp": "gradient"}


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(name, orders):
    check(name, orders=orders, exceptions=EXCEPTIONS)


@pytest.mark.parametrize("name, dtype", supported(NAMES, ("bfloat16", "int64", "uint8", "bool")))
def test_dtype(name, dtype):
    check(name, dtype, exceptions=EXCEPTIONS, limit=5)


def test_running_extremes_with_equal_values():
    x = torch.tensor([[1.0, 3.0, 3.0, 2.0, 3.0], [0.0, float("nan"), 5.0, 1.0, 2.0]], requires_grad=True)
    outcome = replay(lambda x: (*torch.cummax(x, 1), *torch.cummin(x, 1)), (x,))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_positions_from_a_mask():
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]])
    outcome = replay(lambda m: (m.cumsum(-1) - 1).masked_fill(m == 0, 1), (mask,),
                     also=((torch.ones(3, 6, dtype=torch.int64),),))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("name", ["cummax_with_indices", "cummin_with_indices", "diff", "trapezoid"])
def test_blocks_compile_and_differentiate(name):
    function = mx.compile(lambda x: getattr(blocks, name)(x, axis=1))
    def first(x):
        return out[0] if isinstance(out := function(x), tuple) else out
    x = mx.random.normal((3, 4))
    assert mx.grad(lambda x: first(x).sum())(x).shape == (3, 4)
