"""What can be said of an MLX array where it lies, and of the line that made it. MLX and numpy only."""

from __future__ import annotations

import ctypes
import linecache
from functools import cache, lru_cache
from types import CodeType, FrameType

import mlx.core as mx
import numpy as np

from ..types import SourceLocation, ValueSummary

_STRIDED_WITH_FORMAT = 0x18 | 0x04  # PyBUF_STRIDES | PyBUF_FORMAT


class _Buffer(ctypes.Structure):
    """CPython's ``Py_buffer``: the buffer protocol with the address, which ``memoryview`` does not show."""

    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.py_object), ("len", ctypes.c_ssize_t),
                ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int),
                ("format", ctypes.c_char_p), ("shape", ctypes.POINTER(ctypes.c_ssize_t)),
                ("strides", ctypes.POINTER(ctypes.c_ssize_t)), ("suboffsets", ctypes.c_void_p),
                ("internal", ctypes.c_void_p)]


def layout_of(array: mx.array) -> tuple[int, int, tuple[int, ...]] | None:
    """``(address, bytes from there to the end of the last element, strides in elements)`` of an
    evaluated array; None when it shows no buffer."""
    buffer = _Buffer()
    try:
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(array), ctypes.byref(buffer), _STRIDED_WITH_FORMAT)
    except (BufferError, RuntimeError, ValueError):
        return None
    try:
        size = buffer.itemsize or 1
        steps = tuple(buffer.strides[i] for i in range(buffer.ndim))
        shape = [buffer.shape[i] for i in range(buffer.ndim)]
        if 0 in shape:
            return buffer.buf or 0, 0, tuple(step // size for step in steps)
        extent = size + sum((n - 1) * max(step, 0) for n, step in zip(shape, steps, strict=True))
        return buffer.buf or 0, extent, tuple(step // size for step in steps)
    finally:
        ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))


def summarise(array: mx.array) -> ValueSummary | None:
    """Mean, smallest, largest over the finite values, NaN and Inf counts; of magnitudes for complex.

    Read through the buffer, without putting anything on MLX's graph.
    """
    if not array.size:
        return ValueSummary(None, None, None)
    values = _numpy(array)
    if values is None:
        return None
    for axis, (size, step) in enumerate(zip(values.shape, values.strides, strict=True)):
        if not step and size > 1:  # what is repeated is read once
            values = values.take([0], axis)
    if values.dtype.kind == "c":
        values = np.abs(values)
    with np.errstate(all="ignore"):
        low, high = float(values.min()), float(values.max())
        mean = float(values.mean(dtype=np.float64))
    if mean - mean == 0 and low - low == 0 and high - high == 0:
        return ValueSummary(mean, low, high)
    nan, inf = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    finite = values[np.isfinite(values)]
    if not finite.size:
        return ValueSummary(None, None, None, nan, inf)
    return ValueSummary(float(finite.mean(dtype=np.float64)), float(finite.min()), float(finite.max()), nan, inf)


def _numpy(array: mx.array) -> np.ndarray | None:
    """The array as numpy sees it, without a copy; bfloat16, which numpy lacks, widened."""
    if array.dtype != mx.bfloat16:
        return np.asarray(memoryview(array))
    found = layout_of(array)
    if found is None:
        return None
    address, length, steps = found
    raw = np.frombuffer((ctypes.c_char * length).from_address(address), np.uint16)
    seen = np.lib.stride_tricks.as_strided(raw, array.shape, [2 * step for step in steps], writeable=False)
    return (seen.astype(np.uint32) << 16).view(np.float32)


@lru_cache(maxsize=4)
def _weights(size: int) -> np.ndarray:
    """Numbers between -1 and 1 that no two neighbours share: the fractions of multiples of the golden ratio."""
    return (np.arange(1, size + 1, dtype=np.float64) * 1.2360679774997896 % 2 - 1).astype(np.float32)


MOST_PRINTED = 1 << 16


def fingerprint(values: np.ndarray) -> float | None:
    """One number that changes with the order of the elements: their sum, each with its own weight,
    over the size of the numbers. Of a large array the first 65,536 elements; None with NaN or Inf."""
    flat = values.reshape(-1)[:MOST_PRINTED] if values.flags.c_contiguous else values.flatten()[:MOST_PRINTED]
    if not flat.size:
        return None
    flat = (np.abs(flat) if flat.dtype.kind == "c" else flat).astype(np.float32)
    scale = float(np.sqrt(np.dot(flat, flat)))
    if scale - scale != 0:
        return None
    return float(np.dot(flat, _weights(flat.size))) / scale if scale else 0.0


def fingerprint_of(array: mx.array) -> float | None:
    """:func:`fingerprint` of an evaluated array."""
    values = _numpy(array)
    return None if values is None else fingerprint(values)


@cache
def _positions(code: CodeType) -> tuple[tuple[int | None, ...], ...]:
    return tuple(code.co_positions())


@cache
def _place(code: CodeType, file: str, instruction: int) -> tuple[SourceLocation | None, str]:
    """``file`` is the code's: codes of equal functions in two files are equal."""
    spots = _positions(code)
    at = instruction // 2
    if at >= len(spots) or spots[at][0] is None:
        return None, ""
    line, end_line, column, end_column = spots[at]
    end_line, column, end_column = end_line or line, column or 0, end_column or 0
    place = SourceLocation(file, line, end_line, column, end_column, code.co_qualname)  # type: ignore
    raw = [linecache.getline(file, n).encode() for n in range(line, end_line + 1)]  # type: ignore
    if not raw or not raw[0]:
        return place, ""
    raw[-1] = raw[-1][:end_column] if end_column else raw[-1]
    raw[0] = raw[0][column:]
    text = " ".join(part.decode(errors="replace").strip() for part in raw)
    return place, text if len(text) <= 160 else text[:159] + "…"


def place_in_source(frame: FrameType | None) -> tuple[SourceLocation | None, str]:
    """The span and the text of the expression that ``frame`` stands at."""
    return (None, "") if frame is None else _place(frame.f_code, frame.f_code.co_filename, frame.f_lasti)
