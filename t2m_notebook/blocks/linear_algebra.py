"""Linear algebra with gradients. MLX decomposes matrices on the CPU and has no gradient for
it; each function here adds the closed form, as in Giles, "An extended collection of matrix
derivative results for forward and reverse mode algorithmic differentiation" (2008)."""

import mlx.core as mx

__all__ = ["cholesky_factor", "determinant", "full_singular_vectors", "inverse", "log_determinant", "lu_factors",
           "mirrored", "one_triangle", "qr_factors", "real_log_determinant", "singular_values", "singular_vectors",
           "solve_linear", "solve_triangle", "symmetric_eigenvalues", "symmetric_eigenvectors", "tensor_inverse",
           "tensor_solve"]


def inverse(a: mx.array) -> mx.array:
    """Inverse of square matrices ``(..., N, N)``."""
    if a.size == 0:  # mx.linalg.inv ends the process on an empty matrix
        return a

    @mx.custom_function
    def inv(a):
        return mx.linalg.inv(a, stream=mx.cpu)

    @inv.vjp
    def gradient(a, cotangent, output):
        return -(output.mT @ cotangent @ output.mT)

    return inv(a)


def solve_linear(a: mx.array, b: mx.array) -> mx.array:
    """``x`` with ``a @ x = b`` for matrices ``(..., N, N)`` and ``(..., N, K)``."""
    batch = mx.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = mx.broadcast_to(a, (*batch, *a.shape[-2:]))
    b = mx.broadcast_to(b, (*batch, *b.shape[-2:]))

    @mx.custom_function
    def solve(a, b):
        return mx.linalg.solve(a, b, stream=mx.cpu)

    @solve.vjp
    def gradient(primals, cotangent, output):
        back = mx.linalg.solve(primals[0].mT, cotangent, stream=mx.cpu)
        return -(back @ output.mT), back

    return solve(a, b) if b.size else b


def solve_triangle(a: mx.array, b: mx.array, upper: bool = False, left: bool = True, unit: bool = False) -> mx.array:
    """As :func:`solve_linear`, reading one triangle of ``a`` only (with ones on the diagonal
    if ``unit``); with ``left=False`` solves ``x @ a = b``."""
    triangle = (mx.triu if upper else mx.tril)(a, (1 if upper else -1) if unit else 0)
    if unit:
        triangle = triangle + mx.eye(a.shape[-1], dtype=a.dtype)
    return solve_linear(triangle, b) if left else solve_linear(triangle.mT, b.mT).mT


def determinant(a: mx.array) -> mx.array:
    """Determinants of ``(..., N, N)``."""
    @mx.custom_function
    def det(a):
        return mx.linalg.det(a, stream=mx.cpu)

    @det.vjp
    def gradient(a, cotangent, output):
        return (cotangent * output)[..., None, None] * inverse(a).mT

    return det(a)


def log_determinant(a: mx.array) -> tuple[mx.array, mx.array]:
    """Sign of the determinant and logarithm of its absolute value."""
    @mx.custom_function
    def slogdet(a):
        return mx.linalg.slogdet(a, stream=mx.cpu)

    @slogdet.vjp
    def gradient(a, cotangents, outputs):
        return cotangents[1][..., None, None] * inverse(a).mT

    return slogdet(a)


def real_log_determinant(a: mx.array) -> mx.array:
    """Logarithm of the determinant, NaN where that is negative."""
    sign, logarithm = log_determinant(a)
    return mx.where(sign < 0, float("nan"), logarithm)


def cholesky_factor(a: mx.array, upper: bool = False) -> mx.array:
    """Triangular ``L`` with ``L @ L.T = a``, or its transpose."""
    @mx.custom_function
    def cholesky(a):
        return mx.linalg.cholesky(a, stream=mx.cpu)

    @cholesky.vjp
    def gradient(a, cotangent, factor):
        inner = mx.tril(factor.mT @ cotangent)
        inner = (inner + mx.tril(inner, -1).mT) / 2
        root = mx.linalg.tri_inv(factor, stream=mx.cpu)
        return root.mT @ inner @ root

    return cholesky(a).mT if upper else cholesky(a)


def one_triangle(a: mx.array, upper: bool = False) -> mx.array:
    """One triangle of ``a``, zero elsewhere. As in torch's Cholesky functions the gradient
    reaches all of ``a``."""
    return a + mx.stop_gradient((mx.triu if upper else mx.tril)(a) - a)


def mirrored(a: mx.array) -> mx.array:
    """The symmetric matrix that has the lower triangle of ``a``; the gradient reaches all of ``a``."""
    return a + mx.stop_gradient(mx.tril(a) + mx.tril(a, -1).mT - a)


def qr_factors(a: mx.array) -> tuple[mx.array, mx.array]:
    """Reduced ``q`` with orthonormal columns and triangular ``r``, ``q @ r = a``."""
    rows, columns = a.shape[-2:]
    if rows < columns:
        q, r = qr_factors(a[..., :rows])
        return q, mx.concatenate([r, q.mT @ a[..., rows:]], axis=-1)

    @mx.custom_function
    def qr(a):
        return mx.linalg.qr(a, stream=mx.cpu)

    @qr.vjp
    def gradient(a, cotangents, outputs):
        (q, r), (grad_q, grad_r) = outputs, cotangents
        inner = mx.triu(grad_r @ r.mT - q.mT @ grad_q)
        inner = inner + mx.triu(inner, 1).mT
        return mx.linalg.solve(r, (grad_q + q @ inner).mT, stream=mx.cpu).mT

    return qr(a)


