"""One MLX value against one of torch's: shape, dtype kind, NaN/Inf positions, then size.

Imports MLX and numpy only: it runs in the worker.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

#: Relative tolerance by torch dtype; absolute is 1e-5 (DESIGN.md, "Tolerance").
RELATIVE = {"float16": 2e-3, "bfloat16": 1.6e-2}
ABSOLUTE = 1e-5


def dtype_kind(name: str) -> str:
    """``float`` | ``int`` | ``bool`` | ``complex``."""
    for kind in ("bool", "complex", "uint", "int"):
        if name.startswith(kind):
            return "int" if kind == "uint" else kind
    return "float"


def to_numpy(array: mx.array) -> np.ndarray:
    """An MLX array in numpy; bfloat16, which numpy lacks, as float32."""
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)


def compare(got: Any, want: mx.array) -> dict[str, Any]:
    """The verdict as plain data: ``ok``, ``difference``, ``allowed``, ``reference_max``,
    ``shape``, ``message``."""
    verdict: dict[str, Any] = {"ok": False, "difference": None, "allowed": None, "reference_max": None,
                               "shape": [], "message": ""}
    if not isinstance(got, mx.array):
        verdict["message"] = f"gave {type(got).__name__}, torch a tensor of shape {tuple(want.shape)}"
        return verdict
    verdict["shape"] = list(got.shape)
    if tuple(got.shape) != tuple(want.shape):
        verdict["message"] = f"shape {tuple(got.shape)}, torch has {tuple(want.shape)}"
        return verdict
    got_name, want_name = (str(a.dtype).removeprefix("mlx.core.") for a in (got, want))
    if dtype_kind(got_name) != dtype_kind(want_name):
        verdict["message"] = f"dtype {got_name}, torch has {want_name}"
        return verdict
    if got.size == 0:
        return {**verdict, "ok": True, "difference": 0.0, "allowed": ABSOLUTE, "reference_max": 0.0}
    if dtype_kind(want_name) == "float":
        finite, peak, delta = _distance(got, want)
        if finite:
            return _judged(verdict, delta, peak, got_name, want_name)
    wide = np.complex128 if dtype_kind(want_name) == "complex" else np.float64
    value, reference = to_numpy(got).astype(wide), to_numpy(want).astype(wide)
    finite = np.isfinite(reference)
    special = ~finite
    if not np.array_equal(np.isfinite(value), finite) or not np.array_equal(
            np.nan_to_num(value[special], nan=7.0), np.nan_to_num(reference[special], nan=7.0)):
        bad = int((np.isfinite(value) != finite).sum())
        verdict["message"] = f"NaN or Inf at other positions ({bad} elements)"
        return verdict
    peak = float(np.abs(reference[finite]).max()) if finite.any() else 0.0
    delta = float(np.abs(value[finite] - reference[finite]).max()) if finite.any() else 0.0
    return _judged(verdict, delta, peak, got_name, want_name)


def _distance(got: mx.array, want: mx.array) -> tuple[bool, float, float]:
    """``(all finite, max|want|, max|got - want|)``, without leaving MLX."""
    got, want = got.astype(mx.float32), want.astype(mx.float32)
    finite = mx.isfinite(want).all() & mx.isfinite(got).all()
    peak, delta = mx.abs(want).max(), mx.abs(got - want).max()
    mx.eval(finite, peak, delta)
    return finite.item(), peak.item(), delta.item()


def _judged(verdict: dict[str, Any], delta: float, peak: float, got_name: str, want_name: str) -> dict[str, Any]:
    """The verdict for a measured distance, by the tolerance of both dtypes."""
    exact = dtype_kind(want_name) in ("int", "bool")
    half = max(RELATIVE.get(got_name, 1e-4), RELATIVE.get(want_name, 1e-4))
    allowed = 0.0 if exact else ABSOLUTE + half * peak
    verdict.update(ok=delta <= allowed, difference=delta, allowed=allowed, reference_max=peak)
    if not verdict["ok"]:
        verdict["message"] = f"max|Δ| {delta:.1e}, allowed {allowed:.1e}"
    return verdict
