"""New arrays: filled, counted, copied from Python values. All in torch's axis order."""

from __future__ import annotations

import math
from typing import Any

import torch

from .array import Array
from .expression import Expr, Namespace, blocks, mlx_dtype, mx
from .layouts import POINTWISE, STANDARD
from .promotion import cast, is_number, same_dtype, to_dtype, wrapped
from .registry import caveat, op

CUT_TO_INTEGERS = "the points are computed in float32 and cut to integers: a whole one may be one less"


def size_of(size: Any) -> tuple:
    """``(2, 3)`` from ``zeros(2, 3)``, ``zeros((2, 3))`` or ``zeros([2, 3])``; a size that is a
    tensor is read."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    return tuple(part.item() if isinstance(part, Array) else part for part in size)


def typed(dtype: str, default: str = "float32") -> dict[str, Expr]:
    """``dtype=`` unless it is MLX's default."""
    return {} if same_dtype(dtype, default) else {"dtype": mlx_dtype(dtype)}


def filled(shape: tuple, value: Any, dtype: str) -> Expr:
    """``mx.zeros``, ``mx.ones`` or ``mx.full`` in a torch dtype."""
    if isinstance(value, Array):
        return mx.full(shape, to_dtype(value, dtype))
    if is_number(value) and not isinstance(value, complex) and not (isinstance(value, float) and math.isnan(value)):
        if value == 0 and not (isinstance(value, float) and math.copysign(1, value) < 0):
            return mx.zeros(shape, **typed(dtype))
        if value == 1 and type(value) in (int, float, bool):
            return mx.ones(shape, **typed(dtype))
    if dtype == "bool":
        return mx.ones(shape, **typed(dtype)) if value else mx.zeros(shape, **typed(dtype))
    if dtype.startswith(("int", "uint")):
        value = value if isinstance(value, int) else int(value)
        return mx.full(shape, value, **typed(dtype, "int32"))
    if dtype.startswith("complex"):
        return mx.full(shape, value, dtype=mlx_dtype(dtype))
    value = value if isinstance(value, float) else float(value) if type(value) is int else value
    return mx.full(shape, value, **typed(dtype))


@op("torch.zeros", layout=STANDARD)
def zeros(*size, dtype=None, call):
    """`mx.zeros`."""
    return filled(size_of(size), 0, call.dtype)


@op("torch.ones", layout=STANDARD)
def ones(*size, dtype=None, call):
    """`mx.ones`."""
    return filled(size_of(size), 1, call.dtype)


@op("torch.empty", "torch.empty_permuted", layout=STANDARD)
def empty(*size, dtype=None, physical_layout=None, call):
    """`mx.zeros`: MLX has no uninitialised memory."""
    if call.name.endswith("permuted"):
        size = size[:1]
    return filled(size_of(size), 0, call.dtype)


@op("torch.empty_strided", layout=STANDARD)
def empty_strided(size, stride, dtype=None, *, call):
    """`mx.zeros`; strides are MLX's own affair."""
    return filled(size_of((size,)), 0, call.dtype)


@op("torch.full", layout=STANDARD)
def full(size, fill_value, dtype=None, *, call):
    """`mx.full`, in torch's dtype for the value."""
    return filled(size_of((size,)), fill_value, call.dtype)


@op("torch.Tensor.new_zeros", layout=STANDARD)
def new_zeros(x, *size, dtype=None, call):
    """`mx.zeros` in the tensor's dtype."""
    return filled(size_of(size), 0, call.dtype)


@op("torch.Tensor.new_ones", layout=STANDARD)
def new_ones(x, *size, dtype=None, call):
    """`mx.ones` in the tensor's dtype."""
    return filled(size_of(size), 1, call.dtype)


@op("torch.Tensor.new_empty", layout=STANDARD)
def new_empty(x, *size, dtype=None, call):
    """`mx.zeros` in the tensor's dtype: MLX has no uninitialised memory."""
    return filled(size_of(size), 0, call.dtype)


