"""Models written in plain torch, each of a kind that needs something the others don't."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .recipe import Recipe, Size, images

# ------------------------------------------------------------------------------- images


class CNN(nn.Module):
    """Convolutions, batch norm, pooling, and a flatten whose size depends on the image."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.norm2 = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Linear(16 * 8 * 8, 10)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = self.pool(F.relu(self.norm2(self.conv2(x))))
        x = x.view(x.size(0), -1)
        return self.classifier(x)


class DoubleConv(nn.Module):
    def __init__(self, channels_in: int, channels_out: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.GroupNorm(4, channels_out), nn.SiLU(),
            nn.Conv2d(channels_out, channels_out, 3, padding=1), nn.GroupNorm(4, channels_out), nn.SiLU())

    def forward(self, x):
        return self.net(x)


class UNet(nn.Module):
    """Skip connections kept in a list, upsampling, concatenation, a transposed convolution."""

    def __init__(self, channels=(8, 16, 32)):
        super().__init__()
        pairs = list(zip(channels, channels[1:], strict=False))
        self.stem = DoubleConv(3, channels[0])
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in pairs)
        self.up = nn.ModuleList(DoubleConv(a + b, a) for a, b in pairs)
        self.widen = nn.ConvTranspose2d(channels[0], channels[0], 2, stride=2)
        self.head = nn.Conv2d(channels[0], 2, 1)

    def forward(self, x):
        x = self.stem(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(F.max_pool2d(x, 2))
        for i in reversed(range(len(self.up))):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = self.up[i](torch.cat([x, skips[i]], dim=1))
        return self.head(self.widen(x))


class VAE(nn.Module):
    """Flatten and Unflatten around linear layers; three outputs."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
                                     nn.Flatten())
        self.mean = nn.Linear(16 * 7 * 7, 8)
        self.log_variance = nn.Linear(16 * 7 * 7, 8)
        self.widen = nn.Linear(8, 16 * 7 * 7)
        self.decoder = nn.Sequential(nn.Unflatten(1, (16, 7, 7)), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(),
                                     nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid())

    def forward(self, x):
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean + torch.exp(0.5 * log_variance) * 0.1
        return self.decoder(self.widen(code)), mean, log_variance


class SpatialTransformer(nn.Module):
    """affine_grid and grid_sample."""

    def __init__(self):
        super().__init__()
        self.localise = nn.Sequential(nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
        self.affine = nn.Linear(4 * 3 * 3, 6)
        self.register_buffer("identity", torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, x):
        theta = (self.identity + 0.1 * self.affine(self.localise(x))).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, align_corners=False)


class VideoNet(nn.Module):
    """3-d convolution, batch norm and pooling."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm3d(8)
        self.pool = nn.MaxPool3d((1, 2, 2))
        self.mix = nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0), groups=4)
        self.head = nn.Linear(8, 5)

    def forward(self, video):
        x = self.pool(F.relu(self.norm(self.conv(video))))
        x = F.avg_pool3d(self.mix(x), 2)
        return self.head(x.mean(dim=(2, 3, 4)))


# ---------------------------------------------------------------------------- sequences


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
        self.gates = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2, dilation=2 ** i) for i in range(layers))
        self.last = nn.Conv1d(channels, 4, 1)

    def forward(self, wave):
        x = self.first(wave)
        total = 0
        for i, gate in enumerate(self.gates):
            signal, switch = gate(F.pad(x, (2 ** i, 0))).chunk(2, dim=1)
            step = torch.tanh(signal) * torch.sigmoid(switch)
            x, total = x + step, total + step
        return self.last(F.leaky_relu(total, 0.2))


# -------------------------------------------------------------------- forms of modules


@dataclass
class Prediction:
    """An output that is neither a tensor nor a tuple."""

    logits: Tensor
    hidden: list[Tensor]
    loss: Tensor | None = None


class DataclassOutput(nn.Module):
    """Returns a dataclass with a list inside and a field that stays None."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({"first": nn.Linear(6, 8), "second": nn.Linear(8, 8)})
        self.head = nn.Linear(8, 3)

    def forward(self, x, labels=None):
        hidden = []
        for layer in self.layers.values():
            x = torch.tanh(layer(x))
            hidden.append(x)
        logits = self.head(x)
        loss = F.cross_entropy(logits, labels) if labels is not None else None
        return Prediction(logits, hidden, loss)


class SharedModules(nn.Module):
    """One block used three times, under two names, and an activation used everywhere."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.block = nn.Sequential(nn.Linear(8, 8), self.act)
        self.again = self.block
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        for _ in range(2):
            x = self.norm(x + self.block(x))
        return self.act(self.again(x))


