"""Complex numbers and their parts."""

from __future__ import annotations

from .expression import blocks, mx
from .layouts import POINTWISE
from .promotion import as_floating
from .registry import op


@op("torch.real", "torch.Tensor.real", layout=POINTWISE)
def real(x):
    """`mx.real`."""
    return mx.real(x) if x.is_complex else x


@op("torch.imag", "torch.Tensor.imag", layout=POINTWISE)
def imag(x):
    """`mx.imag`."""
    return mx.imag(x)


@op("torch.conj", "torch.conj_physical", "torch._conj", "torch.Tensor.conj", layout=POINTWISE)
def conj(x):
    """`mx.conj`."""
    return mx.conj(x) if x.is_complex else x


@op("torch.angle", layout=POINTWISE)
def angle(x):
    """`mx.arctan2` of the parts; 0 or pi for real numbers."""
    return blocks.angle(x) if x.is_complex else blocks.angle_of_real(as_floating(x))


@op("torch.polar", layout=POINTWISE)
def polar(abs, angle):
    """`abs * (cos(angle) + 1j * sin(angle))`."""
    return abs * mx.cos(angle) + 1j * (abs * mx.sin(angle))


@op("torch.complex", layout=POINTWISE)
def complex_(real, imag):
    """`real + 1j * imag`."""
    return real + 1j * imag
