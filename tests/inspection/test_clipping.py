"""Clipping and cleaning gradients, and what the frameworks themselves do with an Inf."""

from __future__ import annotations

import json
import math

import mlx.core as mx
import mlx.nn
import mlx.optimizers as optim
import pytest
import torch

import t2m_notebook as t2m
from t2m_notebook.errors import BadExample


def linear(*values: float) -> torch.nn.Linear:
    layer = torch.nn.Linear(len(values), 1, bias=False)
    layer.weight.grad = torch.tensor([values])
    return layer


def test_the_frameworks_own_clipping_gives_zeros_and_nan() -> None:
    layer = linear(1.0, math.inf)
    torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
    assert layer.weight.grad[0, 0] == 0 and layer.weight.grad[0, 1].isnan()
    clipped, _ = optim.clip_grad_norm({"w": mx.array([1.0, math.inf])}, 1.0)
    assert clipped["w"][0].item() == 0 and mx.isnan(clipped["w"][1]).item()


def test_clipping_is_torchs() -> None:
    mine, theirs = linear(3.0, 4.0), linear(3.0, 4.0)
    report = t2m.clip_gradients(mine, 1.0)
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    assert torch.equal(mine.weight.grad, theirs.weight.grad)
    assert report.changed and report.norm_before == 5.0 and "norm 5 clipped to 1" in str(report)
    assert not t2m.clip_gradients(linear(0.1), 1.0).changed


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nothing_is_clipped_by_a_bad_norm(bad: float) -> None:
    layer = linear(1.0, bad)
    report = t2m.clip_gradients(layer, 1.0)
    assert layer.weight.grad[0, 0] == 1 and not report.changed and "not clipped: weight (1 " in str(report)
    cleaned = t2m.sanitise(layer)
    assert cleaned.changed and cleaned.norm_after == 1.0 and layer.weight.grad.tolist() == [[1.0, 0.0]]
    assert json.loads(cleaned.to_json())["bad"][0]["name"] == "weight"


def test_mlx_gradients_are_new_values() -> None:
    gradients = {"a": {"weight": mx.array([3.0, 4.0])}}
    report = t2m.clip_gradients(gradients, 1.0)
    expected, norm = optim.clip_grad_norm(gradients, 1.0)
    assert mx.allclose(report.gradients["a"]["weight"], expected["a"]["weight"]).item()
    assert report.norm_before == norm.item() and gradients["a"]["weight"].tolist() == [3.0, 4.0]
    bad = {"w": mx.array([1.0, math.inf, math.nan])}
    assert "not clipped: w (1 NaN, 1 Inf)" in str(t2m.clip_gradients(bad, 1.0))
    assert t2m.sanitise(bad).gradients["w"].tolist() == [1.0, 0.0, 0.0]


def test_bad_input() -> None:
    with pytest.raises(BadExample, match="no gradients"):
        t2m.clip_gradients(torch.nn.Linear(2, 2), 1.0)
    with pytest.raises(BadExample, match="value_and_grad"):
        t2m.clip_gradients(mlx.nn.Linear(2, 2), 1.0)
    table = torch.nn.Embedding(3, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(BadExample, match="to_dense"):
        t2m.clip_gradients(table, 1.0)