class TiedAutoencoder(nn.Module):
    """The decoder uses the encoder's weight, transposed, through the functional interface."""

    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(12, 5)
        self.bias = nn.Parameter(torch.zeros(12))

    def forward(self, x):
        code = torch.sigmoid(self.encode(x))
        return F.linear(code, self.encode.weight.t(), self.bias), code


class InPlace(nn.Module):
    """In-place operations on whole tensors, on views and through indexing."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.scale = nn.Parameter(torch.rand(8) + 0.5)

    def forward(self, x):
        y = self.linear(x)
        y.mul_(self.scale).add_(x, alpha=0.5)
        F.relu(y[..., :4], inplace=True)
        y[..., 4:6] = y[..., 4:6].clamp(-0.5, 0.5)
        y[:, 0] += 1.0
        y.masked_fill_(y > 2.0, 2.0)
        left, right = y.chunk(2, dim=-1)
        right.copy_(left * 2 + right)
        return y


class ComplexFilter(nn.Module):
    """A filter in the frequency domain with complex weights, stored as pairs of reals."""

    def __init__(self, length=16, channels=4):
        super().__init__()
        self.length = length
        self.weight = nn.Parameter(torch.randn(channels, length // 2 + 1, 2) * 0.3)

    def forward(self, x):
        spectrum = torch.fft.rfft(x, dim=-1, norm="ortho") * torch.view_as_complex(self.weight)
        filtered = torch.fft.irfft(spectrum, n=self.length, dim=-1, norm="ortho")
        return filtered, spectrum.abs(), torch.view_as_real(spectrum)


class BilinearScore(nn.Module):
    """nn.Bilinear, and distances between its two inputs."""

    def __init__(self):
        super().__init__()
        self.score = nn.Bilinear(6, 5, 3)
        self.project = nn.Linear(5, 6)

    def forward(self, left, right):
        similarity = F.cosine_similarity(left, self.project(right), dim=-1)
        return self.score(left, right), similarity, torch.cdist(left, self.project(right))


# ------------------------------------------------------------------------------ the list


def _ids(first: int, other: int):
    return lambda size: ((torch.randint(0, 50, (size.batch, size.pick(first, other))),), {})


def _normal(*shape: int | tuple[int, int]):
    """One positional tensor; a pair in ``shape`` is the extent in the first and the second example."""

    def example(size: Size):
        extents = [size.pick(*extent) if isinstance(extent, tuple) else extent for extent in shape]
        return (torch.randn(size.batch, *extents),), {}

    return example


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


def _pair(size: Size):
    length = size.pick(4, 6)
    return (torch.randn(size.batch, length, 6), torch.randn(size.batch, length, 5)), {}


def _transformer_encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 3)


MODELS = {
    "cnn": Recipe(CNN, images(32)),
    "unet": Recipe(UNet, images(32, 48)),
    "vae": Recipe(VAE, images(28, channels=1)),
    "lstm_gru": Recipe(Tagger, _ids(9, 6)),
    "torch_txenc": Recipe(_transformer_encoder, _normal((9, 6), 32)),
    "torch_tx": Recipe(lambda: nn.Transformer(32, 4, 2, 2, 64, batch_first=True), _two_sequences),
    "nanogpt": Recipe(NanoGPT, _ids(12, 9)),
    "moe": Recipe(Experts, _normal((6, 4), 16)),
    "kv_cache": Recipe(CachedAttention, _step_with_cache),
    "dataclass_output": Recipe(DataclassOutput, _normal(6)),
    "shared_modules": Recipe(SharedModules, _normal((5, 7), 8)),
    "tied_autoencoder": Recipe(TiedAutoencoder, _normal(12)),
    "in_place": Recipe(InPlace, _normal((5, 7), 8)),
    "complex_filter": Recipe(ComplexFilter, _normal(4, 16)),
    "conv1d_audio": Recipe(AudioStack, _normal(1, (40, 56))),
    "conv3d_video": Recipe(VideoNet, _normal(3, (4, 6), 16, 16)),
    "bilinear": Recipe(BilinearScore, _pair),
    "packed_sequence": Recipe(PackedEncoder, _packed),
    "spatial_transformer": Recipe(SpatialTransformer, images(16, 20, channels=1)),
    "einsum_attention": Recipe(EinsumAttention, _normal((7, 5), 16)),
}
