"""Small torch modules around the functions that MLX has under the same name with another meaning."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Statistics(nn.Module):
    """Variance with its correction, a standardised value, a learned scale and shift."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.randn(6))
        self.shift = nn.Parameter(torch.randn(6))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        spread = x.var(-1, keepdim=True)
        x = (x - mean) / torch.sqrt(spread + 1e-3)
        return x * self.gain + self.shift


class Pieces(nn.Module):
    """Split into sizes, repeat as a whole, sorted."""

    def forward(self, x):
        first, second, third = torch.split(x, 2, dim=-1)
        a, b = torch.split(x, [2, 4], dim=-1)
        tiled = first.repeat(1, 3)
        top = torch.topk(x, 3, dim=-1).values
        return torch.cat([tiled + second.repeat_interleave(3, dim=-1), third * a, b], dim=-1), top


class Masked(nn.Module):
    """torch's own attention with a padding mask, whose True means blocked."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x, blocked):
        return self.attention(x, x, x, key_padding_mask=blocked, need_weights=False)[0]


class Causal(nn.Module):
    """Fewer queries than keys under a causal mask."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, memory):
        q, k, v = (layer(y).unflatten(-1, (2, 4)).transpose(1, 2)
                   for layer, y in ((self.query, x), (self.key, memory), (self.value, memory)))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


class Pictures(nn.Module):
    """Convolution, grouped and batch norms, pooling, upsampling, channels joined, flattened."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.group = nn.GroupNorm(3, 6)
        self.batch = nn.BatchNorm2d(6, eps=1e-3)
        self.pool = nn.AvgPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.scale = nn.Parameter(torch.randn(6))
        self.head = nn.Linear(6 * 4 * 4, 5)

    def forward(self, x):
        y = torch.cat([F.leaky_relu(self.conv(x), 0.2), x], dim=1)
        y = self.batch(self.group(y))
        y = self.up(self.pool(y)) + y
        y = y * self.scale[:, None, None]
        y = F.max_pool2d(y, 2)
        return self.head(torch.flatten(y, 1)), y.mean(dim=(2, 3))


class Half(nn.Module):
    """float16, with the squares that float16 can't hold summed in float32."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8, bias=False)

    def forward(self, x):
        wide = x.float()
        scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
        return self.first((wide * scale).half())


class Tokens(nn.Module):
    """Indices that go below zero, and an integer result."""

    def forward(self, x):
        place = x.argmax(-1)
        return (place - 9).clamp(min=-3), torch.cumsum((x > 0).long(), dim=1)


class Square(nn.Module):
    """Weights that fit either way round, held as parameters of the class."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 6))
        self.kernel = nn.Parameter(torch.randn(3, 3, 3, 3) * 0.2)
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, x, picture):
        return F.linear(x, self.weight, self.bias), F.conv2d(picture, self.kernel, padding=1)


class Steps(nn.Module):
    """A loop over layers with a residual, a norm and an activation, and a gate."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.norm = nn.LayerNorm(8)
        self.gate = nn.Linear(8, 8)

    def forward(self, x):
        for layer in self.layers:
            x = x + F.gelu(layer(self.norm(x)) * 3)
        return x * torch.sigmoid(self.gate(x)) - F.softmax(x, dim=1)


class Turned(nn.Module):
    """Rotary positions of queries and keys, written out in the forward."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, angles):
        cos, sin = angles.cos(), angles.sin()
        q = self.query(x)
        x1 = q[..., : q.shape[-1] // 2]
        x2 = q[..., q.shape[-1] // 2:]
        q_embed = q * cos + torch.cat((-x2, x1), dim=-1) * sin
        k = self.key(x)
        x1 = k[..., : k.shape[-1] // 2]
        x2 = k[..., k.shape[-1] // 2:]
        k_embed = k * cos + torch.cat((-x2, x1), dim=-1) * sin
        return q_embed @ k_embed.transpose(-1, -2)


MODELS = {
    "statistics": lambda: (Statistics(), (torch.randn(3, 6),)),
    "pieces": lambda: (Pieces(), (torch.randn(3, 6),)),
    "masked": lambda: (
        Masked(),
        (torch.randn(2, 5, 8), torch.tensor([[False] * 5, [False, False, False, True, True]])),
    ),
    "causal": lambda: (Causal(), (torch.randn(2, 3, 8), torch.randn(2, 5, 8))),
    "pictures": lambda: (Pictures(), (torch.randn(2, 3, 8, 8),)),
    "half": lambda: (Half().half(), (400 * torch.randn(2, 4, 8).half(),)),
    "tokens": lambda: (Tokens(), (torch.randn(2, 4, 8),)),
    "square": lambda: (Square(), (torch.randn(2, 6), torch.randn(2, 3, 5, 5))),
    "turned": lambda: (Turned(), (torch.randn(2, 5, 8), torch.randn(5, 8))),
    "steps": lambda: (Steps(), (torch.randn(2, 5, 8),)),
}


def build(name: str, seed: int = 0):
    """``(model in eval mode, args, kwargs)`` with norm statistics that matter."""
    torch.manual_seed(seed)
    model, args = MODELS[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.2, 2)
    return model.eval(), args, {}
