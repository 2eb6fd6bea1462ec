"""A parity report on a page: ladder and comparisons, and below them the live measured tree."""

from __future__ import annotations

from t2m_notebook.render.parity import parity_html, parity_text, parity_tree
from t2m_notebook.types import ParityData
from t2m_notebook.widgets.tree import TreeWidget


def parity_outputs(data: ParityData) -> list[tuple[dict, dict]]:
    """``(data, metadata)`` of each output to publish. The summary is plain HTML, so that it
    stays when the kernel is gone."""
    head = {"text/plain": parity_text(data, tree=False), "text/html": parity_html(data, tree=False)}
    return [(head, {}), *TreeWidget(parity_tree(data)).outputs()]
