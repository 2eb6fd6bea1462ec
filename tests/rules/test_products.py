"""Matrix products, contractions, and constructions on matrices."""

import pytest
import torch

from tests.rules.op_checks import check, supported
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says about its own samples
NAMES = ["matmul", "__rmatmul__", "mm", "bmm", "mv", "dot", "vdot", "inner", "outer", "linalg.vecdot", "addmm",
         "baddbmm", "addmv", "addbmm", "addr", "einsum", "tensordot", "linalg.multi_dot", "kron", "cross",
         "linalg.cross"]
MATRICES = ["tril", "triu", "diag", "diagflat", "diag_embed", "trace", "block_diag", "cartesian_prod", "combinations",
            "linalg.vander", "cdist", "nn.functional.pdist", "renorm"]


@pytest.mark.parametrize("name", NAMES + MATRICES)
def test_samples(name):
    check(name)


def torch_multiplies_complex_vectors() -> bool:
    """False under a preloaded OpenBLAS: torch's complex dot product then gives 0."""
    ones = torch.ones(2, dtype=torch.complex64)
    return torch.dot(ones, ones).real == 2


@pytest.mark.parametrize("name, dtype", supported(NAMES, ("bfloat16", "int64", "complex64")) + supported(
    MATRICES, ("int64", "bool")))
def test_other_dtypes(name, dtype):
    if dtype == "complex64" and not torch_multiplies_complex_vectors():
        pytest.skip("torch's complex dot product gives 0 under this preloaded BLAS")
    check(name, dtype, seconds=0.5)


@pytest.mark.parametrize("equation, shapes", [
    ("b h i d, b h j d -> b h i j", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("...ij,...jk->...ik", [(2, 3, 4), (2, 4, 5)]),
    ("ii->i", [(4, 4)]), ("ij->", [(2, 3)]), ("bhij,hjk", [(2, 3, 4, 5), (3, 5, 2)]), ("bn,anm,bm->ba", [
        (2, 5), (3, 5, 4), (2, 4)])])
def test_einsum(equation, shapes):
    operands = [torch.randn(shape, requires_grad=True) for shape in shapes]
    outcome = replay(lambda *x: torch.einsum(equation, *x), tuple(operands))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_einsum_with_numbered_dimensions():
    a, b = torch.randn(2, 3), torch.randn(3, 4)
    assert replay(lambda a, b: torch.einsum(a, [0, 1], b, [1, 2], [0, 2]), (a, b)).kind == "matched"


def test_large_integers_are_exact():
    a = torch.full((2, 3), 2**24 + 1)
    assert replay(lambda a: a @ a.T, (a,)).kind == "matched"


def test_the_operators():
    a, b = torch.randn(2, 3, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    outcome = replay(lambda a, b: a @ b, (a, b))
    assert "v0 @ v1" in outcome.source and outcome.gradients == "matched", outcome


def test_distances_of_equal_rows_have_torch_s_gradient():
    x = torch.ones(3, 4, requires_grad=True)
    outcome = replay(lambda x: torch.cdist(x, x), (x,))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
