"""Where torch's gradient ends, MLX's must: at integers and masks made of numbers, and at places found in them."""

import pytest
import torch
import torch.nn.functional as F

from tests.rules.replay import replay

ROWS = torch.arange(4)
EDGES = torch.arange(4.0)


def written(x):
    target = torch.zeros(4, 5, dtype=torch.long)
    target[0] = x[0]
    return target * x


PLACES = {
    "argmax": lambda x: x[ROWS, x.argmax(1)],
    "argmin, kept": lambda x: x.gather(1, x.argmin(1, keepdim=True)),
    "max with indices": lambda x: x.gather(1, x.max(1, keepdim=True)[1]),
    "argsort": lambda x: x.gather(1, x.argsort(1)),
    "topk": lambda x: x.gather(1, x.topk(2, 1)[1]),
    "cummax": lambda x: x.gather(1, x.cummax(1)[1]),
    "median": lambda x: x.gather(1, x.median(1, keepdim=True)[1]),
    "kthvalue": lambda x: x.gather(1, x.kthvalue(2, 1, keepdim=True)[1]),
    "mode": lambda x: x.gather(1, x.mode(1, keepdim=True)[1]),
    "floor": lambda x: x[0][x.abs().floor().long().clamp(0, 4)],
    "searchsorted": lambda x: x[0][torch.searchsorted(EDGES, x).clamp(0, 4)],
    "bucketize": lambda x: x[0][torch.bucketize(x, EDGES).clamp(0, 4)],
    "nonzero": lambda x: x[(x > 0).nonzero(as_tuple=True)],
    "scatter": lambda x: torch.zeros_like(x).scatter(1, x.argmax(1, keepdim=True), 1.0) * x,
    "one_hot": lambda x: (F.one_hot(x.argmax(1), 5) * x).sum(1),
}
CASTS = {
    "long": lambda x: x * x.long(), "int": lambda x: x.int() * x, "bool": lambda x: x * x.bool(),
    "to": lambda x: x * x.to(torch.int32).float(), "type": lambda x: x * x.type(torch.int32),
    "type_as": lambda x: x * x.type_as(ROWS), "byte": lambda x: x * x.abs().byte(),
    "copy_": lambda x: torch.zeros(4, 5, dtype=torch.long).copy_(x) * x, "setitem": written,
}


@pytest.mark.parametrize("function", [pytest.param(case, id=name) for name, case in (PLACES | CASTS).items()])
def test_the_gradient_is_torchs(function):
    x = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).mul(2).requires_grad_()
    outcome = replay(function, (x,))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_integers_stay_plain():
    source = replay(lambda i: i.argmax(1) + i.int().sum(1), (torch.arange(20).reshape(4, 5),)).source
    assert "stop_gradient" not in source
