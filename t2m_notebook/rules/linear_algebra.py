"""torch.linalg. MLX decomposes on the CPU and without gradients; the blocks add torch's gradients."""

from __future__ import annotations

import math
from typing import Any

from .array import Array
from .expression import Expr, blocks, mlx_dtype, mx
from .registry import caveat, op, refuse

_NO_GRADIENT = "MLX has no gradient for {}"
_SIGNS = "the sign of each vector is LAPACK's choice; with another LAPACK than torch's it may differ"
_SEQUENCE = "; their sequence and scale are LAPACK's choice and may differ from torch's"


def _real(x: Array) -> Array:
    if x.is_complex:
        refuse("input", x.dtype, "MLX decomposes real float32 matrices here: split real and imaginary parts")
    if x.dtype not in ("float32", "float64"):
        refuse("input", x.dtype, "MLX decomposes float32 matrices: convert with .float() before it")
    return x


# -- inverse and solve ------------------------------------------------------------------

@op("torch.linalg.inv", "torch.inverse")
def inv(x):
    return blocks.inverse(_real(x))


@op("torch.linalg.inv_ex")
def inv_ex(x, check_errors=False):
    """MLX raises on a singular matrix, so the error code is zero wherever this returns."""
    return blocks.inverse(_real(x)), _no_error(x)


def _no_error(x: Array) -> Expr:
    return mx.zeros(tuple(x.shape[:-2]), dtype=mx.int32)


def _is_vector(a: Array, b: Array) -> bool:
    return b.ndim == 1 or a.ndim - 1 == b.ndim and tuple(map(int, b.shape)) == tuple(map(int, a.shape[:-1]))


def _solved(a: Array, b: Array, left: bool) -> Expr:
    _real(a), _real(b)
    if _is_vector(a, b):
        if not left:
            refuse("left", left, "a vector is solved for on the left only")
        return blocks.solve_linear(a, b[..., None]).squeeze(-1)
    if left:
        return blocks.solve_linear(a, b)
    return blocks.solve_linear(a.swapaxes(-1, -2), b.swapaxes(-1, -2)).swapaxes(-1, -2)


@op("torch.linalg.solve")
def solve(A, B, *, left=True):
    return _solved(A, B, left)


@op("torch.linalg.solve_ex")
def solve_ex(A, B, *, left=True, check_errors=False):
    return _solved(A, B, left), _no_error(A)


@op("torch.linalg.solve_triangular")
def solve_triangular(A, B, *, upper, left=True, unitriangular=False):
    keywords = {"upper": True} if upper else {}
    keywords |= {"left": False} if not left else {}
    return blocks.solve_triangle(_real(A), _real(B), **keywords, **({"unit": True} if unitriangular else {}))


@op("torch.triangular_solve")
def triangular_solve(b, A, upper=True, transpose=False, unitriangular=False):
    _real(A)
    keywords = {"unit": True} if unitriangular else {}
    if transpose:
        return blocks.solve_triangle(A.swapaxes(-1, -2), b, **({} if upper else {"upper": True}), **keywords), A
    return blocks.solve_triangle(A, b, **({"upper": True} if upper else {}), **keywords), A


@op("torch.linalg.tensorinv")
def tensorinv(x, ind=2):
    return blocks.tensor_inverse(_real(x), ind)


@op("torch.linalg.tensorsolve")
def tensorsolve(x, other, dims=None):
    _real(x)
    if dims is not None:
        dims = dims if isinstance(dims, (tuple, list)) else (dims,)
        moved = [int(dim) % x.ndim for dim in dims]
        return blocks.tensor_solve(x.transpose(*[d for d in range(x.ndim) if d not in moved], *moved), other)
    return blocks.tensor_solve(x, other)


# -- determinants ---------------------------------------------------------------------

@op("torch.linalg.det", "torch.det")
def det(x):
    return blocks.determinant(_real(x))


@op("torch.linalg.slogdet", "torch.slogdet")
def slogdet(x):
    pair = blocks.log_determinant(_real(x))
    return pair[0], pair[1]


@op("torch.logdet")
def logdet(x):
    """NaN for a negative determinant, as in torch."""
    return blocks.real_log_determinant(_real(x))


# -- decompositions ---------------------------------------------------------------------

@op("torch.linalg.cholesky", "torch.cholesky")
def cholesky(x, upper=False):
    return blocks.cholesky_factor(_real(x), **({"upper": True} if upper else {}))


@op("torch.linalg.cholesky_ex")
def cholesky_ex(x, upper=False, check_errors=False):
    return blocks.cholesky_factor(_real(x), **({"upper": True} if upper else {})), _no_error(x)


