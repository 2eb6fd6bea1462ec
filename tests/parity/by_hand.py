"""Classes as people write them, not as they are generated: right ones, and the same with a bug."""

from __future__ import annotations

#: (model, class) -> another way to write the class, equal to torch
RIGHT: dict[tuple[str, str], str] = {
    ("llama", "LlamaRMSNorm"): '''
class LlamaRMSNorm(nn.Module):
    def __init__(self, dims=32, eps=1e-6):
        super().__init__()
        self.weight = mx.ones((dims,))
        self.eps = eps

    def __call__(self, x):
        return mx.fast.rms_norm(x, self.weight, self.eps)
''',
    ("llama", "LlamaAttention"): '''
def rotate(x, cos, sin):
    """Halves, not pairs."""
    half = x.shape[-1] // 2
    turned = mx.concatenate([-x[..., half:], x[..., :half]], axis=-1)
    return x * cos + turned * sin


class LlamaAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_dim = 4, 2, 8
        self.q_proj = nn.Linear(32, 32, bias=False)
        self.k_proj = nn.Linear(32, 16, bias=False)
        self.v_proj = nn.Linear(32, 16, bias=False)
        self.o_proj = nn.Linear(32, 32, bias=False)

    def __call__(self, x, position_embeddings):
        B, L, _ = x.shape
        cos, sin = position_embeddings
        cos, sin = mx.expand_dims(cos, 1), mx.expand_dims(sin, 1)
        q = self.q_proj(x).reshape(B, L, self.n_heads, -1).transpose(0, 2, 1, 3)
        k = self.k_proj(x).reshape(B, L, self.n_kv_heads, -1).transpose(0, 2, 1, 3)
        v = self.v_proj(x).reshape(B, L, self.n_kv_heads, -1).transpose(0, 2, 1, 3)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        k, v = (mx.repeat(y, self.n_heads // self.n_kv_heads, axis=1) for y in (k, v))
        scores = (q @ k.swapaxes(-1, -2)) * self.head_dim ** -0.5
        scores = mx.where(mx.tril(mx.ones((L, L), dtype=mx.bool_)), scores, -mx.inf)
        out = mx.softmax(scores, axis=-1) @ v
        return self.o_proj(out.transpose(0, 2, 1, 3).reshape(B, L, -1))
''',
    ("bert", "BertLayer"): '''
class BertLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = BertAttention()
        self.intermediate = BertIntermediate()
        self.output = BertOutput()

    def __call__(self, x, mask):
        attended = self.attention(x, mask)
        return self.output(self.intermediate(attended), attended)
''',
    ("hf_resnet", "ResNetBasicLayer2"): '''
class ResNetBasicLayer2(nn.Module):
    def __init__(self, shortcut_convolution_in_features, shortcut_convolution_out_features):
        super().__init__()
        before, after = shortcut_convolution_in_features, shortcut_convolution_out_features
        self.shortcut = ResNetShortCut(before, after)
        self.layer = [ResNetConvLayer(before, after, 3, 1), ResNetConvLayer3(after)]

    def __call__(self, x):
        first, second = self.layer
        y = second(first(x))
        return mx.maximum(y + self.shortcut(x), 0)
''',
    ("convnextv2", "ConvNextV2Layer"): '''
class ConvNextV2Layer(nn.Module):
    def __init__(self, dwconv_in_features, pwconv1_out_features):
        super().__init__()
        channels, inner = dwconv_in_features, pwconv1_out_features
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.layernorm = ConvNextV2LayerNorm(channels)
        self.pwconv1, self.pwconv2 = nn.Linear(channels, inner), nn.Linear(inner, channels)
        self.grn = ConvNextV2GRN(inner)

    def __call__(self, x):
        y = nn.gelu(self.pwconv1(self.layernorm(self.dwconv(x))))
        return x + self.pwconv2(self.grn(y))
''',
    ("nanogpt", "GPTBlock"): '''
class GPTBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = [nn.Linear(32, 128), nn.GELU(), nn.Linear(128, 32)]
        self.mask = mx.zeros((1, 1, 32, 32))
        self.freeze(keys=["mask"], recurse=False)

    def attend(self, x):
        B, L, D = x.shape
        q, k, v = (y.reshape(B, L, 4, D // 4).swapaxes(1, 2) for y in mx.split(self.qkv(x), 3, axis=-1))
        out = mx.fast.scaled_dot_product_attention(q, k, v, scale=(D // 4) ** -0.5, mask="causal")
        return self.out(out.swapaxes(1, 2).reshape(B, L, D))

    def __call__(self, x):
        x = x + self.attend(self.norm1(x))
        first, act, second = self.mlp
        return x + second(act(first(self.norm2(x))))
''',
    ("lstm_gru", "Tagger"): '''
class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.lstm = StackedLSTM(16, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = StackedGRU(48, 16, batch_first=True)
        self.head = nn.Linear(16, 7)

    def __call__(self, ids):
        x = self.embed(ids)
        x, (hidden, cell) = self.lstm(x)
        x, last = self.gru(x)
        return self.head(x)
''',
    ("statistics", "Statistics"): '''
class Statistics(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain, self.shift = mx.ones((6,)), mx.zeros((6,))

    def __call__(self, x):
        centred = x - x.mean(-1, keepdims=True)
        variance = centred.square().sum(-1, keepdims=True) / (x.shape[-1] - 1)
        return self.gain * centred * mx.rsqrt(variance + 1e-3) + self.shift
''',
}

