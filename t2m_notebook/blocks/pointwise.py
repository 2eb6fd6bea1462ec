"""Elementwise functions that MLX lacks."""

import mlx.core as mx

__all__ = ["copysign", "erfc", "floor_divide", "fmod", "frexp", "gcd", "hypot", "integer_power", "lcm",
           "maximum_halving_ties", "minimum_halving_ties", "signbit", "trunc", "truncated_division",
           "truncated_division_of_integers"]


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


def hypot(x, y):
    """``sqrt(x ** 2 + y ** 2)`` without overflow; its gradient at the origin is 0."""
    scale = mx.stop_gradient(mx.maximum(mx.abs(x), mx.abs(y)))
    scale = mx.where((scale == 0) | mx.isinf(scale), 1, scale)
    total = mx.square(x / scale) + mx.square(y / scale)
    return scale * mx.where(total == 0, 0, mx.sqrt(mx.where(total == 0, 1, total)))


def copysign(x, negative):
    """``|x|``, or ``-|x|`` where the mask is set."""
    flip = mx.stop_gradient(signbit(x) != negative)
    return mx.where(flip, -x, x)


def frexp(x):
    """Mantissas with sizes from 1/2 to 1 and int32 exponents such that ``x = mantissa * 2 ** exponent``."""
    whole = mx.where((x == 0) | ~mx.isfinite(x), 1, x).astype(mx.float32)
    exponent = mx.floor(mx.log2(mx.abs(whole))) + 1
    mantissa = whole * mx.power(2.0, -exponent)
    exponent = exponent + (mx.abs(mantissa) >= 1) - (mx.abs(mantissa) < 0.5)
    plain = (x == 0) | ~mx.isfinite(x)
    mantissa = mx.where(plain, x, whole * mx.power(2.0, -exponent))
    return mantissa.astype(x.dtype), mx.where(plain, 0, exponent).astype(mx.int32)


def gcd(x, y):
    """Greatest common divisor of integers: Euclid's algorithm, 93 steps for the worst pair of 64 bits."""
    x, y = mx.abs(x), mx.abs(y)
    for _ in range({1: 12, 2: 24, 4: 47, 8: 93}[x.dtype.size]):
        x, y = mx.where(y == 0, x, y), mx.where(y == 0, 0, x % mx.maximum(y, 1))
    return x


def lcm(x, y):
    """Least common multiple of integers; 0 where one is 0."""
    return mx.abs(x // mx.maximum(gcd(x, y), 1) * y)


def maximum_halving_ties(x, y):
    """``mx.maximum`` whose gradient is shared equally where both are equal."""
    return 0.5 * mx.maximum(x, y) + 0.5 * mx.maximum(y, x)


def minimum_halving_ties(x, y):
    """``mx.minimum`` whose gradient is shared equally where both are equal."""
    return 0.5 * mx.minimum(x, y) + 0.5 * mx.minimum(y, x)
