"""A trace as an anywidget: filter, search, open a row; where no widget can live, static HTML."""

from __future__ import annotations

from typing import Any

import traitlets

from t2m_notebook.render.trace import MEMORY_STYLE, trace_html, trace_text
from t2m_notebook.types import TraceData
from t2m_notebook.widgets.status_filter import StatusFilter
from t2m_notebook.widgets.trace_data import row_detail, trace_columns, trace_overview
from t2m_notebook.widgets.twin import TwinnedWidget, read, script, styles

STATIC_ROWS = 200


class TraceWidget(TwinnedWidget):
    """The rows of ``data``: filter by module, status, shape change and copies, search, open one."""

    _esm = script("rows_in_sight.js", "trace.js")
    _css = styles(".t2m-trace", read("trace.css"), MEMORY_STYLE.format(scope=".t2m-trace"))

    columns = traitlets.Dict().tag(sync=True)
    overview = traitlets.Dict().tag(sync=True)
    selected = traitlets.Int(-1, help="position of the selected row; -1: none").tag(sync=True)
    search = traitlets.Unicode("", help="part of a name, path, line or expression").tag(sync=True)
    module = traitlets.Unicode("", help="path of the module whose operations are shown; empty: all").tag(sync=True)
    status_filter = StatusFilter().tag(sync=True)
    shape_change = traitlets.Bool(False, help="only results with the shape of no input").tag(sync=True)
    copies = traitlets.Bool(False, help="only results with memory of their own").tag(sync=True)

    def __init__(self, data: TraceData, **traits: Any) -> None:
        super().__init__(columns=trace_columns(data), overview=trace_overview(data), **traits)
        self.data = data
        self.on_msg(self._answer)

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Send what a row opens to."""
        index = message.get("detail") if isinstance(message, dict) else None
        if isinstance(index, int) and 0 <= index < len(self.data.rows):
            self.send({"index": index, "detail": row_detail(self.data.rows[index])})

    def _static(self) -> dict[str, str]:
        return {"text/plain": trace_text(self.data, limit=60), "text/html": trace_html(self.data, STATIC_ROWS)}
