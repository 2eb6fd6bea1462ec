"""Other examples of the same model: another batch size, another length or image size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from ..capture.recorder import deep_tensors
from ..capture.recording import is_container, items_of


def map_tensors(value: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """``value`` with every tensor replaced: in containers, and in objects with attributes (a
    key-value cache), which are copied. Anything else as it is."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, tuple):
        parts = [map_tensors(item, function) for item in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [map_tensors(item, function) for item in value]
    if isinstance(value, Mapping) and type(value) is dict:
        return {key: map_tensors(item, function) for key, item in value.items()}
    if not isinstance(value, Mapping) and any(True for _ in deep_tensors(value, "")):
        made = copy.copy(value)
        for name, item in vars(value).items() if hasattr(value, "__dict__") else ():
            object.__setattr__(made, name, map_tensors(item, function))
        return made
    return value


def fresh(args: tuple, kwargs: Mapping[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """A copy of an example for one run: a model may write into its inputs, or into a cache."""
    copies: dict[int, torch.Tensor] = {}

    def cloned(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in copies:
            copies[id(tensor)] = tensor.detach().clone().requires_grad_(tensor.requires_grad)
        return copies[id(tensor)]

    return map_tensors(args, cloned), map_tensors(dict(kwargs), cloned)


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Tensors inside containers, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif is_container(value):
        for _, item in items_of(value):
            yield from tensors_in(item)


def other_examples(args: tuple, kwargs: Mapping[str, Any]) -> Iterator[tuple[str, tuple, dict[str, Any]]]:
    """Candidates ``(what, args, kwargs)``: whether the model takes one is for torch to say."""
    tensors = [t for t in tensors_in([args, dict(kwargs)]) if t.dim() >= 1]
    if not tensors:
        return
    batch = tensors[0].shape[0]

    def larger_batch(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or tensor.shape[0] != batch:
            return tensor
        return torch.cat([tensor, tensor[:1].roll(1, -1) if tensor.dim() > 1 else tensor[:1]], 0)

    def change(function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Any, Any]:
        return map_tensors(args, function), map_tensors(dict(kwargs), function)

    yield "batch", *change(larger_batch)
    lengths = {t.shape[1] for t in tensors if t.dim() >= 2 and t.shape[0] == batch}
    images = [t for t in tensors if t.dim() == 4]
    if images:
        height, width = images[0].shape[-2:]
        for extra in (height, height // 2):
            def larger_image(tensor: torch.Tensor, extra: int = extra) -> torch.Tensor:
                if tensor.dim() != 4 or tuple(tensor.shape[-2:]) != (height, width):
                    return tensor
                return _grow(_grow(tensor, -2, extra), -1, extra)
            yield "image size", *change(larger_image)
    elif any(t.dim() == 3 and t.is_floating_point() for t in tensors) and not any(t.dim() == 2 for t in tensors):
        for dim in (1, 2):
            def longer(tensor: torch.Tensor, dim: int = dim) -> torch.Tensor:
                return _grow(tensor, dim, tensor.shape[dim]) if tensor.dim() == 3 else tensor
            yield "length", *change(longer)
    else:
        for length in sorted(lengths):
            def longer_row(tensor: torch.Tensor, length: int = length) -> torch.Tensor:
                if tensor.dim() < 2 or tensor.shape[0] != batch or tensor.shape[1] != length:
                    return tensor
                return _grow(tensor, 1, max(1, min(3, length)))
            yield "length", *change(longer_row)


def _grow(tensor: torch.Tensor, dim: int, extra: int) -> torch.Tensor:
    """``tensor`` with its first ``extra`` entries along ``dim`` appended."""
    size = tensor.shape[dim]
    if extra <= 0 or size == 0:
        return tensor
    return tensor.index_select(dim, torch.arange(size + extra, device=tensor.device) % size)
