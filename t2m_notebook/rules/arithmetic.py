"""Addition to power: operators, their reflected and in-place forms, and what is made of them."""

from __future__ import annotations

import math

from .array import Array
from .expression import Namespace, blocks, math_module, mx
from .layouts import POINTWISE
from .promotion import is_number, promoted, result, to_dtype, torch_common
from .registry import op, refuse


def _scaled(other, alpha):
    if is_number(alpha) and alpha == 1:
        return other
    return other * alpha if is_number(other) and is_number(alpha) else alpha * other


@op("torch.add", "torch.Tensor.__add__", "torch.Tensor.__radd__", "torch.Tensor.__iadd__", layout=POINTWISE)
def add(x, other, alpha=1, *, call):
    """`x + y`; `alpha` scales the second operand."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    if dtype == "bool" and alpha != 1:
        return x | other if alpha else x
    return result(x + _scaled(other, alpha), dtype, call)


@op("torch.sub", "torch.subtract", "torch.Tensor.__sub__", "torch.Tensor.__isub__", layout=POINTWISE)
def sub(x, other, alpha=1, *, call):
    """`x - y`; `alpha` scales the second operand."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(x - _scaled(other, alpha), dtype, call)


@op("torch.rsub", "torch.Tensor.__rsub__", layout=POINTWISE)
def rsub(x, other, alpha=1, *, call):
    """`y - x`, the reflected subtraction."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(other - _scaled(x, alpha), dtype, call)


@op("torch.mul", "torch.multiply", "torch.Tensor.__mul__", "torch.Tensor.__rmul__", "torch.Tensor.__imul__",
    layout=POINTWISE)
def mul(x, other, *, call):
    """`x * y`."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(x * other, dtype, call)


def _true_divide(x, other, call):
    dtype = torch_common(x, other)
    if dtype.startswith(("int", "uint", "bool")):
        return result(x / other, "float32", call)  # both make float32 of a quotient of integers
    x, other = promoted(x, other)
    return result(x / other, dtype, call)


@op("torch.div", "torch.divide", "torch.true_divide", "torch.Tensor.__truediv__", "torch.Tensor.__div__",
    "torch.Tensor.__itruediv__", "torch.Tensor.__idiv__", layout=POINTWISE)
