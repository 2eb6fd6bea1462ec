"""torch.linalg: values, and gradients that MLX does not have by itself."""

import mlx.core as mx
import pytest
import torch

from t2m_notebook import blocks
from tests.rules.op_checks import check
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says about its own samples
NAMES = ["linalg.inv", "linalg.inv_ex", "linalg.solve", "linalg.solve_ex", "linalg.solve_triangular",
         "triangular_solve", "linalg.tensorinv", "linalg.tensorsolve", "linalg.det", "linalg.slogdet", "logdet",
         "linalg.cholesky", "cholesky", "linalg.cholesky_ex", "cholesky_inverse", "cholesky_solve", "linalg.qr", "qr",
         "linalg.svd", "svd", "linalg.svdvals", "linalg.eigh", "linalg.eigvalsh", "linalg.eig", "linalg.eigvals",
         "linalg.lu", "linalg.lu_factor", "linalg.lu_factor_ex", "linalg.pinv", "pinverse", "linalg.matrix_rank",
         "linalg.lstsq", "linalg.cond", "linalg.matrix_power", "matrix_exp", "linalg.matrix_norm", "linalg.norm",
         "linalg.diagonal", "lu", "linalg.lu_solve", "lu_solve", "lu_unpack", "linalg.ldl_factor", "linalg.ldl_solve",
         "linalg.ldl_factor_ex", "geqrf", "ormqr"]
_PACKED = "refused: input: MLX has no counterpart"
_SIGN = "differs: result"  # LAPACK's choice of sign; compared up to it below
EXCEPTIONS = {
    "linalg.svd": _SIGN, "svd": "differs", "linalg.eigh": _SIGN, "linalg.eig": _SIGN, "linalg.eigvals": _SIGN,
    "linalg.lu": "refused", "linalg.lu_factor": "refused", "linalg.lu_factor_ex": "refused", "lu": "refused",
    "linalg.pinv": "gradient",  # hermitian=True of a matrix that is not symmetric
    "linalg.lu_solve": _PACKED, "lu_solve": _PACKED, "lu_unpack": _PACKED, "linalg.ldl_factor": _PACKED,
    "linalg.ldl_factor_ex": _PACKED, "linalg.ldl_solve": _PACKED, "geqrf": _PACKED, "ormqr": _PACKED}


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    check(name, exceptions=EXCEPTIONS)


def matrix(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), requires_grad=True)


def rebuilt_svd(x):
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    return s, u.abs(), vt.abs(), (u * s.square()[..., None, :]) @ vt


def rebuilt_eigh(x):
    values, vectors = torch.linalg.eigh(x + x.mT)
    return values, vectors.abs(), (vectors * values.exp()[..., None, :]) @ vectors.mT


@pytest.mark.parametrize("function, sizes", [
    (rebuilt_svd, (4, 3)), (rebuilt_svd, (2, 3, 4)), (rebuilt_svd, (3, 3)), (rebuilt_eigh, (4, 4)),
    (rebuilt_eigh, (2, 3, 3)), (lambda x: torch.linalg.eigh(x, UPLO="U")[0], (4, 4)),
    (lambda x: torch.linalg.eigvalsh(x), (4, 4)), (lambda x: torch.linalg.qr(x), (3, 5)),
    (lambda x: torch.matrix_exp(3 * x), (4, 4)), (lambda x: torch.linalg.matrix_norm(x, 2), (2, 3, 4)),
    (lambda x: torch.linalg.norm(x, "nuc"), (3, 4)), (lambda x: torch.linalg.pinv(x), (2, 5, 3))])
def test_gradients_up_to_sign(function, sizes):
    outcome = replay(function, (matrix(*sizes),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_eigenvalues_of_a_general_matrix_as_a_set():
    x = matrix(5, 5).detach()
    ours = mx.linalg.eigvals(mx.array(x.numpy()), stream=mx.cpu).tolist()
    theirs = torch.linalg.eigvals(x).tolist()
    assert all(min(abs(a - b) for b in theirs) < 1e-3 for a in ours)


def test_blocks_compile_with_gradients():
    x = mx.random.normal((2, 4, 4), key=mx.random.key(0))
    x = x @ x.mT + 4 * mx.eye(4)
    names = ["inverse", "determinant", "cholesky_factor", "singular_values", "symmetric_eigenvalues", "pseudo_inverse"]
    def loss(x):
        return sum(mx.square(getattr(blocks, name)(x)).sum() for name in names)
    assert mx.allclose(mx.grad(loss)(x), mx.compile(mx.grad(loss))(x), rtol=1e-3)


def test_an_empty_matrix_ends_no_process():
    assert blocks.inverse(mx.zeros((2, 0, 0))).shape == (2, 0, 0)
    with pytest.raises(ValueError, match="empty"):
        blocks.lu_factors(mx.zeros((0, 0)))


def test_complex_matrices_are_refused_by_name():
    outcome = replay(lambda x: torch.linalg.inv(x), (torch.randn(3, 3, dtype=torch.complex64),))
    assert outcome.kind == "refused" and "complex64" in outcome.detail, outcome
