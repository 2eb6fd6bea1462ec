"""Channels last throughout: how many transposes remain, and why; columns of a Linear behind a flatten."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from t2m_notebook.session import port
from tests.zoo import build

from .support import net, ported, proven

FREE = ["cnn", "unet", "tv_resnet18", "hf_resnet", "timm_convnext_atto", "convnextv2", "mobilenet_v2",
        "tv_mobilenet_v3_small", "tv_densenet121", "tv_efficientnet_b0", "conv3d_video", "regnet"]


def transposes(source: str) -> list[str]:
    """Calls in the generated classes that move axes."""
    return [ast.unparse(n) for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)
            and isinstance(n.func, ast.Attribute) and n.func.attr in ("transpose", "moveaxis", "swapaxes")]


@pytest.mark.parametrize("name", FREE)
def test_a_convolutional_model_has_no_transpose(name):
    model, args, kwargs = build(name)
    made = ported(model, *args, **kwargs)
    made.close()
    assert made.layout.conversions == []
    written = transposes("\n\n".join(cell.source for cell in made.cells.values()))
    # timm's norm behind the global pooling permutes back by itself, on a map of 1×1
    assert written == (["x.transpose(0, 3, 1, 2)"] if name == "timm_convnext_atto" else [])
    image = next(index for path, index, _ in made.written.inputs)
    assert made.layout.orders[image] == (0, *range(2, len(made.layout.orders[image])), 1)


def test_what_remains_has_a_reason():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.LayerNorm(5)

        def forward(self, x):
            return self.norm(self.conv(x)) @ torch.ones(5, 2)

    made = proven(Mixed(), torch.randn(2, 3, 4, 5))
    assert made.layout.conversions
    for conversion in made.layout.conversions:
        assert "needs axes" in conversion.reason and conversion.operation in conversion.reason
        assert conversion.have != conversion.order


def test_a_flatten_moves_the_columns_of_the_linear_behind_it():
    model, x = net()
    made = proven(model, x)
    assert made.layout.conversions == []
    move, = [m for m in made.written.moves if m.source == "head.weight"]
    assert move.axes is not None and not move.axes.is_identity
    weight = model.head.weight.detach()
    stored = made.weights["head.weight"]
    assert stored.shape == weight.shape and not torch.equal(stored, weight)
    assert torch.equal(stored.view(5, 4, 4, 4).permute(0, 3, 1, 2).reshape(5, -1), weight)


def test_a_flatten_that_someone_else_reads_too_keeps_its_order():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4 * 6, 2)

        def forward(self, x):
            flat = self.conv(x).flatten(1)
            return self.head(flat), flat

    made = proven(Both(), torch.randn(2, 3, 2, 3))
    torch.testing.assert_close(made.weights["head.weight"], made.model.head.weight.detach(), rtol=0, atol=0)


def test_a_linear_behind_two_flattens_of_different_kind():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4 * 6, 2)

        def forward(self, x, flat):
            return self.head(self.conv(x).flatten(1)) + self.head(flat)

    proven(Twice(), torch.randn(2, 3, 2, 3), torch.randn(2, 24))


def test_a_shape_tells_nothing():
    """(3, 3, 3, 3) looks the same in both layouts: the move follows from the layer's class."""
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ConvTranspose2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    made = proven(model, torch.randn(1, 3, 7, 7))
    orders = {m.source: m.axes.order for m in made.written.moves if m.source.endswith("weight")}
    assert orders == {"0.weight": (0, 2, 3, 1), "1.weight": (1, 2, 3, 0), "2.weight": (0, 2, 3, 1)}


def test_token_code_keeps_the_authors_own_transposes():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = nn.Linear(8, 8)

        def forward(self, x):
            B, T, C = x.shape
            heads = self.q(x).view(B, T, 2, 4).transpose(1, 2)
            return (heads @ heads.transpose(-2, -1)).softmax(-1)

    made = proven(Attention(), torch.randn(2, 3, 8))
    assert made.layout.conversions == [] and len(transposes(made.cells["Attention"].source)) == 2
    assert all(list(order) == sorted(order) for path, i, _ in made.written.inputs for order in [made.layout.orders[i]])


def test_sizes_are_not_baked_in():
    model, args, _ = build("nanogpt")
    made = port(model, args)
    made.close()
    numbers = {n.value for n in ast.walk(ast.parse(made.cells["GPTBlock"].source)) if isinstance(n, ast.Constant)}
    assert not numbers & {args[0].shape[1]}
