"""Operators between tensors and numbers: values, gradients, promotion, writes in place."""

import pytest
import torch

from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["add", "sub", "mul", "div", "true_divide", "rsub", "floor_divide", "remainder", "fmod", "pow", "float_power",
         "neg", "maximum", "minimum", "__radd__", "__rsub__", "__rmul__", "__rdiv__", "__rmod__", "__rpow__"]


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(name, orders):
    check(name, orders=orders)


@pytest.mark.parametrize("name, dtype", supported(NAMES))
def test_dtype(name, dtype):
    check(name, dtype, limit=5)


X = torch.arange(1.0, 7).reshape(2, 3)


@pytest.mark.parametrize("text, source", [
    ("x + 1", "v0 + 1"), ("1 - x", "1 - v0"), ("2.0 / x", "2.0 / v0"), ("x ** 2", "mx.square(v0)"),
    ("x ** 0.5", "mx.sqrt(v0)"), ("x ** -0.5", "mx.rsqrt(v0)"), ("2 ** x", "2 ** v0"), ("-x", "-v0"),
    ("x // 2", "v0 // 2"), ("x % 3", "v0 % 3"), ("torch.add(x, x, alpha=2)", "v0 + 2 * v0"),
    ("x * x.shape[0]", "v0 * v0.shape[0]"), ("x / x.shape[1] ** 0.5", "v0 / v0.shape[1] ** 0.5"),
])
def test_text(text, source):
    outcome = replay(eval(f"lambda x: {text}", {"torch": torch}), (X.clone(),))
    assert outcome.kind == "matched" and source in outcome.source, outcome


@pytest.mark.parametrize("left", [torch.bfloat16, torch.float16, torch.float32, torch.int64, torch.int32, torch.bool])
@pytest.mark.parametrize("right", [torch.bfloat16, torch.float16, torch.float32, torch.int64, torch.bool])
@pytest.mark.parametrize("operator", ["+", "*", "/"])
def test_a_tensor_without_dimensions_promotes_weakly(left, right, operator):
    function = eval(f"lambda x, y: x {operator} y")
    assert replay(function, (X.to(left), torch.tensor(3).to(right)), gradients=False).kind == "matched"
    assert replay(function, (torch.tensor(3).to(left), X.to(right)), gradients=False).kind == "matched"
    assert replay(function, (torch.tensor(3).to(left), torch.tensor(2).to(right)), gradients=False).kind == "matched"


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("number", [True, 3, 2.5])
def test_numbers_promote_weakly(dtype, number):
    for function in (lambda x: x + number, lambda x: x * number, lambda x: x / number, lambda x: number * x):
        assert replay(function, (X.to(dtype),), gradients=False).kind == "matched"


def test_a_write_in_place_keeps_the_dtype():
    def function(x, y):
        x = x.clone()
        x += y
        x.mul_(y).div_(2)
        x -= 1
        return x
    outcome = replay(function, (X.to(torch.bfloat16), X.clone()), gradients=False)
    assert outcome.kind == "matched", outcome


def test_floor_division_of_floats_is_exact():
    outcome = replay(lambda x, y: (x // y, x // 0.1), (torch.tensor([1.0, -1.0, 7.5]), torch.tensor([0.1, 0.1, 0.0])))
    assert outcome.kind == "matched", outcome


def test_sizes_are_not_baked_in():
    outcome = replay(lambda x: x * x.shape[1] + x.size(0) // 2, (X.clone(),), also=((torch.rand(5, 4),),))
    assert outcome.kind == "matched", outcome
