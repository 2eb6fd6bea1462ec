"""Whose code is running: the frames of the model's own source between here and a module's forward."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import torch
from torch.overrides import resolve_name

from .recording import Frame, Value

_TORCH = os.path.dirname(torch.__file__) + os.sep
_LAYERS = os.path.join(_TORCH, "nn", "modules") + os.sep
_HERE = os.path.dirname(__file__) + os.sep
SKIP, USER, LAYER, BOUNDARY = range(4)

_kinds: dict[CodeType, int] = {}
_names: dict[Any, str] = {}


def boundary(code: CodeType) -> None:
    """Frames of ``code`` stand for the call of a module: what lies above belongs to its caller."""
    _kinds[code] = BOUNDARY


def frame_kind(code: CodeType) -> int:
    """Whether a frame is the model's own, a torch layer's, a module's boundary, or neither."""
    kind = _kinds.get(code)
    if kind is None:
        name = code.co_filename
        if name.startswith(_LAYERS) and not name.endswith("module.py"):
            kind = LAYER
        elif name.startswith((_TORCH, _HERE)):
            kind = SKIP
        else:
            kind = USER
        _kinds[code] = kind
    return kind


def frames_above(depth: int, value_of: Callable[[torch.Tensor], Value | None] | None = None) -> tuple[Frame, ...]:
    """User frames between here and the forward of the current module, innermost first. With
    ``value_of``, which says what a tensor is recorded as, they have their functions' arguments."""
    user, layer = [], []
    frame = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        kind = _kinds.get(code)
        if kind is None:
            kind = frame_kind(code)
        if kind == USER:
            given = () if value_of is None or code.co_name == "forward" else _arguments(frame, value_of)
            user.append(Frame(code, frame.f_lasti, id(frame), given))
        elif kind == LAYER:
            layer.append(Frame(code, frame.f_lasti, id(frame)))
        elif kind == BOUNDARY:
            break
        frame = frame.f_back
    else:
        return tuple(user[:1])  # the root's caller: outside the model
    return tuple(user or layer)


def _arguments(frame: FrameType, value_of: Callable[[torch.Tensor], Value | None]) -> tuple[tuple[str, Any], ...]:
    """Tensors and numbers among the arguments of a function, as they are bound now."""
    code, found = frame.f_code, []
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    values = frame.f_locals if names and not code.co_name.startswith("<") else {}
    for name in names:
        value = values.get(name)
        if isinstance(value, torch.Tensor):
            recorded = value_of(value)
            if recorded is not None:
                found.append((name, recorded))
        elif isinstance(value, tuple) and 0 < len(value) < 5 and all(map(_is_number, value)):
            found += [(f"{name}_{position}", item) for position, item in enumerate(value)]
        elif _is_number(value):
            found.append((name, value))  # a size that knows where it is from stays one
    return tuple(found)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and type(value) is not bool


def function_name(function: Callable[..., Any]) -> str:
    """Torch's public name of a function: ``torch.Tensor.add``, ``torch.nn.functional.gelu``."""
    name = _names.get(function)
    if name is None:
        name = resolve_name(function)
        if not name:
            module = getattr(function, "__module__", None) or "torch"
            name = f"{module}.{getattr(function, '__qualname__', getattr(function, '__name__', str(function)))}"
        with contextlib.suppress(TypeError):
            _names[function] = name
    return name
