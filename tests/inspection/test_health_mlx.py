"""MLX: planted NaN and Inf are found, laziness stays, and a port's two sides name the same operation."""

from __future__ import annotations

import inspect

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import pytest
import torch

import t2m_notebook as t2m
from t2m_notebook.errors import BadExample, NonFinite
from t2m_notebook.inspection import mlx_calls

INF = float("inf")


class Net(nn.Module):
    """A linear layer and a step after it, in a module called ``bad``."""

    def __init__(self, step, **parts):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.bad = Step(step, **parts)

    def __call__(self, x):
        return self.bad(self.first(x)) * 1.0


class Step(nn.Module):
    def __init__(self, step, **parts):
        super().__init__()
        self._step = step
        for name, part in parts.items():
            setattr(self, name, part)

    def __call__(self, x):
        return self._step(self, x)


def bad_table():
    table = nn.Embedding(5, 4)
    table.weight[2] = mx.array(float("nan"))
    return table


FORWARD = {
    "log of 0": (lambda m, x: mx.log(mx.maximum(x, 0) * 0), "mx.log", "−Inf"),
    "0/0": (lambda m, x: (x * 0) / (x * 0), "mx.array.__truediv__", "NaN"),
    "exp overflow": (lambda m, x: mx.exp(mx.abs(x) * 1e4), "mx.exp", "+Inf"),
    "matmul overflow in float16": (lambda m, x: (x * 2e4) @ (x * 2e4).T, "mx.array.__matmul__", "+Inf"),
    "softmax over a masked row": (lambda m, x: mx.softmax(mx.where(x == x, -INF, x), axis=-1), "mx.softmax", "NaN"),
    "norm": (lambda m, x: x * 0 / mx.linalg.norm(x * 0, axis=-1, keepdims=True), "mx.array.__truediv__", "NaN"),
    "sqrt of a negative number": (lambda m, x: mx.sqrt(-mx.abs(x) - 1), "mx.sqrt", "NaN"),
    "power": (lambda m, x: (-mx.abs(x) - 1) ** 0.5, "mx.array.__pow__", "NaN"),
    "arccos": (lambda m, x: mx.arccos(mx.abs(x) + 2), "mx.arccos", "NaN"),
    "Inf − Inf": (lambda m, x: mx.exp(mx.abs(x) * 1e4) - mx.exp(mx.abs(x) * 1e4), "mx.exp", "+Inf"),
    "mean overflow in float16": (lambda m, x: x * mx.mean(mx.full((300,), 300.0, mx.float16)), "mx.mean", "+Inf"),
    "a compiled function": (lambda m, x: mx.compile(lambda y: mx.log(y * 0))(x), "<lambda> (compiled)", "−Inf"),
    "an embedding with a NaN row": (lambda m, x: x + m.table(mx.array([2])), "bad.table.weight", "NaN"),
}
BACKWARD = {
    "sqrt'(0)": (lambda m, x: mx.sqrt(mx.maximum(x, 0) * 0), "mx.sqrt"),
    "norm at 0": (lambda m, x: mx.linalg.norm(x * 0, axis=-1), "mx.linalg.norm"),
    "log behind where": (lambda m, x: mx.where(x > 9, mx.log(mx.maximum(x, 0) * 0), x), "mx.log"),
    "arccos at the bound": (lambda m, x: mx.arccos(x * 0 + 1), "mx.arccos"),
    "division behind where": (lambda m, x: mx.where(x > 9, 1 / (x * 0), x), "mx.array.__rtruediv__"),
}
CLEAN = {
    "plain": lambda m, x: nn.gelu(nn.relu(x)),
    "masked attention": lambda m, x: mx.softmax(mx.where(mx.eye(3, 4) > 0, -INF, x), axis=-1),
    "an additive mask": lambda m, x: mx.softmax(
        x @ x.T + nn.MultiHeadAttention.create_additive_causal_mask(3), axis=-1
    ),
    "a naive sigmoid": lambda m, x: 1 / (1 + mx.exp(mx.abs(x) * 300)),
    "a nested grad": lambda m, x: mx.grad(lambda y: (y * y).sum())(x),
    "vmap": lambda m, x: mx.vmap(lambda row: row / (1 + mx.abs(row)))(x),
    "indexing": lambda m, x: mx.concatenate([x[:1], mx.split(x, 3)[1], x[2:]]).T.reshape(-1),
}


