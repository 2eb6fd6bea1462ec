"""Comparisons, logic, bits, and choices made by a mask."""

from __future__ import annotations

from .array import Array
from .expression import Expr, binary, blocks, mx
from .layouts import POINTWISE, STANDARD
from .promotion import is_number, promoted, result, to_dtype, torch_common
from .registry import op, refuse, rename

_LONG_NAMES = {"ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}


def _comparison(name: str, symbol: str):
    names = [f"torch.{name}", f"torch.Tensor.__{name}__"]
    names += [f"torch.{_LONG_NAMES[name]}"] if name in _LONG_NAMES else []

    @op(*names, layout=POINTWISE, summary=f"`x {symbol} y`")
    def rule(x, other, *, call):
        x, other = promoted(x, other)
        return result(getattr(Expr, f"__{name}__")(x, other), "bool", call)


for _name, _symbol in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
    _comparison(_name, _symbol)


def _logical(name: str, operator: str):
    @op(f"torch.logical_{name}", layout=POINTWISE, summary=f"`mx.logical_{name}`; an operator between masks")
    def rule(x, other, *, call):
        both_masks = x.dtype == other.dtype == "bool"
        function = getattr(mx, f"logical_{name}")
        return result(binary(x, operator, other) if both_masks and name != "xor" else function(x, other), "bool", call)


for _name, _operator in (("and", "and"), ("or", "or"), ("xor", "xor")):
    _logical(_name, _operator)


@op("torch.logical_not", layout=POINTWISE)
def logical_not(x, *, call):
    """`mx.logical_not`."""
    return result(mx.logical_not(x), "bool", call)


def _bitwise(name: str, operator: str, symbol: str):
    dunder = operator
    names = [f"torch.bitwise_{name}", f"torch.Tensor.__{dunder}__", f"torch.Tensor.__i{dunder}__",
             f"torch.Tensor.__r{dunder}__", f"torch.__{dunder}__"]

    @op(*names, layout=POINTWISE, summary=f"`x {symbol} y`")
    def rule(x, other, *, call):
        dtype = torch_common(x, other)
        x, other = promoted(x, other)
        return result(binary(x, operator, other), dtype, call)


for _name, _operator, _symbol in (("and", "and", "&"), ("or", "or", "|"), ("xor", "xor", "^")):
    _bitwise(_name, _operator, _symbol)


@op("torch.bitwise_not", "torch.Tensor.__invert__", layout=POINTWISE)
def bitwise_not(x):
    """`~x`; the opposite of a mask."""
    return ~x


def _shift(name: str, operator: str, symbol: str):
    @op(f"torch.bitwise_{name}_shift", f"torch.Tensor.__{operator}__", f"torch.Tensor.__i{operator}__",
        f"torch.__{operator}__", layout=POINTWISE, summary=f"`x {symbol} y`")
    def rule(x, other, *, call):
        if isinstance(x, Array) and x.is_floating:
            refuse("dtype", x.dtype, "MLX shifts integers only; multiply by a power of two")
        dtype = torch_common(x, other)
        x, other = promoted(x, other)
        return result(binary(x, operator, other), dtype, call)

    @op(f"torch.Tensor.__r{operator}__", layout=POINTWISE, summary=f"`y {symbol} x`")
    def reflected(x, other, *, call):
        dtype = torch_common(x, other)
        x, other = promoted(x, other)
        return result(binary(other, operator, x), dtype, call)


_shift("left", "lshift", "<<")
_shift("right", "rshift", ">>")


@op("torch.where", layout=POINTWISE)
def where(condition, x=None, other=None, input=None, *, call):
    """`mx.where`, both choices in torch's common dtype."""
    x = input if x is None else x
    if x is None or other is None:
        from .gather import nonzero
        return nonzero(condition, as_tuple=True)
    dtype = torch_common(x, other)
    if is_number(x) and is_number(other):
        chosen = mx.where(condition, x, other)
        return chosen if dtype in ("float32", "bool") else result(chosen, "int32", call)
    x, other = promoted(x, other)
    condition = mx.not_equal(condition, 0) if condition.dtype != "bool" else condition
    return mx.where(condition, x, other)


@op("torch.Tensor.where", layout=POINTWISE)
def method_where(x, condition, other, *, call):
    """`mx.where(condition, x, y)`: as a method the condition comes second."""
    return where(condition, x, other, call=call)


@op("torch.masked_fill", "torch.Tensor.masked_fill", layout=POINTWISE)
def masked_fill(x, mask, value):
    """`mx.where(mask, value, x)`."""
    if isinstance(value, Array):
        return mx.where(mask, to_dtype(value, x.dtype), x)
    if x.is_integer or x.is_bool:
        value = bool(value) if x.is_bool else int(value)
    return mx.where(mask, value, x)


@op("torch.isclose", layout=POINTWISE)
def isclose(x, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """`mx.isclose`."""
    options = {"rtol": rtol} if rtol != 1e-05 else {}
    options |= {"atol": atol} if atol != 1e-08 else {}
    options |= {"equal_nan": True} if equal_nan else {}
    return mx.isclose(x, other, **options)


for _torch, _mlx in (("isnan", "isnan"), ("isfinite", "isfinite"), ("isinf", "isinf"), ("isposinf", "isposinf"),
                     ("isneginf", "isneginf")):
    rename(f"torch.{_torch}", f"mx.{_mlx}", layout=POINTWISE)


@op("torch.isreal", layout=POINTWISE)
def isreal(x):
    """True where the imaginary part is 0."""
    return mx.imag(x) == 0 if x.is_complex else mx.ones_like(x, dtype=mx.bool_)


@op("torch.signbit", layout=POINTWISE)
def signbit(x):
    """True for negative numbers and for -0.0."""
    if x.is_floating:
        return blocks.signbit(x)
    return x < 0


@op("torch.isin", layout=STANDARD)
def isin(elements, test_elements, assume_unique=False, invert=False):
    """Whether each element equals one of the test elements: all pairs are compared."""
    if is_number(elements) or is_number(test_elements):
        found = elements == test_elements
        found = mx.any(found) if is_number(elements) else found
    else:
        found = mx.any(elements[..., None] == test_elements.reshape(-1), axis=-1)
    return ~found if invert else found
