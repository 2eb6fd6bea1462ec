"""Optimizers: a live torch optimizer as the expression that constructs MLX's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import DuplicateRule, Refused
from .emission import Emitted
from .expression import Expr, Namespace, blocks
from .registry import caveat, collecting_caveats, refuse

optim = Namespace("optim")  # import mlx.optimizers as optim


@dataclass(frozen=True, slots=True)
class OptimizerRule:
    """How one torch optimizer is written in MLX."""

    cls: type
    emit: Callable[[Mapping[str, Any], Any], Expr]
    file: str
    summary: str


OPTIMIZERS: dict[type, OptimizerRule] = {}


def optimizer(*classes: type, replace: bool = False):
    """Register the decorated function as the rule for the torch optimizers ``classes``. It takes one
    parameter group's options and the learning rate (a number or an expression)."""
    def decorate(function):
        for cls in classes:
            if cls in OPTIMIZERS and not replace:
                raise DuplicateRule(f"{cls.__qualname__} has a rule in {OPTIMIZERS[cls].file} already; "
                                    f"{function.__module__} registers another. Pass replace=True to override it.")
            summary = (function.__doc__ or "").partition("\n")[0]
            OPTIMIZERS[cls] = OptimizerRule(cls, function, function.__module__, summary)
        return function
    return decorate


def emit_optimizer(live: torch.optim.Optimizer, learning_rate: Any = None, group: int | None = None) -> Emitted:
    """The MLX constructor for a live torch optimizer. ``learning_rate`` may be a schedule's
    expression; ``group`` picks one of several parameter groups.

    Raises :class:`~t2m_notebook.errors.Refused`.
    """
    rule = OPTIMIZERS.get(type(live))
    if rule is None:
        raise Refused("optimizer", type(live).__qualname__, "no rule: subclass optim.Optimizer and write its update "
                      "in apply_single")
    if group is None and len(live.param_groups) > 1:
        refuse("param_groups", len(live.param_groups), "write one optimizer for each group (group=0, 1, ...) and join "
               "them with optim.MultiOptimizer")
    options = live.param_groups[group or 0]
    for name in ("differentiable",):
        if options.get(name):
            refuse(name, options[name], "differentiate through the update with mx.grad over a function of the weights")
    with collecting_caveats() as caveats:
        rate = options.get("initial_lr", options["lr"]) if learning_rate is None else learning_rate
        value = rule.emit(options, float(rate) if isinstance(rate, torch.Tensor) else rate)
    return Emitted(value, tuple(caveats))


def _changed(options: Mapping[str, Any], **defaults: Any) -> dict[str, Any]:
    """The options whose value is not the constructor's default."""
    found = {}
    for name, default in defaults.items():
        value = options.get(name, default)
        value = tuple(map(float, value)) if isinstance(value, (tuple, list)) and None not in value else value
        if value != default:
            found[name] = value
    return found


_COMMON = {"weight_decay": 0, "maximize": False}


@optimizer(torch.optim.SGD)
def sgd(group, lr):
    """`optim.SGD`; a block with dampening, which torch does not apply to the first step."""
    options = _changed(group, momentum=0, dampening=0, nesterov=False, **_COMMON)
    if options.keys() & {"dampening", "maximize"}:
        return blocks.SGDWithOptions(learning_rate=lr, **options)
    return optim.SGD(learning_rate=lr, **options)


@optimizer(torch.optim.Adam, torch.optim.AdamW)
def adam(group, lr):
    """`optim.Adam` or `optim.AdamW` with bias_correction=True; a block for L2 decay, amsgrad, maximize."""
    options = _changed(group, betas=(0.9, 0.999), eps=1e-8, amsgrad=False, maximize=False)
    decay, decoupled = group["weight_decay"], group.get("decoupled_weight_decay", False)
    if options.keys() & {"amsgrad", "maximize"} or (decay and not decoupled):
        extra = {"weight_decay": decay} if decay else {}
        extra |= {"decoupled": True} if decoupled else {}
        return blocks.AdamWithOptions(learning_rate=lr, **options, **extra)
    if decay:
        return optim.AdamW(learning_rate=lr, **options, weight_decay=decay, bias_correction=True)
    return optim.Adam(learning_rate=lr, **options, bias_correction=True)


@optimizer(torch.optim.Adamax)
def adamax(group, lr):
    """A block: MLX's Adamax corrects no bias."""
    return blocks.AdamaxWithBiasCorrection(learning_rate=lr, **_changed(group, betas=(0.9, 0.999), eps=1e-8, **_COMMON))


