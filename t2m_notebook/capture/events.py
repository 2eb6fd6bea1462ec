"""What a list of recorded events reads, makes and writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .aligning import Apart
from .recording import ModuleCall, Recording, Ref, refs, unfolded


def end_of(call: ModuleCall) -> int:
    """The event count at which a recorded call was over."""
    last = call.index
    for inner in call.walk():
        last = max([last, *(e.index for e in inner.events)])
    return last + 1


def order_made(events: list[Any]) -> list[int]:
    found: dict[int, None] = {}
    for event in unfolded(events):
        found.update(dict.fromkeys([*refs(event.outputs), *(after for _, after in event.mutated)]))
    return list(found)


def made_in(events: list[Any]) -> set[int]:
    """Values that come into being in ``events``."""
    made: set[int] = set()
    for event in unfolded(events):
        read = set() if isinstance(event, ModuleCall) and not event.leaf else set(event_reads(event))
        if isinstance(event, ModuleCall):
            made |= made_in(event.events)
        if not isinstance(event, ModuleCall) or event.leaf:
            made |= set(refs(event.outputs)) - read
        made |= {after for _, after in event.mutated}
    return made


def event_reads(event: Any) -> list[int]:
    return refs([list(event.args), event.kwargs])


def replaced(value: Any, old: int, new: int) -> Any:
    """Arguments that read ``new`` where they read ``old``."""
    if isinstance(value, Ref):
        return Ref(new) if value.index == old else value
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(replaced(item, old, new) for item in value)
    return value


def all_reads(events: list[Any]) -> list[int]:
    found: list[int] = []
    for event in unfolded(events):
        found += event_reads(event)
        if isinstance(event, ModuleCall):
            found += all_reads(event.events) + refs(event.outputs)
    return found


def read_outside(recording: Recording, events: list[Any], made: set[int]) -> set[int]:
    """Of ``made``, what is read by others than ``events`` themselves."""
    inside = {id(one) for one in all_events(events)}
    found: set[int] = set()
    assert recording.root is not None
    for event in all_events([recording.root]):
        if id(event) in inside:
            continue
        if isinstance(event, ModuleCall) and not event.leaf:
            found.update(index for index in refs(event.outputs) if index in made)
        found.update(index for index in event_reads(event) if index in made)
    return found


def all_events(events: list[Any]) -> Iterator[Any]:
    for event in unfolded(events):
        yield event
        if isinstance(event, ModuleCall):
            yield from all_events(event.events)


def check_writes(events: list[Any], made: set[int]) -> None:
    for event in all_events(events):
        if any(before not in made for before, _ in event.mutated):
            raise Apart("one of the paths writes into a tensor from outside")
