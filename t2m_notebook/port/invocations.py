"""Which plain functions of the model's own code a recorded call was made inside of."""

from __future__ import annotations

import inspect
import os
import sys
from functools import cached_property
from types import CodeType

from torch import nn

from ..capture.recording import Frame

Level = tuple[Frame, tuple[Frame, ...]]  # a helper's frame, and the frames of its callers, innermost first

_FORWARDS = frozenset({"forward", "__call__", "_call_impl", "_wrapped_call_impl"})
_PASSES_ON = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS  # ``def wrapper(*args, **kwargs)`` stands for what it wraps


class Helpers:
    """Tells a model's own plain functions from those of other libraries, of lambdas and wrappers."""

    def __init__(self, model: nn.Module):
        self.model = model
        self._known: dict[CodeType, bool] = {}

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Where the model's own code lives: its packages, or the folders of its files."""
        found: dict[str, None] = {}
        for cls in {type(module): None for module in self.model.modules()}:
            if cls.__module__.startswith("torch."):
                continue
            package = sys.modules.get(cls.__module__.partition(".")[0])
            code = getattr(inspect.unwrap(cls.forward), "__code__", None)
            if getattr(package, "__path__", None):
                found[os.path.join(list(package.__path__)[0], "")] = None  # type: ignore[union-attr]
            elif code is not None:
                found[os.path.join(os.path.dirname(code.co_filename), "")] = None
        return tuple(found)

    def __contains__(self, code: CodeType) -> bool:
        known = self._known.get(code)
        if known is None:
            known = self._known[code] = not code.co_name.startswith(("<", "__")) \
                and code.co_flags & _PASSES_ON != _PASSES_ON and code.co_filename.startswith(self.folders)
        return known


def levels(frames: tuple[Frame, ...], helpers: Helpers) -> list[Level]:
    """The helpers that were active below the owner's forward, outermost first."""
    below = len(frames) - 1  # without any forward, the outermost frame stands for it
    for position, frame in enumerate(frames):
        if frame.code.co_name in _FORWARDS:
            below = position
            break
    return [(frames[position], frames[position + 1:]) for position in range(below - 1, -1, -1)
            if frames[position].code in helpers]
