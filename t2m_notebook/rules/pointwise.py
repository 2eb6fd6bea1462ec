"""Functions of one tensor, element by element, and small combinations of a few."""

from __future__ import annotations

from .expression import blocks, mlx_dtype, mx
from .layouts import POINTWISE
from .promotion import HALF, as_floating, is_number, promoted, result, to_dtype, torch_common
from .registry import op


def _unary(mlx_name: str, *names: str) -> None:
    function = getattr(mx, mlx_name)

    @op(*[f"torch.{name}" for name in names], layout=POINTWISE, summary=f"`mx.{mlx_name}`")
    def rule(x):
        return function(x)


for _mlx, _names in {
    "exp": "exp", "log": "log", "log2": "log2", "log10": "log10",
    "log1p": "log1p special.log1p", "sqrt": "sqrt", "rsqrt": "rsqrt", "reciprocal": "reciprocal",
    "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "arcsin": "asin arcsin", "arccos": "acos arccos", "arctan": "atan arctan",
    "arcsinh": "asinh arcsinh", "arccosh": "acosh arccosh", "arctanh": "atanh arctanh",
    "erf": "erf special.erf",
    "erfinv": "erfinv special.erfinv", "floor": "floor", "ceil": "ceil", "radians": "deg2rad", "degrees": "rad2deg",
}.items():
    _unary(_mlx, *_names.split())


@op("torch.expm1", "torch.special.expm1", layout=POINTWISE)
def expm1(x):
    """`mx.expm1`."""
    return mx.exp(x) - 1 if x.is_complex else mx.expm1(x)


@op("torch.sigmoid", "torch.nn.functional.sigmoid", "torch.special.expit", layout=POINTWISE)
def sigmoid(x):
    """`mx.sigmoid`."""
    return 1 / (1 + mx.exp(-x)) if x.is_complex else mx.sigmoid(x)


@op("torch.abs", "torch.absolute", "torch.Tensor.__abs__", layout=POINTWISE)
def absolute(x):
    """`mx.abs`."""
    return mx.abs(x)


@op("torch.sign", "torch.sgn", layout=POINTWISE)
def sign(x):
    """`mx.sign`."""
    return mx.sign(x)


@op("torch.square", layout=POINTWISE)
def square(x, *, call):
    """`mx.square`."""
    return mx.square(x if not x.is_bool else x.astype(mlx_dtype("int64")))


@op("torch.round", "torch.special.round", layout=POINTWISE)
def round(x, decimals=0):
    """`mx.round`, half to even."""
    return mx.round(x) if decimals == 0 else mx.round(x, decimals=decimals)


@op("torch.trunc", "torch.fix", layout=POINTWISE)
def trunc(x):
    """Towards zero: the sign times `mx.floor` of the size."""
    return x if x.is_integer else blocks.trunc(x)


@op("torch.frac", layout=POINTWISE)
def frac(x):
    """`x` less its whole part."""
    return x - blocks.trunc(x)


@op("torch.exp2", "torch.special.exp2", layout=POINTWISE)
def exp2(x, *, call):
    """`2 ** x`."""
    return mx.power(2.0, as_floating(x))


@op("torch.erfc", "torch.special.erfc", layout=POINTWISE)
def erfc(x):
    """`1 - erf(x)`, exact also where erf is close to 1."""
    return blocks.erfc(as_floating(x))


@op("torch.clamp", "torch.clip", layout=POINTWISE)
def clamp(x, min=None, max=None, *, call):
    """`mx.minimum(upper, mx.maximum(lower, x))`; in this order the gradient at a bound is 1, as in torch."""
    bounds = [bound for bound in (min, max) if bound is not None]
    dtype = torch_common(x, *bounds)
    plain = x.is_integer and all(is_number(bound) for bound in bounds) and dtype == x.dtype and len(bounds) == 2
    if plain and dtype == call.dtype:
        return mx.clip(x, min, max)
    x, *bounds = promoted(x, *bounds)
    value = x
    if min is not None:
        value = mx.maximum(bounds.pop(0), value)
    if max is not None:
        value = mx.minimum(bounds.pop(0), value)
    return result(value, dtype, call)


@op("torch.clamp_min", layout=POINTWISE)
def clamp_min(x, min, *, call):
    """`mx.maximum(bound, x)`."""
    return clamp(x, min=min, call=call)


@op("torch.clamp_max", layout=POINTWISE)
def clamp_max(x, max, *, call):
    """`mx.minimum(bound, x)`."""
    return clamp(x, max=max, call=call)


@op("torch.nan_to_num", layout=POINTWISE)
def nan_to_num(x, nan=None, posinf=None, neginf=None):
    """`mx.nan_to_num`."""
    given = {"nan": nan or None, "posinf": posinf, "neginf": neginf}
    return mx.nan_to_num(x, **{key: value for key, value in given.items() if value is not None})


@op("torch.lerp", layout=POINTWISE)
def lerp(x, end, weight, *, call):
    """`x + weight * (end - x)`."""
    weight = to_dtype(weight, x.dtype)
    return x + weight * (end - x)


def _combined(combine, x, first, second, value, call):
    """``x + value * combine(first, second)``; half precision is rounded once, at the end, as in torch."""
    dtype = torch_common(x, first, second)
    x, first, second = promoted(x, first, second, want="float32" if dtype in HALF else None)
    term = combine(first, second)
    return result(x + (term if value == 1 else value * term), "float32" if dtype in HALF else dtype, call)


@op("torch.addcmul", layout=POINTWISE)
def addcmul(x, tensor1, tensor2, value=1, *, call):
    """`x + value * tensor1 * tensor2`."""
    return _combined(lambda a, b: a * b, x, tensor1, tensor2, value, call)


@op("torch.addcdiv", layout=POINTWISE)
def addcdiv(x, tensor1, tensor2, value=1, *, call):
    """`x + value * tensor1 / tensor2`."""
    return _combined(lambda a, b: a / b, x, tensor1, tensor2, value, call)


def _of_two(name: str, function, *torch_names: str) -> None:
    @op(*[f"torch.{n}" for n in torch_names], layout=POINTWISE, summary=f"`{name}`")
    def rule(x, other, *, call):
        dtype = torch_common(x, other)
        x, other = promoted(x, other)
        integers = dtype.startswith(("int", "uint", "bool"))
        return result(function(x, other), "float32" if integers else dtype, call)


_of_two("mx.arctan2", mx.arctan2, "atan2", "arctan2")
_of_two("mx.logaddexp", mx.logaddexp, "logaddexp")
