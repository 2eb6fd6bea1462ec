"""A health report on a page: the first bad operation, and every tensor on the scale of its dtype."""

from __future__ import annotations

import math
from typing import Any

import traitlets

from t2m_notebook.render.health import (
    facts,
    finding_lines,
    headroom_text,
    health_html,
    health_text,
    number_text,
    row_status,
    sections,
    verdict,
)
from t2m_notebook.render.trace_cells import short_name
from t2m_notebook.types import shape_text
from t2m_notebook.types.health import HealthReport, TensorHealth
from t2m_notebook.widgets.twin import TwinnedWidget, read, script, styles

#: dtype -> decades of its smallest normal and its largest number, the ends of the picture's scale.
SCALE = {
    "float16": (-4.21, 4.82),
    "bfloat16": (-37.93, 38.53),
    "float32": (-37.93, 38.53),
    "float64": (-307.65, 308.25),
    "complex64": (-37.93, 38.53),
    "complex128": (-307.65, 308.25),
}
MOST_ROWS = 20_000


class HealthWidget(TwinnedWidget):
    """The report with its tensors: filter by phase and state, search, select a row for its ranges."""

    _esm = script("rows_in_sight.js", "health.js")
    _css = styles(".t2m-health", read("health.css"))

    overview = traitlets.Dict().tag(sync=True)
    rows = traitlets.List().tag(sync=True)
    search = traitlets.Unicode("", help="part of an operation, a module or a source line").tag(sync=True)
    filter = traitlets.Unicode("", help="a phase, or bad, close, denormal; empty: all").tag(sync=True)

    def __init__(self, report: HealthReport, **traits: Any) -> None:
        super().__init__(overview=health_overview(report), rows=health_rows(report), **traits)
        self.report = report

    def update(self, report: HealthReport) -> None:
        """Show ``report`` instead, for example from a running watch."""
        self.report = report
        with self.hold_sync():
            self.overview, self.rows = health_overview(report), health_rows(report)

    def _static(self) -> dict[str, str]:
        return {"text/plain": health_text(self.report), "text/html": health_html(self.report)}


def health_overview(report: HealthReport) -> dict[str, Any]:
    """Title, verdict, first findings and the sections, as strings."""
    status, score = verdict(report)
    sides = [side for side in (report, report.mlx) if side is not None]
    return {
        "title": report.model,
        "facts": facts(report),
        "status": status.value,
        "glyph": status.glyph,
        "score": score,
        "sides": [
            {
                "name": side.framework if len(sides) > 1 else "",
                "first": [
                    {"title": f"first in the {word} pass", "lines": finding_lines(finding)}
                    for word, finding in (("forward", side.first_forward), ("backward", side.first_backward))
                    if finding is not None
                ],
                "sections": [
                    {
                        "title": title,
                        "status": part.value,
                        "glyph": part.glyph,
                        "lines": lines[:200],
                        "count": len(lines),
                    }
                    for title, part, lines in sections(side)
                ],
                "notes": list(side.notes),
            }
            for side in sides
        ],
    }


def health_rows(report: HealthReport) -> list[dict[str, Any]]:
    """The tensors of both sides as strings and places on the scale of their dtype (0 to 1)."""
    made = []
    for side in (report, report.mlx):
        for row in (*side.tensors, *side.checkpoints) if side is not None else ():
            made.append(_row(row, side.framework if report.mlx is not None else ""))  # type: ignore[union-attr]
    return made[:MOST_ROWS]


def _row(row: TensorHealth, side: str) -> dict[str, Any]:
    values, status = row.ranges, row_status(row)
    largest = max(abs(values.minimum or 0.0), abs(values.maximum or 0.0))
    low, high = SCALE.get(values.dtype, (-37.93, 38.53))
    at = (math.log10(largest) - low) / (high - low) if largest > 0 else None
    flags = [
        name
        for name, on in (("bad", row.verdict == "bad"), ("close", row.close), ("denormal", values.denormals > 0))
        if on
    ]
    return {
        "side": side,
        "phase": row.phase,
        "operation": row.mark or row.operation,
        "name": row.mark or short_name(row.operation),
        "path": row.path,
        "source": row.source,
        "line": row.location.text if row.location else "",
        "shape": shape_text(values.shape),
        "dtype": values.dtype,
        "low": number_text(values.minimum),
        "high": number_text(values.maximum),
        "bad": values.bad_text,
        "headroom": headroom_text(values.headroom),
        "status": status.value,
        "glyph": "◆" if row.mark else status.glyph,
        "at": None if at is None else min(max(at, 0.0), 1.0),
        "zeros": values.zeros,
        "denormals": values.denormals,
        "count": values.count,
        "note": row.note,
        "flags": flags,
        "verdict": row.verdict,
        "text": values.text,
        "step": row.step,
    }
