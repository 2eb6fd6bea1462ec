"""Planted NaN and Inf are found at the right operation; clean models are never accused; nothing stays changed."""

from __future__ import annotations

import inspect
import random

import numpy as np
import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.capture.health_values import measure
from t2m_notebook.errors import BadExample, ForwardFailed, NonFinite, NotAModule
from t2m_notebook.types.health import HealthReport

from .planted import BACKWARD, CLEAN, FORWARD, Planted, Scaled


@pytest.mark.parametrize("planted", FORWARD, ids=lambda planted: planted.name)
def test_forward(planted: Planted) -> None:
    model, x = planted.model()
    report = t2m.health(model, x)
    first = report.first
    assert not report.ok and first is not None
    assert first.operation.endswith(planted.operation) or f"__{planted.operation}__" in first.operation
    assert first.path == planted.path
    assert planted.made in first.made
    assert first.location is not None and first.location.file.endswith(("planted.py", "test_health_torch.py"))
    assert first.source and (first.outputs or first.inputs)


@pytest.mark.parametrize("planted", BACKWARD, ids=lambda planted: planted.name)
def test_backward(planted: Planted) -> None:
    model, x = planted.model()
    assert t2m.health(model, x).ok
    report = t2m.health(model, x, backward=True)
    first = report.first_backward
    assert first is not None and report.first_forward is None and report.first is first
    assert first.operation in planted.operation.split("|")
    assert first.path == "bad" and planted.made in first.made and first.forward_operation
    assert all(values.finite for values in first.inputs) and not all(values.finite for values in first.outputs)
    assert first.reached.startswith("gradient of first.")


# The sum of −Inf is a bad loss, and the naive sigmoid's derivative is NaN indeed: clean forward only.
FORWARD_ONLY = {"masked logits as the result", "the largest of what is not masked", "a naive sigmoid",
                "logsumexp of a mask"}
RUNS = [(name, backward) for name in CLEAN for backward in (False, True) if not (backward and name in FORWARD_ONLY)]


@pytest.mark.parametrize(("name", "backward"), RUNS)
def test_clean_models_are_not_accused(name: str, backward: bool) -> None:
    model, x = Planted(name, CLEAN[name], "", "").model()
    report = t2m.health(model, x, backward=backward)
    assert report.ok and report.first is None, report.first.text
    with t2m.watch(model):
        result = model(x)
        if backward and result.requires_grad:
            result.sum().backward()


def test_a_naive_sigmoid_has_a_bad_derivative() -> None:
    model, x = Planted("", CLEAN["a naive sigmoid"], "", "").model()
    report = t2m.health(model, x, backward=True)
    assert [f.operation for f in report.absorbed if f.phase == "forward"] == ["torch.exp"]
    assert report.first_backward is not None


def test_a_mask_is_intended_until_nan_comes_of_it() -> None:
    model, x = Planted("", FORWARD[7].step, "", "").model()
    report = t2m.health(model, x)
    assert [f.operation for f in report.intended] == ["torch.Tensor.masked_fill"]
    assert report.first.operation == "torch.softmax"
    assert "no softmax" in report.first.reason
    assert report.first.inputs[0].negative_inf == 4 and report.first.outputs[0].nan == 4


def test_an_inf_that_was_meant_is_bad_in_the_loss() -> None:
    model, x = Planted("", CLEAN["masked logits as the result"], "", "").model()
    assert t2m.health(model, x).ok
    with pytest.raises(NonFinite, match="masked_fill"), t2m.watch(model):
        model(x).sum().backward()


def test_ranges_are_torchs_own() -> None:
    tensor = torch.tensor([1.0, -2.0, 0.0, float("nan"), float("inf"), -float("inf"), 1e-40, 3e38])
    values = measure(tensor, "x")
    assert (values.minimum, values.maximum) == (-2.0, pytest.approx(3e38))
    assert (values.nan, values.positive_inf, values.negative_inf, values.zeros, values.denormals) == (1, 1, 1, 1, 1)
    assert values.headroom == pytest.approx(3.4028234663852886e38 / 3e38) and values.count == 8


@pytest.mark.parametrize(
    ("dtype", "largest", "close"),
    [
        (torch.float16, 6e4, True),
        (torch.float16, 10.0, False),
        (torch.bfloat16, 3e38, True),
        (torch.bfloat16, 6e4, False),
    ],
)
def test_headroom_of_the_dtype(dtype, largest, close) -> None:
    class Net(nn.Module):
        def forward(self, x):
            return x * 1

    report = t2m.health(Net(), torch.full((2, 2), largest, dtype=dtype))
    assert bool(report.close) == close and report.ok


def test_dead_and_saturated_activations() -> None:
    class Net(nn.Module):
        def forward(self, x):
            return torch.relu(x - 100), torch.relu(x + 100), torch.tanh(x * 100), torch.sigmoid(x)

    dead = t2m.health(Net(), torch.randn(8, 6) + 5).dead
    assert [d.operation for d in dead] == ["torch.relu", "torch.tanh"]
    assert "100% of the values are 0; 6 of 6 units" in dead[0].note


