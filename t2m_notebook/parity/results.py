"""The arrays in what MLX code gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.nn as nn


def arrays_in(value: Any) -> Iterator[Any]:
    """The arrays inside lists, tuples and dicts, in order; None and plain values are left out, and so are the
    parameters of a module, which is a dict, too."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        if not isinstance(value, nn.Module):
            for item in value.values():
                yield from arrays_in(item)
    elif hasattr(value, "shape") and hasattr(value, "dtype") and hasattr(value, "nbytes"):
        yield value
