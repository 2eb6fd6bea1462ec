"""Schedules: thirty learning rates are those of torch's scheduler."""

import warnings

import mlx.core as mx
import mlx.optimizers as optim
import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler as schedulers

from t2m_notebook import blocks
from t2m_notebook.errors import DuplicateRule, Refused
from t2m_notebook.rules.schedulers import SCHEDULERS, emit_scheduler, scheduler

NAMES = {"mx": mx, "optim": optim, **{name: getattr(blocks, name) for name in dir(blocks)}}


def sgd(lr=0.1, **options):
    return torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=lr, **options)


def rates(live, count=30):
    found = []
    for _ in range(count):
        found.append(live.optimizer.param_groups[0]["lr"])
        live.optimizer.step()
        live.step()
    return found


def sequential(optimizer):
    parts = [schedulers.LinearLR(optimizer, 0.1, total_iters=5), schedulers.StepLR(optimizer, 4, 0.5),
             schedulers.CosineAnnealingLR(optimizer, 10)]
    return schedulers.SequentialLR(optimizer, parts, [5, 15])


def chained(optimizer):
    return schedulers.ChainedScheduler([schedulers.ConstantLR(optimizer, 0.1, 7),
                                        schedulers.ExponentialLR(optimizer, 0.9)])


CASES = {
    "step": lambda o: schedulers.StepLR(o, 4, 0.5), "exponential": lambda o: schedulers.ExponentialLR(o, 0.9),
    "linear": lambda o: schedulers.LinearLR(o, 0.2, 0.8, 12), "constant": lambda o: schedulers.ConstantLR(o, 0.3, 7),
    "milestones": lambda o: schedulers.MultiStepLR(o, [3, 9, 9, 20], 0.5),
    "polynomial": lambda o: schedulers.PolynomialLR(o, 20, 2.0),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, 30),
    "cosine that rises": lambda o: schedulers.CosineAnnealingLR(o, 12, eta_min=0.01),
    "restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 7),
    "longer restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2, eta_min=0.01),
    "restarts that treble": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2, 3),
    "cyclic": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, 4, cycle_momentum=False),
    "cyclic, lower": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, 4, 6, mode="triangular2", cycle_momentum=False),
    "cyclic, exponential": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, 4, 6, mode="exp_range", gamma=0.9,
                                                         cycle_momentum=False),
    "one cycle": lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=32, cycle_momentum=False),
    "one cycle, straight": lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=31, anneal_strategy="linear",
                                                           cycle_momentum=False),
    "one cycle, three phases": lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=32, three_phase=True, pct_start=0.4,
                                                               cycle_momentum=False),
    "sequential": sequential, "chained": chained}


@pytest.mark.parametrize("name", CASES)
def test_thirty_rates(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        live = CASES[name](sgd())
        source = str(emit_scheduler(live).value)
        expected = rates(live)
    schedule = eval(source, dict(NAMES))
    found = [float(mx.array(schedule(mx.array(step, mx.uint64)))) for step in range(30)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=source)
    assert source == str(emit_scheduler(CASES[name](sgd())).value)
    compiled = mx.compile(lambda step: mx.array(schedule(step)))
    assert abs(compiled(mx.array(5, mx.uint64)).item() - expected[5]) < 1e-5


def test_epochs():
    live = schedulers.StepLR(sgd(), 2, 0.5)
    schedule = eval(str(emit_scheduler(live, updates_per_step=10).value), dict(NAMES))
    assert [round(float(mx.array(schedule(mx.array(step)))), 4) for step in (0, 19, 20, 40)] == [0.1, 0.1, 0.05, 0.025]


def test_cycled_momentum_is_declared():
    live = schedulers.OneCycleLR(sgd(momentum=0.9), 0.5, total_steps=30)
    assert emit_scheduler(live).caveats


@pytest.mark.parametrize("make", [lambda o: schedulers.LambdaLR(o, lambda epoch: 0.9**epoch),
                                  lambda o: schedulers.MultiplicativeLR(o, lambda epoch: 0.9),
                                  lambda o: schedulers.ReduceLROnPlateau(o),
                                  lambda o: schedulers.CyclicLR(o, 0.01, 0.1, scale_fn=lambda x: 1.0,
                                                                cycle_momentum=False)])
def test_refused_with_the_way_around(make):
    with pytest.raises(Refused, match="learning_rate|lambda"):
        emit_scheduler(make(sgd()))


def test_every_scheduler_of_torch_has_a_rule():
    base = schedulers.LRScheduler
    classes = {cls for cls in vars(schedulers).values() if isinstance(cls, type) and issubclass(cls, base)
               and cls not in (base, schedulers._LRScheduler)}
    assert classes <= set(SCHEDULERS)


def test_a_second_rule_for_one_scheduler_is_an_error():
    with pytest.raises(DuplicateRule, match="StepLR"):
        scheduler(schedulers.StepLR)(lambda live, rate: None)
