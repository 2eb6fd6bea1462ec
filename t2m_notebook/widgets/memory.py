"""A memory report on a page: sliders for batch and length, a choice of precision, one pool or two."""

from __future__ import annotations

from typing import Any

import traitlets
from anywidget import AnyWidget

from t2m_notebook.render.memory import biggest, facts, memory_html, memory_text, modes, part_cells, score
from t2m_notebook.render.memory_pictures import pools_svg, segments, spark_svg
from t2m_notebook.render.words import bytes_text
from t2m_notebook.types.memory import MemoryReport, PendingReport
from t2m_notebook.widgets.twin import TwinnedWidget, read, script, styles

MOST_MODULES = 500


class MemoryWidget(TwinnedWidget):
    """The report, and what it predicts at other sizes and precisions."""

    _esm = script("memory.js")
    _css = styles(".t2m-memory", read("memory.css"))

    data = traitlets.Dict().tag(sync=True)
    batch = traitlets.Int(1, help="batch size of the prediction").tag(sync=True)
    length = traitlets.Int(0, help="sequence length of the prediction; 0: the model has none").tag(sync=True)
    precision = traitlets.Unicode("", help="float32, bfloat16, float16, int8, int4; empty: as it is").tag(sync=True)

    def __init__(self, report: MemoryReport, **traits: Any) -> None:
        sizes = {"batch": max(report.batch, 1), "length": report.length}
        super().__init__(data=memory_data(report), **{**sizes, **traits})
        self.report = report

    def _static(self) -> dict[str, str]:
        return {"text/plain": memory_text(self.report), "text/html": memory_html(self.report)}


class PendingWidget(AnyWidget):
    """MLX's pending bytes while a block runs; give its ``update`` to ``t2m.pending``."""

    _esm = """export default { render({ model, el }) {
      const root = document.createElement('div');
      root.className = 't2m-memory t2m-pending';
      const show = () => { root.innerHTML = model.get('picture'); };
      model.on('change:picture', show);
      show();
      el.append(root);
      return () => model.off('change:picture', show);
    } };"""
    _css = styles(".t2m-memory", read("memory.css"))
    picture = traitlets.Unicode(help="HTML that this package made, every name in it escaped").tag(sync=True)

    def update(self, report: PendingReport) -> None:
        """Show ``report`` now."""
        from html import escape

        advice = f'<div class="t2m-note">◐ {escape(report.advice)}</div>' if report.advice else ""
        now = report.samples[-1] if report.samples else None
        head = (
            f"{now.operations:,} operations, {bytes_text(now.bytes)} pending" if now is not None else "nothing pending"
        )
        self.picture = (
            f'<div class="t2m-head"><b>MLX’s lazy graph</b><span class="t2m-facts">{head}</span>'
            f'<span class="t2m-score">peak {bytes_text(report.peak_bytes)}</span></div>'
            f'<div class="t2m-body">{spark_svg(report)}</div>{advice}'
        )


def memory_data(report: MemoryReport) -> dict[str, Any]:
    """Everything that the view shows and calculates with, as strings and numbers."""
    sides = [side for side in (report, report.mlx) if side is not None]
    return {
        "title": report.model,
        "facts": facts(report),
        "score": score(report),
        "batch": report.batch,
        "length": report.length,
        "pools": pools_svg(report),
        "sides": [
            {
                "name": side.framework,
                "modes": [
                    {
                        "mode": mode,
                        "segments": [list(part) for part in segments(side, mode)],
                        "rows": [list(part_cells(part)) for part in parts],
                    }
                    for mode, parts in modes(side)
                ],
                "notes": list(side.notes),
                "counters": [[n, bytes_text(b)] for n, b in side.counters.items()],
            }
            for side in sides
        ],
        "precisions": [
            {"name": p.name, "bytes": p.bytes, "bits": p.bits_per_weight, "note": p.note} for p in report.precisions
        ],
        "parameters": report.bytes_of("parameters", "inference"),
        "scalings": [
            {"axis": s.axis, "quantity": s.quantity, "sizes": list(s.sizes), "coefficients": list(s.coefficients)}
            for s in report.scalings
        ],
        "cache": None
        if report.cache is None
        else {"perToken": report.cache.bytes_per_token, "layers": report.cache.layers, "how": report.cache.how},
        "modules": [
            [m.path or report.model, m.class_name, m.parameters, m.results, m.saved]
            for m in biggest(report.modules)[:MOST_MODULES]
        ],
    }
