"""What the front-end is told of a port after every change: tree, counts, ladder, weights, classes."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from .render.parity import ladder
from .session import Port
from .types import CellCheck, Mark, ModuleNode, Status, to_data

_WORST = {"proven": Status.PROVEN, "unknown": Status.MAPPED}


def state_of(port: Port, checks: Mapping[str, CellCheck], stale: Collection[str] = ()) -> dict[str, Any]:
    """The ``state`` message. ``checks`` has the newest check of each class that was edited since the model was
    measured as a whole; ``stale`` the classes that are being checked just now."""
    report = port.last_report
    root = live_tree(port.with_marks(report.tree) if report is not None else port.analysis.root, port, checks)
    results = report.results if report is not None else ()
    nodes = list(root.walk())
    counts = Counter(node.status.value for node in nodes)
    seen = len(nodes) - counts[Status.UNSEEN.value]
    worst_of = {name: _class_status(nodes, set(cell.paths), checks.get(name)) for name, cell in port.cells.items()}
    return {
        "type": "state", "port": port.name, "tree": to_data(_slim(root)),
        "counts": {status.value: counts[status.value] for status in Status},
        "summary": f"{counts[Status.PROVEN.value]}/{seen} proven",
        "ladder": [{"rung": rung.name, "status": rung.status.value, "text": rung.text}
                   for rung in _ladder(root, results, checks)],
        "weights": to_data(port.weight_table()),
        "classes": {name: {"paths": list(cell.paths), "status": worst_of[name].value, "edited": bool(cell.edited)}
                    for name, cell in port.cells.items()},
        "first_red": _first_red(nodes, port, checks), "stale": sorted(stale)}


def live_tree(root: ModuleNode, port: Port, checks: Mapping[str, CellCheck]) -> ModuleNode:
    """``root`` with the newest verdicts. A module above an edited one was measured with the old text of its part:
    it is not green before it is measured again."""
    verdicts = {path: check for name, check in checks.items() if name in port.cells
                for path in port.cells[name].paths}
    if not verdicts:
        return root
    above = {path.rsplit(".", count)[0] for path in verdicts for count in range(1, path.count(".") + 1)} | {""}
    made: dict[int, ModuleNode] = {}
    for node in reversed(list(root.walk())):
        children = tuple(made[id(child)] for child in node.children)
        node_now = dataclasses.replace(node, children=children)
        check = verdicts.get(node.shared_with or node.path)
        if check is not None:
            node_now = dataclasses.replace(node_now, status=_WORST.get(check.state, Status.DIVERGES),
                                           max_difference=check.difference, reason=check.message or check.text)
        elif node.path in above and node.status is Status.PROVEN:
            node_now = dataclasses.replace(node_now, status=Status.MAPPED, max_difference=None,
                                           reason="a part of it was edited since it was measured")
        made[id(node)] = node_now
    return made[id(root)]


def _slim(root: ModuleNode) -> ModuleNode:
    """Without what the side panel doesn't show: it is sent after every keystroke that changes something."""
    made: dict[int, ModuleNode] = {}
    for node in reversed(list(root.walk())):
        made[id(node)] = dataclasses.replace(node, operations=(), parameters=(), inputs=(), outputs=(),
                                             children=tuple(made[id(child)] for child in node.children))
    return made[id(root)]


def _ladder(root: ModuleNode, results: tuple, checks: Mapping[str, CellCheck]):
    """The rungs; those of the whole model count only for the text that they were measured with."""
    rungs = ladder(root, results)
    if not checks:
        return rungs
    red = [check for check in checks.values() if check.state not in ("proven", "unknown")]
    text = f"{len(red)} edited {'class differs' if len(red) == 1 else 'classes differ'}" if red else "being measured"
    status = Status.DIVERGES if red else Status.MAPPED
    return [rung if rung.name == "weights" or rung.status is not Status.PROVEN
            else dataclasses.replace(rung, status=status if rung.name == "modules" else Status.MAPPED,
                                     text=text if rung.name == "modules" or not red else "waits")
            for rung in rungs]


def _class_status(nodes: list[ModuleNode], paths: set[str], check: CellCheck | None) -> Status:
    if check is not None:
        return _WORST.get(check.state, Status.DIVERGES)
    own = [node.status for node in nodes if node.path in paths]
    return max(own, key=lambda status: status.severity, default=Status.UNSEEN)


def _first_red(nodes: list[ModuleNode], port: Port, checks: Mapping[str, CellCheck]) -> dict[str, str] | None:
    """The deepest first module that differs: the one to look at."""
    red = [node for node in nodes if node.status is Status.DIVERGES]
    class_of = {path: name for name, cell in port.cells.items() for path in cell.paths}
    checked = {path for name, check in checks.items() if check.state not in ("proven", "unknown") and
               name in port.cells for path in port.cells[name].paths}
    inner = [node for node in red if node.path in checked] or \
        [node for node in red if not any(child.status is Status.DIVERGES for child in node.children)]
    if not inner:
        return None
    path = inner[0].path
    owner = path
    while owner not in class_of and owner:
        owner = owner.rpartition(".")[0]
    return {"path": path, "class": class_of.get(owner, "")}


def result_of(check: CellCheck, port_name: str, cell: str, sequence: int, source: str) -> dict[str, Any]:
    """The ``result`` message that answers a check of ``source``."""
    lines = source.splitlines()
    answer = to_data(check)
    answer["marks"] = [_mark(mark, lines) for mark in check.marks]
    answer["class"] = answer.pop("class_name")
    return {"type": "result", "cell": cell, "seq": sequence, "port": port_name, "glyph": check.glyph, **answer}


def _mark(mark: Mark, lines: list[str]) -> dict[str, Any]:
    """With the columns of the whole line where the mark names none."""
    line = min(max(mark.line, 1), max(len(lines), 1))
    end_line = max(mark.end_line or line, line)
    text = lines[line - 1] if line <= len(lines) else ""
    column, end_column = mark.column, mark.end_column
    if end_line == line and end_column <= column:
        column, end_column = len(text) - len(text.lstrip()), len(text.rstrip())
    return {"line": line, "end_line": end_line, "column": column, "end_column": max(end_column, column + 1)
            if end_line == line else end_column, "severity": mark.severity, "message": mark.message}