def made(step, name: str = "", half: bool = False):
    mx.random.seed(1)
    model = Net(step, **({"table": bad_table()} if "embedding" in name else {}))
    x = mx.random.normal((3, 4))
    if half:
        model.set_dtype(mx.float16)
        x = x.astype(mx.float16)
    mx.eval(model.parameters(), x)
    return model, x


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize("how", ["health", "watch"])
def test_forward(name: str, how: str) -> None:
    step, operation, kind = FORWARD[name]
    model, x = made(step, name, "float16" in name)
    if how == "health":
        first = t2m.health(model, x).first
    else:
        with pytest.raises(NonFinite) as caught, t2m.watch(model):
            mx.eval(model(x))
        first = caught.value.finding
    assert first.operation == operation and kind in first.made
    assert first.path.startswith("bad") and first.location.file.endswith(("test_health_mlx.py", "embedding.py"))


@pytest.mark.parametrize("name", BACKWARD)
@pytest.mark.parametrize("how", ["health", "watch"])
def test_backward(name: str, how: str) -> None:
    step, operation = BACKWARD[name]
    model, x = made(step)
    if how == "health":
        report = t2m.health(model, x, backward=True)
        assert report.first_forward is None
        first = report.first_backward
    else:
        optimizer = optim.SGD(0.1)
        with pytest.raises(NonFinite) as caught, t2m.watch(model, optimizer=optimizer):
            loss, gradients = nn.value_and_grad(model, lambda m, x: m(x).sum())(model, x)
            optimizer.update(model, gradients)
            mx.eval(loss, model.parameters())
        first = caught.value.finding
    assert first.forward_operation == operation and first.path == "bad" and first.phase == "backward"
    assert first.reached.startswith("gradient of first.")


@pytest.mark.parametrize("name", CLEAN)
def test_clean_models_are_not_accused(name: str) -> None:
    model, x = made(CLEAN[name])
    plain = model(x)
    for backward in (False, True) if name not in ("a naive sigmoid",) else (False,):
        report = t2m.health(model, x, backward=backward)
        assert report.ok and report.first is None, report.first.text
    with t2m.watch(model):
        watched = model(x)
        mx.eval(watched)
    assert mx.array_equal(plain, watched)


def train(steps: int, watched: bool, compiled: bool = False) -> tuple[list, int]:
    """Parameters after some steps, and how many evaluations the loop asked for."""
    mx.random.seed(5)
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = optim.AdamW(1e-2)
    state = [model.state, optimizer.state, mx.random.state]

    def step(x):
        loss, gradients = nn.value_and_grad(model, lambda m, x: (m(x) ** 2).mean())(model, x)
        optimizer.update(model, gradients)
        return loss

    run = mx.compile(step, inputs=state, outputs=state) if compiled else step

    def loop():
        for number in range(steps):
            loss = run(mx.full((3, 4), float(number)))
            mx.eval(loss, *state[:2])

    if watched:
        with t2m.watch(model, optimizer=optimizer) as watch:
            loop()
        assert watch.report.ok
        return leaves(model), watch.steps
    loop()
    return leaves(model), 0


def leaves(model) -> list:
    from mlx.utils import tree_flatten

    return tree_flatten(model.parameters())


@pytest.mark.parametrize("compiled", [False, True])
def test_training_is_the_same_under_the_watch(compiled: bool) -> None:
    plain, _ = train(3, False, compiled)
    watched, steps = train(3, True, compiled)
    assert all(a[0] == b[0] and mx.array_equal(a[1], b[1]) for a, b in zip(plain, watched, strict=True))
    assert steps == (0 if compiled else 3)


def test_nothing_is_evaluated_before_the_code_does(monkeypatch) -> None:
    model, x = made(CLEAN["plain"])
    evaluations = []
    real = mx.eval
    monkeypatch.setattr(mx, "eval", lambda *args: (evaluations.append(len(args)), real(*args)))
    with t2m.watch(model):
        y = model(x)
        assert evaluations == []
        mx.eval(y)
    # The code's own evaluation takes all checks along; reading them evaluates nothing more.
    assert evaluations[0] == 2 and len(evaluations) <= 2


