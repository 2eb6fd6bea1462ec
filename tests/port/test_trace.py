"""A port's trace: both sides aligned, and MLX's side against what MLX itself says."""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as mnn
import numpy as np
import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.parity.alignment import MlxStep, TorchStep, align, crossed
from t2m_notebook.parity.array_facts import fingerprint, layout_of, summarise
from t2m_notebook.parity.array_trace import ArrayTracer
from t2m_notebook.types import Status, TracedOperation, TracedTensor, ValueSummary


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.out = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        b, t, c = x.shape
        q = self.q(x).view(b, t, 2, 4).transpose(1, 2)
        k = self.k(x).view(b, t, 2, 4).transpose(1, 2)
        att = self.drop(torch.softmax(q @ k.transpose(-2, -1), -1))
        return self.out((att @ q).transpose(1, 2).contiguous().view(b, t, c))


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        x = x + torch.relu(x.permute(0, 1, 3, 2) - 0.5)
        return self.head(x.mean((2, 3)))


@pytest.fixture
def traced(request):
    torch.manual_seed(0)
    model, x = {"attention": (Attention(), torch.randn(2, 6, 8)), "picture": (Picture(), torch.randn(2, 3, 8, 8))}[
        request.param]
    made = t2m.port(model.eval(), x)
    yield made, made.trace()
    made.close()


@pytest.mark.parametrize("traced", ["attention"], indirect=True)
def test_attention_is_aligned_operation_by_operation(traced):
    _, trace = traced
    assert not trace.error and {row.status for row in trace} == {Status.PROVEN, Status.UNSEEN}
    pairs = [[side.name.rpartition(".")[2] for side in (row.torch, row.mlx)] for row in trace if row.mlx and row.torch]
    head = [["Linear", "Linear"], ["view", "reshape"], ["transpose", "swapaxes"]]
    assert pairs == [*head, *head, ["transpose", "swapaxes"], ["matmul", "__matmul__"], ["softmax", "softmax"],
                     ["Dropout", "Dropout"], ["matmul", "__matmul__"], ["transpose", "swapaxes"], ["view", "reshape"],
                     ["Linear", "Linear"]]
    lonely = [row for row in trace if row.mlx is None]
    assert [row.source for row in lonely] == ["(att @ q).transpose(1, 2).contiguous()"]
    assert lonely[0].note == "not needed"
    turned = trace[2]
    assert turned.torch.outputs[0].stride == turned.mlx.outputs[0].stride == (48, 4, 8, 1)
    assert turned.mlx.memory == "view" and turned.mlx.shares_with == "#1" and turned.difference <= turned.allowed
    assert turned.mlx.location.file == "model.py" and "swapaxes" in turned.mlx.source


@pytest.mark.parametrize("traced", ["picture"], indirect=True)
def test_a_picture_is_compared_in_mlxs_order(traced):
    _, trace = traced
    assert not trace.error and all(row.status is not Status.DIVERGES for row in trace)
    conv = next(row for row in trace if row.torch and row.torch.path == "conv")
    assert conv.axes == (0, 2, 3, 1) and conv.mlx.outputs[0].shape == (2, 8, 8, 8)
    assert conv.torch.outputs[0].stride == (512, 64, 8, 1) and conv.difference < 1e-5
    permute = next(row for row in trace if row.torch and row.torch.name.endswith("permute"))
    assert permute.mlx is not None or permute.note.startswith("not needed")


@pytest.mark.parametrize("traced", ["attention"], indirect=True)
def test_a_mistake_shows_at_its_row(traced):
    made, _ = traced
    cell = made.cells["Attention"]
    made.edit("Attention", cell.source.replace("mx.softmax(", "2 * mx.softmax("))
    trace = made.trace()
    wrong = [row for row in trace if row.status is Status.DIVERGES]
    softmax = next(row for row in trace if row.torch and row.torch.name == "torch.softmax")
    assert wrong and wrong[0].index > softmax.index and softmax.status is Status.PROVEN
    assert any(row.torch is None and row.mlx.name.endswith("mul__") for row in trace)


