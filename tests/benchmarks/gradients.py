"""How soon a graph of 2,000 nodes is on screen: reading and measuring it, making the view, drawing it."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator

import torch
from torch import nn

from t2m_notebook.capture.gradient_graph import read_graph
from t2m_notebook.types import GradientGraph
from t2m_notebook.widgets.autograd import AutogradWidget
from tests.browser.harness import browser
from tests.browser.test_tree_page import MODEL

from .timing import Line, milliseconds, ratio, side_by_side

SECONDS = 2.0
BLOCKS = 286  # of 7 nodes each: view of weights, product, bias, activation, sum


class Block(nn.Module):
    """Some operations with a residual way around them."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(16, 16)

    def forward(self, x):
        return x + torch.tanh(self.linear(x)) * 0.1


def loss() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A loss with about 2,000 nodes behind it, and the parameters by path."""
    model = nn.Sequential(*[nn.Sequential(Block()) for _ in range(BLOCKS)])
    return model(torch.randn(4, 16)).square().mean(), dict(model.named_parameters())


def drawn(graph: GradientGraph, page, unfold: bool) -> float:
    """Seconds until the view of ``graph`` is painted, from the graph on."""
    started = time.perf_counter()
    widget = AutogradWidget(graph)
    state = {name: getattr(widget, name) for name in ("data", "step", "has_dot", "twin")} | {"has_dot": False}
    if unfold:
        paths = {node.module for node in graph.nodes if node.module}
        state["data"] = {**state["data"], "opened": sorted(
            {".".join(path.split(".")[:k]) for path in paths for k in range(1, path.count(".") + 2)})}
    page.set_content("<!doctype html><div id='here'></div>")
    # as text, which is how a comm brings it; the driver's own way of passing objects takes many times longer
    page.evaluate(f"({{ esm, css, text }}) => ({MODEL})({{ esm, css, state: JSON.parse(text) }})",
                  {"esm": widget._esm, "css": widget._css, "text": json.dumps(state)})
    page.wait_for_function("document.querySelector('.t2m-autograd')?.dataset.paintMs")
    return time.perf_counter() - started


def lines(rounds: int = 15) -> Iterator[Line]:
    """Seconds to the screen, folded and with every node drawn, and the cost over torch's own backward pass."""
    value, parameters = loss()
    count = len(read_graph(value, modules=parameters).graph.nodes)

    def backward():
        torch.autograd.grad(value, list(parameters.values()), retain_graph=True)

    seconds = side_by_side({"backward": backward, "read": lambda: read_graph(value, modules=parameters)},
                           max(rounds // 3, 3))
    yield Line(f"autograd graph of {count:,} nodes: read and measured / backward", ratio(seconds, "read", "backward"),
               None, f"{milliseconds(seconds['read'])} over {milliseconds(seconds['backward'])}")
    graph = read_graph(value, modules=parameters).graph
    reading = statistics.median(seconds["read"])
    with browser() as page:
        for what, unfold in (("modules folded", False), ("every node drawn", True)):
            took = statistics.median([drawn(graph, page, unfold) for _ in range(max(rounds // 3, 3))])
            yield Line(f"autograd graph of {count:,} nodes on screen, {what}", reading + took, SECONDS,
                       f"of it {1e3 * took:.0f} ms for the view", unit=" s")