def state_of(model: nn.Module) -> dict:
    hooks = [
        (name, len(value))
        for module in model.modules()
        for name, value in vars(module).items()
        if name.endswith("_hooks")
    ]
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "hooks": hooks,
        "grads": [p.grad if p.grad is None else p.grad.clone() for p in model.parameters()],
        "training": [m.training for m in model.modules()],
        "call": nn.Module.__call__,
        "apply": torch.autograd.Function.__dict__["apply"],
        "random": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(),
        "python": random.getstate(),
        "flags": (torch.is_grad_enabled(), torch.is_anomaly_enabled(), torch.get_default_dtype()),
    }


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("raises", [False, True])
def test_everything_is_as_before(raises: bool) -> None:
    def step(m, x):
        if raises:
            raise RuntimeError("in the forward")
        return m.drop(m.norm(x)) + torch.rand(1)

    model = Scaled(step, norm=nn.BatchNorm1d(4), drop=nn.Dropout(0.5)).train()
    model.first.weight.grad = torch.ones(4, 4)
    model.first.register_forward_hook(lambda *args: None)
    x = torch.randn(3, 4)
    before, kept = state_of(model), x.clone()
    if raises:
        with pytest.raises(ForwardFailed, match="bad"):
            t2m.health(model, x, backward=True)
    else:
        assert t2m.health(model, x, backward=True).ok
    assert same(before, state_of(model)) and torch.equal(x, kept)


def test_a_watch_leaves_results_and_hooks_alone() -> None:
    def train(watched: bool) -> list:
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        optimizer = torch.optim.AdamW(model.parameters())
        before = state_of(model)
        if watched:
            with t2m.watch(model, optimizer=optimizer):
                _steps(model, optimizer)
        else:
            _steps(model, optimizer)
        after = state_of(model)
        assert before["hooks"] == after["hooks"] and before["call"] is after["call"]
        assert not optimizer._optimizer_step_pre_hooks and not optimizer._optimizer_step_post_hooks
        return [p.detach() for p in model.parameters()]

    for plain, watched in zip(train(False), train(True), strict=True):
        assert torch.equal(plain, watched)


def _steps(model, optimizer, count: int = 3) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).pow(2).mean().backward()
        optimizer.step()


def test_the_watch_stops_at_the_right_step_and_says_why() -> None:
    model = Scaled(lambda m, x: torch.log(x.abs() * m.factor))
    model.bad.factor = 1.0
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with pytest.raises(NonFinite) as caught, t2m.watch(model, optimizer=optimizer):
        for step in range(5):
            model.bad.factor = 0.0 if step == 2 else 1.0
            optimizer.zero_grad()
            model(torch.randn(3, 4)).mean().backward()
            optimizer.step()
    finding = caught.value.finding
    assert (finding.operation, finding.path, finding.step) == ("torch.log", "bad", 2)
    assert "Log of 0 is −Inf" in str(caught.value) and "training step 2" in str(caught.value)


def test_the_watch_collects() -> None:
    planted = BACKWARD[0]
    model, x = planted.model()
    optimizer = torch.optim.AdamW(model.parameters())
    with t2m.watch(model, stop=False, optimizer=optimizer) as watch:
        for _ in range(2):
            model(x).sum().backward()
            optimizer.step()
    report = watch.report
    assert report.first.operation == "SqrtBackward0" and report.steps == 2
    assert any(f.phase == "parameter" or "parameter" in f.reached for f in report.bad)
    assert {"forward", "backward", "parameters", "optimizer state"} <= set(report.phases)


def test_a_parameter_that_the_optimizer_ruined() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e38)
    with pytest.raises(NonFinite, match="parameter"), t2m.watch(model, optimizer=optimizer):
        (model(torch.full((1, 2), 100.0)) * 10).sum().backward()
        optimizer.step()


def test_checkpoints_are_measured_and_free_outside() -> None:
    class Net(nn.Module):
        def forward(self, x):
            return t2m.checkpoint(x * 2, "doubled") + 1

    x = torch.ones(2)
    assert t2m.checkpoint(x, "outside") is x
    (mark,) = t2m.health(Net(), x).checkpoints
    assert (mark.mark, mark.ranges.maximum, mark.source) == ("doubled", 2.0, 't2m.checkpoint(x * 2, "doubled")')


def test_json_and_table() -> None:
    model, x = FORWARD[0].model()
    report = t2m.health(model, x, backward=True)
    assert HealthReport.from_json(report.to_json()) == report
    table = report.to_pandas()
    assert len(table) == len(report.tensors) and (table["verdict"] == "bad").any()


# ------------------------------------------------------------------------------------- bad input


