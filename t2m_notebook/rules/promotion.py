"""Dtypes of elementwise operations: what torch computes in, and the casts that make MLX do the same.

Arrays promote alike in both. They differ in two places: a tensor without dimensions yields to
one with dimensions in torch, not in MLX, and ``bool`` with a Python int is int64 in torch,
int32 in MLX.
"""

from __future__ import annotations

from typing import Any

import torch

from .array import Array
from .expression import MLX_DTYPES, Expr, Namespace, dtype_text, mlx_dtype
from .layouts import Call

#: Accumulated in float32 and rounded once at the end.
HALF = ("float16", "bfloat16")


def torch_dtype(dtype: str) -> torch.dtype:
    """``"float32"`` as ``torch.float32``."""
    return getattr(torch, dtype)


def _stand_in(operand: Any, ndim: int | None = None) -> Any:
    if isinstance(operand, Array):
        rank = operand.ndim if ndim is None else ndim
        return torch.empty((1,) * rank, dtype=torch_dtype(operand.dtype), device="meta")
    for plain in (bool, int, float, complex):
        if isinstance(operand, plain):
            return plain(operand)
    raise TypeError(f"no dtype for {operand!r}")


def _common(operands: tuple, ndim: int | None) -> str:
    stand_ins = [_stand_in(operand, ndim) for operand in operands]
    arrays = [s for s in stand_ins if isinstance(s, torch.Tensor)]
    if len(operands) == 1 or not arrays:
        return dtype_text(torch.result_type(stand_ins[0], stand_ins[-1]))
    # torch.result_type takes two: fold arrays with dimensions, then those without, then numbers
    def dtype_of(items: list) -> torch.dtype | None:
        found = None
        for item in items:
            found = item.dtype if found is None else torch.promote_types(found, item.dtype)
        return found
    ranked, scalar = dtype_of([a for a in arrays if a.ndim]), dtype_of([a for a in arrays if not a.ndim])
    parts = [torch.empty((1,), dtype=ranked, device="meta")] if ranked is not None else []
    parts += [torch.empty((), dtype=scalar, device="meta")] if scalar is not None else []
    result = torch.result_type(parts[0], parts[-1])
    for number in [s for s in stand_ins if not isinstance(s, torch.Tensor)]:
        shape = (1,) if ranked is not None else ()
        result = torch.result_type(torch.empty(shape, dtype=result, device="meta"), number)
    return dtype_text(result)


def torch_common(*operands: Any) -> str:
    """The dtype in which torch combines the operands."""
    return _common(operands, None)


def mlx_common(*operands: Any) -> str:
    """The dtype in which MLX combines the operands, as torch spells it."""
    arrays = [operand for operand in operands if isinstance(operand, Array)]
    numbers = [operand for operand in operands if not isinstance(operand, Array)]
    if arrays and all(array.dtype == "bool" for array in arrays) and \
            any(isinstance(n, int) and not isinstance(n, bool) for n in numbers) and \
            not any(isinstance(n, (float, complex)) for n in numbers):
        return "int32"
    if not arrays:
        return {"int64": "int32"}.get(_common(operands, None), _common(operands, None))
    return _common(operands, 1)


def same_dtype(have: str, want: str) -> bool:
    """True when MLX holds both torch dtypes in the same way."""
    return MLX_DTYPES.get(have, have) == MLX_DTYPES.get(want, want)


def cast(value: Any, have: str, want: str) -> Any:
    """``value.astype(want)`` unless it has that dtype already."""
    return value if same_dtype(have, want) else value.astype(mlx_dtype(want))


def steady(value: Any, source: Array) -> Any:
    """``mx.stop_gradient(value)`` where ``value`` holds integers found from the numbers of ``source``: torch's
    gradient ends there, MLX's would go on."""
    return Namespace("mx").stop_gradient(value) if source.is_floating or source.is_complex else value


def to_dtype(x: Any, want: str) -> Any:
    """An operand in dtype ``want``; numbers stay, as they adapt."""
    return cast(x, x.dtype, want) if isinstance(x, Array) else x


def promoted(*operands: Any, want: str | None = None) -> list[Any]:
    """The operands, cast where MLX would not compute in torch's dtype by itself."""
    want = want or torch_common(*operands)
    operands = tuple(wrapped(operand, want) for operand in operands)
    if same_dtype(mlx_common(*operands), want):
        return list(operands)
    return [to_dtype(operand, want) for operand in operands]


def wrapped(number: Any, dtype: str) -> Any:
    """A Python int as torch wraps it into a narrow integer dtype: -3 beside uint8 is 253."""
    if type(number) is not int or not dtype.startswith(("int", "uint")):
        return number
    limits = torch.iinfo(torch_dtype(dtype))
    return number if limits.min <= number <= limits.max else (number - limits.min) % 2 ** limits.bits + limits.min


def in_float(x: Array) -> Any:
    """``x`` in the dtype in which torch accumulates: float32 for half precision."""
    return x.astype(mlx_dtype("float32")) if x.dtype in HALF else x


def as_floating(x: Array) -> Any:
    """Integers and masks as float32, as a function of real numbers takes them."""
    return x if x.is_floating or x.is_complex else x.astype(mlx_dtype("float32"))


def wide(x: Array) -> Any:
    """Float32 for everything but complex numbers."""
    return in_float(x) if x.is_floating or x.is_complex else x.astype(mlx_dtype("float32"))


def wide_dtype(x: Array) -> str:
    """The dtype of :func:`wide`."""
    return "complex64" if x.is_complex else "float32"


def result(value: Any, have: str, call: Call) -> Expr:
    """The value in the dtype of torch's result, which a write in place decides."""
    return cast(value, have, call.dtype)


def is_number(value: Any) -> bool:
    """A Python number, a size included."""
    return isinstance(value, (bool, int, float, complex))
