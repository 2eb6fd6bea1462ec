"""Where this package itself starts a model: what lies above such a frame is no source of the model."""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import TypeVar

_STARTS: set[CodeType] = set()
Function = TypeVar("Function", bound=Callable)


def starts_model(function: Function) -> Function:
    """Marks a function of this package that calls a model."""
    _STARTS.add(function.__code__)
    return function


def is_start(code: CodeType) -> bool:
    """Whether a frame of ``code`` called the model: a search for the model's source ends there."""
    return code in _STARTS
