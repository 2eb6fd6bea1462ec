"""Special functions and the less common elementwise ones."""

from __future__ import annotations

import math

from .array import Array
from .expression import blocks, mlx_dtype, mx
from .layouts import POINTWISE
from .promotion import cast, is_number, promoted, result, to_dtype, torch_common, wide
from .registry import caveat, op, refuse


def _of_one(block: str, *names: str) -> None:
    @op(*names, layout=POINTWISE, summary=f"block `{block}`")
    def rule(x, *, call):
        return cast(getattr(blocks, block)(wide(x)), "float32", call.dtype)


for _block, _names in {
    "lgamma": "torch.lgamma torch.special.gammaln", "digamma": "torch.digamma torch.special.digamma torch.special.psi",
    "i0": "torch.i0 torch.special.i0 torch.special.modified_bessel_i0", "i0e": "torch.special.i0e",
    "i1": "torch.special.i1 torch.special.modified_bessel_i1", "i1e": "torch.special.i1e",
    "sinc": "torch.sinc torch.special.sinc", "entropy_term": "torch.special.entr", "erfcx": "torch.special.erfcx",
    "normal_cdf": "torch.special.ndtr", "log_normal_cdf": "torch.special.log_ndtr",
}.items():
    _of_one(_block, *_names.split())


@op("torch.special.ndtri", layout=POINTWISE)
def ndtri(x, *, call):
    """`sqrt(2) * mx.erfinv(2 * x - 1)`."""
    return cast(math.sqrt(2) * mx.erfinv(2 * wide(x) - 1), "float32", call.dtype)


@op("torch.polygamma", "torch.special.polygamma", layout=POINTWISE)
def polygamma(x, n, *, call):
    """A derivative of `digamma`, for arguments above -19."""
    if not isinstance(x, Array):  # torch.polygamma(n, x), x.polygamma(n)
        x, n = n, x
    if n > 0:
        caveat("derivatives of digamma are computed for arguments above -19")
    value = blocks.digamma(wide(x)) if n == 0 else blocks.polygamma(n, wide(x))
    return cast(value, "float32", call.dtype)


@op("torch.mvlgamma", "torch.special.multigammaln", layout=POINTWISE)
def mvlgamma(x, p, *, call):
    """The logarithm of the multivariate gamma function."""
    return cast(blocks.multigammaln(wide(x), p), "float32", call.dtype)


def _both(x, other):
    """Two operands in float32, or the number that one of them is."""
    return tuple(wide(value) if isinstance(value, Array) else mx.array(float(value)) for value in (x, other))


def _of_two(block: str, *names: str) -> None:
    @op(*names, layout=POINTWISE, summary=f"block `{block}`")
    def rule(x, other, *, call):
        return cast(getattr(blocks, block)(*_both(x, other)), "float32", call.dtype)


_of_two("xlogy", "torch.xlogy", "torch.special.xlogy")
_of_two("xlog1py", "torch.special.xlog1py")
_of_two("zeta", "torch.special.zeta")


@op("torch.logit", "torch.special.logit", layout=POINTWISE)
def logit(x, eps=None, *, call):
    """`log(x / (1 - x))`, with x kept `eps` away from 0 and 1."""
    value = wide(x)
    if eps is not None:
        value = mx.minimum(1 - eps, mx.maximum(eps, value))
    return cast(mx.log(value) - mx.log1p(-value), "float32", call.dtype)


@op("torch.hypot", layout=POINTWISE)
def hypot(x, other, *, call):
    """`mx.sqrt(x ** 2 + y ** 2)`, scaled against overflow, its gradient 0 at the origin."""
    dtype = torch_common(x, other)
    x, other = promoted(x, other)
    return result(blocks.hypot(x, other), dtype, call)


@op("torch.logaddexp2", layout=POINTWISE)
def logaddexp2(x, other, *, call):
    """`mx.logaddexp` to base 2."""
    x, other = promoted(x, other)
    return mx.logaddexp(x * math.log(2), other * math.log(2)) / math.log(2)


@op("torch.copysign", layout=POINTWISE)
def copysign(x, other, *, call):
    """The size of x with the sign of y."""
    x = to_dtype(x, call.dtype)
    if is_number(other):
        return mx.abs(x) if math.copysign(1, other) > 0 else -mx.abs(x)
    negative = blocks.signbit(other) if other.is_floating else other < 0
    return blocks.copysign(x, negative)


@op("torch.heaviside", layout=POINTWISE)
def heaviside(x, values, *, call):
    """0 below 0, 1 above, `values` at 0."""
    return mx.where(x == 0, to_dtype(values, x.dtype), (x > 0).astype(mlx_dtype(x.dtype)))


@op("torch.ldexp", layout=POINTWISE)
def ldexp(x, other, *, call):
    """`x * 2 ** y`."""
    return cast(wide(x) * mx.power(2.0, wide(other)), "float32", call.dtype)


@op("torch.frexp", layout=POINTWISE)
def frexp(x, *, call):
    """Mantissa from 1/2 to 1 and exponent of 2."""
    return blocks.frexp(x)


@op("torch.fmax", layout=POINTWISE)
def fmax(x, other, *, call):
    """The larger, and the number where one is NaN."""
    x, other = promoted(x, other)
    return _ignoring_nan(mx.maximum, x, other)


@op("torch.fmin", layout=POINTWISE)
def fmin(x, other, *, call):
    """The smaller, and the number where one is NaN."""
    x, other = promoted(x, other)
    return _ignoring_nan(mx.minimum, x, other)


def _ignoring_nan(function, x, other):
    both = function(other, x)  # in this order x takes the gradient of a tie, as in torch
    return mx.where(mx.isnan(x), other, mx.where(mx.isnan(other), x, both))


@op("torch.gcd", layout=POINTWISE)
def gcd(x, other, *, call):
    """The greatest common divisor, by Euclid's algorithm."""
    x, other = promoted(x, other)
    return blocks.gcd(x, other)


@op("torch.lcm", layout=POINTWISE)
def lcm(x, other, *, call):
    """The least common multiple."""
    x, other = promoted(x, other)
    return blocks.lcm(x, other)


def _absent(names: str, why: str) -> None:
    @op(*names.split(), layout=POINTWISE, summary="refused: " + why)
    def rule(x, *others, **options):
        refuse("function", None, why)


_absent("torch.igamma torch.igammac torch.special.gammainc torch.special.gammaincc torch.special.airy_ai "
        "torch.special.bessel_j0 torch.special.bessel_j1 torch.special.bessel_y0 torch.special.bessel_y1 "
        "torch.special.modified_bessel_k0 torch.special.modified_bessel_k1 torch.special.scaled_modified_bessel_k0 "
        "torch.special.scaled_modified_bessel_k1 torch.special.spherical_bessel_j0",
        "MLX has no such special function; compute it outside the model and pass it in")
_absent("torch.nextafter", "MLX has no neighbouring-number function; compute the bound with math.nextafter")
_absent(" ".join(f"torch.special.{name}" for name in (
    "chebyshev_polynomial_t chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w "
    "hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l legendre_polynomial_p "
    "shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v "
    "shifted_chebyshev_polynomial_w").split()),
    "the degree is data there; write the recurrence with a fixed degree")
