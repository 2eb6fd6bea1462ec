"""Elementwise operations."""

from .expression import mx
from .layouts import POINTWISE
from .registry import op, rename

for _name in ("abs", "exp", "sin", "cos"):
    rename(f"torch.{_name}", f"mx.{_name}", layout=POINTWISE)


@op("torch.add", "torch.Tensor.__add__", "torch.Tensor.__radd__", "torch.Tensor.__iadd__", layout=POINTWISE)
def add(x, other, alpha=1):
    return x + (other if alpha == 1 else alpha * other)


@op("torch.nn.functional.relu", "torch.relu", layout=POINTWISE)
def relu(x):
    return mx.maximum(x, 0)