@op("torch.Tensor.new", layout=STANDARD)
def new(x, *size, dtype=None, call):
    """`mx.zeros` of a size, or `mx.array` of given numbers, in the tensor's dtype."""
    if len(size) == 1 and isinstance(size[0], list):
        return tensor(size[0], call=call)
    return filled(size_of(size), 0, call.dtype)


@op("torch.Tensor.new_empty_strided", layout=STANDARD)
def new_empty_strided(x, size, stride, dtype=None, *, call):
    """`mx.zeros` in the tensor's dtype; strides are MLX's own affair."""
    return filled(size_of((size,)), 0, call.dtype)


@op("torch.Tensor.new_full", layout=STANDARD)
def new_full(x, size, fill_value, dtype=None, *, call):
    """`mx.full` in the tensor's dtype."""
    return filled(size_of((size,)), fill_value, call.dtype)


@op("torch.zeros_like", "torch.zero_", "torch.Tensor.zero_", "torch.zero", layout=POINTWISE)
def zeros_like(x, dtype=None, *, call):
    """`mx.zeros_like`."""
    return mx.zeros_like(x, **typed(call.dtype, x.dtype))


@op("torch.ones_like", layout=POINTWISE)
def ones_like(x, dtype=None, *, call):
    """`mx.ones_like`."""
    return mx.ones_like(x, **typed(call.dtype, x.dtype))


@op("torch.empty_like", layout=POINTWISE)
def empty_like(x, dtype=None, *, call):
    """`mx.zeros_like`: MLX has no uninitialised memory."""
    return mx.zeros_like(x, **typed(call.dtype, x.dtype))


@op("torch.full_like", "torch.fill", "torch.Tensor.fill_", layout=POINTWISE)
def full_like(x, fill_value=None, dtype=None, value=None, *, call):
    """`mx.full_like`."""
    fill_value = value if fill_value is None else fill_value
    if isinstance(fill_value, Array):
        return mx.broadcast_to(to_dtype(fill_value, call.dtype), tuple(x.shape[dim] for dim in x.order))
    if call.dtype == "bool":
        fill_value = bool(fill_value)
    elif call.dtype.startswith(("int", "uint")) and not isinstance(fill_value, int):
        fill_value = int(fill_value)
    return mx.full_like(x, fill_value, **typed(call.dtype, x.dtype))


def _value(number: Any) -> Any:
    return number.item() if isinstance(number, Array) else number


def _cut(bound: Any) -> Any:
    """A bound as torch takes it for whole numbers: towards zero."""
    if isinstance(bound, Expr):
        return Namespace("int")(bound)
    return math.trunc(bound) if isinstance(bound, float) else bound


@op("torch.arange", layout=STANDARD)
def arange(start=0, end=None, step=1, dtype=None, *, call):
    """`mx.arange`; whole numbers count in int64 as in torch."""
    start, end, step = _value(start), _value(end), _value(step)
    whole = call.dtype.startswith(("int", "uint"))
    numbers = [bound for bound in (start, end, step) if bound is not None]
    if whole and call.dtype != "int64" and any(isinstance(n, float) for n in numbers) and all(map(is_number, numbers)):
        first, last = (0, start) if end is None else (start, end)  # counted before the bounds are cut, unlike int64
        count = math.ceil((last - first) / step)
        return cast(_cut(first) + _cut(step) * mx.arange(count, dtype=mlx_dtype("int64")), "int64", call.dtype)
    if whole:
        start, end, step = map(_cut, (start, end, step))
    bounds = [start] if end is None else [start, end]
    if end is not None and is_number(start) and start == 0 and type(start) in (int, float):
        bounds = [end]
    if is_number(step) and step == 1:
        arguments = bounds
    else:
        arguments = [*(bounds if len(bounds) == 2 else [0, *bounds]), step]
    if call.dtype in ("float16", "bfloat16"):  # counted in float32, rounded once
        return mx.arange(*arguments, dtype=mlx_dtype("float32")).astype(mlx_dtype(call.dtype))
    return mx.arange(*arguments, dtype=mlx_dtype(call.dtype))


