"""Small models with a NaN or Inf planted at a known operation, and clean ones that look suspicious."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

INF = float("inf")


class Scaled(nn.Module):
    """A linear layer, and a step after it that may go wrong, in a module called ``bad``."""

    def __init__(self, step: Callable, **parts: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.bad = Step(step, **parts)

    def forward(self, x):
        return self.bad(self.first(x)) * 1.0


class Step(nn.Module):
    def __init__(self, step: Callable, **parts: nn.Module) -> None:
        super().__init__()
        self.step = step
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.step(self, x)


@dataclass
class Planted:
    """``operation`` is the end of the name of the operation that is to be found, ``path`` its module."""

    name: str
    step: Callable
    operation: str
    made: str
    path: str = "bad"
    half: bool = False
    parts: Callable[[], dict[str, Any]] = dict
    x: torch.Tensor | None = None

    def model(self) -> tuple[nn.Module, torch.Tensor]:
        torch.manual_seed(0)
        model, x = Scaled(self.step, **self.parts()).eval(), torch.randn(3, 4) if self.x is None else self.x
        return (model.half(), x.half()) if self.half else (model, x)


def _masked(x, rows):
    mask = torch.zeros(x.shape, dtype=torch.bool)
    mask[:rows] = True
    return x.masked_fill(mask, -INF)


def _bad_embedding() -> dict[str, nn.Module]:
    table = nn.Embedding(5, 4)
    with torch.no_grad():
        table.weight[2] = math.nan
    return {"table": table}


FORWARD = [
    Planted("log of 0", lambda m, x: torch.log(torch.relu(x) * 0), "torch.log", "−Inf"),
    Planted("log of a negative number", lambda m, x: torch.log(-x.abs() - 1) + 1, "torch.log", "NaN"),
    Planted("0/0", lambda m, x: (x * 0) / (x * 0), "div", "NaN"),
    Planted("1/0", lambda m, x: (x - x).reciprocal() + x, "reciprocal", "+Inf"),
    Planted("exp overflow", lambda m, x: torch.exp(x.abs() * 1e4) + 1, "torch.exp", "+Inf"),
    Planted("matmul overflow in float16", lambda m, x: (x * 2e4) @ (x * 2e4).T, "matmul", "+Inf", half=True),
    Planted(
        "linear overflow in float16",
        lambda m, x: m.wide(x.abs() * 2e4),
        "linear",
        "+Inf",
        "bad.wide",
        half=True,
        parts=lambda: {"wide": _constant(nn.Linear(4, 4), 9.0)},
    ),
    Planted("softmax over a masked row", lambda m, x: torch.softmax(_masked(x, 1), -1), "torch.softmax", "NaN"),
    Planted("division by a norm of 0", lambda m, x: x * 0 / (x * 0).norm(dim=-1, keepdim=True), "div", "NaN"),
    Planted("division by a zero std", lambda m, x: (x - x.mean(0)) / (x * 0).std(0), "div", "+Inf"),
    Planted("the mean of nothing", lambda m, x: x + x[:0].mean(0), "mean", "NaN"),
    Planted("pow of a negative number", lambda m, x: (-x.abs() - 1) ** 0.5, "pow", "NaN"),
    Planted("acos outside its range", lambda m, x: torch.acos(x.abs() + 2), "torch.acos", "NaN"),
    Planted("Inf − Inf", lambda m, x: torch.exp(x.abs() * 1e3) - torch.exp(x.abs() * 1e3), "torch.exp", "+Inf"),
    Planted("rsqrt of 0", lambda m, x: x * torch.rsqrt(x * 0), "torch.rsqrt", "+Inf"),
    Planted(
        "a batch norm that overflows float16",
        lambda m, x: m.norm(x * 0 + 6e4),
        "batch_norm",
        "+Inf",
        "bad.norm",
        half=True,
        parts=lambda: {"norm": _tiny_variance(nn.BatchNorm1d(4))},
    ),
    Planted(
        "an embedding with a NaN row",
        lambda m, x: x + m.table(torch.tensor([2])),
        "table.weight",
        "NaN",
        "bad.table",
        parts=_bad_embedding,
    ),
    Planted(
        "NaN in the input", lambda m, x: torch.tanh(x), "x", "NaN", "first", x=torch.tensor([[1.0, math.nan, 0, 2]])
    ),
    Planted(
        "a NaN that is written", lambda m, x: torch.where(x > -9, torch.full_like(x, math.nan), x), "full_like", "NaN"
    ),
    Planted("in place, through a view", lambda m, x: _log_of_first_row(x.clone()), "log_", "NaN"),
]


def _constant(layer: nn.Linear, value: float) -> nn.Linear:
    nn.init.constant_(layer.weight, value)
    return layer


def _tiny_variance(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    norm.running_var.fill_(1e-8)
    norm.eps = 1e-8
    return norm


def _log_of_first_row(x: torch.Tensor) -> torch.Tensor:
    x[0].abs_().neg_().sub_(1).log_()
    return x


class BadBackward(torch.autograd.Function):
    """Its derivative is NaN."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


