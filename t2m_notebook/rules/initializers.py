"""Initialisers: a call of torch.nn.init as the expression for the new value of an MLX array."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.nn import init

from ..errors import DuplicateRule, Refused
from .emission import Emitted
from .expression import Expr, blocks, mx, nn
from .registry import collecting_caveats


@dataclass(frozen=True, slots=True)
class InitializerRule:
    """How one function of torch.nn.init is written in MLX."""

    function: Callable[..., Any]
    emit: Callable[..., Expr]
    file: str
    summary: str


INITIALIZERS: dict[Callable[..., Any], InitializerRule] = {}


def initializer(*functions: Callable[..., Any], replace: bool = False):
    """Register the decorated function as the rule for ``functions`` of torch.nn.init. It takes the expression
    of the array, then torch's arguments."""
    def decorate(emit):
        for function in functions:
            if function in INITIALIZERS and not replace:
                raise DuplicateRule(f"{function.__name__} has a rule in {INITIALIZERS[function].file} already; "
                                    f"{emit.__module__} registers another. Pass replace=True to override it.")
            summary = (emit.__doc__ or "").partition("\n")[0]
            INITIALIZERS[function] = InitializerRule(function, emit, emit.__module__, summary)
        return emit
    return decorate


def emit_initializer(function: Callable[..., Any], array: Expr, args: Sequence[Any] = (),
                     kwargs: Mapping[str, Any] | None = None) -> Emitted:
    """The new value of ``array`` for ``function(tensor, *args, **kwargs)``.

    Raises :class:`~t2m_notebook.errors.Refused`.
    """
    rule = INITIALIZERS.get(function)
    if rule is None:
        raise Refused("initializer", getattr(function, "__name__", str(function)),
                      "no rule: assign layer.weight = mx.random.normal(layer.weight.shape) or the like")
    given = {name: value for name, value in (kwargs or {}).items() if name != "generator"}
    accepted = inspect.signature(rule.emit).parameters
    extra = [name for name in given if name not in accepted]
    if extra:
        raise Refused(extra[0], given[extra[0]], f"not covered by the rule for {function.__name__}")
    with collecting_caveats() as caveats:
        value = rule.emit(array, *args, **given)
    return Emitted(value, tuple(caveats))


@initializer(init.uniform_)
def uniform(x, a=0.0, b=1.0):
    """`nn.init.uniform`"""
    return nn.init.uniform(low=a, high=b)(x)


@initializer(init.normal_)
def normal(x, mean=0.0, std=1.0):
    """`nn.init.normal`"""
    return nn.init.normal(mean=mean, std=std)(x)


@initializer(init.trunc_normal_)
def trunc_normal(x, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """A block on `mx.random.truncated_normal`."""
    return blocks.truncated_normal(x, mean=mean, std=std, a=a, b=b)


@initializer(init.constant_)
def constant(x, val):
    """`nn.init.constant`"""
    return nn.init.constant(val)(x)


@initializer(init.zeros_)
def zeros(x):
    """`mx.zeros_like`"""
    return mx.zeros_like(x)


@initializer(init.ones_)
def ones(x):
    """`mx.ones_like`"""
    return mx.ones_like(x)


@initializer(init.eye_)
def eye(x):
    """`mx.eye`"""
    return mx.eye(x.shape[0], x.shape[1])


@initializer(init.dirac_)
def dirac(x, groups=1):
    """A block, for the weight of a convolution as MLX has it."""
    return blocks.dirac(x, groups=groups) if groups != 1 else blocks.dirac(x)


def _gain(gain: float) -> dict:
    return {} if gain == 1 else {"gain": float(gain)}


@initializer(init.xavier_uniform_)
def xavier_uniform(x, gain=1.0):
    """`nn.init.glorot_uniform`"""
    return nn.init.glorot_uniform()(x, **_gain(gain))


@initializer(init.xavier_normal_)
def xavier_normal(x, gain=1.0):
    """`nn.init.glorot_normal`"""
    return nn.init.glorot_normal()(x, **_gain(gain))


def _he(a, mode, nonlinearity) -> dict:
    gain = init.calculate_gain(nonlinearity, a)
    gain = round(gain * gain, 12) ** 0.5 if math.isfinite(gain) else gain
    return ({} if mode == "fan_in" else {"mode": mode}) | _gain(gain)


@initializer(init.kaiming_uniform_)
def kaiming_uniform(x, a=0, mode="fan_in", nonlinearity="leaky_relu"):
    """`nn.init.he_uniform` with torch's gain"""
    return nn.init.he_uniform()(x, **_he(a, mode, nonlinearity))


@initializer(init.kaiming_normal_)
def kaiming_normal(x, a=0, mode="fan_in", nonlinearity="leaky_relu"):
    """`nn.init.he_normal` with torch's gain"""
    return nn.init.he_normal()(x, **_he(a, mode, nonlinearity))


@initializer(init.orthogonal_)
def orthogonal(x, gain=1):
    """A block: MLX's takes matrices only, and cuts a tall or wide one out of a square one."""
    return blocks.orthogonal_rows(x, **_gain(gain))


@initializer(init.sparse_)
def sparse(x, sparsity, std=0.01):
    """A block: MLX's empties a share of each row, torch's of each column."""
    return blocks.sparse_columns(x, sparsity=sparsity, std=std)
