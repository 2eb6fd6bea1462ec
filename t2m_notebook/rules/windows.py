"""Window functions for short-time transforms."""

from __future__ import annotations

from .expression import blocks
from .layouts import STANDARD
from .promotion import cast
from .registry import op


def _cosine(coefficients, window_length, periodic, call):
    options = {} if periodic else {"periodic": False}
    return cast(blocks.cosine_window(window_length, list(coefficients), **options), "float32", call.dtype)


@op("torch.hann_window", layout=STANDARD)
def hann_window(window_length, periodic=True, dtype=None, *, call):
    """A raised cosine, periodic unless told otherwise; `mx.hanning` is the symmetric one."""
    return _cosine((0.5, 0.5), window_length, periodic, call)


@op("torch.hamming_window", layout=STANDARD)
def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, dtype=None, *, call):
    """A raised cosine on a pedestal, periodic unless told otherwise."""
    return _cosine((alpha, beta), window_length, periodic, call)


@op("torch.blackman_window", layout=STANDARD)
def blackman_window(window_length, periodic=True, dtype=None, *, call):
    """Blackman's sum of cosines, periodic unless told otherwise."""
    return _cosine((0.42, 0.5, 0.08), window_length, periodic, call)


@op("torch.bartlett_window", layout=STANDARD)
def bartlett_window(window_length, periodic=True, dtype=None, *, call):
    """A triangle, periodic unless told otherwise."""
    options = {} if periodic else {"periodic": False}
    return cast(blocks.bartlett_window(window_length, **options), "float32", call.dtype)


@op("torch.kaiser_window", layout=STANDARD)
def kaiser_window(window_length, periodic=True, beta=12.0, dtype=None, *, call):
    """Kaiser's window, periodic unless told otherwise."""
    options = {} if periodic else {"periodic": False}
    return cast(blocks.kaiser_window(window_length, beta=beta, **options), "float32", call.dtype)
