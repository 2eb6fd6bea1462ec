"""Softmax over the wrong axis, or over all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number

NAMES = ("softmax", "log_softmax", "softmin", "logsumexp")


def softmax_axis(source: Source) -> Iterator[Rewrite]:
    """Another axis; MLX's own softmax without one normalises over all elements."""
    for call in calls(source, *NAMES):
        given = call.argument(1, "axis")
        now = number(given)
        for place, axis in enumerate((-1, 1, 2, -2, 0, 3)):
            if axis == now:
                continue
            if given is None:
                edit = source.add_argument(call.node, f"axis={axis}")
                message = f"{call.name} without an axis runs over all elements; torch's runs over axis {axis}"
            else:
                edit = source.put(given, str(axis))
                message = f"{call.name} runs over axis {source.read(given)}; torch's over axis {axis}"
            yield Rewrite("softmax axis", message, (edit,), 0.1 * place)


def softmax_in_float32(source: Source) -> Iterator[Rewrite]:
    """Half-precision softmax that torch does in float32."""
    for call in calls(source, "softmax"):
        if call.keyword("precise") is None:
            yield Rewrite("dtype", "torch's softmax works in float32 here: precise=True",
                          (source.add_argument(call.node, "precise=True"),), 2)
        elif isinstance(call.keyword("precise"), ast.Constant):
            value = call.keyword("precise")
            yield Rewrite("dtype", "softmax works in another precision than torch's",
                          (source.put(value, str(not value.value)),), 2)  # type: ignore[union-attr,arg-type]
