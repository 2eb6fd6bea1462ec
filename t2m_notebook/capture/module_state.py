"""What a forward leaves behind in a model's own attributes: taken back, or made plain again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from ..rules import Size, SizeFloat
from .tensors import unrecorded, version_of

_TABLES = ("_parameters", "_buffers", "_modules")


@contextlib.contextmanager
def attributes_restored(model: torch.nn.Module) -> Iterator[None]:
    """Afterwards every module's attributes are what they were, and its buffers hold what they held. Some models keep
    what they derived from the last input, so that one run changes the next."""
    modules = list(model.modules())
    buffers = [(buffer, version_of(buffer), unrecorded(torch.Tensor.clone, buffer)) for buffer in model.buffers()
               if not buffer.is_meta]
    before = [(dict(vars(module)), [dict(vars(module)[table]) for table in _TABLES]) for module in modules]
    try:
        yield
    finally:
        for module, (attributes, tables) in zip(modules, before, strict=True):
            now = vars(module)
            for name in [name for name in now if name not in attributes]:
                del now[name]
            now.update(attributes)
            for table, content in zip(_TABLES, tables, strict=True):
                held = now[table]
                if held.keys() != content.keys() or any(held[name] is not content[name] for name in content):
                    held.clear()
                    held.update(content)
        for buffer, version, content in buffers:
            if version_of(buffer) != version:
                with torch.no_grad():
                    unrecorded(torch.Tensor.copy_, buffer, content)


def without_sizes(model: torch.nn.Module) -> None:
    """Sizes that a recorded forward kept in attributes become plain numbers: what they stand for
    means nothing in the next recording."""
    for module in model.modules():
        attributes = vars(module)
        for name, value in attributes.items():
            if type(value) in (Size, SizeFloat, tuple, list) and _holds_sizes(value):
                attributes[name] = _plain(value)


def _holds_sizes(value: Any) -> bool:
    if type(value) in (Size, SizeFloat):
        return True
    return type(value) in (tuple, list) and len(value) < 64 and any(_holds_sizes(item) for item in value)


def _plain(value: Any) -> Any:
    if isinstance(value, Size):
        return int(value)
    if isinstance(value, SizeFloat):
        return float(value)
    return type(value)(_plain(item) for item in value) if type(value) in (tuple, list) else value
