"""The autograd graph as an anywidget that steps through the backward pass; static HTML where none can live."""

from __future__ import annotations

import shutil
from typing import Any

import traitlets

from t2m_notebook.render.autograd import Words, graph_text
from t2m_notebook.render.autograd_svg import STYLE, graph_html
from t2m_notebook.render.graph_layout import lay_out
from t2m_notebook.types import GradientGraph
from t2m_notebook.widgets.autograd_data import graph_data, node_detail
from t2m_notebook.widgets.twin import TwinnedWidget, read, script, styles


class AutogradWidget(TwinnedWidget):
    """The graph of ``graph``: step forwards and backwards, fold modules, see what torch saved, and MLX beside it.

    ``step`` is the step of the backward pass that is shown, from 0.
    """

    _esm = script("autograd_layout.js", "autograd_boxes.js", "autograd_detail.js", "autograd_mlx.js", "autograd.js")
    _css = styles(".t2m-autograd", STYLE, read("autograd.css"))

    data = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(0, help="the step of the backward pass that is shown, from 0").tag(sync=True)
    has_dot = traitlets.Bool(help="graphviz's dot is installed where the kernel runs").tag(sync=True)

    def __init__(self, graph: GradientGraph, **traits: Any) -> None:
        super().__init__(data=graph_data(graph), has_dot=shutil.which("dot") is not None, **traits)
        self.graph = graph
        self.on_msg(self._answer)

    @traitlets.validate("step")
    def _check_step(self, proposal: dict) -> int:
        return min(max(proposal["value"], 0), max(len(self.data.get("nodes", ())) - 1, 0))

    def _answer(self, _widget: Any, message: Any, _buffers: Any) -> None:
        """Lay boxes out with ``dot``: ``{"layout": number, "sizes": {name: [w, h]}, "edges": [[tail, head]]}``;
        send a node's details: ``{"detail": index}``."""
        index = message.get("detail") if isinstance(message, dict) else None
        if isinstance(index, int) and 0 <= index < len(self.graph.nodes):
            self.send({"detail": index, "facts": node_detail(self.graph.nodes[index], Words(self.graph))})
            return
        if not isinstance(message, dict) or "layout" not in message:
            return
        sizes = {str(name): (float(w), float(h)) for name, (w, h) in message["sizes"].items()}
        placed = lay_out(sizes, [(str(a), str(b)) for a, b in message["edges"]], downwards=bool(message.get("down")))
        self.send({"layout": message["layout"], "corners": placed.corners, "width": placed.width,
                   "height": placed.height, "paths": [[*edge, path] for edge, path in placed.paths.items()]})

    def _static(self) -> dict[str, str]:
        return {"text/plain": graph_text(self.graph), "text/html": graph_html(self.graph)}
