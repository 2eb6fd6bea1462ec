"""A report as flat columns for ``tree.js``: one list per property, each string sent once.

A JSON object per module would be several times larger and a nested one could be deeper
than a JSON parser allows.
"""

from __future__ import annotations

import json
from typing import Any

from t2m_notebook.render.cells import (
    child_name,
    is_origin,
    operation_text,
    overview,
    row_cells,
    where_text,
)
from t2m_notebook.render.folding import Fold, child_nodes, fold_siblings, structure_ids
from t2m_notebook.render.words import bytes_text, plural, visible
from t2m_notebook.types import AnalysisReport, MissingOperation, ModuleNode, Status, shape_text

DETAIL_BUDGET = 1_000_000  # characters of details sent at once; the rest is sent when asked for
_TEXTS = ("name", "class_name", "description", "badge", "shape", "parameters", "bytes", "difference", "marks", "alarms")
_NOWHERE = -1
_STATUSES = list(Status)


def tree_nodes(root: ModuleNode) -> list[ModuleNode]:
    """The modules in the order of the columns: depth first, the root at 0."""
    nodes, stack = [], [root]
    while stack:
        node = stack.pop()
        nodes.append(node)
        stack.extend(reversed(child_nodes(node)))
    return nodes


def tree_columns(report: AnalysisReport) -> dict[str, Any]:
    """The tree as columns, in the order of :func:`tree_nodes`.

    ``strings`` holds every text; the columns named in ``_TEXTS`` are indexes into it.
    ``parent`` and ``run`` are indexes of nodes: the parent, and the first of the equal
    neighbours that are folded together, or -1. ``folds`` has the texts of a folded line by
    the index of its first node. ``details`` are objects of :func:`node_detail`, ``detail``
    says which is whose, -1 when it has to be asked for.
    """
    strings: dict[str, int] = {}
    columns: dict[str, Any] = {name: [] for name in _TEXTS}
    columns |= {"parent": [], "run": [], "status": [], "origin": [], "detail": []}
    folds, paths, details = {}, {}, _Details()
    ids = structure_ids(report.root)
    stack = [(Fold((report.root,)), 0, _NOWHERE, _NOWHERE, "")]
    while stack:
        fold, position, parent, run, path = stack.pop()
        index, node = len(columns["parent"]), fold.members[position]
        if fold.count > 1 and position == 0:
            run = index
            folds[index] = _texts(row_cells(fold, report.from_structure), strings)
        if fold.count > 1 and position + 1 < fold.count:
            stack.append((fold, position + 1, parent, run, path))
        cells = row_cells(Fold((node,)), report.from_structure)
        for name, text in zip(_TEXTS, _texts(cells, strings), strict=True):
            columns[name].append(text)
        columns["parent"].append(parent)
        columns["run"].append(run)
        columns["status"].append(_STATUSES.index(cells.status))
        columns["detail"].append(details.add(node))
        columns["origin"].append(int(_is_origin(node)))
        own = _path(node)
        expected = f"{path}.{node.name}" if path else "" if parent == _NOWHERE else str(node.name)
        if own != expected:
            paths[index] = own
        for inside in reversed(fold_siblings(child_nodes(node), ids)):
            stack.append((inside, 0, index, _NOWHERE, own))
    return columns | {"strings": list(strings), "folds": folds, "paths": paths, "details": details.objects,
                      "statuses": [[s.value, s.glyph, s.meaning] for s in Status]}


def _texts(cells: Any, strings: dict[str, int]) -> list[int]:
    return [strings.setdefault(getattr(cells, name), len(strings)) for name in _TEXTS]


def _path(node: ModuleNode) -> str:
    return visible(getattr(node, "path", ""))


def _is_origin(node: ModuleNode) -> bool:
    try:
        return is_origin(node)
    except Exception:
        return True


class _Details:
    """Details, equal ones once, until the budget is spent."""

    def __init__(self) -> None:
        self.objects: list[dict] = []
        self._known: dict[str, int] = {}
        self._left = DETAIL_BUDGET

    def add(self, node: ModuleNode) -> int:
        if self._left <= 0:
            return _NOWHERE
        detail = node_detail(node)
        text = json.dumps(detail)
        if text not in self._known:
            self._left -= len(text)
            self._known[text] = len(self.objects)
            self.objects.append(detail)
        return self._known[text]


def node_detail(node: ModuleNode) -> dict[str, Any]:
    """What a node opens to, as JSON data without empty values. Every text is one line.

    Paths would differ between equal layers, so a child is named as seen from its parent
    (``conv1``), and the node's own path is left to the columns. Never raises.
    """
    try:
        return _node_detail(node)
    except Exception as error:
        return {"reason": visible(f"this node can't be read: {type(error).__name__}: {error}")}


def _node_detail(node: ModuleNode) -> dict[str, Any]:
    detail = {
        "where": where_text(node),
        "file": visible(node.location.origin) if node.location else "",
        "module": visible(node.class_module),
        "description": visible(" ".join(node.description.split())),
        "reason": visible(node.reason),
        "checkpoints": [[visible(mark.text), int(bool(mark.bad))] for mark in node.checkpoints],
        "shared": None if node.shared_with is None else visible(node.shared_with),
        "inputs": [visible(t.text) for t in node.inputs],
        "outputs": [visible(t.text) for t in node.outputs],
        "total": f"{plural(node.parameter_count, 'parameter')}, {bytes_text(node.parameter_bytes)}"
        if node.parameter_count else "",
        "parameters": [[visible(p.name), shape_text(p.facts.shape), visible(p.facts.dtype),
                        bytes_text(p.bytes), _parameter_note(p), visible(p.tied_to or "")]
                       for p in node.parameters],
        "operations": [[_STATUSES.index(o.status), *operation_text(o, node), visible(o.reason),
                        visible(child_name(o, node)), visible(o.name),
                        ", ".join(visible(t.text) for t in o.outputs)] for o in node.operations],
    }
    return {key: value for key, value in detail.items() if value not in ("", [], None)}


def _parameter_note(parameter: Any) -> str:
    notes = [] if parameter.kind == "parameter" else [visible(parameter.kind)]
    return ", ".join(notes if parameter.trainable or notes else ["frozen"])


def tree_overview(report: AnalysisReport) -> dict[str, Any]:
    """The header and what stands in the way, as JSON data."""
    head = overview(report)
    return {
        "title": head.title, "facts": list(head.facts), "score": head.score,
        "score_status": head.score_status.value, "notes": list(head.notes),
        "counts": [[status.value, count] for status, count in head.counts],
        "missing": [_missing(item) for item in report.missing],
    }


def _missing(item: MissingOperation) -> dict[str, Any]:
    return {"status": item.status.value, "name": visible(item.name), "reason": visible(item.reason),
            "calls": plural(item.calls, "call"), "source": visible(item.source),
            "where": visible(item.location.text) if item.location else "",
            "paths": [visible(path) for path in item.paths[:5]], "more": max(len(item.paths) - 5, 0)}
