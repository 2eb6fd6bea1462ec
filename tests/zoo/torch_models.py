"""Models written in plain torch, each of a kind that needs something the others don't."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .recipe import Recipe, Size, images, normal

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
        self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1),
                                     nn.ReLU(), nn.Flatten())
        self.mean = nn.Linear(16 * 7 * 7, 8)
        self.log_variance = nn.Linear(16 * 7 * 7, 8)
        self.widen = nn.Linear(8, 16 * 7 * 7)
        self.decoder = nn.Sequential(nn.Unflatten(1, (16, 7, 7)), nn.ConvTranspose2d(16, 8, 4, 2, 1),
                                     nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid())

    def forward(self, x):
        hidden = self.encoder(x)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean + torch.exp(0.5 * log_variance) * 0.1
        return self.decoder(self.widen(code)), mean, log_variance


class SpatialTransformer(nn.Module):
    """affine_grid and grid_sample."""

    def __init__(self):
        super().__init__()
        self.localise = nn.Sequential(nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3),
                                      nn.Flatten())
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


def _pair(size: Size):
    length = size.pick(4, 6)
    return (torch.randn(size.batch, length, 6), torch.randn(size.batch, length, 5)), {}


MODELS = {
    "cnn": Recipe(CNN, images(32)),
    "unet": Recipe(UNet, images(32, 48)),
    "vae": Recipe(VAE, images(28, channels=1)),
    "dataclass_output": Recipe(DataclassOutput, normal(6)),
    "shared_modules": Recipe(SharedModules, normal((5, 7), 8)),
    "tied_autoencoder": Recipe(TiedAutoencoder, normal(12)),
    "in_place": Recipe(InPlace, normal((5, 7), 8)),
    "complex_filter": Recipe(ComplexFilter, normal(4, 16)),
    "conv3d_video": Recipe(VideoNet, normal(3, (4, 6), 16, 16)),
    "bilinear": Recipe(BilinearScore, _pair),
    "spatial_transformer": Recipe(SpatialTransformer, images(16, 20, channels=1)),
}
