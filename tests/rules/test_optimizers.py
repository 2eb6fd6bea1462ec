"""Optimizers: ten steps in both frameworks on one problem end at the same weights."""

import mlx.core as mx
import mlx.nn as mlx_nn
import mlx.optimizers as optim
import numpy as np
import pytest
import torch

from t2m_notebook import blocks
from t2m_notebook.errors import DuplicateRule, Refused
from t2m_notebook.rules.optimizers import OPTIMIZERS, emit_optimizer, optimizer
from t2m_notebook.rules.schedulers import emit_scheduler

NAMES = {"mx": mx, "nn": mlx_nn, "optim": optim, **{name: getattr(blocks, name) for name in dir(blocks)}}
START = {"weight": np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32),
         "bias": np.random.default_rng(1).normal(size=(4,)).astype(np.float32)}
INPUT = np.random.default_rng(2).normal(size=(8, 3)).astype(np.float32)
TARGET = np.random.default_rng(3).normal(size=(8, 4)).astype(np.float32)


def torch_weights(make, steps=10, only=("weight", "bias")):
    weights = {name: torch.tensor(START[name], requires_grad=name in only) for name in START}
    live = make([weights[name] for name in only])
    x, y = torch.tensor(INPUT), torch.tensor(TARGET)
    for _ in range(steps):
        live.zero_grad()
        ((x @ weights["weight"].T + weights["bias"] - y) ** 2).mean().backward()
        live.step()
    return live, {name: weights[name].detach().numpy() for name in only}


def mlx_weights(source, steps=10, only=("weight", "bias")):
    model = mlx_nn.Linear(3, 4)
    model.update({name: mx.array(START[name]) for name in START})
    model.freeze()
    model.unfreeze(keys=list(only))
    live = eval(source, dict(NAMES))
    x, y = mx.array(INPUT), mx.array(TARGET)
    gradients = mlx_nn.value_and_grad(model, lambda: mx.square(model(x) - y).mean())
    for _ in range(steps):
        live.update(model, gradients()[1])
        mx.eval(model.parameters(), live.state)
    return {name: np.array(model[name]) for name in only}


CASES = [
    (torch.optim.SGD, {}), (torch.optim.SGD, {"momentum": 0.9}), (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}), (torch.optim.SGD, {"maximize": True}),
    (torch.optim.SGD, {"weight_decay": 0.1}), (torch.optim.Adam, {}), (torch.optim.Adam, {"betas": (0.8, 0.9)}),
    (torch.optim.Adam, {"weight_decay": 0.1, "eps": 1e-3}), (torch.optim.Adam, {"amsgrad": True}),
    (torch.optim.Adam, {"weight_decay": 0.1, "decoupled_weight_decay": True}), (torch.optim.AdamW, {}),
    (torch.optim.AdamW, {"weight_decay": 0}), (torch.optim.AdamW, {"amsgrad": True, "maximize": True}),
    (torch.optim.Adamax, {}), (torch.optim.Adamax, {"weight_decay": 0.1}), (torch.optim.NAdam, {}),
    (torch.optim.NAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True, "momentum_decay": 0.1}),
    (torch.optim.RAdam, {}), (torch.optim.RAdam, {"betas": (0.9, 0.7), "weight_decay": 0.1}),
    (torch.optim.RMSprop, {}), (torch.optim.RMSprop, {"momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    (torch.optim.Adagrad, {}), (torch.optim.Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.5}),
    (torch.optim.Adadelta, {}), (torch.optim.Adadelta, {"weight_decay": 0.1, "rho": 0.5}), (torch.optim.ASGD, {}),
    (torch.optim.ASGD, {"t0": 3, "lambd": 0.1, "weight_decay": 0.1}), (torch.optim.Rprop, {}),
    (torch.optim.Rprop, {"etas": (0.3, 1.5)}), (torch.optim.Adafactor, {}),
    (torch.optim.Adafactor, {"weight_decay": 0.1, "d": 1.5, "eps": (1e-8, 1e-2)})]


@pytest.mark.parametrize("cls, options", CASES, ids=[f"{c.__name__} {o}" for c, o in CASES])
def test_ten_steps(cls, options):
    live, expected = torch_weights(lambda parameters: cls(parameters, lr=0.05, **options))
    emitted = emit_optimizer(live)
    found = mlx_weights(str(emitted.value))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=str(emitted.value))


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.0}, {"adjust_lr_fn": "match_rms_adamw"}])
def test_muon_up_to_torchs_bfloat16(options):
    live, expected = torch_weights(lambda parameters: torch.optim.Muon(parameters, lr=0.05, **options), 5, ("weight",))
    emitted = emit_optimizer(live)
    found = mlx_weights(str(emitted.value), 5, ("weight",))
    assert emitted.caveats
    np.testing.assert_allclose(found["weight"], expected["weight"], atol=2e-2)
    moved = np.abs(expected["weight"] - START["weight"]).max()
    assert np.abs(found["weight"] - expected["weight"]).max() < 0.1 * moved


@pytest.mark.parametrize("cls", [torch.optim.LBFGS, torch.optim.SparseAdam])
def test_refused_with_a_reason(cls):
    with pytest.raises(Refused, match=cls.__name__):
        emit_optimizer(cls([torch.zeros(2, requires_grad=True)]))


def test_every_optimizer_of_torch_has_a_rule():
    classes = {cls for cls in vars(torch.optim).values() if isinstance(cls, type)
               and issubclass(cls, torch.optim.Optimizer) and cls is not torch.optim.Optimizer}
    assert classes <= set(OPTIMIZERS)


def test_source_reads_well():
    parameters = [torch.zeros(2, requires_grad=True)]
    for live, text in ((torch.optim.AdamW(parameters, lr=1e-3),
                        "optim.AdamW(learning_rate=0.001, weight_decay=0.01, bias_correction=True)"),
                       (torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
                        "optim.SGD(learning_rate=0.1, momentum=0.9)")):
        assert str(emit_optimizer(live).value) == text


def test_parameter_groups_are_written_one_by_one():
    a, b = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    live = torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.2}])
    with pytest.raises(Refused, match="MultiOptimizer"):
        emit_optimizer(live)
    assert str(emit_optimizer(live, group=1).value) == "optim.SGD(learning_rate=0.2)"


def test_with_a_schedule():
    def make(parameters):
        live = torch.optim.Adam(parameters, lr=0.05)
        make.schedule = torch.optim.lr_scheduler.StepLR(live, 3, 0.5)
        return live

    weights = {name: torch.tensor(START[name], requires_grad=True) for name in START}
    live = make(list(weights.values()))
    source = str(emit_optimizer(live, emit_scheduler(make.schedule).value).value)
    x, y = torch.tensor(INPUT), torch.tensor(TARGET)
    for _ in range(10):
        live.zero_grad()
        ((x @ weights["weight"].T + weights["bias"] - y) ** 2).mean().backward()
        live.step()
        make.schedule.step()
    np.testing.assert_allclose(mlx_weights(source)["weight"], weights["weight"].detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_second_rule_for_one_optimizer_is_an_error():
    with pytest.raises(DuplicateRule, match="SGD"):
        optimizer(torch.optim.SGD)(lambda group, lr: None)