@op("torch.cholesky_inverse")
def cholesky_inverse(x, upper=False):
    triangle = blocks.one_triangle(_real(x), *([True] if upper else []))
    return blocks.inverse(triangle.swapaxes(-1, -2) @ triangle if upper else triangle @ triangle.swapaxes(-1, -2))


@op("torch.cholesky_solve")
def cholesky_solve(x, L, upper=False):
    triangle = blocks.one_triangle(_real(L), *([True] if upper else []))
    gram = triangle.swapaxes(-1, -2) @ triangle if upper else triangle @ triangle.swapaxes(-1, -2)
    return blocks.solve_linear(gram, x)


@op("torch.linalg.qr", "torch.qr")
def qr(x, mode="reduced", *, call):
    if mode not in ("reduced", True):
        refuse("mode" if call.name.startswith("torch.linalg") else "some", mode, "MLX gives the reduced factors")
    pair = blocks.qr_factors(_real(x))
    return pair[0], pair[1]


@op("torch.linalg.svd")
def svd(x, full_matrices=True, driver=None):
    _real(x)
    caveat(_SIGNS)
    if full_matrices:
        caveat(_NO_GRADIENT.format("the full singular vectors; pass full_matrices=False"))
        return blocks.full_singular_vectors(x)
    return blocks.singular_vectors(x)


@op("torch.svd")
def old_svd(x, some=True, compute_uv=True):
    """``torch.svd`` gives V, ``torch.linalg.svd`` its transpose."""
    if not compute_uv:
        refuse("compute_uv", False, "use torch.linalg.svdvals")
    caveat(_SIGNS)
    found = blocks.singular_vectors(_real(x))
    if not some:
        caveat(_NO_GRADIENT.format("the full singular vectors; pass some=True"))
        found = blocks.full_singular_vectors(x)
    return found[0], found[1], found[2].swapaxes(-1, -2)


@op("torch.linalg.svdvals")
def svdvals(x, driver=None):
    return blocks.singular_values(_real(x))


@op("torch.linalg.eigh")
def eigh(x, UPLO="L"):
    caveat(_SIGNS)
    pair = blocks.symmetric_eigenvectors(_real(x), *([] if UPLO == "L" else [UPLO]))
    return pair[0], pair[1]


@op("torch.linalg.eigvalsh")
def eigvalsh(x, UPLO="L"):
    return blocks.symmetric_eigenvalues(_real(x), *([] if UPLO == "L" else [UPLO]))


@op("torch.linalg.eig", caveat=_NO_GRADIENT.format("the eigenvectors of a general matrix") + _SEQUENCE)
def eig(x):
    return mx.linalg.eig(_real(x), stream=mx.cpu)


@op("torch.linalg.eigvals", caveat=_NO_GRADIENT.format("the eigenvalues of a general matrix"))
def eigvals(x):
    """LAPACK reads columns first: given the transpose, it finds the eigenvalues in torch's sequence."""
    return mx.linalg.eigvals(_real(x).swapaxes(-1, -2), stream=mx.cpu)


def _not_empty(x: Array) -> Array:
    if 0 in x.shape:
        refuse("input", tuple(map(int, x.shape)), "MLX's LU factorisation ends the process on an empty matrix")
    return x


@op("torch.linalg.lu", caveat=_NO_GRADIENT.format("the LU factors"))
def lu(x, pivot=True):
    if not pivot:
        refuse("pivot", pivot, "MLX always exchanges rows")
    found = blocks.lu_factors(_not_empty(_real(x)))
    return found[0], found[1], found[2]


@op("torch.linalg.lu_factor", "torch.lu", "torch._lu_with_info", caveat=_NO_GRADIENT.format("the LU factors"))
def lu_factor(x, pivot=True, *, call):
    if not pivot:
        refuse("pivot", pivot, "MLX always exchanges rows")
    pair = mx.linalg.lu_factor(_not_empty(_real(x)), stream=mx.cpu)
    found = (pair[0], pair[1].astype(mx.int32) + 1)
    return found if len(call.outputs) == 2 else (*found, _no_error(x))


@op("torch.linalg.lu_factor_ex", caveat=_NO_GRADIENT.format("the LU factors"))
def lu_factor_ex(x, pivot=True, check_errors=False):
    if not pivot:
        refuse("pivot", pivot, "MLX always exchanges rows")
    pair = mx.linalg.lu_factor(_not_empty(_real(x)), stream=mx.cpu)
    return pair[0], pair[1].astype(mx.int32) + 1, _no_error(x)


