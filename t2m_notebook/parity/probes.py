"""Other inputs for a module alone: the example's, made larger and smaller.

On the values that flow through a model with small weights, two GELUs, or an epsilon of 1e-5 and
one of 1e-12, agree within the tolerance. Torch's module is run again on its own recorded inputs
scaled to another standard deviation, where they don't.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from ..capture.recording import ModuleCall, Ref, flatten, refs
from .checks import Check

if TYPE_CHECKING:
    from ..port.writing import Written

#: Standard deviations that inputs are scaled to. Beyond 2.5 of them numbers are cut, as the largest
#: result sets the tolerance, and the two GELUs differ most near 2.
SPREADS = (1.0, 1e-3, 4.0)
CUT = 2.5
#: Inputs with larger numbers are masks, which have a meaning of their own.
LARGEST = 1e4

Probe = tuple[str, dict[int, torch.Tensor], dict[int, torch.Tensor]]


def probes(written: Written, check: Check, call: ModuleCall) -> Iterator[Probe]:
    """``(what, inputs, results)`` by value index, for each spread that torch's module takes."""
    recording = written.recording
    given, results = set(refs([call.args, call.kwargs])), refs(call.outputs)
    if recording.training or not check.reads <= given or not set(check.wanted) <= set(results):
        return
    if any(index not in recording.tensors for index in given) or not _plain([call.args, call.kwargs]):
        return
    floats = {index for index in given & check.reads if _spreads(recording.tensors[index])}
    if not floats:
        return
    for spread in SPREADS:
        inputs = {index: _scaled(recording.tensors[index], spread) for index in floats}

        def tensor(index: int, inputs: dict[int, torch.Tensor] = inputs) -> torch.Tensor:
            return inputs.get(index, recording.tensors[index]).clone()

        args, kwargs = (_filled(part, tensor) for part in (call.args, call.kwargs))
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                result = call.module(*args, **kwargs)
        except Exception:  # torch does not take these numbers, which says nothing of the port
            continue
        tensors = [value for _, value in flatten(result)]
        if len(tensors) == len(results):
            outputs = {index: value.detach() for index, value in zip(results, tensors, strict=True)}
            yield f"on inputs scaled to a standard deviation of {spread:g}", inputs, outputs


def _spreads(tensor: torch.Tensor) -> bool:
    """Whether scaling a tensor keeps its meaning: ordinary numbers that are not all the same."""
    if not tensor.is_floating_point() or tensor.numel() < 2:
        return False
    return bool(torch.isfinite(tensor).all()) and bool(tensor.abs().max() < LARGEST) and bool(tensor.float().std() > 0)


def _scaled(tensor: torch.Tensor, spread: float) -> torch.Tensor:
    wide = tensor.float() * (spread / tensor.float().std())
    return wide.clamp(-CUT * spread, CUT * spread).to(tensor.dtype)


def _plain(value: Any) -> bool:
    """Arguments that can be given again: no object that the forward may have written into."""
    if isinstance(value, (list, tuple)):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(_plain(item) for item in value.values())
    return value is None or isinstance(value, (Ref, bool, int, float, str, torch.dtype, torch.device, slice))


def _filled(value: Any, tensor: Any) -> Any:
    """Recorded arguments with tensors in the place of their refs."""
    if isinstance(value, Ref):
        return tensor(value.index)
    if isinstance(value, tuple):
        parts = [_filled(item, tensor) for item in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [_filled(item, tensor) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, tensor) for key, item in value.items()}
    return int(value) if type(value) is not bool and isinstance(value, int) else copy.copy(value)
