"""Small models whose forward computes as research code does: loops over time and experts, caches, attention, graphs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


class StepsThroughTime(nn.Module):
    """A Python loop over a sequence, its steps collected."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 6)
        ys = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            ys.append(self.out(h))
        return torch.stack(ys, 1), h


class StateAfterOutput(nn.Module):
    """A loop over time whose last step updates a state that nobody reads, and that writes its steps in place."""

    def __init__(self):
        super().__init__()
        self.decay = nn.Parameter(torch.rand(4))

    def forward(self, x):
        out = torch.zeros_like(x)
        state = torch.zeros_like(x[:, 0])
        for t in range(x.size(1)):
            now = x[:, t]
            out[:, t] = torch.tanh(state + now)
            state = state * torch.exp(-self.decay) + now
        return out


class PositionsFromLists(nn.Module):
    """Tensors made of Python's ranges, which are as long as the input."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(64, 4)

    def forward(self, x):
        length = x.shape[1]
        positions = torch.tensor(list(range(length)))
        backwards = torch.tensor([length - i for i in range(length)])
        angles = torch.as_tensor([0.5 * i for i in range(length)], dtype=torch.float32)
        return x + self.embedding(positions) + self.embedding(backwards) + angles.sin()[:, None]


class PartsByNumber(nn.Module):
    """Of each part of a tensor the column that the part's number says, inside a child."""

    class Columns(nn.Module):
        def forward(self, x):
            return torch.cat([part[:, i % 2] for i, part in enumerate(x.chunk(2, dim=-1))], -1)

    def __init__(self):
        super().__init__()
        self.columns = self.Columns()

    def forward(self, x):
        return self.columns(x.cos()) + self.columns(x.sin())


class RepeatedRows(nn.Module):
    """A numbered loop over the batch: each row's items as often as its counts say."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x, counts):
        longest = counts.sum(1).max()
        rows = torch.zeros(x.size(0), longest, x.size(2))
        for i, (row, count) in enumerate(zip(x, counts, strict=True)):
            repeated = torch.repeat_interleave(row, count, dim=0)
            rows[i, :repeated.size(0)] = repeated
        return self.out(rows)


class ExpertsThatWereHit(nn.Module):
    """A Python loop over the experts that some token chose: other tokens choose others."""

    def __init__(self, experts: int = 6):
        super().__init__()
        self.router = nn.Linear(8, experts)
        self.up = nn.Parameter(torch.randn(experts, 8, 8) / 3)

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = self.router(flat).softmax(-1).topk(2, -1)
        mask = nn.functional.one_hot(chosen, len(self.up)).permute(2, 1, 0)
        result = torch.zeros_like(flat)
        for expert in mask.sum((-1, -2)).gt(0).nonzero():
            place, token = torch.where(mask[expert[0]])
            result.index_add_(0, token, flat[token] @ self.up[expert[0]] * weights[token, place, None])
        return result.view_as(x)


class AttendingDecoder(nn.Module):
    """Two carried states, a context, teacher forcing."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.encoder = nn.GRU(8, 8, bidirectional=True, batch_first=True)
        self.decoder = nn.LSTMCell(8 + 16, 16)
        self.attention = nn.Linear(16, 16)
        self.out = nn.Linear(32, 20)

    def forward(self, source, target):
        memory, _ = self.encoder(self.embedding(source))
        batch = source.size(0)
        h = c = context = torch.zeros(batch, 16)
        embedded, steps = self.embedding(target), []
        for t in range(target.size(1)):
            h, c = self.decoder(torch.cat([embedded[:, t], context], 1), (h, c))
            weights = F.softmax(torch.bmm(memory, self.attention(h).unsqueeze(2)).squeeze(2), 1)
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            steps.append(self.out(torch.cat([h, context], 1)))
        return torch.stack(steps, dim=1)


