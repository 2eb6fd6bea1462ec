"""Special functions, accurate to float32. Each is written so that its gradient is finite wherever the
function's is: the branch that is not taken gets a harmless argument."""

import math

import mlx.core as mx

__all__ = ["digamma", "entropy_term", "erfcx", "i0", "i0e", "i1", "i1e", "lgamma", "log_normal_cdf", "multigammaln",
           "normal_cdf", "polygamma", "sinc", "xlog1py", "xlogy", "zeta"]


def _polynomial(x, coefficients):
    """Horner's scheme, lowest power first."""
    value = mx.zeros_like(x)
    for c in reversed(coefficients):
        value = c + x * value
    return value


def _lgamma_from_half(x):
    """Lanczos' approximation with g = 7 for x from 1/2 on."""
    series = mx.full(x.shape, 0.99999999999980993, dtype=x.dtype)
    for k, c in enumerate((676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
                           12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7)):
        series = series + c / (x + k)
    t = x + 6.5
    return 0.5 * math.log(2 * math.pi) + (x - 0.5) * mx.log(t) - t + mx.log(series)


def _lgamma_near_one_and_two(x):
    """``lgamma`` from 1/2 to 5/2 by its series around 2, exact where it crosses 0."""
    u = x - 2
    zeta_terms = (0.42278433509846714, 0.32246703342411322, -0.067352301053198095, 0.020580808427784547,
                  -0.0073855510286739853, 0.0028905103307415232, -0.0011927539117032610, 0.00050966952474304242,
                  -0.00022315475845357938, 9.9457512781808534e-05, -4.4926236738133142e-05, 2.0507212775670692e-05)
    return u * _polynomial(u, zeta_terms)


def lgamma(x):
    """``log(|gamma(x)|)``; below 1/2 by reflection."""
    low = x < 0.5
    y = mx.where(low, 1 - x, x)
    near = (y > 1.2) & (y < 2.5)
    value = mx.where(near, _lgamma_near_one_and_two(mx.where(near, y, 2)), _lgamma_from_half(mx.where(near, 3, y)))
    small = mx.abs(x - mx.round(x))
    sine = mx.abs(mx.sin(math.pi * small))
    reflected = math.log(math.pi) - mx.log(mx.where(low, sine, 1)) - value
    return mx.where(mx.isinf(x), mx.inf, mx.where(low, reflected, value))


def digamma(x):
    """The derivative of ``lgamma``: recurrence up to 6, then the asymptotic series; below 0 by reflection."""
    low = x <= 0
    y = mx.where(low, 1 - x, x)
    shifted = mx.zeros_like(x)
    for _ in range(6):
        step = y < 6
        shifted = shifted - mx.where(step, 1 / mx.where(step, y, 1), 0)
        y = y + step.astype(y.dtype)
    inverse = 1 / mx.square(y)
    series = inverse * _polynomial(inverse, (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132))
    value = shifted + mx.log(y) - 0.5 / y + series
    fraction = x - mx.round(x)
    tangent = mx.tan(math.pi * mx.where(low, fraction, 0.25))
    pole = mx.where(fraction == 0, mx.where(x == 0, -mx.inf, mx.nan), value - math.pi / tangent)
    return mx.where(low, pole, value)


def zeta(s, q):
    """Hurwitz' zeta ``sum((q + k) ** -s)`` for s above 1: twenty terms, then Euler-Maclaurin."""
    total = mx.zeros_like(s + q)
    for k in range(20):
        base = q + k
        sign = mx.where((base < 0) & (s % 2 == 1), -1.0, 1.0)
        total = total + sign * mx.abs(base) ** -s
    a = q + 20
    total = total + a ** (1 - s) / (s - 1) + 0.5 * a ** -s
    factor = s * a ** (-s - 1)
    for k, bernoulli in enumerate((1 / 12, -1 / 720, 1 / 30240, -1 / 1209600)):
        total = total + bernoulli * factor
        factor = factor * (s + 2 * k + 1) * (s + 2 * k + 2) / mx.square(a)
    pole = (s == 1) | ((q <= 0) & (q == mx.floor(q)))
    undefined = (s < 1) | ((q < 0) & (s != mx.floor(s)) & ~pole)
    return mx.where(undefined, mx.nan, mx.where(pole, mx.inf, total))


