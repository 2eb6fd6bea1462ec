"""The module tree as an anywidget; where no widget can live, the same tree as static HTML."""

from __future__ import annotations

import pathlib
import uuid
from collections.abc import Callable
from typing import Any

import traitlets
from anywidget import AnyWidget
from comm import DummyComm
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data

from t2m_notebook.render.style import palette, status_colours
from t2m_notebook.render.tree import tree_html, tree_text
from t2m_notebook.types import AnalysisReport, ModuleNode, Status
from t2m_notebook.widgets.tree_data import node_detail, tree_columns, tree_nodes, tree_overview


def _read(name: str) -> str:
    return pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")


# The twin waits a moment, so that it isn't seen before a live tree hides it; where a tree
# can't live, JupyterLab's line about that is left out.
_TWIN = """
.jp-RenderedHTMLCommon > .t2m-twin { margin-right: -20px; }
.t2m-twin > .t2m-static { max-width: 1400px; }
.t2m-twin { animation: t2m-twin 0s 0.7s backwards; }
@keyframes t2m-twin { from { max-height: 0; overflow: hidden; visibility: hidden; } }
.jp-OutputArea-child:has(~ .jp-OutputArea-child .t2m-twin) .jp-OutputArea-output:not(:has(*)) {
  display: none; }
"""


class TreeWidget(AnyWidget):
    """The tree of ``report``: expand, search, filter by status, select.

    ``on_select(path)`` is called when another module is selected, by a person or by code.
    ``static_limit`` is the most lines of the static HTML that goes into the notebook file.
    """

    # One module, as a notebook has no place to fetch a second one from.
    _esm = "\n".join(_read(name) for name in ("tree_rows.js", "tree_detail.js", "tree.js"))
    _css = palette(".t2m-tree") + _read("tree.css") + status_colours(".t2m-tree")

    columns = traitlets.Dict().tag(sync=True)
    overview = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode("", help="path of the selected module; the root's is empty").tag(sync=True)
    status_filter = traitlets.List(traitlets.Unicode(), help="statuses shown; empty: all").tag(sync=True)
    search = traitlets.Unicode("", help="part of a path or class name").tag(sync=True)
    twin = traitlets.Unicode(help="marks the static tree that goes with this one").tag(sync=True)

    def __init__(self, report: AnalysisReport, *, on_select: Callable[[str], Any] | None = None,
                 static_limit: int = 300, **traits: Any) -> None:
        super().__init__(columns=tree_columns(report), overview=tree_overview(report),
                         twin=uuid.uuid4().hex, **traits)
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

    @traitlets.validate("status_filter")
    def _check_status_filter(self, proposal: dict) -> list[str]:
        known = [status.value for status in Status]
        names = [str(name).upper() for name in proposal["value"]]
        for name in names:
            if name not in known:
                raise traitlets.TraitError(f"status_filter: {name!r} is not one of {', '.join(known)}")
        return names

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Send the detail of one module that did not fit into the columns."""
        index = message.get("detail") if isinstance(message, dict) else None
        if isinstance(index, int) and 0 <= index < len(self._nodes):
            self.send({"index": index, "detail": node_detail(self._nodes[index])})

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view with static HTML and text for where it can't live."""
        bundle = super()._repr_mimebundle_(**options) or {}
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, **self._static()}, metadata

    def _static(self) -> dict[str, str]:
        return {"text/plain": tree_text(self._report, depth=2, limit=60),
                "text/html": tree_html(self._report, limit=self.static_limit)}

    def outputs(self) -> list[tuple[dict, dict]]:
        """``(data, metadata)`` of each output to publish: the live view and its static twin.

        JupyterLab prefers a widget to HTML even when its kernel is gone, and then shows an
        error. With two outputs the twin is there to be read; the live view hides it.
        """
        static, live = self._static(), []
        if self.comm is not None and not isinstance(self.comm, DummyComm):  # there is a page to talk to
            data, metadata = AnyWidget._repr_mimebundle_(self)
            live = [({**data, "text/plain": "", "text/html": ""}, metadata)]
            static["text/html"] = f'<div class="t2m-twin" data-t2m-twin="{self.twin}">' \
                                  f'<style>{_TWIN}</style>{static["text/html"]}</div>'
        return [*live, (static, {})]

    def _ipython_display_(self) -> None:
        """Shows the live view and, as a second output, its static twin."""
        if not InteractiveShell.initialized():
            print(self._static()["text/plain"])
            return
        for data, metadata in self.outputs():
            publish_display_data(data, metadata)
