"""The module tree as an anywidget; where no widget can live, the same tree as static HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import traitlets

from t2m_notebook.render.tree import tree_html, tree_text
from t2m_notebook.types import AnalysisReport, ModuleNode
from t2m_notebook.widgets.status_filter import StatusFilter
from t2m_notebook.widgets.tree_data import node_detail, tree_columns, tree_nodes, tree_overview
from t2m_notebook.widgets.twin import TwinnedWidget, read, script, styles


class TreeWidget(TwinnedWidget):
    """The tree of ``report``: expand, search, filter by status, select.

    ``on_select(path)`` is called when another module is selected, by a person or by code.
    ``static_limit`` is the most lines of the static HTML that goes into the notebook file.
    """

    _esm = script("rows_in_sight.js", "tree_rows.js", "tree_detail.js", "tree.js")
    _css = styles(".t2m-tree", read("tree.css"))

    columns = traitlets.Dict().tag(sync=True)
    overview = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("", help="path of the selected module; the root's is empty").tag(sync=True)
    status_filter = StatusFilter().tag(sync=True)
    search = traitlets.Unicode("", help="part of a path or class name").tag(sync=True)

    def __init__(self, report: AnalysisReport, *, on_select: Callable[[str], Any] | None = None,
                 static_limit: int = 300, **traits: Any) -> None:
        super().__init__(columns=tree_columns(report), overview=tree_overview(report), **traits)
        self._show(report)
        self.static_limit = static_limit
        self.on_msg(self._answer)
        if on_select is not None:
            self.observe(lambda change: on_select(change["new"]), names="selected")

    @property
    def report(self) -> AnalysisReport:
        """What is shown now."""
        return self._report

    def _show(self, report: AnalysisReport) -> None:
        self._report = report
        self._nodes: list[ModuleNode] = tree_nodes(report.root)

    def update(self, report: AnalysisReport) -> None:
        """Show ``report`` instead, for example after parity ran. What is open, selected
        and filtered stays so, by path."""
        self._show(report)
        with self.hold_sync():
            self.columns, self.overview = tree_columns(report), tree_overview(report)

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Send the detail of one module that did not fit into the columns."""
        index = message.get("detail") if isinstance(message, dict) else None
        if isinstance(index, int) and 0 <= index < len(self._nodes):
            self.send({"index": index, "detail": node_detail(self._nodes[index])})

    def _static(self) -> dict[str, str]:
        return {"text/plain": tree_text(self._report, depth=2, limit=60),
                "text/html": tree_html(self._report, limit=self.static_limit)}
