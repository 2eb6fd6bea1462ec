"""Reductions over dimensions, and statistics."""

import pytest
import torch

from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["sum", "prod", "nansum", "mean", "nanmean", "amax", "amin", "aminmax", "max", "min", "argmax", "argmin",
         "any", "all", "count_nonzero", "logsumexp", "var", "std", "var_mean", "std_mean", "linalg.vector_norm",
         "norm", "dist", "median", "nanmedian", "mode", "quantile", "nanquantile", "cov", "corrcoef"]
pytestmark = pytest.mark.filterwarnings("ignore:Casting complex values:UserWarning")  # by torch samples
EXCEPTIONS = {
    "norm": "nuc",
    "logsumexp complex64": "refused: dtype",
    # the gradient is 0 against float64, torch's is not
    "corrcoef bfloat16": "gradient", "corrcoef float16": "gradient",
    "mode": "result 1",  # any index of the most frequent value
    "cov": "gradient",  # exactly 0: what is left is rounding
    "linalg.vector_norm float16": "gradient",  # torch's is lost for order 6; the port's is right against float64
}


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(name, orders):
    check(name, orders=orders, exceptions=EXCEPTIONS)


@pytest.mark.parametrize("name, dtype", supported(NAMES))
def test_dtype(name, dtype):
    check(name, dtype, exceptions=EXCEPTIONS, limit=5)


TIES = torch.tensor([[1.0, 3.0, 3.0, 0.0], [2.0, 2.0, 2.0, 2.0]])


@pytest.mark.parametrize("function", [
    lambda x: x.max(), lambda x: x.max(dim=1), lambda x: x.max(1, keepdim=True)[0], lambda x: x.min(dim=0).values,
    lambda x: torch.max(x, dim=-1)[1], lambda x: x.amax(dim=1), lambda x: x.amin((0, 1)), lambda x: torch.max(x, x * 2),
    lambda x: x.median(dim=1), lambda x: x.median(), lambda x: x.norm(dim=1), lambda x: (x * 0).norm(dim=1),
    lambda x: x.mean(), lambda x: x.mean((0, 1), keepdim=True), lambda x: x.var(unbiased=False), lambda x: x.std(1),
    lambda x: x.var(1, False), lambda x: x.var(False), lambda x: x.var(dim=0, correction=0, keepdim=True),
    lambda x: torch.norm(x, p=1, dim=1), lambda x: torch.norm(x), lambda x: x.sum(-1, dtype=torch.float16),
    lambda x: x.argmax(), lambda x: x.argmax(-1, keepdim=True) - 1, lambda x: x.any(1), lambda x: (x > 1).sum(),
    lambda x: (x > 1).float().mean(), lambda x: x.logsumexp(1), lambda x: x.quantile(0.3), lambda x: x.long().prod(1),
    lambda x: x.var(0, correction=1.5),
])
def test_forms_and_ties(function):
    outcome = replay(lambda x: function(x * 1), (TIES.clone().requires_grad_(),))
    assert outcome.kind == "matched" and outcome.gradients in ("matched", "not checked"), outcome


@pytest.mark.parametrize("dtype, number", [(torch.float16, 300.0), (torch.bfloat16, 1.01)])
def test_half_precision_adds_up_in_float32(dtype, number):
    x = torch.full((3, 70000 if dtype == torch.bfloat16 else 4000), number, dtype=dtype)
    for function in (lambda x: x.mean(1), lambda x: x.var(1), lambda x: x.float().sum(1), lambda x: x.norm(dim=1)):
        outcome = replay(function, (x,), gradients=False)
        assert outcome.kind == "matched", outcome


def test_integers_add_up_in_int64():
    x = torch.full((3, 4), 2 ** 30, dtype=torch.int32)
    assert replay(lambda x: (x.sum(1), x.cumsum(1)), (x,)).kind == "matched"


def test_dimensions_follow_the_layout():
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    for function in (lambda x: x.mean((2, 3)), lambda x: x.sum(1), lambda x: x.max(1)[0], lambda x: x.softmax(1),
                     lambda x: x.norm(dim=1, keepdim=True), lambda x: x.var((-1, -2), keepdim=True),
                     lambda x: x.argmax(1)):
        outcome = replay(function, (x,), orders="channels last", also=((torch.randn(1, 3, 6, 2),),))
        assert outcome.kind == "matched" and "transpose(v0" not in outcome.source, outcome
