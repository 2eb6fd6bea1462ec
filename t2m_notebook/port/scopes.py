"""Where values are made and where they are read, across the modules of a recording."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..capture.recording import Branch, ModuleCall, OpCall, Recording, refs
from ..rules import Size, SizeFloat
from ..rules.substitute import mentions
from .structure import effective_parent, is_chain


def producers(recording: Recording) -> dict[int, ModuleCall]:
    """The module call inside which each value was made."""
    owners: dict[int, ModuleCall] = {}
    for event in recording.calls():
        owner = event.owner if isinstance(event, OpCall) else event.parent
        if owner is None:
            continue
        owner = enclosing(owner)
        outputs = refs(event.outputs) + [after for _, after in event.mutated]
        for index in outputs:
            owners.setdefault(index, owner)
    return owners


def enclosing(owner: ModuleCall) -> ModuleCall:
    while is_chain(owner.module) and owner.parent is not None:
        owner = owner.parent
    return owner


def escapes(recording: Recording, owners: dict[int, ModuleCall]) -> dict[int, list[int]]:
    """Values that leave a call by another way than its result (kept in an attribute or a
    list of the caller's): call index -> values, to be returned besides."""
    found: dict[int, dict[int, None]] = {}

    def use(index: int, user: ModuleCall) -> None:
        producer = owners.get(index)
        if producer is None:
            return
        ancestors = set()
        walk: ModuleCall | None = user
        while walk is not None:
            ancestors.add(walk.index)
            walk = effective_parent(walk)
        leaving: ModuleCall | None = producer
        while leaving is not None and leaving.index not in ancestors:
            if index not in refs(leaving.outputs):
                found.setdefault(leaving.index, {})[index] = None
            leaving = effective_parent(leaving)

    for event in recording.calls():
        owner = event.owner if isinstance(event, OpCall) else event.parent
        if owner is None:
            continue
        for index in refs([list(event.args), event.kwargs]) + read_sizes([list(event.args), event.kwargs]):
            use(index, enclosing(owner))
    for branch in branches(recording):
        for index in read_sizes(Size(0, branch.test)):
            use(index, enclosing(branch.owner))
    for call in recording.root.walk() if recording.root else ():
        parent = effective_parent(call)
        for index in refs([list(call.args), call.kwargs]) if parent is not None else ():
            use(index, parent)
        for index in refs(call.outputs):
            use(index, call if not is_chain(call.module) else enclosing(call))
    return {index: list(values) for index, values in found.items()}


def branches(recording: Recording) -> Iterator[Branch]:
    """Every branch of a recording that was put together, nested ones too."""
    stack = [event for call in (recording.root.walk() if recording.root else ()) for event in call.events]
    while stack:
        event = stack.pop()
        if isinstance(event, Branch):
            yield event
            stack += [*event.then, *event.otherwise]


def read_sizes(value: Any) -> list[int]:
    """Recorded values that the numbers inside ``value`` are sizes of, or are read from."""
    if isinstance(value, (Size, SizeFloat)):
        values, sizes = mentions(value.node)
        return [index for index in (*values, *(key for key, _ in sizes)) if isinstance(index, int)]
    if isinstance(value, (tuple, list)):
        return [index for item in value for index in read_sizes(item)]
    if isinstance(value, dict):
        return [index for item in value.values() for index in read_sizes(item)]
    if isinstance(value, slice):
        return read_sizes((value.start, value.stop, value.step))
    return []
