"""A trace as flat columns for ``trace.js``: each text once, numbers for the rest."""

from __future__ import annotations

from typing import Any

from t2m_notebook.render.trace import columns_of, pictures, remark_of
from t2m_notebook.render.trace_cells import is_paired, short_name, tensor_line, trace_cells, trace_facts, trace_verdict
from t2m_notebook.render.words import difference_text, visible
from t2m_notebook.types import Status, TraceData, TracedOperation, TraceRow

_STATUSES = list(Status)
SHAPE_CHANGE, COPY, STRANGE, STRANGE_MLX, BAD_VALUES = 1, 2, 4, 8, 16


def trace_columns(data: TraceData) -> dict[str, Any]:
    """The rows as columns. ``cells`` has a list for each of ``heads``; it, ``module``, ``name`` and
    ``remark`` are indexes into ``strings``, ``status`` one into ``statuses``, ``flags`` a sum of bits:
    1 the shape changes, 2 a copy, 4 and 8 strides that are not contiguous, 16 NaN or Inf."""
    strings: dict[str, int] = {"": 0}

    def text(words: str) -> int:
        return strings.setdefault(words, len(strings))

    heads: list[str] = []
    columns: dict[str, list[int]] = {}
    columns_in = columns_of(data)
    found: dict[str, Any] = {"status": [], "flags": [], "module": [], "name": [], "remark": []}
    for row, cells in zip(data.rows, trace_cells(data), strict=True):
        line = columns_in(cells)
        if not heads:
            heads = list(line)
            columns = {head: [] for head in heads}
        for head, words in line.items():
            columns[head].append(text(words))
        found["status"].append(_STATUSES.index(row.status))
        found["flags"].append(_flags(row, cells.main.strange, cells.other.strange))
        found["module"].append(text(cells.module))
        found["name"].append(text(" ".join(visible(side.name) for side in (row.torch, row.mlx) if side is not None)))
        found["remark"].append(text(remark_of(row, cells)))
    shown = [head for head in heads if any(columns[head])]
    return found | {"heads": shown, "cells": [columns[head] for head in shown], "strings": list(strings),
                    "statuses": [[s.value, s.glyph, s.meaning] for s in Status], "paired": is_paired(data)}


def _flags(row: TraceRow, strange: bool, strange_mlx: bool) -> int:
    summary = row.summary
    bad = summary is not None and bool(summary.nan or summary.inf)
    return SHAPE_CHANGE * row.changes_shape + COPY * row.is_copy + STRANGE * strange + STRANGE_MLX * strange_mlx + \
        BAD_VALUES * bad


def trace_overview(data: TraceData) -> dict[str, Any]:
    """The header as JSON data."""
    status, verdict = trace_verdict(data)
    return {"title": visible(data.title), "facts": trace_facts(data), "score": verdict, "score_status": status.value,
            "notes": [visible(note) for note in data.notes],
            "error": [visible(line) for line in data.error.splitlines()]}


def row_detail(row: TraceRow) -> dict[str, Any]:
    """What a row opens to. ``pictures`` are HTML made of numbers and fixed words; all else is text."""
    notes = [visible(text) for text in (row.error, row.note) if text]
    if row.difference is not None:
        allowed = f", allowed {difference_text(row.allowed)}" if row.allowed is not None else ""
        notes.insert(0, f"max|Δ| {difference_text(row.difference)}{allowed}")
    if row.axes and list(row.axes) != sorted(row.axes):
        notes.append(f"MLX holds torch's axes as {row.axes}")
    if row.form and row.mlx is None:
        notes.append(f"rule: {visible(row.form)}")
    return {"number": row.index, "sides": [_side(name, side) for name, side in (("torch", row.torch), ("MLX", row.mlx))
                                           if side is not None],
            "pictures": pictures(row), "notes": notes, "status": row.status.value, "glyph": row.status.glyph}


def _side(name: str, side: TracedOperation) -> dict[str, Any]:
    place = side.location
    return {"framework": name, "name": visible(short_name(side.name)), "full": visible(side.name),
            "path": visible(side.path), "where": visible(place.text) if place else "",
            "file": visible(place.origin) if place else "", "source": visible(side.source),
            "tensors": [tensor_line("in", tensor) for tensor in side.inputs] + [
                tensor_line("out", tensor) for tensor in side.outputs]}