def test_everything_is_put_back() -> None:
    model, x = made(CLEAN["plain"])
    before = {name: getattr(mx, name) for name in dir(mx)}
    compiled_call = vars(mlx_calls.COMPILED)["__call__"]
    methods, call, update = dict(vars(mx.array)), vars(Net)["__call__"], optim.Optimizer.update
    state, random = leaves(model), [mx.array(part) for part in mx.random.state]
    with pytest.raises(ZeroDivisionError), t2m.watch(model):
        model(x)
        1 / 0  # noqa: B018
    t2m.health(model, x, backward=True)
    assert all(getattr(mx, name) is value for name, value in before.items())
    assert all(vars(mx.array)[name] is value for name, value in methods.items())
    assert vars(Net)["__call__"] is call and optim.Optimizer.update is update
    assert all(mx.array_equal(a[1], b[1]) for a, b in zip(state, leaves(model), strict=True))
    assert all(mx.array_equal(a, b) for a, b in zip(random, mx.random.state, strict=True))
    assert vars(mlx_calls.COMPILED)["__call__"] is compiled_call


def test_a_bad_step_is_named() -> None:
    model, x = made(lambda m, x: mx.log(mx.abs(x) * m._factor))
    optimizer = optim.AdamW(1e-3)
    step = nn.value_and_grad(model, lambda m, x: m(x).mean())
    with pytest.raises(NonFinite) as caught, t2m.watch(model, optimizer=optimizer):
        for number in range(5):
            model.bad._factor = 0.0 if number == 2 else 1.0
            loss, gradients = step(model, x)
            optimizer.update(model, gradients)
            mx.eval(loss, model.parameters(), optimizer.state)
    assert (caught.value.finding.operation, caught.value.finding.step) == ("mx.log", 2)


def test_collecting_goes_on() -> None:
    model, x = made(BACKWARD["sqrt'(0)"][0])
    optimizer = optim.SGD(0.1)
    with t2m.watch(model, stop=False, optimizer=optimizer) as watch:
        for _ in range(2):
            loss, gradients = nn.value_and_grad(model, lambda m, x: m(x).sum())(model, x)
            optimizer.update(model, gradients)
            mx.eval(model.parameters())
    assert watch.report.first.forward_operation == "mx.sqrt" and watch.report.steps == 2


def test_whole_ranges() -> None:
    x = mx.array([1.0, -2.0, 0.0, float("nan"), INF, -INF, 1e-40, 3e38])
    report = t2m.health(Net(lambda m, y: y), x.reshape(2, 4))
    values = next(f.outputs[0] for f in report.findings if f.operation.startswith("argument"))
    assert (values.minimum, values.nan, values.positive_inf, values.negative_inf, values.zeros, values.denormals) == (
        -2.0,
        1,
        1,
        1,
        1,
        1,
    )


def test_checkpoint_in_mlx_code() -> None:
    model, x = made(lambda m, x: t2m.checkpoint(x * 2, "doubled"))
    (mark,) = t2m.health(model, x).checkpoints
    assert (mark.mark, mark.path) == ("doubled", "bad") and mark.ranges.count == 12


def test_a_loss_that_is_no_number() -> None:
    model, x = made(CLEAN["plain"])
    with pytest.raises(BadExample, match="one number"):
        t2m.health(model, x, backward=True, loss=lambda y: y)


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())

    def forward(self, x):
        return torch.log(self.inner(x))


def test_both_sides_of_a_port() -> None:
    port = t2m.port(Torch().eval(), torch.randn(3, 4))
    report = t2m.health(port, backward=True)
    assert report.first.operation == "torch.log" and report.mlx.first.operation == "mx.log"
    assert report.mlx.first.location.file == "model.py" and "mx.log" in report.mlx.first.source
    assert "torch" in str(report) and "mlx:" in str(report) and not report.ok
    port.close()


def test_steps_of_a_sequential_stand_in_the_models_or_mlxs_source() -> None:
    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.Sequential(nn.Linear(2, 2))

        def __call__(self, x):
            return self.steps(x)

    for model, file in ((Calls(), __file__), (Calls().steps, inspect.getfile(nn.Linear))):
        report = t2m.health(model, mx.ones((1, 2)), backward=True)
        for phase in ("forward", "backward"):
            assert {t.location.file for t in report.tensors if t.phase == phase and t.path} == {file}
            assert not any(t.location for t in report.tensors if t.phase == phase and not t.path)
    row, = t2m.trace(Calls().steps, mx.ones((1, 2)))
    assert (row.op, row.mlx.location.file) == ("nn.Linear", inspect.getfile(nn.Sequential))
    row, = t2m.trace(Calls(), mx.ones((1, 2)))
    assert (row.op, row.mlx.location.file, row.source) == ("nn.Linear", __file__, "self.steps(x)")
