"""The values of an MLX array in numbers, as reductions that are evaluated later, many at once."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from ..types.health import Ranges
from .limits import LIMITS, headroom

_FLOATS = {
    mx.float16: "float16",
    mx.bfloat16: "bfloat16",
    mx.float32: "float32",
    mx.float64: "float64",
    mx.complex64: "complex64",
}
_NAMES: dict[Any, str] = {}
_INF = float("inf")


def dtype_name(array: mx.array) -> str:
    """``float32``."""
    name = _NAMES.get(array.dtype)
    if name is None:
        name = _NAMES[array.dtype] = str(array.dtype).removeprefix("mlx.core.")
    return name


class Later:
    """The ranges of an array once its reductions are evaluated. Holds scalars, never the array. ``whole`` counts NaN,
    Inf, zeros and denormals; without it the largest and the smallest number tell whether there are any. ``rough`` takes
    the sum alone, the cheapest of all: it is NaN or Inf when one is in it."""

    __slots__ = ("name", "shape", "dtype", "count", "parts", "whole", "_known")

    def __init__(self, array: mx.array, name: str = "", whole: bool = False, rough: bool = False):
        self.name, self.shape, self.dtype, self.count = name, tuple(array.shape), dtype_name(array), array.size
        self.whole, self._known = whole, None
        self.parts: list[mx.array] = []
        if not self.count:
            return
        if array.dtype == mx.complex64:
            array = mx.stack([mx.real(array), mx.imag(array)])
        elif array.dtype == mx.float16:  # reductions of float16 are ten times slower on a CPU
            array = array.astype(mx.float32)
        if rough:
            self.parts = [mx.sum(array)] * 2  # NaN or Inf when one is in it
            return
        if not whole:
            self.parts = [mx.max(array), mx.min(array)]
            return
        finite, size = mx.isfinite(array), mx.abs(array)
        infinite = mx.array(_INF, array.dtype)
        smallest = LIMITS[self.dtype][1]
        # A comparison with a denormal may count it as 0: those have a magnitude below the limit and non-zero bits.
        bits = {2: mx.uint16, 4: mx.uint32, 8: mx.uint64}.get(array.dtype.size, mx.uint32)
        sign = {2: 0x7FFF, 4: 0x7FFFFFFF, 8: 0x7FFFFFFFFFFFFFFF}[array.dtype.size]
        raw = mx.view(array, bits) & mx.array(sign, bits)
        self.parts = [
            mx.max(mx.where(finite, array, -infinite)),
            mx.min(mx.where(finite, array, infinite)),
            mx.isnan(array).sum(),
            (array == infinite).sum(),
            (array == -infinite).sum(),
            (raw == 0).sum(),
            ((size < smallest) & (raw != 0)).sum(),
        ]

    @property
    def ranges(self) -> Ranges:
        """The ranges; evaluates what is not evaluated yet."""
        if self._known is None:
            self._known = self._read()
            self.parts = []
        return self._known

    def _read(self) -> Ranges:
        if not self.parts:
            return Ranges(self.name, self.shape, self.dtype)
        high, low, *counts = [part.item() for part in self.parts]
        nan, plus, minus, zeros, denormals = (
            counts
            if self.whole
            else (int(high != high or low != low), int(_INF in (high, low)), int(-_INF in (high, low)), 0, 0)
        )
        high, low = (high if abs(high) < _INF else None), (low if abs(low) < _INF else None)
        if high is None or low is None:
            high = low = high if low is None else low
        return Ranges(
            self.name,
            self.shape,
            self.dtype,
            low,
            high,
            nan,
            plus,
            minus,
            zeros,
            denormals,
            self.count if self.whole else 0,
            headroom(self.dtype, low, high),
        )


def is_float(array: Any) -> bool:
    """True for arrays that can hold a NaN."""
    return isinstance(array, mx.array) and array.dtype in _FLOATS
