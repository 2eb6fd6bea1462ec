"""Numbers that a forward reads from tensors (``lengths.max().item()``, ``int(n)``, ``tolist()``) follow the data."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.types import Status


class Longest(nn.Module):
    """Cuts a batch to its longest row, as the data say."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, lengths):
        longest = int(lengths.max())
        mask = torch.arange(longest)[None] < lengths[:, None]
        return self.linear(x[:, :longest]) * mask[..., None]


class Mean(Longest):
    """Divides by what it read."""

    def forward(self, x, lengths):
        longest = lengths.max().item()
        return self.linear(x[:, :longest]).sum(1) / longest


class Scaled(Longest):
    """Reads a floating-point number."""

    def forward(self, x, lengths):
        scale = x.abs().max().item()
        return self.linear(x / scale) * float(lengths.max())


class RowByRow(Longest):
    """A loop over the batch, with a length of its own for each row."""

    def forward(self, x, lengths):
        return torch.stack([self.linear(x[i, :int(lengths[i])]).mean(0) for i in range(x.shape[0])])


class Parts(Longest):
    """Parts as long as a list says, which another module reads."""

    class Split(nn.Module):
        def forward(self, x, sizes):
            return x.split(sizes, 0)

    def __init__(self):
        super().__init__()
        self.split = self.Split()

    def forward(self, x, sizes):
        return torch.stack([self.linear(part).sum(0) for part in self.split(x, sizes.tolist())])


class OneByOne(Parts):
    """The same with positions of its own."""

    def forward(self, x, sizes):
        parts, start = [], 0
        for size in sizes.tolist():
            parts.append(self.linear(x[start:start + size]).mean(0))
            start += size
        return torch.stack(parts)


class Shifted(Longest):
    """Arithmetic on what ``int`` made of a tensor."""

    def forward(self, x, numbers):
        shift = int(numbers.max())
        pooled = torch.zeros(int(numbers.max().item()) + 1, 4).index_add(0, numbers, x[:, 0])
        return torch.roll(self.linear(x), -shift, 1).sum() + pooled


ROWS = [((2, 7, 4), [3, 6]), ((2, 7, 4), [5, 1]), ((2, 9, 4), [8, 8]), ((2, 7, 4), [1, 2])]
LISTS = [((9, 4), [3, 6]), ((9, 4), [7, 2]), ((5, 4), [1, 4])]


@pytest.mark.parametrize(("kind", "examples"), [
    (Longest, ROWS), (Mean, ROWS), (Scaled, ROWS), (RowByRow, [*ROWS, ((4, 7, 4), [1, 7, 3, 3])]), (Parts, LISTS),
    (OneByOne, LISTS), (Shifted, ROWS)], ids=lambda value: value.__name__ if isinstance(value, type) else "")
def test_other_data(kind, examples):
    model = kind().eval()
    inputs = [(torch.randn(shape), torch.tensor(numbers)) for shape, numbers in examples]
    port = t2m.port(model, inputs[0])
    try:
        report = port.parity()
        assert report.ok and port.problems == [], str(report)
        assert any(result.check.startswith("other values") for result in report.results)
        made = port.build()
        for x, numbers in inputs:
            want = model(x, numbers).detach()
            got = made(mx.array(x.numpy()), mx.array(numbers.numpy()))
            assert got.shape == tuple(want.shape)
            torch.testing.assert_close(torch.from_numpy(np.array(got)), want, atol=1e-5, rtol=1e-4)
    finally:
        port.close()


class Counts(Longest):
    """Keeps a running mean in a buffer, and counts its calls."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.ones(4))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return self.linear(x - self.mean)


def test_the_users_model_stays_as_it_was():
    model = Counts().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    port = t2m.port(model, (torch.randn(3, 4),))
    try:
        assert port.parity().ok
    finally:
        port.close()
    assert model.calls == 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_loop_over_rows_stays_a_loop():
    port = t2m.port(RowByRow().eval(), (torch.randn(2, 7, 4), torch.tensor([3, 6])))
    port.close()
    source = port.cells["RowByRow"].source
    assert "for t in range(lengths.shape[0]):" in source and "lengths[t].item()" in source


class Steered(nn.Module):
    """Data decide which way it goes; an example takes one."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, numbers):
        if numbers.max() > 5:
            x = self.linear(x)
        return x * 2


def test_data_decide_the_way():
    model = Steered().eval()
    x = torch.randn(2, 4)
    port = t2m.port(model, (x, torch.tensor([3, 6])))
    try:
        assert port.parity().ok
        made = port.build()
    finally:
        port.close()
    for numbers in ([3, 6], [1, 2], [6, 6], [5, 5]):
        want = model(x, torch.tensor(numbers)).detach()
        torch.testing.assert_close(torch.from_numpy(np.array(made(mx.array(x.numpy()), mx.array(numbers)))), want,
                                   atol=1e-5, rtol=1e-4)


class Compared(Steered):
    """Goes by a comparison of whole tensors, of which the port knows no other outcome."""

    def forward(self, x, numbers):
        return self.linear(x) if torch.equal(numbers, torch.tensor([3, 6])) else x


def test_a_way_that_the_example_did_not_take_is_no_plain_green():
    port = t2m.port(Compared().eval(), (torch.randn(2, 4), torch.tensor([3, 6])))
    try:
        report = port.parity()
    finally:
        port.close()
    other = next(result for result in report.results if result.check.startswith("other values"))
    assert other.status is Status.PARTIAL
    assert any("torch takes other values, this port does not compute the same there" in note
               for note in report.data.notes)


def test_a_forward_that_reads_nothing_is_not_run_on_other_values():
    port = t2m.port(nn.Linear(4, 4), torch.randn(2, 4))
    try:
        report = port.parity()
    finally:
        port.close()
    assert not any(result.check.startswith("other values") for result in report.results)