def _points(start, end, steps, dtype: str) -> Expr:
    start, end, steps = _value(start), _value(end), _value(steps)
    if dtype.startswith(("int", "uint")):
        start, end = wrapped(_cut(start), dtype), wrapped(_cut(end), dtype)
    return blocks.linspace_from_both_ends(start, end, steps)


def _cut_points(points: Expr, dtype: str) -> Expr:
    if dtype.startswith("uint"):  # a negative float has no unsigned value
        return points.astype(mlx_dtype("int64")).astype(mlx_dtype(dtype))
    return cast(points, "float32", dtype)


@op("torch.linspace", layout=STANDARD)
def linspace(start, end, steps, dtype=None, *, call):
    """Equidistant points, rounded as torch does: indices cut from those of `mx.linspace` can be one less."""
    if call.dtype.startswith(("int", "uint")):
        caveat(CUT_TO_INTEGERS)
    return _cut_points(_points(start, end, steps, call.dtype), call.dtype)


@op("torch.logspace", layout=STANDARD)
def logspace(start, end, steps, base=10.0, dtype=None, *, call):
    """`base ** points` with the points of `linspace`."""
    if call.dtype.startswith(("int", "uint")):
        caveat(CUT_TO_INTEGERS)
    return _cut_points(base ** _points(start, end, steps, call.dtype), call.dtype)


@op("torch.eye", layout=STANDARD)
def eye(n, m=None, dtype=None, *, call):
    """`mx.eye`."""
    return mx.eye(n, **typed(call.dtype)) if m is None else mx.eye(n, m, **typed(call.dtype))


@op("torch.tensor", "torch.as_tensor", "torch.scalar_tensor", "torch.asarray", "torch.Tensor.new_tensor",
    layout=STANDARD)
def tensor(data, dtype=None, *rest, call):
    """`mx.array`, in torch's dtype for the values."""
    if call.name.endswith("new_tensor"):
        data = dtype if not isinstance(dtype, torch.dtype) and dtype is not None else data
    if isinstance(data, Array):
        return cast(data, data.dtype, call.dtype)
    data = _plain(data)
    have = _mlx_array_dtype(data)
    return mx.array(data) if have and same_dtype(have, call.dtype) else mx.array(data, dtype=mlx_dtype(call.dtype))


def _plain(data: Any) -> Any:
    if isinstance(data, (tuple, list)):
        return [_plain(item) for item in data]
    if isinstance(data, Array):
        return data.item() if data.ndim == 0 else data.tolist()
    if hasattr(data, "tolist"):  # a numpy array or number
        return data.tolist()
    return data


def _mlx_array_dtype(data: Any) -> str:
    """The dtype that ``mx.array`` gives to Python numbers, as torch spells it."""
    found: set[str] = set()

    def visit(item):
        if isinstance(item, list):
            for part in item:
                visit(part)
        elif isinstance(item, Expr):
            found.add("unknown")
        else:
            found.add("bool" if isinstance(item, bool) else "int32" if isinstance(item, int) else
                      "float32" if isinstance(item, float) else "complex64")
    visit(data)
    if not found:
        return "float32"
    return found.pop() if len(found) == 1 else "unknown"


@op("torch.meshgrid", layout=STANDARD)
def meshgrid(*tensors, indexing="ij"):
    """`mx.meshgrid`, with torch's default `indexing="ij"`."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    tensors = tuple(t if t.ndim else t.reshape(1) for t in tensors)
    return mx.meshgrid(*tensors) if indexing == "xy" else mx.meshgrid(*tensors, indexing="ij")


@op("torch.tril_indices", layout=STANDARD)
def tril_indices(row, col, offset=0, dtype=None, *, call):
    """Row and column numbers of the lower triangle, row by row."""
    return _triangle(row, col, offset, call, lower=True)


@op("torch.triu_indices", layout=STANDARD)
def triu_indices(row, col, offset=0, dtype=None, *, call):
    """Row and column numbers of the upper triangle, row by row."""
    return _triangle(row, col, offset, call, lower=False)


def _triangle(row, col, offset, call, lower):
    options = {"offset": offset} if offset else {}
    function = blocks.tril_indices if lower else blocks.triu_indices
    return cast(function(row, col, **options), "int64", call.dtype)