def div(x, other, rounding_mode=None, *, call):
    """`x / y`; with a rounding mode `x // y`, or the quotient cut towards zero."""
    if is_number(x) and is_number(other):
        return _of_numbers(x, other, rounding_mode)
    if rounding_mode is None:
        return _true_divide(x, other, call)
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    if rounding_mode == "floor":
        return _floored(x, other, dtype, call)
    if dtype.startswith("uint"):
        return result(x // other, dtype, call)
    function = blocks.truncated_division_of_integers if dtype.startswith("int") else blocks.truncated_division
    return result(function(x, other), dtype, call)


def _of_numbers(x, other, rounding_mode):
    """Torch divides two numbers as well, and gives a tensor."""
    if rounding_mode is None:
        return mx.array(x / other)
    whole = isinstance(x, int) and isinstance(other, int)
    floor = x // other
    if rounding_mode == "floor" or whole and x >= 0 and other > 0:
        return mx.array(floor)
    quotient = math_module.trunc(x / other)
    return mx.array(quotient if whole else Namespace("float")(quotient))


@op("torch.Tensor.__rdiv__", "torch.Tensor.__rtruediv__", layout=POINTWISE)
def rdiv(x, other, *, call):
    """`y / x`, the reflected division."""
    return _true_divide(other, x, call)


def _floored(x, other, dtype, call):
    exact = is_number(other) and float(other) != 0 and math.frexp(abs(float(other)))[0] == 0.5  # a power of two
    if exact or not dtype.startswith(("float", "bfloat")):
        return result(x // other, dtype, call)
    return result(blocks.floor_divide(x, other), dtype, call)


@op("torch.floor_divide", "torch.Tensor.__floordiv__", "torch.Tensor.__ifloordiv__", layout=POINTWISE)
def floor_divide(x, other, *, call):
    """`x // y`, rounded down for both signs. Division of integers by 0 gives 0 in MLX, torch raises."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return _floored(x, other, dtype, call)


@op("torch.Tensor.__rfloordiv__", layout=POINTWISE)
def rfloordiv(x, other, *, call):
    """`y // x`, the reflected floor division."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return _floored(other, x, dtype, call)


@op("torch.remainder", "torch.Tensor.__mod__", "torch.Tensor.__imod__", layout=POINTWISE)
def remainder(x, other, *, call):
    """`x % y`, with the sign of the divisor."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(x % other, dtype, call)


@op("torch.Tensor.__rmod__", layout=POINTWISE)
def rmod(x, other, *, call):
    """`y % x`, the reflected remainder."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(other % x, dtype, call)


@op("torch.fmod", layout=POINTWISE)
def fmod(x, other, *, call):
    """Remainder with the sign of the dividend, as in C."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(blocks.fmod(x, other), dtype, call)


def _power(base, exponent, dtype, call):
    if is_number(exponent) and isinstance(base, Array) and base.dtype != "bool":
        if exponent == 2:
            return result(mx.square(base), dtype, call)
        if base.is_floating and exponent == 0.5:
            return result(mx.sqrt(base), dtype, call)
        if base.is_floating and exponent == -0.5:
            return result(mx.rsqrt(base), dtype, call)
    if is_number(exponent) and dtype.startswith(("int", "uint")) and exponent < 0:
        refuse("exponent", exponent, "torch takes no negative power of integers; convert to float first")
    if dtype.startswith("int") and isinstance(exponent, Array) and (isinstance(base, Array) or abs(base) == 1):
        return result(blocks.integer_power(base, exponent), dtype, call)
    return result(base ** exponent, dtype, call)


@op("torch.pow", "torch.Tensor.__pow__", "torch.Tensor.__ipow__", layout=POINTWISE)
def power(x, exponent, *, call):
    """`x ** y`, written `mx.square`, `mx.sqrt` or `mx.rsqrt` where it is one of these."""
    dtype = torch_common(x, exponent)
    x, exponent = promoted(x, exponent)
    return _power(x, exponent, dtype, call)


@op("torch.Tensor.__rpow__", layout=POINTWISE)
def rpow(x, other, *, call):
    """`y ** x`, the reflected power."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return _power(other, x, dtype, call)


@op("torch.float_power", layout=POINTWISE)
def float_power(x, exponent, *, call):
    """`x ** y`; torch computes it in float64, the port in float32."""
    complex_numbers = call.dtype.startswith("complex")
    if not complex_numbers:
        x, exponent = to_dtype(x, "float32"), to_dtype(exponent, "float32")
        return x ** (float(exponent) if is_number(exponent) and isinstance(x, Array) else exponent)
    x, exponent = to_dtype(x, "complex64"), to_dtype(exponent, "complex64")
    return x ** exponent


@op("torch.neg", "torch.negative", "torch.Tensor.__neg__", layout=POINTWISE)
def neg(x):
    """`-x`."""
    return -x


@op("torch.maximum", layout=POINTWISE)
def maximum(x, other, *, call):
    """The larger element; of equal ones each gets half of the gradient, which `mx.maximum` does not do."""
    return extreme("maximum", x, other, call)


@op("torch.minimum", layout=POINTWISE)
def minimum(x, other, *, call):
    """The smaller element; of equal ones each gets half of the gradient, which `mx.minimum` does not do."""
    return extreme("minimum", x, other, call)


def extreme(name: str, x, other, call):
    """``mx.maximum`` or ``mx.minimum``, in a form with torch's gradient where there is one."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    floating = dtype.startswith(("float", "bfloat"))
    function = getattr(blocks, f"{name}_halving_ties") if floating else getattr(mx, name)
    return result(function(x, other), dtype, call)