BACKWARD = [
    Planted("sqrt'(0)", lambda m, x: torch.sqrt(torch.relu(x) * 0), "SqrtBackward0", "+Inf"),
    Planted("the root of a sum of squares", lambda m, x: ((x * 0) ** 2).sum(-1).sqrt(), "SqrtBackward0", "+Inf"),
    Planted(
        "log behind where", lambda m, x: torch.where(x > 9, torch.log(torch.relu(x) * 0), x), "LogBackward0", "NaN"
    ),
    Planted("pow'(0)", lambda m, x: (x * 0).abs() ** 0.5, "PowBackward0", "+Inf"),
    Planted("acos at the bound", lambda m, x: torch.acos((x * 0) + 1), "AcosBackward0", "−Inf"),
    Planted("asin at the bound", lambda m, x: torch.asin((x * 0) - 1), "AsinBackward0", "+Inf"),
    Planted(
        "division behind where",
        lambda m, x: torch.where(x > 9, 1 / (x * 0), x),
        "ReciprocalBackward0|MulBackward0",
        "NaN",
    ),
    Planted("a custom autograd.Function", lambda m, x: BadBackward.apply(x), "BadBackwardBackward", "NaN"),
    Planted("gradient overflow in float16", lambda m, x: (x * 1e-6) * 6e4 * 6e4, "MulBackward0", "+Inf", half=True),
]


def _causal(m, x):
    return torch.softmax((x @ x.T) + torch.full((3, 3), -INF).triu(1), -1)


CLEAN = {
    "plain": lambda m, x: torch.relu(x),
    "masked attention": lambda m, x: torch.softmax(_masked(x, 0).masked_fill(torch.eye(3, 4) > 0, -INF), -1),
    "an additive causal mask": _causal,
    "sdpa, causal": lambda m, x: F.scaled_dot_product_attention(
        x[None, None], x[None, None], x[None, None], is_causal=True
    ),
    "where guards log": lambda m, x: torch.where(x > 0, torch.log(x.clamp(min=1e-6)), x),
    "a naive sigmoid": lambda m, x: 1 / (1 + torch.exp(x * 200)),
    "masked logits as the result": lambda m, x: x.masked_fill(torch.eye(3, 4) > 0, -INF),
    "the largest of what is not masked": lambda m, x: _masked(x, 1).amax(0),
    "logsumexp of a mask": lambda m, x: torch.logsumexp(x.masked_fill(torch.eye(3, 4) > 0, -INF), -1),
    "a loss with ignored targets": lambda m, x: F.cross_entropy(x, torch.tensor([0, -100, 1])),
    "nan_to_num": lambda m, x: torch.nan_to_num(x, nan=0.0, posinf=INF),
    "clamp with open ends": lambda m, x: x.clamp(-INF, INF),
}
