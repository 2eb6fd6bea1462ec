"""Other examples of the same model: another batch size, another length or image size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from ..capture.recording import is_container, items_of
from ..capture.tensors import deep_tensors


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

    for function in (smaller_values, opposite_values):
        yield "values", *change(function)
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
    yield from _at_branches(args, kwargs, batch, images, lengths)


def opposite_values(tensor: torch.Tensor) -> torch.Tensor:
    """The same numbers in the opposite order."""
    return tensor.flatten().flip(0).reshape(tensor.shape)


def smaller_values(tensor: torch.Tensor) -> torch.Tensor:
    """Other content of the same kind: integers drawn between the least and the largest, which itself does not
    come; masks of ones and zeros stay, anything else is in the opposite order."""
    if tensor.dtype is torch.bool or tensor.is_floating_point() or tensor.is_complex() or not tensor.numel():
        return opposite_values(tensor)
    least, largest = int(tensor.min()), int(tensor.max())
    if (least, largest) == (0, 1) or least == largest:
        return tensor
    generator = torch.Generator().manual_seed(tensor.numel())
    drawn = torch.randint(least, largest, tensor.shape, generator=generator, dtype=tensor.dtype)
    return torch.where(drawn == tensor, torch.where(drawn + 1 < largest, drawn + 1, least).to(tensor.dtype), drawn)


#: What is changed where a model compares sizes: see :func:`_at_branches`.
BRANCHING = ("height", "width", "neighbouring height", "neighbouring width", "smaller image", "longer", "length of one",
             "length of two", "length of three", "batch of one")


def _at_branches(args: tuple, kwargs: Mapping[str, Any], batch: int, images: list[torch.Tensor],
                 lengths: set[int]) -> Iterator[tuple[str, tuple, dict[str, Any]]]:
    """Sizes at which a comparison in the forward may come out differently: each axis of an image
    alone and no multiple of two, a small image, a length that is no multiple, lengths and batches of one."""
    def change(function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Any, Any]:
        return map_tensors(args, function), map_tensors(dict(kwargs), function)

    if images:
        height, width = images[0].shape[-2:]
        for what, sizes in (("height", (height + height // 2 + 1, width)), ("height", (height + height // 2, width)),
                            ("width", (height, width + width // 2 + 1)), ("width", (height, width + width // 2)),
                            ("neighbouring height", (height + 1, width)), ("neighbouring width", (height, width + 1)),
                            ("smaller image", (height // 2, width // 2))):
            def resized(tensor: torch.Tensor, sizes: tuple[int, int] = sizes) -> torch.Tensor:
                if tensor.dim() != 4 or tuple(tensor.shape[-2:]) != (height, width):
                    return tensor
                return _of_size(_of_size(tensor, -2, sizes[0]), -1, sizes[1])
            if min(sizes) >= 1:
                yield what, *change(resized)
    else:
        for length in sorted(lengths, reverse=True)[:1]:
            for what, size in (("longer", 2 * length + 1), ("length of one", 1), ("length of two", 2),
                               ("length of three", 3)):
                def row(tensor: torch.Tensor, size: int = size, length: int = length) -> torch.Tensor:
                    fits = tensor.dim() >= 2 and tensor.shape[0] == batch and tensor.shape[1] == length
                    return _of_size(tensor, 1, size) if fits else tensor
                if size != length:
                    yield what, *change(row)
    if batch > 1:
        yield "batch of one", *change(lambda t: t[:1] if t.dim() and t.shape[0] == batch else t)


def _of_size(tensor: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """``tensor`` cut, or grown by its own entries, to ``size`` along ``dim``."""
    have = tensor.shape[dim]
    return tensor.narrow(dim, 0, size) if size <= have else _grow(tensor, dim, size - have)


def smaller_examples(args: tuple, kwargs: Mapping[str, Any]) -> Iterator[tuple[tuple, dict[str, Any]]]:
    """Candidates that cost less to run, the smallest first and the example itself last. A batch of
    two stays: with one, a batch taken for another axis would not show."""
    tensors = [t for t in tensors_in([args, dict(kwargs)]) if t.dim() >= 1]
    if not tensors:
        yield args, dict(kwargs)
        return
    batch = tensors[0].shape[0]

    def cut(sizes: Mapping[tuple[int, int], int]) -> tuple[tuple, dict[str, Any]]:
        """The example with ``{(axis, size): new size}`` where every tensor is cut alike."""
        def smaller(tensor: torch.Tensor) -> torch.Tensor:
            axes = {axis if axis >= 0 else tensor.dim() + axis: (size, new) for (axis, size), new in sizes.items()}
            for axis, (size, new) in axes.items():
                if 0 <= axis < tensor.dim() and tensor.shape[axis] == size and (axis > 0 or tensor.dim() >= 2):
                    tensor = tensor.narrow(axis, 0, new)
            return tensor
        return map_tensors(args, smaller), map_tensors(dict(kwargs), smaller)

    fewer = {(0, batch): 2} if batch > 2 else {}
    images = [t for t in tensors if t.dim() == 4]
    if images:
        height, width = images[0].shape[-2:]
        for part in (4, 2):
            if height % part == 0 and width % part == 0 and min(height, width) // part >= 8:
                yield cut({**fewer, (-2, height): height // part, (-1, width): width // part})
    else:
        lengths = sorted({t.shape[1] for t in tensors if t.dim() >= 2 and t.shape[0] == batch}, reverse=True)
        for short in (9, 17, 33):
            if lengths and lengths[0] > short:
                yield cut({**fewer, (1, lengths[0]): short, (2, lengths[0]): short, (3, lengths[0]): short})
    if fewer:
        yield cut(fewer)
    yield args, dict(kwargs)


def _grow(tensor: torch.Tensor, dim: int, extra: int) -> torch.Tensor:
    """``tensor`` with its first ``extra`` entries along ``dim`` appended; of continuous numbers a mixture of two
    entries, as what repeats makes ties that sorting breaks one way or the other."""
    size = tensor.shape[dim]
    if extra <= 0 or size == 0:
        return tensor
    more = torch.arange(extra, device=tensor.device)
    appended = tensor.index_select(dim, more % size)
    some = tensor.detach().flatten()[:256]
    if tensor.is_floating_point() and some.numel() > 8 and some.unique().numel() > 0.9 * some.numel():
        appended = 0.6 * appended + 0.4 * tensor.index_select(dim, (7 * more + 3) % size).roll(1, 0 if dim else -1)
    return torch.cat([tensor, appended.to(tensor.dtype)], dim)
