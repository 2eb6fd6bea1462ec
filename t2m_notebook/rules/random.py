"""Random draws. MLX has its own generator: the distribution is the same, the numbers are not."""

from __future__ import annotations

import ast

from .array import Array
from .creation import size_of, typed
from .expression import Expr, blocks, mlx_dtype, mx
from .layouts import POINTWISE, STANDARD
from .promotion import cast, in_float
from .registry import caveat, op, refuse

OTHER_NUMBERS = "random: MLX draws other numbers than torch for the same seed"


def shape_of(x: Array) -> Expr:
    """``x.shape`` as MLX has it, in whatever order the axes stand."""
    return Expr(ast.Attribute(x.node, "shape", ast.Load()))


def _normal(shape, dtype: str, mean=0.0, std=1.0) -> Expr:
    caveat(OTHER_NUMBERS)
    options = {"loc": mean} if mean != 0 else {}
    options |= {"scale": std} if std != 1 else {}
    return mx.random.normal(shape, **typed(dtype), **options)


def _uniform(shape, dtype: str, low=0.0, high=1.0) -> Expr:
    caveat(OTHER_NUMBERS)
    bounds = () if (low, high) == (0, 1) else (low, high)
    return mx.random.uniform(*bounds, shape=shape, **typed(dtype))


def _integers(low, high, shape, dtype: str) -> Expr:
    caveat(OTHER_NUMBERS)
    if dtype.startswith(("int", "uint")):
        return mx.random.randint(low, high, shape, dtype=mlx_dtype(dtype))
    return mx.random.randint(low, high, shape).astype(mlx_dtype(dtype))


@op("torch.rand", layout=STANDARD)
def rand(*size, dtype=None, call):
    """`mx.random.uniform`."""
    return _uniform(size_of(size), call.dtype)


@op("torch.rand_like", layout=POINTWISE)
def rand_like(x, dtype=None, *, call):
    """`mx.random.uniform`."""
    return _uniform(shape_of(x), call.dtype)


@op("torch.randn", layout=STANDARD)
def randn(*size, dtype=None, call):
    """`mx.random.normal`."""
    return _normal(size_of(size), call.dtype)


@op("torch.randn_like", layout=POINTWISE)
def randn_like(x, dtype=None, *, call):
    """`mx.random.normal`."""
    return _normal(shape_of(x), call.dtype)


@op("torch.randint", layout=STANDARD)
def randint(low, high=None, size=None, dtype=None, *, call):
    """`mx.random.randint`."""
    if isinstance(high, (tuple, list)):  # randint(high, size)
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    return _integers(low, high, size_of((size,)), call.dtype)


@op("torch.randint_like", layout=POINTWISE)
def randint_like(x, low=0, high=None, dtype=None, *, call):
    """`mx.random.randint`."""
    low, high = (0, low) if high is None else (low, high)
    low, high = (bound.item() if isinstance(bound, Array) else bound for bound in (low, high))
    return _integers(low, high, shape_of(x), call.dtype)


@op("torch.randperm", layout=STANDARD)
def randperm(n, dtype=None, *, call):
    """`mx.random.permutation`."""
    caveat(OTHER_NUMBERS)
    return mx.random.permutation(n).astype(mlx_dtype(call.dtype))


@op("torch.normal", layout=STANDARD)
def normal(mean=0.0, std=1.0, size=None, dtype=None, *, call):
    """`mean + std * mx.random.normal`."""
    if size is not None:
        return _normal(size_of((size,)), call.dtype, mean, std)
    tensors = [value for value in (mean, std) if isinstance(value, Array)]
    shape = shape_of(tensors[0])
    if len(tensors) == 2 and tuple(map(int, tensors[0].shape)) != tuple(map(int, tensors[1].shape)):
        shape = shape_of(mean + std)
    return mean + std * _normal(shape, call.dtype)


@op("torch.Tensor.normal_", layout=POINTWISE)
def normal_(x, mean=0.0, std=1.0, *, call):
    """`mx.random.normal` in the tensor's shape."""
    return _normal(shape_of(x), call.dtype, mean, std)


@op("torch.Tensor.uniform_", "torch.Tensor.uniform", layout=POINTWISE)
def uniform_(x, low=0.0, high=1.0, *, call, **named):
    """`mx.random.uniform` in the tensor's shape."""
    return _uniform(shape_of(x), call.dtype, named.get("from", low), named.get("to", high))


@op("torch.bernoulli", "torch.Tensor.bernoulli_", layout=POINTWISE)
def bernoulli(x, p=None, *, call):
    """`mx.random.bernoulli`, as numbers 0 and 1."""
    caveat(OTHER_NUMBERS)
    if p is None:
        return mx.random.bernoulli(x).astype(mlx_dtype(call.dtype))
    return mx.random.bernoulli(p, shape_of(x)).astype(mlx_dtype(call.dtype))


@op("torch.Tensor.random_", layout=POINTWISE)
def random_(x, low=0, high=None, *, call, **named):
    """`mx.random.randint` in the tensor's shape."""
    low, high = named.get("from", low), named.get("to", high)
    if high is None:
        low, high = 0, low or refuse("to", None, "give the upper bound")
    return _integers(low, high, shape_of(x), call.dtype)


@op("torch.exponential", "torch.Tensor.exponential_", layout=POINTWISE)
def exponential(x, lambd=1.0, *, call):
    """`-log(1 - u) / lambd` of uniform draws."""
    value = -mx.log1p(-_uniform(shape_of(x), "float32"))
    return cast(value if lambd == 1 else value / lambd, "float32", call.dtype)


@op("torch.log_normal", "torch.Tensor.log_normal_", layout=POINTWISE)
def log_normal(x, mean=1.0, std=2.0, *, call):
    """`mx.exp` of normal draws."""
    return cast(mx.exp(_normal(shape_of(x), "float32", mean, std)), "float32", call.dtype)


@op("torch.cauchy", "torch.Tensor.cauchy_", layout=POINTWISE)
def cauchy(x, median=0.0, sigma=1.0, *, call):
    """`median + sigma * tan(pi * (u - 1/2))` of uniform draws."""
    value = mx.tan(mx.pi * (_uniform(shape_of(x), "float32") - 0.5))
    value = value if sigma == 1 else sigma * value
    return cast(value if median == 0 else median + value, "float32", call.dtype)


@op("torch.geometric", "torch.Tensor.geometric_", layout=POINTWISE)
def geometric(x, p, *, call):
    """`ceil(log(u) / log(1 - p))` of uniform draws."""
    draws = 1 - _uniform(shape_of(x), "float32")
    return cast(mx.maximum(mx.ceil(mx.log(draws) / mx.log1p(mx.array(-p))), 1), "float32", call.dtype)


@op("torch.multinomial", layout=STANDARD)
def multinomial(x, num_samples, replacement=False):
    """Indices drawn in proportion to the rows: `mx.random.categorical` of the logarithms, or the
    largest of Gumbel keys where nothing is drawn twice."""
    caveat(OTHER_NUMBERS)
    if replacement or (type(num_samples) is int and num_samples == 1):
        return mx.random.categorical(mx.log(in_float(x)), num_samples=num_samples).astype(mlx_dtype("int64"))
    return blocks.multinomial_without_replacement(in_float(x), num_samples)


@op("torch.manual_seed", layout=STANDARD)
def manual_seed(seed):
    """`mx.random.seed`."""
    caveat(OTHER_NUMBERS)
    return mx.random.seed(seed)
