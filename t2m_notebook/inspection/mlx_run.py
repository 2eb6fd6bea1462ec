"""One forward, and on request one backward pass, of an MLX model under the watch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from ..errors import BadExample, ForwardFailed
from ..types.health import HealthReport
from .mlx_calls import arrays_of
from .mlx_health import MLXWatch
from .mlx_values import is_float
from .starting import starts_model


@starts_model
def mlx_health(
    model: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    backward: bool = False,
    loss: Callable[[Any], mx.array] | None = None,
) -> HealthReport:
    """The report of one forward of an ``mlx.nn.Module``; with ``backward`` of ``nn.value_and_grad`` over it, from
    ``loss(result)`` or the sum of the results. Parameters, modes and the random state stay as they were.

    Raises :class:`ForwardFailed` and :class:`BadExample`.
    """
    watch = MLXWatch(model, stop=False, whole=True)
    before, random_state = dict(_leaves(model)), [mx.array(part) for part in mx.random.state]
    modes = [(module, module.training) for module in model.modules()]
    mx.eval(model.parameters(), random_state)
    try:
        with watch:
            for number, value in enumerate(args):
                for array in arrays_of(value):
                    watch.name(array, "input", f"argument {number}")
            for name, value in kwargs.items():
                for array in arrays_of(value):
                    watch.name(array, "input", name)
            if backward:
                _differentiate(watch, model, args, kwargs, loss)
            else:
                mx.eval(list(arrays_of(model(*args, **kwargs))))
    except (BadExample, ForwardFailed):
        raise
    except Exception as error:
        raise ForwardFailed(f"the MLX model's forward raised\n{type(error).__name__}: {error}") from error
    finally:
        _put_back(model, before)
        for module, training in modes:
            module._training = training
        for part, was in zip(list(mx.random.state), random_state, strict=True):
            part[:] = was
    return watch.report


def _differentiate(
    watch: MLXWatch, model: nn.Module, args: tuple, kwargs: Mapping[str, Any], loss: Callable[[Any], mx.array] | None
) -> None:
    def scalar(model, args, kwargs):
        result = model(*args, **kwargs)
        if loss is None:
            parts = [a for a in arrays_of(result) if is_float(a)]
            if not parts:
                raise BadExample("backward: the result holds no floating-point array to differentiate. Pass loss=.")
            parts = [mx.real(a) + mx.imag(a) if a.dtype == mx.complex64 else a for a in parts]
            return sum(a.astype(mx.float32).sum() for a in parts)
        value = loss(result)
        if not isinstance(value, mx.array) or value.size != 1:
            raise BadExample("loss has to give an array with one number. Reduce it: .mean() or .sum().")
        return value.reshape(())

    watch.notes.append(
        "backward from the loss that was given"
        if loss is not None
        else "backward from the sum of all results; pass loss= for your own"
    )
    value, gradients = nn.value_and_grad(model, scalar)(model, args, kwargs)
    watch.gradients(gradients)
    mx.eval(value, gradients)


def _leaves(model: nn.Module) -> list[tuple[str, mx.array]]:
    from mlx.utils import tree_flatten

    return tree_flatten(model.parameters())


def _put_back(model: nn.Module, before: dict[str, mx.array]) -> None:
    from mlx.utils import tree_unflatten

    model.update(tree_unflatten(list(before.items())))
