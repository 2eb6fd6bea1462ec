"""Where the checkpoints in a port's edited cells stand in the module tree, and what they saw last."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..port.checkpoints import UNNAMED, checkpoint_names
from ..types import CheckpointMark, ModuleNode
from ..types.health import HealthReport

if TYPE_CHECKING:
    from ..session import Port

Marks = dict[str, tuple[CheckpointMark, ...]]  # path of a module -> its marks
Seen = tuple[dict[str, str], dict[tuple[str, str], CheckpointMark]]  # texts of the cells, (path, name) -> mark


def seen_by_health(port: Port, report: HealthReport) -> Seen:
    """What a health run of the port measured at its checkpoints, with the texts of the cells that it ran."""
    found: dict[tuple[str, str], CheckpointMark] = {}
    for row in report.checkpoints:
        values = row.ranges
        low, high = values.minimum, values.maximum
        span = "nothing finite" if low is None or high is None else \
            f"{low:.3g} … {high:.3g}" if low != high else f"all {low:.3g}"
        mark = CheckpointMark(row.mark, row.path, f"{tuple(values.shape)} {values.dtype}", span, values.bad_text)
        known = found.get((row.path, row.mark))
        if known is None or mark.bad and not known.bad:
            found[row.path, row.mark] = mark
    return dict(port.cells.edits), found


def marks_of(port: Port, health: Seen | None = None) -> Marks:
    """The marks of every module whose class's cell holds a checkpoint. What was measured counts as long as the text
    of the cell is the one that ran; of two measurements the worse is shown."""
    made: Marks = {}
    for name, text in port.cells.edits.items():
        names = checkpoint_names(text)
        if not names:
            continue
        seen: dict[tuple[str, str], CheckpointMark] = {}
        check = port.checked(name)
        if check is not None:
            seen = {(mark.path, mark.name): mark for mark in check.checkpoints}
        for path in port.cells[name].paths:
            found = [seen.get((path, one)) for one in names]
            if health is not None and health[0].get(name) == text:
                inside = port.written.structure.weight_name(path)
                found = [_worse(here, health[1].get((inside, one))) for one, here in zip(names, found, strict=True)]
            made[path] = tuple(CheckpointMark(one, path) if mark is None else dataclasses.replace(mark, path=path)
                               for one, mark in zip(names, found, strict=True))
            # names that the code makes as it runs
            others = [mark for (where, one), mark in seen.items() if where == path and one not in names]
            if others:
                made[path] = (*(mark for mark in made[path] if mark.tensor or mark.name != UNNAMED), *others)
    return made


def _worse(one: CheckpointMark | None, other: CheckpointMark | None) -> CheckpointMark | None:
    if one is None or other is None:
        return one or other
    return one if one.bad or not other.bad else other


def marked(root: ModuleNode, marks: Mapping[str, tuple[CheckpointMark, ...]]) -> ModuleNode:
    """``root`` with these marks and no others."""
    made: dict[int, ModuleNode] = {}
    for node in reversed(list(root.walk())):
        children = tuple(made[id(child)] for child in node.children)
        own = marks.get(node.path) or marks.get(node.shared_with or node.path, ())
        same = own == node.checkpoints and all(new is old for new, old in zip(children, node.children, strict=True))
        made[id(node)] = node if same else dataclasses.replace(node, children=children, checkpoints=own)
    return made[id(root)]
