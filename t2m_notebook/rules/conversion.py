"""Changes of dtype, copies, and calls that change nothing."""

from __future__ import annotations

import ast

import torch

from .array import Array
from .expression import Expr, dtype_text, mlx_dtype, mx
from .layouts import POINTWISE
from .promotion import cast, same_dtype, steady
from .registry import op, refuse

_TYPE_NAMES = {"FloatTensor": "float32", "DoubleTensor": "float64", "HalfTensor": "float16",
               "BFloat16Tensor": "bfloat16", "LongTensor": "int64", "IntTensor": "int32", "ShortTensor": "int16",
               "CharTensor": "int8", "ByteTensor": "uint8", "BoolTensor": "bool"}


def converted(x: Array, dtype) -> Array:
    """``x`` in a torch dtype; itself when MLX holds it so already."""
    want = dtype_text(dtype)
    if same_dtype(x.dtype, want):
        return x
    if x.is_complex and not want.startswith("complex"):
        return cast(mx.real(x), "float32", want) if want != "bool" else x.astype(mlx_dtype(want))
    if x.is_floating and want == "bool":
        return x != 0
    if x.is_floating and want in ("uint8", "uint16", "uint32", "uint64"):
        return mx.stop_gradient(x).astype(mlx_dtype("int64")).astype(mlx_dtype(want))  # negative numbers wrap
    try:
        return (steady(x, x) if want.startswith("int") else x).astype(mlx_dtype(want))
    except KeyError:
        refuse("dtype", dtype, "MLX has no such dtype")


@op("torch.Tensor.to", layout=POINTWISE)
def to(x, *args, dtype=None, other=None):
    """`x.astype(...)`; a change of device only is nothing in MLX. The gradient ends at integers."""
    for argument in args:
        if isinstance(argument, torch.dtype):
            dtype = argument
        elif isinstance(argument, Array):
            other = argument
    if other is not None:
        return type_as(x, other)
    return x if dtype is None else converted(x, dtype)


@op("torch.Tensor.type_as", layout=POINTWISE)
def type_as(x, other):
    """`x.astype(other.dtype)`."""
    if same_dtype(x.dtype, other.dtype):
        return x
    if x.is_complex or (x.is_floating and not other.is_floating):
        return converted(x, other.dtype)
    return x.astype(Expr(ast.Attribute(other.node, "dtype", ast.Load())))


@op("torch.Tensor.type", layout=POINTWISE)
def type_(x, dtype):
    """`x.astype(...)`; takes a dtype or the name of a tensor class."""
    if not isinstance(dtype, torch.dtype):
        name = dtype if isinstance(dtype, str) else dtype.__name__
        dtype = _TYPE_NAMES.get(name.rpartition(".")[2]) or refuse("dtype", dtype, "pass a torch.dtype")
    return converted(x, dtype)


def _method(name: str, dtype: str) -> None:
    @op(f"torch.Tensor.{name}", f"torch._refs._conversions.{name}", layout=POINTWISE,
        summary=f"`x.astype({mlx_dtype(dtype)})`")
    def rule(x):
        return converted(x, dtype)


for _name, _dtype in (("float", "float32"), ("double", "float64"), ("half", "float16"), ("bfloat16", "bfloat16"),
                      ("long", "int64"), ("int", "int32"), ("short", "int16"), ("char", "int8"), ("byte", "uint8"),
                      ("bool", "bool"), ("cfloat", "complex64"), ("cdouble", "complex128")):
    _method(_name, _dtype)


@op("torch.Tensor.chalf", layout=POINTWISE)
def chalf(x):
    """MLX has no half-precision complex numbers."""
    refuse("dtype", torch.complex32, "use complex64")


@op("torch.clone", "torch.Tensor.contiguous", "torch.Tensor.cpu", "torch.Tensor.cuda", "torch.Tensor.mps",
    "torch.alias_copy", "torch.positive", "torch.Tensor.__pos__", "torch.resolve_conj", "torch.resolve_neg",
    "torch.Tensor.requires_grad_", "torch.Tensor.pin_memory", "torch.Tensor.share_memory_", "torch.Tensor.__copy__",
    "torch.Tensor.__deepcopy__", "torch.Tensor.data", "torch.Tensor.retain_grad", "torch.Tensor.as_subclass",
    "torch.Tensor.coalesce", "torch.Tensor.to_dense", layout=POINTWISE)
def unchanged(x, *ignored, memory_format=None, copy=None):
    """Nothing: MLX arrays are values, so there is nothing to copy or to make contiguous."""
    return x


@op("torch.detach", "torch.Tensor.detach", "torch.detach_copy", layout=POINTWISE)
def detach(x):
    """`mx.stop_gradient`."""
    return mx.stop_gradient(x) if x.is_floating or x.is_complex else x


@op("torch.Tensor.copy_", layout=POINTWISE)
def copy_(x, source, non_blocking=False):
    """The new content, broadcast to the shape and cast to the dtype of the old."""
    same = tuple(map(int, source.shape)) == tuple(map(int, x.shape))
    source = converted(source, x.dtype)
    return source if same else mx.broadcast_to(source, tuple(x.shape[dim] for dim in x.order))
