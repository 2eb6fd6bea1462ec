"""The line that made a value, found in the user's own source where the forward was not watched.

``c = a * b`` in a cell is taken as the line of the value called c when what torch's graph leads to
from it are just the tensors that the right side names. Nothing is run, and what does not fit is left.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Mapping, Sequence
from typing import Any

from ..types import SourceLocation
from .gradient_sources import Origin


def sources_of(scopes: Sequence[Mapping[str, Any]], file: str = "") -> list[tuple[str, str]]:
    """``(name, text)`` of the user's source: a notebook's cells so far, or the file that called."""
    for scope in scopes:
        cells = scope.get("In")
        if isinstance(cells, list) and all(isinstance(cell, str) for cell in cells):
            return [(f"In [{number}]", cell) for number, cell in enumerate(cells) if cell.strip()]
    lines = linecache.getlines(file) if file else []
    return [(file, "".join(lines))] if lines else []


def assigned_origins(sources: Sequence[tuple[str, str]], labels: Mapping[tuple[int, int], str],
                     inputs: Sequence[Sequence[tuple[int, int]]]) -> dict[int, Origin]:
    """``{node: origin}``. ``labels`` are names by ``(node, output)``, ``inputs`` the ``(node, output)`` that each
    node was made from."""
    wanted = set(labels.values())
    found: dict[str, list[tuple[frozenset[str], Origin]]] = {}
    for name, text in sources:
        for target, names, origin in _assignments(name, text):
            if target in wanted:
                found.setdefault(target, []).append((names & wanted, origin))
    origins: dict[int, Origin] = {}
    for (node, _), label in labels.items():
        if label not in found or not inputs[node]:
            continue
        inside, reached = _until_named(node, labels, inputs)
        for names, origin in reversed(found[label]):  # the latest first
            if names == reached:
                origins.update(dict.fromkeys(inside, origin))
                break
    return origins


def _until_named(node: int, labels: Mapping[tuple[int, int], str],
                 inputs: Sequence[Sequence[tuple[int, int]]]) -> tuple[set[int], frozenset[str]]:
    """The nodes that one expression made, and the names that it starts from."""
    inside, names, stack = {node}, set(), [node]
    while stack:
        for value in inputs[stack.pop()]:
            if value in labels:
                names.add(labels[value])
            elif value[0] not in inside:
                inside.add(value[0])
                stack.append(value[0])
    return inside, frozenset(names)


def _assignments(name: str, text: str) -> list[tuple[str, frozenset[str], Origin]]:
    """``(target, names on the right, where)`` of every plain assignment; none where the text is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        lines = [line if not line.lstrip().startswith(("%", "!", "?")) else "" for line in text.split("\n")]
        try:
            tree = ast.parse("\n".join(lines))
        except (SyntaxError, ValueError):
            return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names = frozenset(part.id for part in ast.walk(node.value) if isinstance(part, ast.Name))
            place = SourceLocation(name, node.lineno, node.end_lineno or node.lineno, node.col_offset,
                                   node.end_col_offset or 0)
            found.append((node.targets[0].id, names, Origin(None, place, " ".join(ast.unparse(node).split()))))
    return found
