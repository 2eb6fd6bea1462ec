"""ResNet-50 and BERT-base as someone who knows MLX writes them: the measure for generated code.

Weight names are torch's, so both take the artefact's own weights. Imports mlx alone.
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn

# ----------------------------------------------------------------------------- ResNet-50


class Bottleneck(nn.Module):
    def __init__(self, width_in: int, width: int, stride: int, conv=nn.Conv2d):
        super().__init__()
        self.conv1, self.bn1 = conv(width_in, width, 1, bias=False), nn.BatchNorm(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride, 1, bias=False), nn.BatchNorm(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1, bias=False), nn.BatchNorm(4 * width)
        if stride != 1 or width_in != 4 * width:
            self.downsample = [conv(width_in, 4 * width, 1, stride, bias=False), nn.BatchNorm(4 * width)]

    def __call__(self, x):
        y = nn.relu(self.bn1(self.conv1(x)))
        y = nn.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if "downsample" in self:
            x = self.downsample[1](self.downsample[0](x))
        return nn.relu(x + y)


class ResNet50(nn.Module):
    def __init__(self, conv=nn.Conv2d):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 7, 2, 3, bias=False), nn.BatchNorm(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        width_in = 64
        for stage, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
            blocks = []
            for number in range(count):
                blocks.append(Bottleneck(width_in, width, 2 if stage > 1 and number == 0 else 1, conv))
                width_in = 4 * width
            setattr(self, f"layer{stage}", blocks)
        self.fc = nn.Linear(2048, 1000)

    def __call__(self, x):
        x = self.pool(nn.relu(self.bn1(self.conv1(x))))
        for block in [*self.layer1, *self.layer2, *self.layer3, *self.layer4]:
            x = block(x)
        return self.fc(x.mean(axis=(1, 2)))


class TransposingConv2d(nn.Conv2d):
    """What a converter writes that keeps torch's layout: to channels last and back at every convolution."""

    def __call__(self, x):
        return super().__call__(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


class NaiveResNet50(ResNet50):
    """The same weights with values kept as N×C×H×W."""

    def __init__(self):
        super().__init__(TransposingConv2d)
        for module in self.modules():
            for name, child in list(module.items()):
                if isinstance(child, nn.BatchNorm):
                    module[name] = TransposingNorm(child.weight.size)
                elif isinstance(child, list):
                    module[name] = [TransposingNorm(c.weight.size) if isinstance(c, nn.BatchNorm) else c for c in child]

    def __call__(self, x):
        x = nn.relu(self.bn1(self.conv1(x.transpose(0, 3, 1, 2))))
        x = self.pool(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        for block in [*self.layer1, *self.layer2, *self.layer3, *self.layer4]:
            x = block(x)
        return self.fc(x.mean(axis=(2, 3)))


class TransposingNorm(nn.BatchNorm):
    def __call__(self, x):
        return super().__call__(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


# ------------------------------------------------------------------------------ BERT-base


class SelfAttention(nn.Module):
    def __init__(self, dims: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(dims, dims) for _ in range(3))

    def __call__(self, x):
        B, L, D = x.shape
        q, k, v = (layer(x).reshape(B, L, self.heads, -1).transpose(0, 2, 1, 3)
                   for layer in (self.query, self.key, self.value))
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=(D // self.heads) ** -0.5)
        return y.transpose(0, 2, 1, 3).reshape(B, L, D)


class Output(nn.Module):
    def __init__(self, dims_in: int, dims: int):
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(dims_in, dims), nn.LayerNorm(dims, eps=1e-12)

    def __call__(self, x, residual):
        return self.LayerNorm(self.dense(x) + residual)


class Attention(nn.Module):
    def __init__(self, dims: int, heads: int):
        super().__init__()
        self.self, self.output = SelfAttention(dims, heads), Output(dims, dims)

    def __call__(self, x):
        return self.output(self.self(x), x)


class Intermediate(nn.Module):
    def __init__(self, dims: int, hidden: int):
        super().__init__()
        self.dense = nn.Linear(dims, hidden)

    def __call__(self, x):
        return nn.gelu(self.dense(x))


class EncoderLayer(nn.Module):
    def __init__(self, dims: int, heads: int, hidden: int):
        super().__init__()
        self.attention = Attention(dims, heads)
        self.intermediate, self.output = Intermediate(dims, hidden), Output(hidden, dims)

    def __call__(self, x):
        x = self.attention(x)
        return self.output(self.intermediate(x), x)


class Encoder(nn.Module):
    def __init__(self, layers: int, dims: int, heads: int, hidden: int):
        super().__init__()
        self.layer = [EncoderLayer(dims, heads, hidden) for _ in range(layers)]

    def __call__(self, x):
        for layer in self.layer:
            x = layer(x)
        return x


class Embeddings(nn.Module):
    def __init__(self, dims: int):
        super().__init__()
        self.word_embeddings = nn.Embedding(30522, dims)
        self.position_embeddings = nn.Embedding(512, dims)
        self.token_type_embeddings = nn.Embedding(2, dims)
        self.LayerNorm = nn.LayerNorm(dims, eps=1e-12)

    def __call__(self, ids):
        L = ids.shape[1]
        x = self.word_embeddings(ids) + self.token_type_embeddings.weight[0] + self.position_embeddings.weight[:L]
        return self.LayerNorm(x)


class Pooler(nn.Module):
    def __init__(self, dims: int):
        super().__init__()
        self.dense = nn.Linear(dims, dims)

    def __call__(self, x):
        return mx.tanh(self.dense(x[:, 0]))


class Bert(nn.Module):
    def __init__(self, dims: int = 768, layers: int = 12, heads: int = 12):
        super().__init__()
        self.embeddings, self.encoder = Embeddings(dims), Encoder(layers, dims, heads, 4 * dims)
        self.pooler = Pooler(dims)

    def __call__(self, ids):
        x = self.encoder(self.embeddings(ids))
        return {"last_hidden_state": x, "pooler_output": self.pooler(x)}


MODELS = {"BERT-base 1×128": {"hand-written": Bert},
          "ResNet-50 1×3×224×224": {"hand-written": ResNet50, "naive": NaiveResNet50}}
