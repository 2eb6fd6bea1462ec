"""Interpolation in every mode; sizes follow the input."""

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_op

MODES = [(1, "linear"), (2, "bilinear"), (2, "bicubic"), (3, "trilinear"), *[
    (n, mode) for n in (1, 2, 3) for mode in ("nearest", "nearest-exact", "area")]]


def image(spatial, batch=2, size=6, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, *[size + a for a in range(spatial)], generator=generator).to(dtype).requires_grad_()


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    return outcome


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", ["nn.functional.interpolate", "nn.functional.upsample_bilinear",
                                  "nn.functional.upsample_nearest"])
def test_samples(name, orders):
    assert failing_op(name, orders, seconds=6) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    assert failing_op("nn.functional.interpolate", "standard", seconds=4, dtype=dtype, gradients=False) == []


@pytest.mark.parametrize("factor", [2, 3, 0.5, 1.5, 2.7, 1], ids=str)
@pytest.mark.parametrize("spatial, mode", MODES)
def test_scale_follows_the_input(spatial, mode, factor):
    aligned = (False, True) if mode in ("linear", "bilinear", "bicubic", "trilinear") else (None,)
    for align_corners in aligned:
        for recompute in (None, True):
            options = dict(scale_factor=factor, mode=mode, align_corners=align_corners,
                           recompute_scale_factor=recompute)
            also = ((image(spatial, 1, size=9),),)
            matched(lambda x, _o=options: F.interpolate(x, **_o), image(spatial), also=also, orders="channels last")
            matched(nn.Upsample(**options), image(spatial), also=also)


@pytest.mark.parametrize("spatial, mode", MODES)
@pytest.mark.parametrize("size", [4, 11])
def test_size(spatial, mode, size):
    matched(lambda x: F.interpolate(x, size=size, mode=mode), image(spatial), also=((image(spatial, 1, size=9),),))
    matched(nn.Upsample(size=size, mode=mode), image(spatial), also=((image(spatial, 1, size=9),),))
    sizes = tuple(size + a for a in range(spatial))
    matched(nn.Upsample(size=sizes, mode=mode), image(spatial))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_size_of_another_array(mode):
    def function(x, other):
        return F.interpolate(x, size=other.shape[-2:], mode=mode)
    outcome = matched(function, image(2), image(2, size=9), also=((image(2, 1), image(2, 1, size=13)),))
    assert "v1.shape" in outcome.source


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("options", [{"scale_factor": 0.4}, {"scale_factor": 2}, {"size": (3, 15)},
                                     {"size": (4, 4), "align_corners": True}], ids=str)
def test_antialias(mode, options):
    matched(lambda x: F.interpolate(x, mode=mode, antialias=True, **options), image(2), also=((image(2, 1, 9),),))


def test_named_layers_and_what_mlx_has():
    matched(nn.UpsamplingNearest2d(scale_factor=2), image(2))
    matched(nn.UpsamplingBilinear2d(size=(5, 9)), image(2))
    def text(layer):
        return str(emit_layer(layer).layer.constructor)
    assert text(nn.Upsample(scale_factor=2)) == "nn.Upsample(scale_factor=2)"
    assert text(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True)) == \
        "nn.Upsample(scale_factor=2, mode='linear', align_corners=True)"
    assert text(nn.Upsample(size=7)) == "InterpolateSpatial(size=7, mode='nearest')"


def test_half_precision_layer_keeps_its_type():
    outcome = replay(nn.Upsample(scale_factor=2, mode="bilinear"), (image(2, dtype=torch.bfloat16),), gradients=False)
    assert outcome.kind == "matched", outcome


def test_block_under_compile():
    x = mx.random.normal((2, 5, 6, 3))
    def run(x):
        return blocks.interpolate_spatial(x, size=(7, 4), mode="bicubic")
    assert mx.allclose(mx.compile(run)(x), run(x), atol=1e-6)
    assert mx.compile(mx.grad(lambda x: mx.square(run(x)).sum()))(x).shape == x.shape
