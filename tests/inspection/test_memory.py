"""Memory: measured bytes against arithmetic done here, in both frameworks; predictions against measurements."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import mlx.nn
import mlx.optimizers as optim
import pytest
import torch
from mlx.utils import tree_flatten
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.capture.memory_use import run_inference, run_training
from t2m_notebook.errors import BadExample, ForwardFailed
from t2m_notebook.inspection.arithmetic import fit, precisions, quantised_bytes
from t2m_notebook.types.memory import MemoryReport


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 64))


WEIGHTS = 4 * (128 * 256 + 256 + 256 * 64 + 64)


def test_a_perceptron_to_the_byte() -> None:
    report = t2m.memory(perceptron(), torch.randn(8, 128))
    hidden, result = 4 * 8 * 256, 4 * 8 * 64
    assert report.bytes_of("parameters", "inference") == WEIGHTS == report.part("parameters").predicted
    assert report.bytes_of("inputs", "inference") == 4 * 8 * 128
    assert report.bytes_of("all results", "inference") == 2 * hidden + result
    assert report.bytes_of("activations at the peak", "inference") == 2 * hidden  # relu's input and result
    assert report.peak_inference == WEIGHTS + 4 * 8 * 128 + 2 * hidden
    assert report.bytes_of("saved for backward") == hidden  # one storage: relu's result is linear's input
    assert report.bytes_of("gradients") == WEIGHTS == report.part("gradients").predicted
    assert report.part("optimizer state").predicted == 2 * WEIGHTS
    assert 0 <= report.bytes_of("optimizer state") - 2 * WEIGHTS <= 4 * 4  # and a step count each
    by_path = {m.path: m for m in report.modules}
    assert by_path["0"].results == hidden and by_path["1"].saved == hidden and by_path["0"].parameters == 4 * 33024
    assert report.saved_dtypes == {"float32": hidden}


def test_the_peak_is_what_the_profiler_saw() -> None:
    """torch's own profiler counts every allocation and release of its CPU allocator: the sum of what a forward
    allocates is what we counted as made."""
    model, x = perceptron().eval(), torch.randn(64, 128)
    counted, _ = run_inference(model, (x,), {})
    with torch.no_grad():
        model(x)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
            model(x)
    seen = sum(e.self_cpu_memory_usage for e in profiler.events() if e.self_cpu_memory_usage > 0)
    assert counted.made == seen


@pytest.mark.parametrize(
    ("optimizer", "times"), [("sgd", 0), ("AdamW", 2), ("rmsprop", 1), (torch.optim.Adagrad, 1), ("momentum", 1)]
)
def test_optimizer_state(optimizer, times: int) -> None:
    model = perceptron()
    if optimizer == "momentum":
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    report = t2m.memory(model, torch.randn(2, 128), optimizer=optimizer, scale=False)
    part = report.part("optimizer state")
    assert part.predicted == times * WEIGHTS and 0 <= part.measured - part.predicted <= 16


def test_tied_weights_count_once_and_views_are_whole() -> None:
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(10, 8), nn.Linear(8, 10, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids).tanh()[:, :1])

    report = t2m.memory(Tied(), torch.zeros(2, 3, dtype=torch.int64), scale=False)
    assert report.bytes_of("parameters", "inference") == 4 * 80
    assert report.bytes_of("saved for backward") == 4 * 2 * 3 * 8


def test_bfloat16_takes_half() -> None:
    full = t2m.memory(perceptron(), torch.randn(8, 128), scale=False)
    half = t2m.memory(perceptron().bfloat16(), torch.randn(8, 128, dtype=torch.bfloat16), scale=False)
    for kind in ("parameters", "all results", "activations at the peak"):
        assert full.bytes_of(kind, "inference") == 2 * half.bytes_of(kind, "inference")
    assert half.saved_dtypes.keys() == {"bfloat16"}


def test_nothing_of_the_model_changes() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    call = nn.Module.__call__
    t2m.memory(model, torch.randn(3, 4))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and nn.Module.__call__ is call
    state = torch.get_rng_state()
    t2m.memory(nn.Dropout(0.5).train(), torch.ones(3, 4), training=False)
    assert torch.equal(state, torch.get_rng_state())


# --------------------------------------------------------------------------- predictions


@pytest.mark.parametrize("points", [[(3, 30)], [(2, 10), (4, 16)], [(1, 6), (2, 11), (4, 27)]])
def test_a_polynomial_goes_through_its_points(points) -> None:
    made = fit("batch", "peak of inference", points)
    assert [made.predict(x) for x, _ in points] == pytest.approx([y for _, y in points])
    assert len(points) < 3 or made.predict(3) == pytest.approx(18)


def test_prediction_of_a_size_that_was_not_measured() -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
    report = t2m.memory(layer, torch.randn(2, 8, 32))
    for scaling in report.scalings:
        x = torch.randn(6, 8, 32) if scaling.axis == "batch" else torch.randn(2, 64, 32)
        measured = (
            run_inference(layer, (x,), {})[0].peak
            if scaling.quantity.endswith("inference")
            else run_training(layer, (x,), {})[2]
        )
        size = 6 if scaling.axis == "batch" else 64
        assert scaling.predict(size) == pytest.approx(measured, rel=0.01)
    assert {(s.axis, s.quantity.split()[-1]) for s in report.scalings} == {
        (axis, mode) for axis in ("batch", "length") for mode in ("inference", "training")
    }


@pytest.mark.parametrize("bits", [4, 8])
def test_quantised_bytes_are_mlxs(bits: int) -> None:
    layer = mlx.nn.Linear(256, 128, bias=False)
    layer.set_dtype(mx.float16)
    quantised = mlx.nn.QuantizedLinear.from_linear(layer, group_size=64, bits=bits)
    assert quantised_bytes((128, 256), bits) == sum(a.nbytes for _, a in tree_flatten(quantised.parameters()))


def test_precisions_of_a_model() -> None:
    found = {p.name: p for p in precisions([((128, 256), True), ((128,), False), ((10, 30), True)])}
    numbers = 128 * 256 + 128 + 300
    assert found["float32"].bytes == 4 * numbers and found["float16"].bytes == 2 * numbers
    assert found["int4"].bytes == quantised_bytes((128, 256), 4) + 2 * (128 + 300)


def test_key_value_cache_of_attention_calls() -> None:
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = nn.Linear(16, 48)

        def forward(self, x):
            q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
            return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    report = t2m.memory(nn.Sequential(Attention(), Attention(), Attention()), torch.randn(2, 5, 16), scale=False)
    assert (report.cache.bytes_per_token, report.cache.layers) == (3 * 2 * 16 * 4, 3)


# ----------------------------------------------------------------------------------- MLX


def test_an_mlx_model() -> None:
    model = mlx.nn.Sequential(mlx.nn.Linear(64, 256), mlx.nn.ReLU(), mlx.nn.Linear(256, 32))
    before = tree_flatten(model.parameters())
    report = t2m.memory(model, mx.ones((16, 64)), optimizer="AdamW")
    weights = 4 * (64 * 256 + 256 + 256 * 32 + 32)
    assert report.bytes_of("parameters") == weights == report.bytes_of("gradients")
    assert 0 <= report.bytes_of("optimizer state") - 2 * weights <= 64
    assert report.bytes_of("graph before mx.eval", "inference") == 4 * 16 * (256 + 256 + 32)
    assert report.peak_training > report.peak_inference > weights and {"active", "peak", "cache"} <= set(
        report.counters
    )
    assert all(mx.array_equal(a[1], b[1]) for a, b in zip(before, tree_flatten(model.parameters()), strict=True))


def test_a_port_is_measured_in_a_process_of_its_own() -> None:
    port = t2m.port(perceptron().eval(), torch.randn(8, 128))
    report = t2m.memory(port, scale=False)
    assert report.mlx.framework == "mlx" and report.mlx.bytes_of("parameters") == WEIGHTS
    active = report.mlx.part("active before", "inference")
    assert abs(active.measured - active.predicted) < 4096  # nothing else lives there
    assert MemoryReport.from_json(report.to_json()) == report
    assert set(report.to_pandas()["framework"]) == {"torch", "mlx"}
    port.close()


def test_a_lazy_graph_that_grows_and_one_that_does_not() -> None:
    def loop(evaluate: bool):
        with t2m.pending() as pending:
            x = mx.zeros((100,))
            for _ in range(50):
                x = x * 2
                x = x + 1
                if evaluate:
                    mx.eval(x)
        return pending.report

    lazy, eager = loop(False), loop(True)
    assert lazy.peak_bytes >= 400 * 100 and lazy.peak_operations >= 100 and lazy.evaluations == 0
    assert "50 rounds" in lazy.advice and "mx.eval" in lazy.advice
    assert lazy.location.file == __file__ and "x + 1" in Path(__file__).read_text().splitlines()[lazy.location.line - 1]
    assert eager.peak_bytes <= 2 * 400 + 400 and eager.evaluations == 50 and eager.advice == ""
    assert "waited" in str(lazy) and "<svg" in lazy._repr_html_()


def test_pending_tells_while_it_runs() -> None:
    told = []
    with t2m.pending(told.append):
        model = mlx.nn.Linear(4, 4)
        optimizer = optim.SGD(0.1)
        for _ in range(3):
            loss, gradients = mlx.nn.value_and_grad(model, lambda m, x: m(x).sum())(model, mx.ones((2, 4)))
            optimizer.update(model, gradients)
            mx.eval(loss, model.parameters())
    assert len(told) >= 3 and told[-1].evaluations == 3 and told[-1].peak_bytes > 0


# ------------------------------------------------------------------------------ bad input


def test_bad_input() -> None:
    with pytest.raises(BadExample, match="no optimizer 'adamm'"):
        t2m.memory(perceptron(), torch.randn(2, 128), optimizer="adamm")
    with pytest.raises(ForwardFailed, match="mat1 and mat2"):
        t2m.memory(perceptron(), torch.randn(2, 5))
    frozen = t2m.memory(perceptron().requires_grad_(False), torch.randn(2, 128))
    assert frozen.peak_training == 0 and any("no training step" in note for note in frozen.notes)


@pytest.mark.parametrize(
    "x",
    [torch.zeros(0, 3), torch.tensor(2.0), torch.ones(2, 2, dtype=torch.complex64)],
    ids=["empty", "0-d", "complex"],
)
def test_odd_tensors(x) -> None:
    class Net(nn.Module):
        def forward(self, x):
            return x * 2

    report = t2m.memory(Net(), x)
    assert report.bytes_of("all results", "inference") == 2 * 0 + x.nbytes
