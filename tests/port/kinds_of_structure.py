"""Small models whose parts are put together unusually: arguments, results, attributes, sharing, writes into views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm


class NestedInputs(nn.Module):
    """Tensors inside dicts and lists, plain defaults."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, batch, scale=2.0, mask=None):
        y = self.linear(batch["x"]) * scale + batch["z"][0]
        return {"y": y, "parts": [batch["x"], {"k": batch["z"][1]}]}


class AwkwardNames(nn.Module):
    """Attributes that an mlx.nn.Module answers to itself, or would hide."""

    def __init__(self):
        super().__init__()
        self.keys = nn.Linear(4, 4)
        self.values = nn.Linear(4, 4)
        self._hidden = nn.Linear(4, 4)
        self.items = nn.ModuleDict({"a b": nn.Linear(4, 4), "1": nn.Linear(4, 4), "class": nn.ReLU()})
        self.register_parameter("_p", nn.Parameter(torch.randn(4)))
        self.state = nn.Parameter(torch.randn(4))

    def forward(self, input):
        k = self.keys(input)
        h = self._hidden(self.values(k))
        return self.items["class"](self.items["a b"](h) + self.items["1"](k)) * self._p + self.state


class Pair(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor


@dataclass
class Result:
    logits: torch.Tensor
    hidden: tuple


class StructuredResult(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        h = self.linear(x)
        return Result(h, (x + 1, Pair(h * 2, h.sum(-1)), None, 3))


class WritesThroughViews(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x)
        z = y.clone()
        v = z[:, 1:3]
        v.mul_(2)
        w = z.view(-1)
        w[0] = 5.0
        z[:, 0] += 1
        z.t().add_(1)
        a, _ = z.chunk(2, 1)
        a.zero_()
        return z, y, v, torch.relu_(z.clone())


class Block1d(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x):
        return F.silu(self.norm(self.conv(x)))


class Around(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block
        self.out = nn.Conv1d(4, 4, 1)

    def forward(self, x):
        return self.out(self.block(x))


class SharedBlock(nn.Module):
    """One module with weights held in two places, and called from a third."""

    def __init__(self):
        super().__init__()
        block = Block1d()
        self.first, self.second = Around(block), Around(block)

    def forward(self, x):
        return self.second(self.first(x)) + self.first.block(x)


class LooseParameters(nn.Module):
    """Parameter lists and dicts, tied weights, unsaved buffers, tensors as plain attributes."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(torch.randn(4, 4)) for _ in range(3)])
        self.extra = nn.ParameterDict({"bias": nn.Parameter(torch.randn(4))})
        self.a = nn.Linear(4, 4, bias=False)
        self.b = nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("position", torch.randn(1, 6, 4), persistent=False)
        self.scale = torch.tensor(0.5)
        self.pair = (torch.ones(4) * 2,)

    def forward(self, x):
        for weight in self.weights:
            x = torch.tanh(x @ weight)
        return self.b(self.a(x)) + self.extra["bias"] + self.position[:, : x.shape[1]] * self.scale + self.pair[0]


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(3, 4, 3))
        self.linear = spectral_norm(nn.Linear(4, 4))

    def forward(self, x):
        return self.linear(self.conv(x).transpose(1, 2))


class WritesToData(nn.Module):
    """Writes past autograd, as older code does."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, mask):
        energy = self.linear(x)
        energy.data.masked_fill_(mask, -1e4)
        state = x.data.new(x.size(0), 4).zero_()
        return energy.softmax(-1) + state


class Variadic(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, *others, flag=True, bias=None, **named):
        y = self.linear(x) + others[0]
        return y * named["gain"] if flag else y


class MultiheadAttention(nn.Module):
    """A class of the name that a block has which its own port needs."""

    def __init__(self):
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x)[0]
