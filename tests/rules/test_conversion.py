"""Changes of dtype, copies, and calls that change nothing."""

import pytest
import torch

from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["float", "double", "half", "bfloat16", "long", "int", "short", "char", "byte", "bool", "cfloat", "cdouble",
         "to", "clone", "contiguous", "alias_copy", "positive"]
pytestmark = pytest.mark.filterwarnings("ignore:Casting complex values:UserWarning")


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(name, orders):
    check(name, orders=orders)


@pytest.mark.parametrize("name, dtype", supported(NAMES, ("bfloat16", "int64", "bool", "complex64")))
def test_dtype(name, dtype):
    check(name, dtype, limit=5)


X = torch.tensor([[1.5, -2.5], [0.0, 300.0]])


@pytest.mark.filterwarnings("ignore:ComplexHalf:UserWarning")
def test_half_precision_complex_is_refused():
    check("chalf", exceptions={"chalf": "refused: dtype"})


@pytest.mark.parametrize("text, source", [
    ("x.float()", "return [v0]"), ("x.to(torch.float16)", "v0.astype(mx.float16)"), ("x.to('cpu')", "return [v0]"),
    ("x.to('cpu', torch.int32)", "astype(mx.int32)"), ("x.to(device='cpu', dtype=torch.bfloat16)",
                                                          "v0.astype(mx.bfloat16)"),
    ("x.type_as(i)", ".astype("), ("x.to(i)", ".astype("), ("x.type(torch.int64)",
                                                                                  "astype(mx.int64)"),
    ("x.type('torch.LongTensor')", "astype(mx.int64)"), ("x.bool()", "v0 != 0"), ("x.double()", "v2 = v0"),
    ("x.contiguous()", "return [v0]"), ("x.clone()", "= v0"), ("x.detach()", "mx.stop_gradient(v0)"), ("x.byte()",
                                                                                                       "mx.uint8"),
    ("x.cpu().long()", "astype(mx.int64)"), ("x.data * 2", "mx.stop_gradient(v0)"),
])
def test_text(text, source):
    outcome = replay(eval(f"lambda x, i: {text}", {"torch": torch}), (X.clone(), torch.ones(2, dtype=torch.int64)))
    assert source in outcome.source and outcome.kind == "matched", outcome


def test_type_as_names_the_other_tensor():
    outcome = replay(lambda x, y: x.type_as(y), (X.clone(), torch.ones(2, dtype=torch.float16)))
    assert "v0.astype(v1.dtype)" in outcome.source and outcome.kind == "matched", outcome


def test_gradient_stops_at_detach():
    outcome = replay(lambda x: x * x.detach(), (X.clone().requires_grad_(),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_copy_into_a_tensor():
    outcome = replay(lambda x, y: x.clone().copy_(y), (X.to(torch.float16), torch.tensor([1, 2])))
    assert outcome.kind == "matched", outcome
