"""Sequence models written in plain torch: recurrent, attention, experts, caches, sound."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .recipe import Recipe, Size, normal


class Tagger(nn.Module):
    """A stacked bidirectional LSTM, then a GRU."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(48, 16, batch_first=True)
        self.head = nn.Linear(16, 7)

    def forward(self, ids):
        hidden, _ = self.lstm(self.embed(ids))
        hidden, _ = self.gru(hidden)
        return self.head(hidden)


class PackedEncoder(nn.Module):
    """Sequences of different lengths, packed for the GRU and padded again."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(8, 12, batch_first=True)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, last = self.gru(packed)
        output, _ = pad_packed_sequence(output, batch_first=True, total_length=x.size(1))
        return output, last[-1]


class GPTBlock(nn.Module):
    def __init__(self, width: int, heads: int, context: int):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.register_buffer("mask", torch.tril(torch.ones(context, context)).view(1, 1, context, context))

    def attend(self, x):
        B, T, C = x.size()
        q, k, v = self.qkv(x).split(C, dim=2)
        k = k.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        q = q.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        v = v.view(B, T, self.heads, C // self.heads).transpose(1, 2)
        scores = (q @ k.transpose(-2, -1)) * (1.0 / (k.size(-1) ** 0.5))
        scores = scores.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        weights = F.softmax(scores, dim=-1)
        return self.out((weights @ v).transpose(1, 2).contiguous().view(B, T, C))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class NanoGPT(nn.Module):
    """Attention written out by hand; the head's weight is the embedding's."""

    def __init__(self, width=32, vocabulary=50, context=32, layers=3):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(GPTBlock(width, 4, context) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids):
        _, length = ids.size()
        x = self.tokens(ids) + self.positions(torch.arange(0, length, device=ids.device))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Cache:
    """Keys and values of the tokens so far, one pair per layer; handed in and changed by the model."""

    def __init__(self, keys: list[Tensor], values: list[Tensor]):
        self.keys, self.values = keys, values

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        self.keys[layer] = torch.cat([self.keys[layer], key], dim=2)
        self.values[layer] = torch.cat([self.values[layer], value], dim=2)
        return self.keys[layer], self.values[layer]


class CachedAttention(nn.Module):
    """One decoding step: new tokens attend to what the cache holds and to themselves."""

    def __init__(self, width=32, heads=4, layers=2):
        super().__init__()
        self.heads = heads
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width, bias=False) for _ in range(layers))
        self.out = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(layers))

    def forward(self, x, cache):
        batch, length, width = x.shape
        for layer, (qkv, out) in enumerate(zip(self.qkv, self.out, strict=True)):
            q, k, v = (part.reshape(batch, length, self.heads, -1).transpose(1, 2)
                       for part in qkv(x).chunk(3, dim=-1))
            k, v = cache.append(layer, k, v)
            attended = F.scaled_dot_product_attention(q, k, v)
            x = x + out(attended.transpose(1, 2).reshape(batch, length, width))
        return x


class Experts(nn.Module):
    """Each token goes to its two best experts; which rows an expert sees depends on the data."""

    def __init__(self, width=16, experts=4):
        super().__init__()
        self.gate = nn.Linear(width, experts, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, width)) for _ in range(experts))

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        weights, chosen = self.gate(tokens).softmax(dim=-1).topk(2, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        result = torch.zeros_like(tokens)
        for index, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == index)
            if rows.numel():
                result.index_add_(0, rows, expert(tokens[rows]) * weights[rows, place, None])
        return result.view_as(x)


class EinsumAttention(nn.Module):
    """einsum, a learned relative bias looked up by index, and an additive mask."""

    def __init__(self, width=16, heads=2, reach=4):
        super().__init__()
        self.heads, self.reach = heads, reach
        self.qkv = nn.Parameter(torch.randn(3, width, heads, width // heads) * width ** -0.5)
        self.bias = nn.Embedding(2 * reach + 1, heads)

    def forward(self, x):
        q, k, v = torch.einsum("btc,xchd->xbhtd", x, self.qkv).unbind(0)
        positions = torch.arange(x.shape[1], device=x.device)
        distance = (positions[None] - positions[:, None]).clamp(-self.reach, self.reach) + self.reach
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) + self.bias(distance).permute(2, 0, 1)
        scores = scores + torch.full_like(scores[0, 0], float("-inf")).triu(1)
        return torch.einsum("bhqk,bhkd->bqhd", scores.softmax(-1), v).flatten(2)


class AudioStack(nn.Module):
    """Causal dilated 1-d convolutions with gates and skips, as in WaveNet."""

    def __init__(self, channels=8, layers=3):
        super().__init__()
        self.first = nn.Conv1d(1, channels, 1)
        self.gates = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2,
                                             dilation=2 ** i) for i in range(layers))
        self.last = nn.Conv1d(channels, 4, 1)

    def forward(self, wave):
        x = self.first(wave)
        total = 0
        for i, gate in enumerate(self.gates):
            signal, switch = gate(F.pad(x, (2 ** i, 0))).chunk(2, dim=1)
            step = torch.tanh(signal) * torch.sigmoid(switch)
            x, total = x + step, total + step
        return self.last(F.leaky_relu(total, 0.2))


# ------------------------------------------------------------------------------ the list


def _ids(first: int, other: int):
    return lambda size: ((torch.randint(0, 50, (size.batch, size.pick(first, other))),), {})


def _two_sequences(size: Size):
    return (torch.randn(size.batch, size.pick(9, 6), 32), torch.randn(size.batch, size.pick(7, 5), 32)), {}


def _step_with_cache(size: Size):
    def past():
        return [torch.randn(size.batch, 4, size.pick(6, 9), 8) for _ in range(2)]

    return (torch.randn(size.batch, 1, 32), Cache(past(), past())), {}


def _packed(size: Size):
    longest = size.pick(7, 5)
    lengths = torch.arange(size.batch) % longest + 2
    lengths[-1] = longest
    return (torch.randn(size.batch, longest, 8), lengths), {}


def _transformer_encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 3)


MODELS = {
    "lstm_gru": Recipe(Tagger, _ids(9, 6)),
    "torch_txenc": Recipe(_transformer_encoder, normal((9, 6), 32)),
    "torch_tx": Recipe(lambda: nn.Transformer(32, 4, 2, 2, 64, batch_first=True), _two_sequences),
    "nanogpt": Recipe(NanoGPT, _ids(12, 9)),
    "moe": Recipe(Experts, normal((6, 4), 16)),
    "kv_cache": Recipe(CachedAttention, _step_with_cache),
    "conv1d_audio": Recipe(AudioStack, normal(1, (40, 56))),
    "packed_sequence": Recipe(PackedEncoder, _packed),
    "einsum_attention": Recipe(EinsumAttention, normal((7, 5), 16)),
}
