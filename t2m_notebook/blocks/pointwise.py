"""Elementwise functions that MLX lacks."""

import mlx.core as mx

__all__ = ["erfc", "floor_divide", "fmod", "integer_power", "signbit", "trunc", "truncated_division", "truncated_division_of_integers"]


def trunc(x):
    """The whole part of each number: rounded towards zero."""
    return mx.where(x < 0, mx.ceil(x), mx.floor(x))


def signbit(x):
    """True for negative numbers, -0.0 and NaN with the sign bit set."""
    return x.view({2: mx.int16, 4: mx.int32, 8: mx.int64}[x.dtype.size]) < 0


def truncated_division(x, y):
    """The quotient of floating-point numbers rounded towards zero."""
    return trunc(x / y)


def truncated_division_of_integers(x, y):
    """The quotient of integers rounded towards zero: the floor, plus one where that rounded down
    across zero."""
    floor = x // y
    return floor + ((floor < 0) & (floor * y != x)).astype(floor.dtype)


def floor_divide(x, y):
    """``floor(x / y)`` of floating-point numbers as if the division were exact: 1 // 0.1 is 9. Where
    ``y`` is 0 the plain quotient."""
    quotient = mx.round((x - x % y) / y)
    return mx.where(y == 0, x / y, quotient)


def integer_power(x, y):
    """``x ** y`` of integers; a negative power is 0 unless ``x`` is 1 or -1."""
    sign = mx.where(y % 2 == 0, 1, x)
    return mx.where(y >= 0, x ** mx.abs(y), mx.where(mx.abs(x) == 1, sign, 0))


def fmod(x, y):
    """The remainder with the sign of ``x``, as C's ``fmod``."""
    remainder = mx.abs(x) % mx.abs(y)
    return mx.where(x < 0, -remainder, remainder)


def erfc(x):
    """``1 - erf(x)`` without cancellation: beyond 1 a Chebyshev fit of ``exp(x * x) * erfc(x)``
    (Numerical Recipes, erfccheb), exact to float32."""
    z = mx.maximum(1.0, mx.abs(x))
    t = 2 / (2 + z)
    series = mx.array(0.0)
    for c in (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196,
              1.00002368):
        series = c + t * series
    tail = t * mx.exp(-z * z - 1.26551223 + t * series)
    return mx.where(mx.abs(x) < 1, 1 - mx.erf(x), mx.where(x > 0, tail, 2 - tail)).astype(x.dtype)
