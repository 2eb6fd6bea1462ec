"""Tensors of torch and arrays of MLX held against each other."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import torch

from t2m_notebook.errors import Refused

TOLERANCE = {"float16": 2e-3, "bfloat16": 1.6e-2}


def to_mlx(tensor: torch.Tensor) -> mx.array:
    """A torch tensor as an MLX array of the dtype that the port would use."""
    if tensor.layout is not torch.strided:
        raise Refused("input", tensor.layout, "MLX has no sparse arrays: use the dense tensor, .to_dense()")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.complex32:
        raise Refused("input", tensor.dtype, "MLX has no half-precision complex numbers: use complex64")
    if tensor.dtype == torch.bfloat16:
        bits = np.ascontiguousarray(tensor.view(torch.int16).numpy()).reshape(tensor.shape)
        return mx.array(bits).view(mx.bfloat16)
    array = tensor.numpy()
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype == np.complex128:
        array = array.astype(np.complex64)
    return mx.array(np.ascontiguousarray(array).reshape(array.shape))


def to_numpy(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32) if array.dtype == mx.bfloat16 else array)


def kind_of(dtype: str) -> str:
    for kind in ("bool", "complex", "uint", "int"):
        if dtype.startswith(kind):
            return "int" if kind == "uint" else kind
    return "float"


def difference(got: Any, want: torch.Tensor, extra: float = 1.0) -> str:
    """Empty when ``got`` equals ``want``; else a sentence that says how they differ."""
    if not isinstance(got, mx.array):
        return f"a {type(got).__name__} instead of an array of shape {tuple(want.shape)}"
    if tuple(got.shape) != tuple(want.shape):
        return f"shape {tuple(got.shape)}, torch has {tuple(want.shape)}"
    want_name, got_name = str(want.dtype).removeprefix("torch."), str(got.dtype).removeprefix("mlx.core.")
    if kind_of(want_name) != kind_of(got_name):
        return f"dtype {got_name}, torch has {want_name}"
    if want_name in ("float16", "bfloat16", "float32", "complex64") and want_name != got_name:
        return f"dtype {got_name}, torch has {want_name}"
    want = want.detach().resolve_conj().resolve_neg()
    reference = (want.float() if want.dtype == torch.bfloat16 else want).numpy(force=True)
    if reference.size == 0:
        return ""
    value = to_numpy(got)
    wide = np.complex128 if np.iscomplexobj(reference) else np.float64
    if kind_of(want_name) in ("bool", "int"):
        bad = int((value.astype(np.int64) != reference.astype(np.int64)).sum())
        return f"{bad} of {reference.size} integers differ" if bad else ""
    value, reference = value.astype(wide), reference.astype(wide)
    finite = np.isfinite(reference)
    if not (np.isfinite(value) == finite).all() or not (np.isnan(value) == np.isnan(reference)).all() \
            or not (value[~finite & ~np.isnan(reference)] == reference[~finite & ~np.isnan(reference)]).all():
        return "NaN or Inf stand at other positions"
    if not finite.any():
        return ""
    delta = float(np.abs(value[finite] - reference[finite]).max())
    limit = 1e-5 + TOLERANCE.get(want_name, 1e-4) * float(np.abs(reference[finite]).max())
    return "" if delta <= limit * extra else f"max|Δ| {delta:.2e}, allowed {limit * extra:.1e}"