class ConvolutionalMemory(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates = nn.Conv2d(3 + 4, 16, 3, padding=1)
        self.out = nn.Conv2d(4, 1, 1)

    def forward(self, x):
        B, T, _, H, W = x.shape
        h, c = torch.zeros(B, 4, H, W), torch.zeros(B, 4, H, W)
        for t in range(T):
            i, f, o, g = torch.chunk(self.gates(torch.cat([x[:, t], h], 1)), 4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return self.out(h)


class CachedAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.kv, self.o = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(16, 16)

    def forward(self, x, past=None):
        B, T, _ = x.shape
        q = self.q(x).view(B, T, 4, 4).transpose(1, 2)
        k, v = self.kv(x).chunk(2, -1)
        k, v = k.view(B, T, 4, 4).transpose(1, 2), v.view(B, T, 4, 4).transpose(1, 2)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        S = k.size(2)
        mask = torch.ones(T, S, dtype=torch.bool).tril(S - T)
        a = (q @ k.transpose(-2, -1) / 2).masked_fill(~mask, -torch.inf).softmax(-1)
        return self.o((a @ v).transpose(1, 2).reshape(B, T, 16)), (k, v)


class CachedDecoder(nn.Module):
    """Key-value cache in and out as nested tuples, tied head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.layers = nn.ModuleList(CachedAttention() for _ in range(2))
        self.head = nn.Linear(16, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids, pasts=None):
        x, new = self.embedding(ids), []
        for i, layer in enumerate(self.layers):
            y, past = layer(x, pasts[i] if pasts is not None else None)
            x = x + y
            new.append(past)
        return self.head(x), new


class Quantiser(nn.Module):
    """Nearest codebook row by argmin, straight-through, channels last and back."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, 1, 1))
        self.codebook = nn.Embedding(16, 4)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(4, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 3, 3, 1, 1))

    def forward(self, x):
        z = self.encoder(x).permute(0, 2, 3, 1).contiguous()
        flat, rows = z.view(-1, 4), self.codebook.weight
        distance = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ rows.t() + rows.pow(2).sum(1)
        index = distance.argmin(1)
        q = self.codebook(index).view(z.shape)
        loss = F.mse_loss(q.detach(), z) + 0.25 * F.mse_loss(q, z.detach())
        q = z + (q - z).detach()
        return self.decoder(q.permute(0, 3, 1, 2)), loss, index.view(z.shape[:-1])


class ModulatedConvolution(nn.Module):
    """One kernel a sample, through groups equal to the batch."""

    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, 4, 4, 4))
        self.weight = nn.Parameter(torch.randn(6, 4, 3, 3))
        self.style = nn.Linear(8, 4)

    def forward(self, z):
        x = self.start.repeat(z.shape[0], 1, 1, 1)
        B, C, H, W = x.shape
        w = self.weight[None] * self.style(z).view(B, 1, C, 1, 1)
        w = w * torch.rsqrt(w.pow(2).sum([2, 3, 4]) + 1e-8).view(B, -1, 1, 1, 1)
        y = F.conv2d(x.reshape(1, B * C, H, W), w.view(-1, C, 3, 3), padding=1, groups=B)
        return F.interpolate(F.leaky_relu(y.view(B, -1, H, W), 0.2), scale_factor=2, mode="nearest")


class ImageAttention(nn.Module):
    """Attention over the pixels of a feature map, with a time embedding."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 8, 3, padding=1)
        self.time = nn.Linear(16, 8)
        self.norm = nn.GroupNorm(4, 8)
        self.qkv = nn.Conv2d(8, 24, 1)
        self.out = nn.Conv2d(8, 3, 1)

    def forward(self, x, t):
        frequencies = torch.exp(-math.log(10000) * torch.arange(8, dtype=torch.float32) / 8)
        angles = t[:, None].float() * frequencies[None]
        x = self.inner(x) + self.time(torch.cat([angles.sin(), angles.cos()], -1))[:, :, None, None]
        B, C, H, W = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(B, 3, C, H * W).unbind(1)
        a = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(C), -1)
        return self.out(x + torch.einsum("bij,bcj->bci", a, v).reshape(B, C, H, W))


class GraphConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 3)

    def spread(self, x, edges):
        n = x.size(0)
        degree = torch.zeros(n).scatter_add_(0, edges[1], torch.ones(edges.size(1))).clamp(min=1)
        return torch.zeros(n, x.size(1)).index_add_(0, edges[1], x[edges[0]]) / degree.unsqueeze(-1)

    def forward(self, x, edges):
        return self.two(self.spread(F.relu(self.one(self.spread(x, edges))), edges))


class RotaryComplex(nn.Module):
    """Rotary positions as complex numbers from an unsaved complex buffer."""

    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(16, 16), nn.Linear(16, 8)
        angles = torch.outer(torch.arange(32).float(), 1 / 10000 ** (torch.arange(0, 8, 2).float() / 8))
        self.register_buffer("rotation", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, x):
        B, T, _ = x.shape

        def rotate(t):
            pairs = torch.view_as_complex(t.float().reshape(*t.shape[:-1], -1, 2))
            return torch.view_as_real(pairs * self.rotation[None, :T, None, :]).flatten(3).type_as(t)

        q = rotate(self.q(x).view(B, T, 2, 8))
        k = rotate(self.k(x).view(B, T, 1, 8)).repeat_interleave(2, dim=2)
        q, k = q.transpose(1, 2), k.transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, k, is_causal=True).transpose(1, 2).contiguous().view(B, T, 16)
