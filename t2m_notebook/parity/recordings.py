"""One model recorded at several sizes, and which of the recordings a port is written from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from ..capture import Recording, argument_names, record, refs
from ..capture.agreement import agrees
from ..capture.generalise import generalise, same_program
from ..capture.merging import Merged, merge
from ..capture.module_state import attributes_restored
from ..capture.predicates import evaluate
from ..capture.recording import Guard
from ..capture.tensors import deep_tensors
from ..errors import T2MError
from ..rules.substitute import mentions
from .examples import BRANCHING, fresh, map_tensors, other_examples, smaller_values


@dataclass(slots=True)
class Recordings:
    """What was recorded of one model."""

    best: Recording  # the one whose code holds at most sizes
    others: list[Recording] = field(default_factory=list)  # those that it does not explain
    different: bool = False  # some of these made other calls
    all: list[Recording] = field(default_factory=list)
    examples: dict[int, tuple[tuple, dict[str, Any]]] = field(default_factory=dict)  # by id of a recording
    of_values: set[int] = field(default_factory=set)  # ids of those at the example's sizes, with other content

    @property
    def largest(self) -> Recording:
        """The recording of the largest example."""
        return max(self.all, key=lambda one: sum(math.prod(v.shape) for v in one.values if v.kind == "input"))

    def merged(self) -> Merged | None:
        """All in one, with a branch where the model took another path at some sizes; None where
        no comparison of sizes explains a path. A size that shrinks to one tells nothing of where it
        belongs, so the recording of the largest example is taken for what they share."""
        largest = self.largest
        # One that differs in size and in what the data decided says of no path which of the two it follows.
        base, others = largest, [one for one in self.all if one is not largest and (
            id(one) in self.of_values or _decisions(one) == _decisions(largest))]
        if id(largest) in self.examples and largest is not self.best:  # its tensors were let go of
            base = _recorded(largest.model, *self.examples[id(largest)])
        merged, taken = merge(base, others)
        return merged if taken else None


def recordings_of(example: Recording, args: tuple, kwargs: dict[str, Any]) -> Recordings:
    """The example's recording and those at other sizes, with numbers that follow the input's
    size found by comparing them. Where the forward compares sizes, also at sizes where such a
    comparison is likely to come out differently. A model in train mode is run once only, as
    every run changes it."""
    if example.training:
        return Recordings(example, all=[example])
    same, different = [], []
    explained: set[str] = set()
    examples: dict[int, tuple[tuple, dict[str, Any]]] = {}
    of_values: set[int] = set()
    for number, (what, other_args, other_kwargs) in enumerate(other_examples(args, kwargs)):
        if what == "values" and not example.reads_data:
            continue  # the same calls whatever the content
        if what in explained or (what in BRANCHING and _settled(example, same, other_args, other_kwargs)):
            continue
        try:
            other = _recorded(example.model, other_args, other_kwargs)
        except T2MError:
            continue  # torch does not take this size
        assert other.root is not None
        examples[id(other)] = other_args, other_kwargs
        of_values |= {id(other)} if what == "values" else set()
        example.expected[number] = [other.tensors[index] for index in refs(other.root.outputs)]
        alike = same_program(example, other)
        (same if alike else different).append(other)
        if alike and other is not min([example, *same], key=_ones):
            _forget(other)  # they can be many times the weights
        if alike or what in BRANCHING:
            explained.add(what)
    best = min([example, *same], key=_ones)
    for other in [*same, example]:
        if other is not best:
            generalise(best, other)
            if other is not example:
                _forget(other)
    for one in different:
        if one.reads:
            _follow_values(one, *examples[id(one)])
        for other in different:
            if other is not one and same_program(one, other):
                generalise(one, other)
    unlike = [other for other in [example, *same] if other is not best and not agrees(best, other)]
    return Recordings(best, [*different, *unlike], bool(different), [example, *same, *different], examples,
                      of_values)


def _decisions(recording: Recording) -> list[bool]:
    """How the comparisons of data came out, in order."""
    return [guard.outcome for guard in recording.guards if mentions(guard.test)[0]]


def _recorded(model: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> Recording:
    """A run that leaves no trace: neither in the random numbers nor in the model's attributes."""
    with torch.random.fork_rng(devices=[]), attributes_restored(model):
        return record(model, *fresh(args, kwargs), keep="boundaries")[0]


def _follow_values(recording: Recording, args: tuple, kwargs: dict[str, Any]) -> None:
    """Find, by another run of the same shapes, the numbers that follow what the forward reads of a tensor."""
    try:
        other = _recorded(recording.model, *(map_tensors(part, smaller_values) for part in (args, kwargs)))
    except T2MError:
        return
    if same_program(recording, other):
        generalise(recording, other)


def _settled(example: Recording, same: list[Recording], args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether every comparison of sizes comes out at these arguments as it did in the example. Told
    from a recording that changed the same axes of the inputs, and only where each size that is
    compared is such an axis itself or does not follow it; else it is for torch to say."""
    guards = [guard for guard in example.guards if not mentions(guard.test)[0]]  # those of data follow no size
    if not guards:
        return True
    inputs = _inputs(example)
    given = {path: tuple(tensor.shape) for name, value in argument_names(example.model, args, kwargs)
             for path, tensor in deep_tensors(value, name)}
    changed = _changes(inputs, given)
    for other in same:
        alike = _changes(inputs, _inputs(other))
        if changed.keys() != alike.keys() or len(set(changed.values())) != 1 or len(set(alike.values())) != 1 \
                or len(other.values) != len(example.values):
            continue
        (here, then), (_, now) = next(iter(changed.values())), next(iter(alike.values()))
        if all(_same_outcome(guard, example, other, here, now, then) for guard in guards):
            return True
    return False


def _inputs(recording: Recording) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor that the model was given."""
    return {value.name: value.shape for value in recording.values if value.kind == "input" and value.previous is None}


def _changes(one: dict[str, tuple[int, ...]], other: dict[str, tuple[int, ...]]) -> dict[Any, tuple[int, int]]:
    """``(input, axis)`` -> its size in both, where they differ; an axis of -1 where the ranks do."""
    return {(name, axis): (a, b) for name in one for axis, (a, b) in enumerate(
        zip(one[name], other.get(name, ()), strict=False)) if a != b} | {
            (name, -1): (0, 0) for name in one if len(one[name]) != len(other.get(name, ()))}


def _same_outcome(guard: Guard, example: Recording, other: Recording, here: int, now: int, then: int) -> bool:
    """Whether the comparison is sure to come out the same where ``here`` becomes ``then``, as
    ``other``, where it became ``now``, tells."""
    shapes: dict[int, list[int]] = {}
    for index, axis in mentions(guard.test)[1]:
        shape, there = example.values[index].shape, other.values[index].shape
        if len(shape) != len(there) or (shape[axis], there[axis]) not in ((here, now), (shape[axis], shape[axis])):
            return False
        shapes.setdefault(index, list(shape))[axis] = then if shape[axis] != there[axis] else shape[axis]
    try:
        return bool(evaluate(guard.test, shapes)) == bool(guard.outcome)
    except KeyError:
        return False


def _forget(recording: Recording) -> None:
    """Let go of the tensors that can be had again."""
    values = recording.values
    for index in [i for i in recording.tensors if values[i].kind not in ("constant", "attribute")]:
        del recording.tensors[index]


def _ones(recording: Recording) -> int:
    """How many dimensions of a recording's values are one."""
    return sum(value.shape.count(1) for value in recording.values)