#: (model, class, right text of the class above, wrong text, kinds)
WRONG: list[tuple[str, str, str, str, tuple[str, ...]]] = [
    ("llama", "LlamaRMSNorm", "eps=1e-6", "eps=1e-2", ("epsilon",)),
    (
        "llama",
        "LlamaAttention",
        "mx.repeat(y, self.n_heads // self.n_kv_heads, axis=1)",
        "mx.tile(y, (1, self.n_heads // self.n_kv_heads, 1, 1))",
        ("repeat against tile",),
    ),
    (
        "llama",
        "LlamaAttention",
        "[-x[..., half:], x[..., :half]]",
        "[x[..., half:], -x[..., :half]]",
        ("sign", "sign or order of the halves", "order of parts"),
    ),  # sine for cosine gives the same scores
    (
        "llama",
        "LlamaAttention",
        "[-x[..., half:], x[..., :half]]",
        "[-x[..., :half], x[..., half:]]",
        ("sign or order of the halves", "order of concatenation", "wrong half"),
    ),
    (
        "llama",
        "LlamaAttention",
        "mx.tril(mx.ones((L, L), dtype=mx.bool_))",
        "mx.triu(mx.ones((L, L), dtype=mx.bool_))",
        ("causal alignment",),
    ),
    ("llama", "LlamaAttention", "scores, -mx.inf)", "-mx.inf, scores)", ("mask inverted",)),
    ("llama", "LlamaAttention", "self.head_dim ** -0.5", "self.head_dim", ("wrong scale",)),
    ("llama", "LlamaAttention", "mx.softmax(scores, axis=-1)", "mx.softmax(scores, axis=1)", ("softmax axis",)),
    ("llama", "LlamaAttention", "out.transpose(0, 2, 1, 3).reshape", "out.reshape", ("swapped axes",)),
    (
        "llama",
        "LlamaAttention",
        "mx.expand_dims(cos, 1), mx.expand_dims(sin, 1)",
        "mx.expand_dims(sin, 1), mx.expand_dims(cos, 1)",
        ("order of results", "exchanged arguments", "order of parts"),
    ),
    (
        "bert",
        "BertLayer",
        "self.intermediate(attended), attended",
        "self.intermediate(attended), x",
        ("wrong variable",),
    ),
    ("hf_resnet", "ResNetBasicLayer2", "y + self.shortcut(x)", "y", ("missing layer", "missing residual")),
    ("hf_resnet", "ResNetBasicLayer2", "mx.maximum(y", "mx.minimum(y", ("another function",)),
    ("convnextv2", "ConvNextV2Layer", "x + self.pwconv2", "self.pwconv2", ("missing residual",)),
    (
        "convnextv2",
        "ConvNextV2Layer",
        "self.layernorm(self.dwconv(x))",
        "self.dwconv(self.layernorm(x))",
        ("order of layers",),
    ),
    (
        "convnextv2",
        "ConvNextV2Layer",
        "self.pwconv1(self.layernorm(self.dwconv(x)))",
        "self.pwconv1(self.dwconv(x))",
        ("missing layer",),
    ),
    (
        "convnextv2",
        "ConvNextV2Layer",
        "self.dwconv(x)",
        "self.dwconv(x.transpose(0, 2, 1, 3))",
        ("swapped axes", "NCHW read as NHWC"),
    ),
    ("convnextv2", "ConvNextV2Layer", "nn.gelu(", "nn.relu(", ("wrong activation",)),
    (
        "nanogpt",
        "GPTBlock",
        "mx.split(self.qkv(x), 3, axis=-1)",
        "mx.split(self.qkv(x), D, axis=-1)",
        ("split count against size", "wrong variable"),
    ),
    ("nanogpt", "GPTBlock", ', mask="causal"', "", ("causal mask left out",)),
    ("nanogpt", "GPTBlock", "scale=(D // 4) ** -0.5", "scale=D ** -0.5", ("wrong scale",)),
    ("nanogpt", "GPTBlock", "x = x + self.attend", "x = self.attend", ("missing residual",)),
    ("lstm_gru", "Tagger", "x, last = self.gru", "last, x = self.gru", ("order of parts",)),
    ("statistics", "Statistics", "(x.shape[-1] - 1)", "x.shape[-1]", ("degrees of freedom",)),
    ("statistics", "Statistics", "mx.rsqrt(variance + 1e-3)", "mx.rsqrt(variance)", ("epsilon",)),
    ("statistics", "Statistics", "mx.rsqrt", "mx.sqrt", ("another function",)),
]
