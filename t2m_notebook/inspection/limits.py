"""The limits of the floating-point dtypes: largest number, smallest normal number. IEEE 754; bfloat16 has float32's
exponents with 7 stored bits, float8 as in the OCP specification that torch follows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

#: dtype name -> (largest finite number, smallest normal number)
LIMITS: dict[str, tuple[float, float]] = {
    "float16": (65504.0, 2.0**-14),
    "bfloat16": (3.3895313892515355e38, 2.0**-126),
    "float32": (3.4028234663852886e38, 2.0**-126),
    "float64": (1.7976931348623157e308, 2.0**-1022),
    "complex64": (3.4028234663852886e38, 2.0**-126),
    "complex128": (1.7976931348623157e308, 2.0**-1022),
    "float8_e4m3fn": (448.0, 2.0**-6),
    "float8_e5m2": (57344.0, 2.0**-14),
}


def headroom(dtype: str, minimum: float | None, maximum: float | None) -> float | None:
    """How many times larger the largest number of ``dtype`` is than the largest magnitude; None for all zeros,
    and for dtypes without a limit."""
    largest = max(abs(minimum or 0.0), abs(maximum or 0.0))
    if dtype not in LIMITS or not largest or not math.isfinite(largest):
        return None
    return LIMITS[dtype][0] / largest


def overflows(number: float, dtype: str) -> bool:
    """True when a Python number becomes Inf in ``dtype``."""
    return dtype in LIMITS and math.isfinite(number) and abs(number) > LIMITS[dtype][0] * (1 + 2.0**-9)


def numbers_in(value: Any) -> Iterator[float]:
    """Python numbers inside the arguments of a call; long lists are data and left out."""
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (list, tuple)) and len(value) < 64:
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from numbers_in(item)


def not_finite_in(dtype: str, numbers: Iterable[float]) -> list[float]:
    """The ``numbers`` that are NaN or Inf in ``dtype``, as what they are there."""
    return [float("inf") * (1 if number > 0 else -1) if overflows(number, dtype) else number
            for number in numbers if not abs(number) < float("inf") or overflows(number, dtype)]