def polygamma(n, x):
    """The ``n``-th derivative of ``digamma``, for x above -19."""
    if n == 0:
        return digamma(x)
    return (-1) ** (n + 1) * math.factorial(n) * zeta(mx.array(n + 1.0, x.dtype), x)


def multigammaln(x, p):
    """The logarithm of the multivariate gamma function of dimension ``p``."""
    constant = 0.25 * p * (p - 1) * math.log(math.pi)
    return constant + sum((lgamma(x - 0.5 * j) for j in range(p)), mx.zeros_like(x))


def i0e(x):
    """``exp(-|x|) * i0(x)``, the scaled modified Bessel function (Abramowitz and Stegun 9.8.1-2)."""
    size = mx.abs(x)
    near = size < 3.75
    small = _polynomial(mx.square(mx.where(near, size, 0) / 3.75), (
        1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813))
    far = mx.where(near, 3.75, size)
    large = _polynomial(3.75 / far, (
        0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281, -0.02057706, 0.02635537, -0.01647633, 0.00392377))
    return mx.where(near, small * mx.exp(-mx.where(near, size, 0)), large * mx.rsqrt(far))


def i0(x):
    """The modified Bessel function of order 0."""
    return mx.exp(mx.abs(x)) * i0e(x)


def i1e(x):
    """``exp(-|x|) * i1(x)`` (Abramowitz and Stegun 9.8.3-4)."""
    size = mx.abs(x)
    near = size < 3.75
    small = _polynomial(mx.square(mx.where(near, x, 0) / 3.75), (
        0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411))
    far = mx.where(near, 3.75, size)
    large = _polynomial(3.75 / far, (
        0.39894228, -0.03988024, -0.00362018, 0.00163801, -0.01031555, 0.02282967, -0.02895312, 0.01787654,
        -0.00420059))
    return mx.where(near, x * small * mx.exp(-mx.where(near, size, 0)), mx.sign(x) * large * mx.rsqrt(far))


def i1(x):
    """The modified Bessel function of order 1."""
    return mx.exp(mx.abs(x)) * i1e(x)


def sinc(x):
    """``sin(pi x) / (pi x)``, 1 at 0."""
    angle = math.pi * mx.where(x == 0, 1, x)
    return mx.where(x == 0, 1, mx.sin(angle) / angle)


def xlogy(x, y):
    """``x * log(y)``, 0 where x is 0 and y is not NaN."""
    zero = (x == 0) & ~mx.isnan(y)
    return mx.where(zero, 0, x * mx.log(mx.where(zero, 1, y)))


def xlog1py(x, y):
    """``x * log(1 + y)``, 0 where x is 0 and y is not NaN."""
    zero = (x == 0) & ~mx.isnan(y)
    return mx.where(zero, 0, x * mx.log1p(mx.where(zero, 0, y)))


def entropy_term(x):
    """``-x * log(x)``: 0 at 0, minus infinity below."""
    positive = x > 0
    inside = mx.where(positive, x, 1)
    return mx.where(positive, -inside * mx.log(inside), mx.where(x == 0, 0, mx.where(mx.isnan(x), x, -mx.inf)))


def erfcx(x):
    """``exp(x * x) * erfc(x)`` (Numerical Recipes, erfccheb)."""
    size = mx.abs(x)
    t = 2 / (2 + size)
    tail = t * mx.exp(-1.26551223 + t * _polynomial(t, (
        1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277)))
    return mx.where(x >= 0, tail, 2 * mx.exp(mx.square(mx.where(x >= 0, 0, x))) - tail)


def normal_cdf(x):
    """The distribution function of the standard normal."""
    return 0.5 * (1 + mx.erf(x * math.sqrt(0.5)))


def log_normal_cdf(x):
    """The logarithm of :func:`normal_cdf`, exact in the lower tail."""
    low = x < -1
    z = mx.where(low, x, -1) * math.sqrt(0.5)
    tail = mx.log(0.5 * erfcx(-z)) - mx.square(z)
    return mx.where(low, tail, mx.log(normal_cdf(mx.where(low, 0, x))))
