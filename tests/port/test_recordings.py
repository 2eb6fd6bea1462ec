"""At which sizes a model is recorded: only where a comparison in its forward may come out differently."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from t2m_notebook.capture import record
from t2m_notebook.parity.recordings import recordings_of


class Compares(nn.Module):
    """Token ids (N, L) to a sum; compares a size that is given by ``size``."""

    def __init__(self, size, bound: int):
        super().__init__()
        self.table, self.size, self.bound = nn.Embedding(20, 4), size, bound
        self.seen: list[tuple[int, ...]] = []

    def forward(self, ids):
        self.seen.append(tuple(ids.shape))
        x = self.table(ids)
        if self.size(x) > self.bound:
            x = x * 2
        return x.sum(-1)


def lengths(model: nn.Module, length: int = 16) -> set[int]:
    """The lengths at which the model ran."""
    ids = torch.randint(0, 20, (1, length))
    example, _ = record(model.eval(), ids, keep="boundaries")
    recordings_of(example, (ids,), {})
    return {shape[1] for shape in model.seen}


@pytest.mark.parametrize(("size", "bound", "expected"), [
    (lambda x: x.shape[1], 1, {16, 19, 1}),  # 33 is more than 1 too, as 16 and 19 are
    (lambda x: x.shape[1], 20, {16, 19, 33}),  # a length of one is no more than 20 either
    (lambda x: x.shape[1] * 2, 10, {16, 19, 1, 2, 3}),
    (lambda x: x.shape[1] % 5, 0, {16, 19}),  # 33 and 1 leave a rest too
    (lambda x: x.shape[1] % 8, 0, {16, 19, 33, 1, 2, 3}),  # 19 went another way, so it tells nothing of 33
    (lambda x: x.shape[2], 1, {16, 19}),  # does not follow the length
    (lambda x: x[:, ::2].shape[1], 4, {16, 19, 33, 1, 2, 3}),  # follows it in a way that only torch knows
    (lambda x: -1, 0, {16, 19}),
], ids=["one", "twenty", "twice", "rest", "no rest", "width", "every second", "no comparison"])
def test_the_sizes_that_may_branch(size, bound, expected):
    assert lengths(Compares(size, bound)) == expected


def test_another_path_is_found():
    model = Compares(lambda x: x.shape[1], 20)
    ids = torch.randint(0, 20, (1, 16))
    example, _ = record(model.eval(), ids, keep="boundaries")
    found = recordings_of(example, (ids,), {})
    assert [len(list(one.calls())) for one in found.others] == [len(list(example.calls())) + 1]