def _decoupled(group) -> dict:
    return {"decoupled": True} if group.get("decoupled_weight_decay") and group["weight_decay"] else {}


@optimizer(torch.optim.NAdam)
def nadam(group, lr):
    """A block."""
    return blocks.NAdam(learning_rate=lr, **_changed(group, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3,
                                                     **_COMMON), **_decoupled(group))


@optimizer(torch.optim.RAdam)
def radam(group, lr):
    """A block."""
    return blocks.RAdam(learning_rate=lr, **_changed(group, betas=(0.9, 0.999), eps=1e-8, **_COMMON),
                        **_decoupled(group))


@optimizer(torch.optim.RMSprop)
def rmsprop(group, lr):
    """`optim.RMSprop`; a block with momentum, centring or weight decay."""
    options = _changed(group, alpha=0.99, eps=1e-8, momentum=0, centered=False, **_COMMON)
    if options.keys() - {"alpha", "eps"}:
        return blocks.RMSpropWithOptions(learning_rate=lr, **options)
    return optim.RMSprop(learning_rate=lr, **options)


@optimizer(torch.optim.Adagrad)
def adagrad(group, lr):
    """`optim.Adagrad` with torch's eps; a block with decay."""
    options = _changed(group, lr_decay=0, initial_accumulator_value=0, **_COMMON)
    if options:
        return blocks.AdagradWithOptions(learning_rate=lr, **options, **_changed(group, eps=1e-10))
    return optim.Adagrad(learning_rate=lr, eps=group["eps"])


@optimizer(torch.optim.Adadelta)
def adadelta(group, lr):
    """`optim.AdaDelta`; a block with weight decay."""
    options = _changed(group, rho=0.9, eps=1e-6, **_COMMON)
    if options.keys() - {"rho", "eps"}:
        return blocks.AdadeltaWithOptions(learning_rate=lr, **options)
    return optim.AdaDelta(learning_rate=lr, **options)


@optimizer(torch.optim.ASGD)
def asgd(group, lr):
    """A block."""
    return blocks.ASGD(learning_rate=lr, **_changed(group, lambd=1e-4, alpha=0.75, t0=1e6, **_COMMON))


@optimizer(torch.optim.Rprop)
def rprop(group, lr):
    """A block."""
    return blocks.Rprop(learning_rate=lr, **_changed(group, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0), maximize=False))


@optimizer(torch.optim.Adafactor)
def adafactor(group, lr):
    """A block: MLX's Adafactor is that of the paper, torch's has other defaults and one less moment."""
    caveat("a convolution's second moments are factored over its last two axes, which in MLX are other ones")
    return blocks.AdafactorWithOptions(learning_rate=lr, **_changed(group, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0,
                                                                    **_COMMON))


@optimizer(torch.optim.Muon)
def muon(group, lr):
    """`optim.Muon`; a block for its weight decay, which torch decouples."""
    if tuple(group["ns_coefficients"]) != (3.4445, -4.775, 2.0315):
        refuse("ns_coefficients", group["ns_coefficients"], "MLX's are fixed at (3.4445, -4.775, 2.0315)")
    caveat("torch orthogonalises in bfloat16, MLX in the parameter's own precision")
    options = _changed(group, momentum=0.95, nesterov=True, ns_steps=5)
    matched = {"match_rms_adamw": True} if group["adjust_lr_fn"] == "match_rms_adamw" else {}
    if group["weight_decay"] or matched:
        return blocks.MuonWithDecoupledDecay(learning_rate=lr, weight_decay=group["weight_decay"], **matched, **options)
    return optim.Muon(learning_rate=lr, weight_decay=0.0, **options)


@optimizer(torch.optim.LBFGS)
def lbfgs(group, lr):
    """Refused: it calls the loss several times in one step."""
    refuse("optimizer", "LBFGS", "it evaluates the loss several times a step: write the loop with "
           "mx.value_and_grad, or minimise with scipy.optimize over the flattened weights")


@optimizer(torch.optim.SparseAdam)
def sparse_adam(group, lr):
    """Refused: MLX has no sparse gradients."""
    refuse("optimizer", "SparseAdam", "MLX has no sparse gradients; optim.Adam(bias_correction=True) also moves the "
           "rows that got no gradient, by their momentum")
