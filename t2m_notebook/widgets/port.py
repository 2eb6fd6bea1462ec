"""A port on a page: its summary, and below it the live tree with the verdicts."""

from __future__ import annotations

from t2m_notebook.render.port import hint_html, port_html, port_text
from t2m_notebook.types import PortSummary
from t2m_notebook.widgets.tree import TreeWidget


def port_outputs(summary: PortSummary) -> list[tuple[dict, dict]]:
    """``(data, metadata)`` of each output to publish. The summary is plain HTML, so that it
    stays when the kernel is gone."""
    head = {"text/plain": port_text(summary, tree=False), "text/html": port_html(summary, tree=False) + hint_html()}
    return [(head, {}), *TreeWidget(summary.analysis).outputs()]