def test_without_gradients() -> None:
    model = nn.Linear(2, 2).requires_grad_(False)
    assert t2m.health(model, torch.ones(1, 2)).ok
    with pytest.raises(BadExample, match="requires a gradient"):
        t2m.health(model, torch.ones(1, 2), backward=True)


def test_a_loss_that_is_no_number() -> None:
    with pytest.raises(BadExample, match="one number"):
        t2m.health(nn.Linear(2, 2), torch.ones(1, 2), backward=True, loss=lambda y: y)


def test_in_place_after_save_says_where() -> None:
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x):
            y = torch.sigmoid(self.a(x))
            y.add_(1)
            return y

    with pytest.raises(ForwardFailed, match=r"in place: torch.Tensor.add_ at .*: y\.add_\(1\)"):
        t2m.health(Net(), torch.ones(2, 3), backward=True)


def test_a_forward_that_raises_says_what_was_bad_before() -> None:
    def step(m, x):
        y = torch.log(x * 0)
        return y[torch.isnan(y).long().sum() + 99]

    with pytest.raises(ForwardFailed, match=r"raised in bad(.|\n)*Before that, torch.log made −Inf"):
        t2m.health(Scaled(step), torch.randn(3, 4))


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(0, 3),
        torch.tensor(2.0),
        torch.randn(2, 3, dtype=torch.complex64),
        torch.eye(3).to_sparse(),
        torch.arange(3),
    ],
    ids=["empty", "0-d", "complex", "sparse", "int"],
)
def test_odd_tensors(x) -> None:
    class Net(nn.Module):
        def forward(self, x):
            return x * 2

    assert t2m.health(Net(), x).ok


def test_a_complex_nan_is_found() -> None:
    class Net(nn.Module):
        def forward(self, x):
            return x / (x * 0)

    assert "NaN" in t2m.health(Net(), torch.ones(2, dtype=torch.complex64)).first.made


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_runs_as_it_was_written() -> None:
    planted = FORWARD[0]
    model, x = planted.model()
    first = t2m.health(torch.compile(model, backend="eager"), x).first
    assert first.operation == "torch.log" and first.path.endswith("bad")


def test_not_a_model() -> None:
    with pytest.raises(NotAModule):
        t2m.health(nn.Linear, torch.ones(2))
    with pytest.raises(NotAModule):
        t2m.watch(lambda x: x)


def test_hooks_of_the_user_run_and_are_seen() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].register_forward_hook(lambda module, args, result: result / 0)
    first = t2m.health(model, torch.ones(1, 2)).first
    assert first.operation == "torch.Tensor.div" and first.path == "0"


def test_the_gradient_of_an_input_counts() -> None:
    class Distance(nn.Module):
        def forward(self, x, y):
            return ((x - y) ** 2).sum(-1).sqrt().mean()

    point = torch.randn(3, 2, requires_grad=True)
    first = t2m.health(Distance(), (point, point.detach()), backward=True).first
    assert first.operation == "SqrtBackward0" and first.phase == "backward" and point.grad is None
    assert t2m.health(Distance(), (point, torch.zeros(3, 2)), backward=True).first is None


class Calls(nn.Module):
    """Its ``nn.Sequential`` is called on a line of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU()))

    def forward(self, x):
        return self.steps(x)


@pytest.mark.parametrize(("model", "files"), [
    (Calls(), {__file__}),
    (Calls().steps, {inspect.getfile(nn.Linear), inspect.getfile(nn.ReLU)})], ids=["in a model", "the model itself"])
def test_steps_of_a_sequential_stand_in_the_models_or_torchs_source(model: nn.Module, files: set) -> None:
    report = t2m.health(model, torch.randn(2, 4), backward=True)
    for phase in ("forward", "backward"):
        rows = [t for t in report.tensors if t.phase == phase and t.path]
        assert {t.location.file for t in rows} == files
        own = [t for t in report.tensors if t.phase == phase and not t.path]  # the loss that this package makes
        assert own and not any(t.location for t in own)


def test_a_bad_step_of_a_sequential_is_located_in_both_directions() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1e38)
    forward = t2m.health(model, torch.full((1, 2), 1e10)).first
    assert (forward.operation, forward.location.file) == ("torch.nn.functional.linear", inspect.getfile(nn.Linear))

    class Root(torch.nn.Module):
        def forward(self, x):
            return x.sqrt()

    backward = t2m.health(nn.Sequential(Root()), torch.zeros(2, requires_grad=True), backward=True).first
    assert (backward.operation, backward.location.file) == ("SqrtBackward0", __file__)


def test_a_watch_of_a_sequential_names_the_loops_own_line() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with t2m.watch(model, stop=False) as watch:
        model(torch.full((1, 2), torch.finfo(torch.float32).max)).sum().backward()
    rows = [t for t in watch.report.tensors if t.phase == "forward"]
    assert rows and {t.location.file for t in rows} == {__file__}
