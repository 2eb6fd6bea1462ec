"""A branch of a recording as raw assignments: both arms, and what each leaves in the results."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ..capture.recording import SAME, Branch, OpCall, Ref, location, refs
from .assignments import Key, Raw
from .choices import Arm, Choice, reads_of, rename_in, renamed
from .rolling import roll

if TYPE_CHECKING:
    from .body import _Writing


def write_branch(writing: _Writing, branch: Branch) -> None:
    """Add ``branch`` to what ``writing`` has so far."""
    outer, made = writing.raws, set(writing.made)
    arms: list[Arm] = []
    wishes: dict[int, list[str]] = {}
    for events, side in ((branch.then, 0), (branch.otherwise, 1)):
        writing.raws, writing.made = [], set(made)
        same: dict[Key, Key] = {}
        for event in events:
            if isinstance(event, OpCall) and event.name == SAME:
                same[refs(event.outputs)[0]] = refs(event.args)[0]
                writing.made.update(refs(event.outputs))
            else:
                if not isinstance(event, Branch):
                    writing.places[event.index] = location(event.frames)
                writing.event(event)
        ends: list[ast.expr] = []
        for number, merge in enumerate(branch.merges):
            value = merge.args[side]
            if not isinstance(value, Ref):
                ends.append(ast.Constant(None))
                continue
            wishes.setdefault(number, []).append(_name_of(writing, value.index))
            order = writing.plan.steps[merge.index].plan.outputs[0]  # type: ignore[union-attr]
            ends.append(ast.Name(f"${writing.in_order(value.index, order)}", ast.Load()))
        ends_tree = ast.Set(ends)
        raws = roll(writing.raws, ends_tree, writing._size_at)
        for raw in raws:
            rename_in(raw, same)
        arms.append(Arm(raws, [renamed(node, same) for node in ends_tree.elts]))
    choice = Choice(branch.test, *arms)
    targets: list[Key] = [refs(merge.outputs)[0] for merge in branch.merges]
    names = tuple(next((name for name in wishes.get(number, []) if name), "x") for number in range(len(targets)))
    writing.raws, writing.made = outer, made | set(targets)
    writing.raws.append(Raw(targets, reads_of(choice), names, hint="x", choice=choice))


def _name_of(writing: _Writing, index: int) -> str:
    """What the source calls a value."""
    for raw in reversed(writing.raws):
        if index in raw.targets:
            position = raw.targets.index(index)
            return raw.names[position] if position < len(raw.names) else ""
    name = writing._name_hint(index)
    return "" if name == "x" else name
