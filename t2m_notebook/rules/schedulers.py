"""Learning-rate schedules: a live torch scheduler as the function from step to rate that MLX takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.optim import lr_scheduler

from ..errors import DuplicateRule, Refused
from .emission import Emitted
from .expression import Expr, blocks
from .optimizers import optim
from .registry import caveat, collecting_caveats, refuse


@dataclass(frozen=True, slots=True)
class SchedulerRule:
    """How one torch scheduler is written in MLX."""

    cls: type
    emit: Callable[[Any, float], Expr]
    file: str
    summary: str


SCHEDULERS: dict[type, SchedulerRule] = {}


def scheduler(*classes: type, replace: bool = False):
    """Register the decorated function as the rule for the torch schedulers ``classes``. It takes the live
    scheduler and the initial learning rate."""
    def decorate(function):
        for cls in classes:
            if cls in SCHEDULERS and not replace:
                raise DuplicateRule(f"{cls.__qualname__} has a rule in {SCHEDULERS[cls].file} already; "
                                    f"{function.__module__} registers another. Pass replace=True to override it.")
            summary = (function.__doc__ or "").partition("\n")[0]
            SCHEDULERS[cls] = SchedulerRule(cls, function, function.__module__, summary)
        return function
    return decorate


def emit_scheduler(live: Any, group: int = 0, updates_per_step: int = 1) -> Emitted:
    """The schedule of a live torch scheduler from its beginning. MLX counts optimizer updates: where
    torch's ``scheduler.step()`` runs once an epoch, ``updates_per_step`` is an epoch's updates.

    Raises :class:`~t2m_notebook.errors.Refused`.
    """
    with collecting_caveats() as caveats:
        value = _emit(live, group)
        if updates_per_step != 1:
            value = blocks.schedule_by_epoch(value, updates_per_step)
    return Emitted(value, tuple(caveats))


def _emit(live: Any, group: int) -> Expr:
    rule = SCHEDULERS.get(type(live))
    if rule is None:
        raise Refused("scheduler", type(live).__qualname__, "no rule: pass a function of the step as learning_rate")
    rate = live.optimizer.param_groups[group].get("initial_lr", live.optimizer.param_groups[group]["lr"])
    return rule.emit(live, float(rate))


def _optional(**options: tuple[Any, Any]) -> dict:
    return {name: value for name, (value, default) in options.items() if value != default}


@scheduler(lr_scheduler.StepLR)
def step_lr(live, rate):
    """`optim.step_decay`"""
    return optim.step_decay(rate, live.gamma, live.step_size)


@scheduler(lr_scheduler.ExponentialLR)
def exponential_lr(live, rate):
    """`optim.exponential_decay`"""
    return optim.exponential_decay(rate, live.gamma)


@scheduler(lr_scheduler.LinearLR)
def linear_lr(live, rate):
    """`optim.linear_schedule`"""
    return optim.linear_schedule(rate * live.start_factor, rate * live.end_factor, live.total_iters)


@scheduler(lr_scheduler.ConstantLR)
def constant_lr(live, rate):
    """A block."""
    return blocks.constant_schedule(rate, live.factor, live.total_iters)


@scheduler(lr_scheduler.MultiStepLR)
def multi_step_lr(live, rate):
    """A block."""
    return blocks.multi_step_decay(rate, live.gamma, sorted(live.milestones.elements()))


@scheduler(lr_scheduler.PolynomialLR)
def polynomial_lr(live, rate):
    """A block."""
    return blocks.polynomial_decay(rate, live.power, live.total_iters)


@scheduler(lr_scheduler.CosineAnnealingLR)
def cosine_annealing_lr(live, rate):
    """A block: `optim.cosine_decay` stays at the end, torch's cosine rises again."""
    return blocks.cosine_annealing(rate, live.T_max, **_optional(end=(live.eta_min, 0)))


@scheduler(lr_scheduler.CosineAnnealingWarmRestarts)
def cosine_annealing_warm_restarts(live, rate):
    """A block."""
    return blocks.cosine_warm_restarts(rate, live.T_0, **_optional(factor=(live.T_mult, 1), end=(live.eta_min, 0)))


_MOMENTUM = "torch also moves the momentum against the learning rate (cycle_momentum); MLX keeps it fixed"


@scheduler(lr_scheduler.CyclicLR)
def cyclic_lr(live, rate):
    """A block; the momentum is not cycled."""
    if getattr(live, "_scale_fn_custom", None) is not None:
        refuse("scale_fn", "a function", "multiply the schedule by it: lambda step: ...")
    if live.cycle_momentum:
        caveat(_MOMENTUM)
    up = live.total_size * live.step_ratio
    up = int(up) if up == int(up) else up
    down = live.total_size - up
    down = int(down) if down == int(down) else down
    options = _optional(mode=(live.mode, "triangular"), gamma=(live.gamma, 1.0))
    return blocks.cyclic_schedule(rate, live.max_lrs[0], up, down, **options)


@scheduler(lr_scheduler.OneCycleLR)
def one_cycle_lr(live, rate):
    """A block; the momentum is not cycled."""
    if live.cycle_momentum:
        caveat(_MOMENTUM)
    group = live.optimizer.param_groups[0]
    phases = live._schedule_phases
    options = _optional(anneal=(live._anneal_func_type, "cos"), three_phase=(len(phases) == 3, False))
    return blocks.one_cycle_schedule(group["max_lr"], group["initial_lr"], group["min_lr"], live.total_steps,
                                     phases[0]["end_step"], **options)


@scheduler(lr_scheduler.SequentialLR)
def sequential_lr(live, rate):
    """`optim.join_schedules`"""
    return optim.join_schedules([_emit(each, 0) for each in live._schedulers], list(live._milestones))


@scheduler(lr_scheduler.ChainedScheduler)
def chained_scheduler(live, rate):
    """A block: the product of what each does to the initial rate."""
    multiplicative = (lr_scheduler.StepLR, lr_scheduler.ExponentialLR, lr_scheduler.LinearLR, lr_scheduler.ConstantLR,
                      lr_scheduler.MultiStepLR, lr_scheduler.PolynomialLR)
    for each in live._schedulers:
        if not isinstance(each, multiplicative):
            refuse("schedulers", type(each).__name__, "chain only schedulers that multiply the rate; join others with "
                   "optim.join_schedules")
    return blocks.product_of_schedules(rate, [_emit(each, 0) for each in live._schedulers])


@scheduler(lr_scheduler.LambdaLR)
def lambda_lr(live, rate):
    """Refused: a Python function's code can't be carried over; it can be passed as it is."""
    refuse("lr_lambda", None, f"pass it yourself: learning_rate=lambda step: {rate} * lr_lambda(step), written with "
           "mx operations, as the step is an array")


@scheduler(lr_scheduler.MultiplicativeLR)
def multiplicative_lr(live, rate):
    """Refused: each step depends on the one before."""
    refuse("lr_lambda", None, "set optimizer.learning_rate = optimizer.learning_rate * lr_lambda(epoch) after each "
           "epoch, as torch's scheduler does")


@scheduler(lr_scheduler.ReduceLROnPlateau)
def reduce_on_plateau(live, rate):
    """Refused: it depends on a measured metric."""
    refuse("scheduler", "ReduceLROnPlateau", "it depends on a metric: after each evaluation set "
           "optimizer.learning_rate = optimizer.learning_rate * factor when the metric has stopped improving")
