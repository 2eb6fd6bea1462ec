"""Shared by the image families: layouts that know how many spatial dimensions an operation
works on (so that input without a batch is laid out right too), and tidy options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .array import Array, Order, standard
from .layouts import Layout, Plan


def spatial_order(ndim: int, spatial: int) -> Order:
    """Channels last for ``(*, C, *spatial)``: ``(*, *spatial, C)``. Standard for lower rank."""
    lead = ndim - spatial - 1
    return standard(ndim) if lead < 0 else (*range(lead), *range(lead + 1, ndim), lead)


def spatial_layout(spatial: int) -> Layout:
    """The layout of an operation on ``spatial`` trailing dimensions with the channel before
    them. A weight ``O I *k`` has the same form and arrives as ``O *k I``."""
    def forward(call, arrays, wanted) -> Plan:
        return Plan(tuple(spatial_order(a.ndim, spatial) for a in arrays),
                    tuple(spatial_order(len(o.shape), spatial) for o in call.outputs))

    def backward(call, arrays, wanted):
        return [spatial_order(a.ndim, spatial) if a.ndim > spatial else None for a in arrays]

    return Layout("channels last", forward, backward)


SPATIAL = {spatial: spatial_layout(spatial) for spatial in (1, 2, 3)}


def per_axis(value: Any, count: int) -> tuple:
    """An option given once or per axis, as one entry per axis. One entry in a list counts once."""
    if isinstance(value, (tuple, list)):
        return tuple(value) * count if len(value) == 1 else tuple(value)
    return (value,) * count


def once(values: Any) -> Any:
    """``(3, 3)`` as ``3``: one number where all axes agree."""
    if not isinstance(values, (tuple, list)):
        return values
    return values[0] if all(value == values[0] for value in values) else tuple(values)


def options(defaults: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Keyword arguments without those that equal MLX's default, numbers instead of equal tuples."""
    tidy = {name: once(value) for name, value in given.items()}
    return {name: value for name, value in tidy.items() if name not in defaults or value != defaults[name]}


def batched(x: Array, spatial: int, apply: Callable[[Any], Any]) -> Any:
    """``apply(x)``, with a batch axis put on and taken off where the input has none."""
    if x.ndim != spatial + 1:
        return apply(x)
    return apply(x[None]).squeeze(0)
