"""A trace as an anywidget: filter, search, open a row; where no widget can live, static HTML."""

from __future__ import annotations

import pathlib
import uuid
from typing import Any

import traitlets
from anywidget import AnyWidget
from comm import DummyComm
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data

from t2m_notebook.render.style import palette, status_colours
from t2m_notebook.render.trace import MEMORY_STYLE, trace_html, trace_text
from t2m_notebook.types import Status, TraceData
from t2m_notebook.widgets.trace_data import row_detail, trace_columns, trace_overview
from t2m_notebook.widgets.tree import _TWIN

STATIC_ROWS = 200


def _read(name: str) -> str:
    return pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")


class TraceWidget(AnyWidget):
    """The rows of ``data``: filter by module, status, shape change and copies, search, open one."""

    _esm = _read("trace.js")
    _css = palette(".t2m-trace") + _read("trace.css") + status_colours(".t2m-trace") + MEMORY_STYLE.format(
        scope=".t2m-trace")

    columns = traitlets.Dict().tag(sync=True)
    overview = traitlets.Dict().tag(sync=True)
    selected = traitlets.Int(-1, help="position of the selected row; -1: none").tag(sync=True)
    search = traitlets.Unicode("", help="part of a name, path, line or expression").tag(sync=True)
    module = traitlets.Unicode("", help="path of the module whose operations are shown; empty: all").tag(sync=True)
    status_filter = traitlets.List(traitlets.Unicode(), help="statuses shown; empty: all").tag(sync=True)
    shape_change = traitlets.Bool(False, help="only results with the shape of no input").tag(sync=True)
    copies = traitlets.Bool(False, help="only results with memory of their own").tag(sync=True)
    twin = traitlets.Unicode(help="marks the static table that goes with this one").tag(sync=True)

    def __init__(self, data: TraceData, **traits: Any) -> None:
        super().__init__(columns=trace_columns(data), overview=trace_overview(data), twin=uuid.uuid4().hex, **traits)
        self.data = data
        self.on_msg(self._answer)

    @traitlets.validate("status_filter")
    def _check_status_filter(self, proposal: dict) -> list[str]:
        known = [status.value for status in Status]
        names = [str(name).upper() for name in proposal["value"]]
        for name in names:
            if name not in known:
                raise traitlets.TraitError(f"status_filter: {name!r} is not one of {', '.join(known)}")
        return names

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Send what a row opens to."""
        index = message.get("detail") if isinstance(message, dict) else None
        if isinstance(index, int) and 0 <= index < len(self.data.rows):
            self.send({"index": index, "detail": row_detail(self.data.rows[index])})

    def _static(self) -> dict[str, str]:
        return {"text/plain": trace_text(self.data, limit=60), "text/html": trace_html(self.data, STATIC_ROWS)}

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view with static HTML and text for where it can't live."""
        bundle = super()._repr_mimebundle_(**options) or {}
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, **self._static()}, metadata

    def outputs(self) -> list[tuple[dict, dict]]:
        """``(data, metadata)`` of each output to publish: the live view and its static twin, which
        stays readable when the kernel is gone; see ``TreeWidget.outputs``."""
        static, live = self._static(), []
        if self.comm is not None and not isinstance(self.comm, DummyComm):
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
