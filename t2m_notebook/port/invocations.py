"""Which plain functions of the model's own code a recorded call was made inside of."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
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
    def places(self) -> tuple[str, ...]:
        """Where the model's own code lives: the files of its classes and, outside installed packages,
        whatever lies in their folders. What an installed package calls from elsewhere (the ways in which
        transformers computes attention, say) is machinery that an MLX file has no counterpart for."""
        installed = tuple(os.path.join(folder, "") for folder in {sysconfig.get_path("purelib"),
                                                                  sysconfig.get_path("platlib")})
        found: dict[str, None] = {}
        for cls in {type(module): None for module in self.model.modules()}:
            code = getattr(inspect.unwrap(cls.forward), "__code__", None)
            if cls.__module__.startswith("torch.") or code is None:
                continue
            found[code.co_filename] = None
            package = sys.modules.get(cls.__module__.partition(".")[0])
            roots = [*getattr(package, "__path__", ()), os.path.dirname(code.co_filename)]
            if not code.co_filename.startswith(installed):
                found.update({os.path.join(root, ""): None for root in roots})
        return tuple(found)

    def __contains__(self, code: CodeType) -> bool:
        known = self._known.get(code)
        if known is None:
            own = any(code.co_filename == place or (place.endswith(os.sep) and code.co_filename.startswith(place))
                      for place in self.places)
            known = self._known[code] = own and not code.co_name.startswith(("<", "__", "forward", "_forward")) \
                and code.co_flags & _PASSES_ON != _PASSES_ON
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
