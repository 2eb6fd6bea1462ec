"""Reads of a tensor's content into Python. They make the value known, and what follows depend on it."""

from __future__ import annotations

from .expression import Namespace, mx
from .layouts import STANDARD
from .registry import caveat, op

DEPENDS_ON_DATA = "depends on data: the branch that this example took is kept"


@op("torch.Tensor.item", "torch.Tensor.__float__", "torch.Tensor.__complex__", layout=STANDARD)
def item(x):
    """`x.item()`, a Python number."""
    return x.item()


@op("torch.Tensor.__int__", "torch.Tensor.__index__", layout=STANDARD)
def integer(x):
    """`int(x.item())`."""
    return x.item() if x.is_integer else Namespace("int")(x.item())


@op("torch.Tensor.tolist", layout=STANDARD)
def tolist(x):
    """`x.tolist()`."""
    return x.tolist()


@op("torch.Tensor.__bool__", "torch.is_nonzero", layout=STANDARD)
def truth(x):
    """`x.item()` as a condition; the port keeps the branch that the example took."""
    caveat(DEPENDS_ON_DATA)
    return x.item() if x.is_bool else Namespace("bool")(x.item())


@op("torch.equal", layout=STANDARD)
def equal(x, other):
    """`mx.array_equal(x, y).item()`."""
    caveat(DEPENDS_ON_DATA)
    return mx.array_equal(x, other).item()


@op("torch.allclose", layout=STANDARD)
def allclose(x, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """`mx.allclose(x, y).item()`."""
    caveat(DEPENDS_ON_DATA)
    options = {"rtol": rtol} if rtol != 1e-05 else {}
    options |= {"atol": atol} if atol != 1e-08 else {}
    options |= {"equal_nan": True} if equal_nan else {}
    return mx.allclose(x, other, **options).item()


@op("torch.Tensor.__contains__", layout=STANDARD)
def contains(x, element):
    """`mx.any(x == element).item()`."""
    caveat(DEPENDS_ON_DATA)
    return mx.any(x == element).item()


@op("torch._is_all_true", "torch._is_any_true", layout=STANDARD)
def is_all_true(x, *, call):
    """`mx.all(x)` or `mx.any(x)`."""
    return mx.any(x) if call.name.endswith("any_true") else mx.all(x)


@op("torch._assert", layout=STANDARD)
def assert_(condition, message=""):
    """Checks nothing in MLX: a read of the condition would stop the lazy evaluation."""
    return condition