@op("torch.linalg.lu_solve", "torch.lu_solve", "torch.lu_unpack", "torch.linalg.ldl_factor", "torch.linalg.ldl_solve",
    "torch.linalg.ldl_factor_ex", "torch.geqrf", "torch.ormqr",
    "torch.svd_lowrank", "torch.pca_lowrank", "torch.lobpcg")
def without_counterpart(x, *arguments, call, **keywords):
    """Works on packed factors that MLX does not have."""
    refuse("input", None, f"MLX has no counterpart of {call.name}: use torch.linalg.solve, qr or svd")


# -- pseudo-inverse, least squares, rank --------------------------------------------------------

def _tolerances(rtol: Any, atol: Any) -> dict[str, Any]:
    given = {"rtol": rtol, "atol": atol}
    return {key: value[..., None] if isinstance(value, Array) and value.ndim else value
            for key, value in given.items() if value is not None}


@op("torch.linalg.pinv")
def pinv(x, rcond=None, hermitian=False, *, atol=None, rtol=None):
    """Singular values below the tolerance count as zero; the default tolerance is torch's.
    For a symmetric matrix torch reads the lower triangle."""
    if hermitian:
        caveat("where the matrix is not symmetric the gradient is that of its lower triangle mirrored")
    matrix = blocks.mirrored(_real(x)) if hermitian else _real(x)
    return blocks.pseudo_inverse(matrix, **_tolerances(rcond if rtol is None else rtol, atol))


@op("torch.pinverse")
def pinverse(x, rcond=1e-15):
    return blocks.pseudo_inverse(_real(x), rtol=rcond)


@op("torch.linalg.matrix_rank")
def matrix_rank(x, tol=None, hermitian=False, *, atol=None, rtol=None):
    atol = tol if atol is None else atol
    if tol is not None and rtol is None:
        rtol = 0.0
    return blocks.numerical_rank(_real(x), **_tolerances(rtol, atol)).astype(mx.int64)


@op("torch.linalg.lstsq")
def lstsq(a, b, rcond=None, *, driver=None, call):
    """Through the pseudo-inverse; residuals as torch gives them for a full-rank tall matrix."""
    _real(a)
    if _is_vector(a, b) and b.ndim != a.ndim:
        refuse("b", tuple(b.shape), "pass a matrix of right-hand sides")
    keywords = {} if rcond is None else {"rtol": rcond}
    solution = blocks.pseudo_inverse(a, **keywords) @ b
    residuals = mx.zeros((0,), dtype=mx.float32)
    if 0 not in call.outputs[1].shape:
        residuals = mx.square(a @ solution - b).sum(-2)
    singular = mx.zeros((0,), dtype=mx.float32)
    if 0 not in call.outputs[3].shape:
        singular = blocks.singular_values(a)
    rank = mx.zeros((0,), dtype=mx.int64)
    if 0 not in call.outputs[2].shape:
        rank = blocks.numerical_rank(a).astype(mx.int64)
    return solution, residuals, rank, singular


@op("torch.linalg.cond")
def cond(x, p=None):
    return blocks.condition_number(_real(x), *([] if p in (None, 2) else [_order(p)]))


# -- powers and exponential -----------------------------------------------------------------

@op("torch.linalg.matrix_power", "torch.matrix_power")
def matrix_power(x, n):
    if n < 0 or not (x.is_floating or x.is_complex):
        _real(x)
    return blocks.matrix_power(x, n)


@op("torch.linalg.matrix_exp", "torch.matrix_exp")
def matrix_exp(x):
    return blocks.matrix_exponential(x)


# -- norms ----------------------------------------------------------------------------------

def _order(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) and math.isinf(value) else value


@op("torch.linalg.matrix_norm")
def matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    if dtype is not None:
        x = x.astype(mlx_dtype(dtype))
    return blocks.matrix_norm(x, _order(ord), tuple(dim), **({"keepdims": True} if keepdim else {}))


@op("torch.linalg.norm")
def norm(x, ord=None, dim=None, keepdim=False, *, dtype=None):
    """A vector norm, or a matrix norm when two dimensions or a matrix norm's order are given."""
    ndim = x.ndim
    if dtype is not None:
        x = x.astype(mlx_dtype(dtype))
    keep = {"keepdims": True} if keepdim else {}
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else None if dim is None else (dim,)
    if ord is None or dims is not None and len(dims) == 1 or dims is None and ndim == 1:
        axis = dims if dims is None or len(dims) > 1 else dims[0]
        return blocks.power_norm(x, 2 if ord is None else _order(ord), axis=axis, **keep)
    return blocks.matrix_norm(x, _order(ord), dims or (-2, -1), **keep)
