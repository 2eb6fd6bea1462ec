"""Matrix and tensor products."""

from __future__ import annotations

import string
from typing import Any

from .array import Array
from .expression import Expr, blocks, mlx_dtype, mx
from .registry import caveat, op, refuse
from .view_layouts import flat_ints


def _floating(*arrays: Array) -> bool:
    return all(a.is_floating or a.is_complex for a in arrays)


def product(a: Array, b: Array) -> Expr:
    """``a @ b``; MLX multiplies floating matrices only, integers go through a block."""
    return a @ b if _floating(a, b) else blocks.integer_matmul(a, b)


def _times(factor: Any, value: Expr) -> Expr:
    return value if not isinstance(factor, Array) and factor == 1 else factor * value


def _factor(value: Any, call) -> Any:
    """``alpha`` and ``beta`` as torch uses them: for integers their fraction is cut off."""
    return int(value) if isinstance(value, float) and call.dtype.startswith(("int", "uint")) else value


def _plus(base: Array, beta: Any, alpha: Any, value: Expr, call) -> Expr:
    """``beta * base + alpha * value``; with beta 0 torch leaves ``base`` out, NaN and all."""
    alpha, beta = _factor(alpha, call), _factor(beta, call)
    value = _times(alpha, value)
    if not isinstance(beta, Array) and beta == 0:
        return value
    total = _times(beta, base) + value
    return total if base.dtype == call.dtype else total.astype(mlx_dtype(call.dtype))


@op("torch.matmul", "torch.Tensor.__matmul__", "torch.Tensor.__imatmul__", "torch.linalg.matmul")
def matmul(x, other):
    return product(x, other)


@op("torch.Tensor.__rmatmul__")
def rmatmul(x, other):
    return product(other, x)


@op("torch.mm", "torch.spmm", "torch.bmm")
def mm(x, mat2):
    return product(x, mat2)


@op("torch.mv")
def mv(x, vec):
    return product(x, vec)


@op("torch.dot")
def dot(x, tensor):
    return product(x, tensor)


@op("torch.vdot")
def vdot(x, other):
    return mx.conjugate(x) @ other if x.is_complex else product(x, other)


@op("torch.inner")
def inner(x, other):
    if x.ndim == 0 or other.ndim == 0:
        return x * other
    if not _floating(x, other):
        if max(x.ndim, other.ndim) <= 2:
            return blocks.integer_matmul(x, other if other.ndim == 1 else other.swapaxes(-1, -2))
        spread = x.reshape(*x.shape[:-1], *[1] * (other.ndim - 1), x.shape[-1])
        return (spread * other).sum(-1)
    return mx.inner(x, other)


@op("torch.outer", "torch.ger")
def outer(x, vec2):
    return mx.outer(x, vec2)


@op("torch.linalg.vecdot")
def vecdot(x, y, dim=-1):
    """The first argument is conjugated, as in torch."""
    if x.is_complex:
        x = mx.conjugate(x)
    return (x * y).sum(dim)


# -- with an addend ---------------------------------------------------------------------

def _fused(base: Array, beta: Any, alpha: Any, a: Array, b: Array, call) -> Expr:
    if not _floating(base, a, b) or not isinstance(beta, (int, float)) or not isinstance(alpha, (int, float)):
        return _plus(base, beta, alpha, product(a, b), call)
    if beta == 0:
        return _times(alpha, a @ b)
    keywords = ({"alpha": alpha} if alpha != 1 else {}) | ({"beta": beta} if beta != 1 else {})
    if base.dtype != call.dtype or base.is_complex:
        return _plus(base, beta, alpha, a @ b, call)
    return mx.addmm(base, a, b, **keywords)


@op("torch.addmm")
def addmm(x, mat1, mat2, beta=1, alpha=1, *, call):
    return _fused(x, beta, alpha, mat1, mat2, call)


@op("torch.baddbmm")
def baddbmm(x, batch1, batch2, beta=1, alpha=1, *, call):
    return _fused(x, beta, alpha, batch1, batch2, call)


