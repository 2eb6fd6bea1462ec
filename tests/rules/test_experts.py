"""Products of rows sorted by expert, which op_db does not have."""

import mlx.core as mx
import pytest
import torch
import torch.nn.functional as F

from t2m_notebook import blocks
from tests.rules.replay import replay

ENDS = torch.tensor([2, 2, 7], dtype=torch.int32)


def numbers(*sizes, dtype=torch.bfloat16):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_grouped_mm():
    outcome = replay(lambda x, w: F.grouped_mm(x, w, offs=ENDS), (numbers(7, 16), numbers(3, 16, 8)), gradients=False)
    assert outcome.kind == "matched" and "grouped_matmul(v0, v1" in outcome.source, outcome


@pytest.mark.parametrize("options, reason", [({}, "offs"), ({"offs": ENDS, "bias": numbers(8)}, "afterwards")])
def test_other_forms_are_refused(options, reason):
    x = numbers(7, 16) if options else numbers(3, 7, 16)
    try:
        outcome = replay(lambda x, w: F.grouped_mm(x, w, **options), (x, numbers(3, 16, 8)), gradients=False)
    except (RuntimeError, ValueError) as error:
        pytest.skip(f"torch has no such form on the CPU: {str(error)[:80]}")
    assert outcome.kind == "refused" and reason in outcome.detail, outcome


def test_each_row_meets_its_own_matrix():
    x, w = mx.random.normal((7, 4)), mx.random.normal((3, 4, 5))
    got = mx.compile(blocks.grouped_matmul)(x, w, mx.array([2, 2, 7]))
    assert mx.allclose(got, mx.concatenate([x[:2] @ w[0], x[2:] @ w[2]]), atol=1e-5).item()
    gradient = mx.grad(lambda w: mx.square(blocks.grouped_matmul(x, w, mx.array([2, 2, 7]))).sum())(w)
    assert mx.all(gradient[1] == 0).item() and mx.any(gradient[2] != 0).item()