@pytest.mark.parametrize("traced", ["attention"], indirect=True)
def test_code_that_raises_shows_both_sides_up_to_there(traced):
    made, _ = traced
    cell = made.cells["Attention"]
    made.edit("Attention", cell.source.replace("mx.softmax(", "mx.no_such_function("))
    trace = made.trace()
    assert trace.error.startswith("MLX: AttributeError") and "no_such_function" in trace.error
    assert any(row.status is Status.PROVEN for row in trace)
    assert any(row.note == "MLX did not get here" for row in trace)


# ------------------------------------------------------------------------------ MLX alone


def views(x):
    y = x.transpose(1, 0, 2)
    return [y, mx.contiguous(y), y[1:, :, ::2], mx.broadcast_to(x[:1], (3, 3, 4)), x.reshape(6, 4), y.reshape(-1)]


def test_mlx_strides_are_those_of_the_buffer():
    x = mx.arange(24, dtype=mx.float32).reshape(2, 3, 4)
    with t2m.tracing() as trace:
        made = views(x)
    mx.eval(made)
    rows = {row.source.replace(" ", ""): row for row in trace}
    sources = ["x.transpose(1,0,2)", "mx.contiguous(y)", "y[1:,:,::2]", "mx.broadcast_to(x[:1],(3,3,4))",
               "x.reshape(6,4)", "y.reshape(-1)"]
    for source, array in zip(sources, made, strict=True):
        row, view = rows[source], memoryview(array)
        assert row.shape == tuple(view.shape) and row.stride == tuple(step // 4 for step in view.strides)
        assert row.summary.maximum == array.max().item() and row.summary.mean == pytest.approx(array.mean().item())
    base = layout_of(x)[0]
    for source, array in zip(sources, made, strict=True):
        assert rows[source].is_view == (base <= layout_of(array)[0] < base + 96), source


def test_mlx_modules_have_paths_and_layers_one_row():
    class Net(mnn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [mnn.Linear(4, 4), mnn.Linear(4, 4)]

        def __call__(self, x):
            for layer in self.layers:
                x = mnn.relu(layer(x)) + 1
            return x

    trace = t2m.trace(Net(), mx.ones((2, 4)))
    assert [(row.op, row.module) for row in trace] == [
        ("nn.Linear", "Net.layers.0"), ("nn.relu", "Net"), ("mx.array.__add__", "Net")] + [
        ("nn.Linear", "Net.layers.1"), ("nn.relu", "Net"), ("mx.array.__add__", "Net")]
    assert trace.data.title == "Net" and trace.data.sides == ("mlx",)


def test_writes_gradients_and_transforms():
    x = mx.array([1.0, 2.0, 3.0])
    with t2m.tracing() as trace:
        y = x * 1
        y += 1
        y[0] = 5
        gradient = mx.grad(lambda a: (a * a).sum())(x)
        compiled = mx.compile(lambda a: a - 1)(x)
    assert y.tolist() == [5, 3, 4] and gradient.tolist() == [2, 4, 6] and compiled.tolist() == [0, 1, 2]
    assert [row.memory for row in trace[:3]] == ["copy", "in place", "in place"]
    assert [row.summary.mean for row in trace[:3]] == [2.0, 3.0, 4.0]
    assert trace[-1].output.layout == "placeholder" and trace[-1].summary is None


def test_mlx_is_put_back_after_an_error_in_every_thread():
    rooms = [mx, mx.fast, mx.linalg, mx.fft, mx.random, mnn, mnn.losses, mx.array, mnn.Linear, mnn.Module]
    before = [dict(vars(room)) for room in rooms]
    with pytest.raises(ValueError, match="matmul"), t2m.tracing() as trace, t2m.tracing():
        mx.ones((2, 3)) @ mx.ones((2, 3))
    assert trace[-1].error.startswith("ValueError")
    for room, old in zip(rooms, before, strict=True):
        assert {k: v for k, v in vars(room).items() if v is not old.get(k)} == {}, room


def test_summaries_of_arrays():
    assert summarise(mx.array([1.0, float("nan"), 3.0, float("inf")])) == ValueSummary(2.0, 1.0, 3.0, 1, 1)
    assert summarise(mx.zeros((0, 2))) == ValueSummary(None, None, None)
    assert summarise(mx.array([True, False])) == ValueSummary(0.5, 0.0, 1.0)
    half = mx.arange(6).reshape(2, 3).astype(mx.bfloat16).T
    mx.eval(half)
    assert summarise(half) == ValueSummary(2.5, 0.0, 5.0)
    repeated = mx.broadcast_to(mx.array([1.0, 2.0]), (1000, 2))
    mx.eval(repeated)
    assert summarise(repeated) == ValueSummary(1.5, 1.0, 2.0)


def test_a_tracer_holds_no_more_than_a_batch():
    tracer = ArrayTracer(values_wanted=False)
    with tracer.watching():
        x = mx.ones((4,))
        for _ in range(600):
            x = x + 1
        assert len(tracer._waiting) < 300
    assert len(tracer.events) == 601 and x[0].item() == 601


# ------------------------------------------------------------------------------ alignment


def steps(*names):
    """Torch steps of one shape, the values told apart by their number."""
    made = []
    for number, name in enumerate(names):
        tensor = TracedTensor(f"#{number}", (2, 3), "float32", summary=ValueSummary(float(number), -1.0, number + 2.0))
        operation = TracedOperation(f"torch.{name}", outputs=(tensor,))
        made.append(TorchStep(operation, "", ((2, 3),), f"mx.{name}(x)", False, float(number)))
    return made


def events(*pairs):
    made = []
    for name, number in pairs:
        tensor = TracedTensor("#", (2, 3), "float32", summary=ValueSummary(float(number), -1.0, number + 2.0))
        made.append(MlxStep(TracedOperation(f"mx.{name}", outputs=(tensor,)), float(number)))
    return made


def test_alignment_keeps_the_order_and_skips_what_has_no_partner():
    wanted = align(steps("exp", "abs", "neg", "sin"), events(("exp", 0), ("tile", 9), ("negative", 2), ("sin", 3)))
    assert wanted == [(0, 0), (2, 2), (3, 3)]


def test_alignment_by_name_where_the_values_part():
    assert align(steps("exp", "abs", "sin"), events(("exp", 50), ("abs", 60), ("sin", 70))) == [(0, 0), (1, 1), (2, 2)]


def test_an_operation_that_ran_earlier_is_found_by_its_values():
    torch_steps, mlx_steps = steps("exp", "abs", "sin"), events(("sin", 2), ("exp", 0), ("abs", 1), ("sin", 9))
    pairs = align(torch_steps, mlx_steps)
    assert pairs == [(0, 1), (1, 2), (2, 3)] or pairs == [(0, 1), (1, 2)]
    torch_steps, mlx_steps = steps("exp", "abs", "sin"), events(("sin", 2), ("exp", 0), ("abs", 1))
    assert crossed(torch_steps, mlx_steps, [(0, 1), (1, 2)]) == {2: 0}
    assert crossed(torch_steps, events(("cos", 2), ("exp", 0), ("abs", 1)), [(0, 1), (1, 2)]) == {}


def test_alignment_of_long_lists():
    names = [f"f{n % 7}" for n in range(2500)]
    pairs = align(steps(*names), events(*[(name, n) for n, name in enumerate(names)]))
    assert pairs == [(n, n) for n in range(2500)]


def test_a_fingerprint_tells_the_order():
    values = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    assert fingerprint(values) == pytest.approx(fingerprint(values + 1e-7), abs=1e-3)
    assert abs(fingerprint(values) - fingerprint(values.T)) > 0.05
    assert fingerprint(np.array([np.nan])) is None and fingerprint(np.zeros((0,))) is None