@op("torch.addmv")
def addmv(x, mat, vec, beta=1, alpha=1, *, call):
    return _plus(x, beta, alpha, product(mat, vec), call)


@op("torch.addbmm")
def addbmm(x, batch1, batch2, beta=1, alpha=1, *, call):
    total = product(batch1, batch2).sum(0)
    total = total if _floating(batch1) else total.astype(mlx_dtype(call.dtype))
    return _plus(x, beta, alpha, total, call)


@op("torch.addr")
def addr(x, vec1, vec2, beta=1, alpha=1, *, call):
    if x.is_bool and vec1.is_bool:
        pair = mx.logical_and(vec1[:, None], vec2)
        return pair if not beta else mx.logical_or(x, pair)
    return _plus(x, beta, alpha, mx.outer(vec1, vec2), call)


# -- contractions -----------------------------------------------------------------------

def _letters(operands: list) -> tuple[str, list[Array]]:
    """``(x, [0, 1], y, [1, 2], [0, 2])`` as an equation."""
    letters = string.ascii_lowercase + string.ascii_uppercase
    def text(labels):
        return "".join("..." if label is Ellipsis else letters[label] for label in labels)
    pairs = len(operands) // 2
    equation = ",".join(text(operands[2 * i + 1]) for i in range(pairs))
    if len(operands) % 2:
        equation += "->" + text(operands[-1])
    return equation, operands[:2 * pairs:2]


@op("torch.einsum")
def einsum(equation, *operands, call):
    if isinstance(equation, Array):
        equation, tensors = _letters([equation, *operands])
    else:
        tensors = list(flat_ints(operands))
    equation = equation.replace(" ", "")
    if not _floating(*tensors):
        caveat("computed in float32: exact below 2**24")
        return mx.einsum(equation, *[t.astype(mx.float32) for t in tensors]).astype(mlx_dtype(call.dtype))
    return mx.einsum(equation, *tensors)


@op("torch.tensordot")
def tensordot(a, b, dims=2, *, call):
    if isinstance(dims, Array):
        refuse("dims", dims, "pass the dimensions as ints or lists of ints")
    axes = dims if isinstance(dims, int) else [list(d) if isinstance(d, (tuple, list)) else [d] for d in dims]
    pairs = zip(*axes, strict=True) if dims != axes else zip(range(a.ndim - dims, a.ndim), range(dims), strict=True)
    uneven = [(i, j) for i, j in pairs if int(a.shape[i]) != int(b.shape[j])]
    left = tuple(i for i, j in uneven if int(b.shape[j]) == 1)  # torch broadcasts a one: sum what it meets
    right = tuple(j for i, j in uneven if int(a.shape[i]) == 1)
    if not _floating(a, b):
        caveat("computed in float32: exact below 2**24")
        value = mx.tensordot(_summed(a.astype(mx.float32), left), _summed(b.astype(mx.float32), right), axes=axes)
        return value.astype(mlx_dtype(call.dtype))
    return mx.tensordot(_summed(a, left), _summed(b, right), axes=axes)


def _summed(x: Expr, axes: tuple[int, ...]) -> Expr:
    return x.sum(axes, keepdims=True) if axes else x


@op("torch.chain_matmul", "torch.linalg.multi_dot")
def multi_dot(*tensors):
    """Multiplied from the left; torch chooses the cheapest order of the same product."""
    matrices = list(flat_ints(tensors))
    total = matrices[0]
    if not _floating(*matrices):
        for matrix in matrices[1:]:
            total = blocks.integer_matmul(total, matrix)
        return total
    for matrix in matrices[1:]:
        total = total @ matrix
    return total


@op("torch.kron")
def kron(x, other):
    return mx.kron(x, other)


@op("torch.cross", "torch.linalg.cross")
def cross(x, other, dim=None, *, call):
    """Without ``dim``, ``torch.cross`` takes the first dimension of size three."""
    if dim is None:
        dim = -1 if "linalg" in call.name else next(d for d, size in enumerate(x.shape) if int(size) == 3)
    return blocks.cross_product(x, other, axis=dim)
