"""torch.fft and the short-time transform."""

from __future__ import annotations

from typing import Any

from .array import Array
from .expression import Expr, Size, mlx_dtype, mx
from .layouts import dims_of
from .registry import caveat, op, refuse

_SWAPPED = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _norm(norm: str | None) -> dict[str, Any]:
    return {} if norm in (None, "backward") else {"norm": norm}


def _checked(x: Array) -> Array:
    if x.dtype in ("float16", "complex32"):
        refuse("input", x.dtype, "MLX transforms in complex64: convert with .float() before it")
    return x


def _one(function: Expr, x: Expr, n: Any, dim: int, norm: dict[str, Any]) -> Expr:
    keywords = ({"n": n} if n is not None else {}) | ({"axis": dim} if dim != -1 else {}) | norm
    return function(x, **keywords)


def _register_one(name: str) -> None:
    function = getattr(mx.fft, name)

    def transform(x, n=None, dim=-1, norm=None):
        return _one(function, _checked(x), n, dim, _norm(norm))

    transform.__doc__ = f"`mx.fft.{name}`"
    op(f"torch.fft.{name}")(transform)


for _name in ("fft", "ifft", "rfft", "irfft"):
    _register_one(_name)


@op("torch.fft.hfft")
def hfft(x, n=None, dim=-1, norm=None):
    """The transform of half a Hermitian signal is the inverse real one of its conjugate."""
    return _one(mx.fft.irfft, _conjugate(_checked(x)), n, dim, _norm(_SWAPPED[norm]))


@op("torch.fft.ihfft")
def ihfft(x, n=None, dim=-1, norm=None):
    return mx.conjugate(_one(mx.fft.rfft, _checked(x), n, dim, _norm(_SWAPPED[norm])))


def _conjugate(x: Array) -> Expr:
    return mx.conjugate(x) if x.is_complex else x


def _many(function: Expr, x: Array, value: Expr, s: Any, dim: Any, norm: dict[str, Any]) -> Expr:
    """Sizes of -1 keep the input's; without ``dim`` the last ones are meant."""
    if s is not None and dim is None:
        dim = tuple(range(-len(s), 0))
    keywords: dict[str, Any] = {}
    if s is not None:
        keywords["s"] = tuple(x.shape[d] if not isinstance(size, Size) and size == -1 else size
                              for size, d in zip(s, dims_of(dim, x.ndim), strict=True))
    if dim is not None:
        keywords["axes"] = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    return function(value, **keywords, **norm)


def _register_many(name: str) -> None:
    function = getattr(mx.fft, name.replace("2", "n"))

    def transform(x, s=None, dim=None, norm=None):
        _checked(x)
        if dim == () or dim == []:
            refuse("dim", dim, "name the dimensions to transform")
        default = (-2, -1) if name.endswith("2") and dim is None else dim
        return _many(function, x, x, s, default, _norm(norm))

    transform.__doc__ = f"`mx.fft.{name.replace('2', 'n')}`"
    op(f"torch.fft.{name}")(transform)


for _name in ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"):
    _register_many(_name)


@op("torch.fft.hfft2")
def hfft2(x, s=None, dim=(-2, -1), norm=None):
    return hfftn(x, s, dim, norm)


@op("torch.fft.hfftn")
def hfftn(x, s=None, dim=None, norm=None):
    return _many(mx.fft.irfftn, _checked(x), _conjugate(x), s, dim, _norm(_SWAPPED[norm]))


@op("torch.fft.ihfft2")
def ihfft2(x, s=None, dim=(-2, -1), norm=None):
    return ihfftn(x, s, dim, norm)


@op("torch.fft.ihfftn")
def ihfftn(x, s=None, dim=None, norm=None):
    return mx.conjugate(_many(mx.fft.rfftn, _checked(x), x, s, dim, _norm(_SWAPPED[norm])))


@op("torch.fft.fftshift", "torch.fft.ifftshift")
def fftshift(x, dim=None, *, call):
    function = getattr(mx.fft, call.name.rpartition(".")[2].removeprefix("fft_"))
    return function(x) if dim is None else function(x, axes=dim)


@op("torch.fft.fftfreq", "torch.fft.rfftfreq")
def fftfreq(n, d=1.0, *, dtype=None, call):
    function = getattr(mx.fft, call.name.rpartition(".")[2].removeprefix("fft_"))
    value = function(n, d) if d != 1 else function(n)
    return value if call.dtype in ("float32", "float64") else value.astype(mlx_dtype(call.dtype))


# -- short-time transform ---------------------------------------------------------------

def _frames(hop_length, win_length, window, normalized, n_fft) -> dict[str, Any]:
    keywords: dict[str, Any] = {}
    if hop_length is not None:
        keywords["hop_length"] = hop_length
    if win_length is not None and win_length != n_fft:
        keywords["win_length"] = win_length
    if window is not None:
        keywords["window"] = window
    if normalized:
        keywords["norm"] = "ortho"
    return keywords


@op("torch.stft")
def stft(x, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
         onesided=None, return_complex=None, align_to_window=None):
    """``mx.fft.stft``; torch's ``normalized`` is the norm ``"ortho"``."""
    if align_to_window:
        refuse("align_to_window", align_to_window, "use center=True")
    if pad_mode not in ("reflect", "constant", "replicate"):
        refuse("pad_mode", pad_mode, "pad the signal before the transform")
    if window is not None and window.is_complex:
        refuse("window", window.dtype, "use a real window")
    keywords = _frames(hop_length, win_length, window, normalized, n_fft)
    if not center:
        keywords["center"] = False
    elif pad_mode != "reflect":
        keywords["pad_mode"] = "edge" if pad_mode == "replicate" else pad_mode
    if onesided is not None and onesided == x.is_complex:
        keywords["onesided"] = onesided
    found = mx.fft.stft(x, n_fft, **keywords)
    complex_result = x.is_complex if return_complex is None else return_complex
    return found if complex_result else mx.stack([mx.real(found), mx.imag(found)], axis=-1)


@op("torch.istft")
def istft(x, n_fft, hop_length=None, win_length=None, window=None, center=True, normalized=False, onesided=None,
          length=None, return_complex=False):
    if return_complex:
        refuse("return_complex", return_complex, "reconstruct a real signal")
    keywords = _frames(hop_length, win_length, window, normalized, n_fft)
    if not center:
        keywords["center"] = False
    if length is not None:
        keywords["length"] = length
    half = onesided if onesided is not None else int(x.shape[-2]) != int(n_fft)
    if not half:  # of all frequencies torch reads those of a real signal
        x = x[..., :n_fft // 2 + 1, :]
    if window is not None and window.is_parameter:
        caveat("the gradient of the window leaves out the normalisation by the window's envelope")
    return mx.fft.istft(x, n_fft, **keywords)
