"""``t2m.checkpoint(x, "attn.scores")``: a named place in the code where a watch looks at a value."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

Value = TypeVar("Value")
#: What is told of every checkpoint while it is watching: ``listener(value, name)``.
LISTENERS: list[Callable[[Any, str], None]] = []


def checkpoint(x: Value, name: str) -> Value:
    """``x``, unchanged. Inside ``t2m.watch`` or ``t2m.health`` its ranges are measured and listed under ``name``.

    Works on torch tensors and MLX arrays; in a generated cell it is removed when the port is saved.
    """
    for listener in LISTENERS:
        listener(x, name)
    return x


def names() -> dict[str, Any]:
    """What code in a generated cell may call it: ``checkpoint(...)`` and ``t2m.checkpoint(...)``. For the namespace in
    which a cell runs; a process without torch needs nothing else of this package."""
    return {"checkpoint": checkpoint, "t2m": SimpleNamespace(checkpoint=checkpoint)}
