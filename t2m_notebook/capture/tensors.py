"""What the recorder asks of tensors: which are inside an argument, which calls write, what changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from .recording import is_container, items_of

_IN_PLACE = frozenset({"__setitem__", *(f"__i{name}__" for name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul"))})


def unrecorded(function, *args):
    """What the recorder itself does with tensors (reads, copies), which is no call of the model."""
    with torch._C.DisableTorchFunction():
        return function(*args)


def writes(name: str) -> bool:
    """True for ``add_``, ``__iadd__``, ``__setitem__``: operations that write into their first argument."""
    return name in _IN_PLACE or (name.endswith("_") and not name.startswith("__"))


def version_of(tensor: torch.Tensor) -> int:
    """How often the tensor's memory was written."""
    try:
        return tensor._version
    except RuntimeError:  # inference tensors keep no count
        return 0


def deep_tensors(value: Any, path: str, seen: set[int] | None = None) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors inside an example argument, objects with attributes (a key-value cache) included."""
    seen = set() if seen is None else seen
    if isinstance(value, torch.Tensor):
        yield path, value
    elif id(value) in seen or isinstance(value, (torch.nn.Module, type, str, bytes)):
        return
    elif is_container(value):
        seen.add(id(value))
        for name, item in items_of(value):
            yield from deep_tensors(item, f"{path}.{name}", seen)
    elif hasattr(value, "__dict__"):
        seen.add(id(value))
        for name, item in vars(value).items():
            yield from deep_tensors(item, f"{path}.{name}", seen)
