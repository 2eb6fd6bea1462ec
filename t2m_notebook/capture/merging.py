"""Puts recordings of one model at several sizes together, where the model took another path at some.

The recordings are walked side by side. Where their calls part, the two ways on become the
arms of a :class:`Branch`, up to the call at which they meet again. Its test is a comparison of
sizes that the forward made, or two of them joined, that tells the recordings apart. A value
that is read afterwards and differs between the arms becomes one value after the branch.
"""

from __future__ import annotations

import dataclasses

from .aligning import Apart
from .predicates import Seen, Test
from .recording import Branch, ModuleCall, OpCall, Recording
from .walking import Walk, test_of


def merge(base: Recording, others: list[Recording]) -> tuple[Merged, list[Recording]]:
    """``base`` and as many of ``others`` as can be explained, as one recording with branches;
    also those that were taken in. ``base`` itself stays as it is."""
    taken = list(others)
    while True:
        merged = Merged(base)
        for other in taken:
            try:
                merged.add(other)
            except (Apart, LookupError, ValueError, TypeError, AssertionError):
                # Programs of a form that this does not foresee: what is written without the recording is
                # measured all the same.
                taken = [one for one in taken if one is not other]
                break
        else:
            return merged, taken


class Merged:
    """A recording that others are put into."""

    def __init__(self, base: Recording):
        self.recording = _copied(base)
        self.shapes: list[dict[int, tuple[int, ...]]] = [{v.index: Seen(v) for v in base.values}]
        self.tests: dict[int, list[Test]] = {}  # call -> comparisons made in it
        self.repeats = False  # a part of a loop became an arm
        self.alias_of: dict[int, int] = {}
        self.made_by: dict[int, tuple[Branch, OpCall]] = {}  # a branch's result -> the branch
        self.seen: dict[int, set[int]] = {}  # event -> recordings that made it, where that is not all so far
        owners = {call.index: call for call in self.recording.root.walk()}  # type: ignore[union-attr]
        for guard in base.guards:
            self.tests.setdefault(id(owners[guard.owner.index]), []).append(test_of(guard, guard.test))

    def add(self, other: Recording) -> None:
        """Put another recording in. Raises :class:`Apart` when it can't be."""
        if self.recording.refreshed or other.refreshed or other.root is None:
            raise Apart("a view of written memory is read")
        self.shapes.append({})
        Walk(self, other).run()


def _copied(base: Recording) -> Recording:
    """A recording whose calls can be changed without changing those of ``base``."""
    made = dataclasses.replace(base, values=list(base.values), tensors=dict(base.tensors), guards=[])

    def copy(call: ModuleCall, parent: ModuleCall | None) -> ModuleCall:
        twin = dataclasses.replace(call, parent=parent)
        twin.events = [copy(e, twin) if isinstance(e, ModuleCall) else dataclasses.replace(e, owner=twin)
                       for e in call.events]
        return twin

    made.root = copy(base.root, None)  # type: ignore[arg-type]
    return made
