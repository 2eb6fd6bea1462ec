"""Normalisation: torch's samples, running statistics, and the options that the samples leave out."""

import mlx.core as mx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from t2m_notebook import blocks
from t2m_notebook.rules import emit_layer
from tests.rules.replay import replay
from tests.rules.verdicts import ORDERS, failing_module, failing_op

FUNCTIONS = [f"nn.functional.{name}" for name in (
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm", "local_response_norm")]
LAYERS = [f"nn.{kind}{n}d" for kind in ("BatchNorm", "InstanceNorm") for n in (1, 2, 3)]
LAYERS += ["nn.GroupNorm", "nn.LayerNorm", "nn.RMSNorm", "nn.LocalResponseNorm"]
EXCUSED = {
    "nn.BatchNorm1d": ("skip empty batches",), "nn.BatchNorm2d": ("skip empty batches",),
    "nn.functional.instance_norm": ("F.instance_norm writes to it",),
}


def signal(*shape, dtype=torch.float32):
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 2 + 1).to(dtype).requires_grad_()


def matched(function, *args, **kwargs):
    outcome = replay(function, args, **kwargs)
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
    return outcome


def shuffled(layer):
    """Parameters and statistics that are not ones and zeros."""
    torch.manual_seed(1)
    for tensor in [*layer.parameters(), *layer.buffers()]:
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    return layer


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_samples(name, orders):
    assert failing_op(name, orders, EXCUSED.get(name, ())) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_half_precision(name, dtype):
    assert failing_op(name, "standard", EXCUSED.get(name, ()), dtype=dtype, gradients=False) == []


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_samples(name, orders):
    assert failing_module(name, orders, EXCUSED.get(name, ())) == []


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"momentum": 0.3, "eps": 1e-3}, {"affine": False},
                                     {"track_running_stats": False}, {"bias": False}], ids=str)
@pytest.mark.parametrize("cls, shape", [(nn.BatchNorm1d, (6, 5)), (nn.BatchNorm1d, (4, 5, 7)),
                                        (nn.BatchNorm2d, (4, 5, 3, 4)), (nn.BatchNorm3d, (4, 5, 3, 2, 4))])
def test_batch_norm(cls, shape, options, training):
    """Running statistics after the forward are compared too."""
    matched(shuffled(cls(5, **options)).train(training), signal(*shape), orders="channels last")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"affine": True}, {"track_running_stats": True, "affine": True},
                                     {"track_running_stats": True, "momentum": None}], ids=str)
@pytest.mark.parametrize("cls, shape", [(nn.InstanceNorm1d, (3, 5, 7)), (nn.InstanceNorm2d, (5, 6, 7)),
                                        (nn.InstanceNorm2d, (2, 5, 6, 7)), (nn.InstanceNorm3d, (2, 5, 3, 4, 2))])
def test_instance_norm(cls, shape, options, training):
    matched(shuffled(cls(5, **options)).train(training), signal(*shape))


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}], ids=str)
@pytest.mark.parametrize("shape", [(6,), (5, 6), (4, 5, 6)], ids=str)
@pytest.mark.parametrize("orders", ORDERS)
def test_layer_norm(shape, options, orders):
    matched(shuffled(nn.LayerNorm(shape, **options)), signal(2, 4, 5, 6), orders=orders)


@pytest.mark.parametrize("options", [{}, {"eps": 1e-3}, {"elementwise_affine": False}], ids=str)
@pytest.mark.parametrize("shape", [(6,), (5, 6)], ids=str)
def test_rms_norm(shape, options):
    small = (signal(2, 4, 5, 6) * 1e-3).detach().requires_grad_()
    matched(shuffled(nn.RMSNorm(shape, **options)), small, orders="channels last")


@pytest.mark.parametrize("shape", [(4, 12), (2, 12, 5), (2, 12, 5, 3), (2, 12, 2, 3, 2)], ids=str)
@pytest.mark.parametrize("options", [{}, {"affine": False}, {"bias": False}, {"eps": 1e-3}], ids=str)
def test_group_norm(shape, options):
    matched(shuffled(nn.GroupNorm(3, 12, **options)), signal(*shape), orders="channels last")


@pytest.mark.parametrize("size", [3, 4, 5])
def test_cross_map_lrn(size):
    outcome = replay(nn.CrossMapLRN2d(size, alpha=0.1), (signal(2, 9, 3, 4).detach(),), gradients=False)
    assert outcome.kind == "matched", outcome


def test_layer_norm_at_another_size():
    def function(x, w):
        return F.layer_norm(x, x.shape[-1:], w)
    matched(function, signal(2, 3, 6), signal(6), also=((signal(4, 5, 8), signal(8)),))


def test_mixed_types_keep_the_type_of_the_input():
    outcome = replay(lambda x, w: F.layer_norm(x, (6,), w), (signal(2, 6, dtype=torch.bfloat16), signal(6)),
                     gradients=False)
    assert outcome.kind == "matched", outcome


def test_what_is_refused_says_what_to_do():
    for layer in (nn.SyncBatchNorm(3), nn.LazyConv2d(4, 3), nn.LazyBatchNorm1d()):
        outcome = replay(layer.eval(), (signal(2, 3, 4),), gradients=False) if isinstance(layer, nn.SyncBatchNorm) \
            else None
        if outcome is not None:
            assert outcome.kind == "refused" and "BatchNorm" in outcome.detail
            continue
        with pytest.raises(Exception, match="run the model once"):
            emit_layer(layer)


def test_emitted_layers():
    def text(layer):
        return str(emit_layer(layer).layer.constructor)
    assert text(nn.BatchNorm2d(64)) == "nn.BatchNorm(64)"
    assert text(nn.LayerNorm(64, eps=1e-6)) == "nn.LayerNorm(64, eps=1e-06)"
    assert text(nn.GroupNorm(8, 64)) == "nn.GroupNorm(8, 64, pytorch_compatible=True)"
    assert "eps=1.19" in text(nn.RMSNorm(64))


def test_statistics_are_not_trained():
    for block in (blocks.BatchNormLastAxis(4, momentum=None),
                  blocks.InstanceNormLastAxis(4, affine=True, track_running_stats=True)):
        block.unfreeze()
        assert set(block.trainable_parameters()) == {"weight", "bias"}


def test_blocks_under_compile():
    x, w = mx.random.normal((2, 3, 5, 6)), mx.random.normal((6,))
    for run in (lambda x: blocks.group_norm_last_axis(x, 3, w), lambda x: blocks.instance_norm_last_axis(x, w),
                lambda x: blocks.batch_norm_by_batch(x, weight=w)[0], lambda x: blocks.layer_norm_over(x, 2)):
        assert mx.allclose(mx.compile(run)(x), run(x), atol=1e-5)
        assert mx.compile(mx.grad(lambda x: mx.square(run(x)).sum()))(x).shape == x.shape