def _differences(values: mx.array) -> mx.array:
    """``values[j] - values[i]``, with ones on the diagonal."""
    return values[..., None, :] - values[..., None] + mx.eye(values.shape[-1], dtype=values.dtype)


def _diagonal(values: mx.array) -> mx.array:
    return values[..., None] * mx.eye(values.shape[-1], dtype=values.dtype)


def symmetric_eigenvectors(a: mx.array, triangle: str = "L") -> tuple[mx.array, mx.array]:
    """Eigenvalues, ascending, and eigenvectors (columns) of symmetric matrices. LAPACK reads columns
    first: given the transpose, it chooses the signs that it chooses for torch."""
    flipped = "U" if triangle == "L" else "L"

    @mx.custom_function
    def eigh(a):
        return mx.linalg.eigh(a.mT, flipped, stream=mx.cpu)

    @eigh.vjp
    def gradient(a, cotangents, outputs):
        (values, vectors), (grad_values, grad_vectors) = outputs, cotangents
        off_diagonal = 1 - mx.eye(values.shape[-1], dtype=values.dtype)
        inner = vectors.mT @ grad_vectors / _differences(values) * off_diagonal
        return vectors @ ((inner + inner.mT) / 2 + _diagonal(grad_values)) @ vectors.mT

    return eigh(a)


def symmetric_eigenvalues(a: mx.array, triangle: str = "L") -> mx.array:
    """Eigenvalues of symmetric matrices, ascending; the gradient stands equal ones too."""
    @mx.custom_function
    def eigvalsh(a):
        return mx.linalg.eigvalsh(a, triangle, stream=mx.cpu)

    @eigvalsh.vjp
    def gradient(a, cotangent, output):
        vectors = mx.linalg.eigh(a, triangle, stream=mx.cpu)[1]
        return (vectors * cotangent[..., None, :]) @ vectors.mT

    return eigvalsh(a)


def singular_values(a: mx.array) -> mx.array:
    """Singular values, descending; the gradient stands equal ones too."""
    @mx.custom_function
    def svdvals(a):
        return mx.linalg.svd(a, compute_uv=False, stream=mx.cpu)

    @svdvals.vjp
    def gradient(a, cotangent, output):
        u, s, vt = mx.linalg.svd(a, stream=mx.cpu)
        count = s.shape[-1]
        return (u[..., :count] * cotangent[..., None, :]) @ vt[..., :count, :]

    return svdvals(a)


def full_singular_vectors(a: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """``u, s, vt`` with all vectors: ``(..., M, M), (..., K), (..., N, N)``. LAPACK reads columns first:
    given the transpose, it chooses the signs that it chooses for torch."""
    v, s, ut = mx.linalg.svd(a.mT, stream=mx.cpu)
    return ut.mT, s, v.mT


def singular_vectors(a: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """Reduced ``u, s, vt`` with ``u * s @ vt = a``: ``(..., M, K), (..., K), (..., K, N)``."""
    @mx.custom_function
    def svd(a):
        u, s, vt = full_singular_vectors(a)
        count = s.shape[-1]
        return u[..., :count], s, vt[..., :count, :]

    @svd.vjp
    def gradient(a, cotangents, outputs):
        (u, s, vt), (grad_u, grad_s, grad_vt) = outputs, cotangents
        v, grad_v, row = vt.mT, grad_vt.mT, s[..., None, :]
        gaps = _differences(s) * (s[..., None, :] + s[..., None])
        gaps = mx.where(mx.eye(s.shape[-1], dtype=mx.bool_), 1, gaps)
        across_u, across_v = u.mT @ grad_u, v.mT @ grad_v
        inner = (across_u - across_u.mT) / gaps * row + s[..., None] * ((across_v - across_v.mT) / gaps)
        total = u @ (inner + _diagonal(grad_s)) @ vt
        if a.shape[-2] > s.shape[-1]:
            total = total + (grad_u - u @ across_u) / row @ vt
        if a.shape[-1] > s.shape[-1]:
            total = total + u / row @ (grad_v - v @ across_v).mT
        return total

    return svd(a)


def lu_factors(a: mx.array) -> tuple[mx.array, mx.array, mx.array]:
    """``p, l, u`` with ``p @ l @ u = a``, ``p`` a permutation matrix."""
    if a.size == 0:  # mx.linalg.lu ends the process on an empty matrix
        raise ValueError(f"no LU factors of an empty matrix {a.shape}")
    places, lower, upper = mx.linalg.lu(a, stream=mx.cpu)
    size = a.shape[-2]
    permutation = (places[..., None] == mx.arange(size)).astype(a.dtype)
    return permutation, lower, upper


def tensor_inverse(a: mx.array, split: int = 2) -> mx.array:
    """Inverse of the linear map that takes the axes behind ``split`` to those before it."""
    before, behind = a.shape[:split], a.shape[split:]
    return inverse(a.flatten(0, split - 1).flatten(1)).reshape(*behind, *before)


def tensor_solve(a: mx.array, b: mx.array) -> mx.array:
    """``x`` with ``tensordot(a, x, x.ndim) = b``."""
    return solve_linear(a.reshape(b.size, -1), b.reshape(-1, 1)).reshape(a.shape[b.ndim:])
