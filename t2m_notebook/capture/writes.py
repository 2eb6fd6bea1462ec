"""What a call wrote into: tensors that change become new values, and what is kept keeps its content."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch

from .recording import Recording
from .tensors import unrecorded, version_of, writes


class Writes:
    """The part of a recorder that follows writes in place."""

    recording: Recording
    _known: dict[int, tuple[weakref.ref, int, int]]
    _owners: dict[int, weakref.ref]
    _new: Callable[..., int]
    _tensors: Callable[[Any, list], list]

    def _mutations(self, tensors: list, encoded: list[int], name: str = "",
                   out: Any = None) -> tuple[tuple[int, int], ...]:
        """What the call wrote into: its first argument, ``out``, or whatever changed. Other views
        of the same memory are noticed when they are used next."""
        if out is not None:
            targets = {id(tensor) for tensor in self._tensors(out, [])}
        elif writes(name) and tensors:
            targets = {id(tensors[0])}
        else:
            targets = {id(tensor) for tensor in tensors}
        changed: dict[int, tuple[int, int]] = {}
        for tensor, index in zip(tensors, encoded, strict=True):
            reference, current, version = self._known[id(tensor)]
            if id(tensor) in targets and current == index and version_of(tensor) != version:
                value = self.recording.values[index]
                keep = value.kind if value.kind in ("parameter", "buffer", "attribute") else "result"
                changed[index] = (index, self._new(tensor, keep, value.name, previous=index))
        return tuple(changed.values())

    def _note_writes_to_data(self, storages: set[int]) -> None:
        """``x.data.fill_(0)`` writes into x without x's version telling."""
        for reference in self._owners.values():
            owner = reference()
            _, index, version = self._known.get(id(owner), (None, -1, -1))
            if owner is None or index < 0 or version != version_of(owner):
                continue
            value = self.recording.values[index]
            if value.storage in storages:
                new = self._new(owner, value.kind if value.kind != "constant" else "result", value.name, index)
                self.recording.refreshed.append((index, new, self.recording.event_count + 1))  # after this call

    def _protect(self, tensors: list) -> None:
        """Before a write in place: kept values that share the memory keep their content."""
        pointers = {self.recording.values[self._known[id(t)][1]].storage for t in tensors if id(t) in self._known}
        for index, tensor in self.recording.tensors.items():
            if self.recording.values[index].storage in pointers and self.recording.values[index].kind != "parameter":
                self.recording.tensors[index] = unrecorded(torch.Tensor.clone, tensor)
