"""An autograd graph as flat data for ``autograd.js``: every text is made here, nothing is computed there
but where boxes go."""

from __future__ import annotations

from typing import Any

from t2m_notebook.render.autograd import (
    Words,
    comparison_words,
    full_text,
    head_words,
    mlx_line,
    remarks,
    value_text,
)
from t2m_notebook.render.autograd_svg import box_of, mlx_boxes
from t2m_notebook.render.graph_folding import groups_of, open_at_first
from t2m_notebook.render.words import plural, visible
from t2m_notebook.types import GradientGraph, GradientNode, MLXGradients

DETAILS_SENT = 400  # nodes; of a larger graph a node's details are sent when asked for


def graph_data(graph: GradientGraph) -> dict[str, Any]:
    """Everything the view shows. Lists are by node index, which is the step of the backward pass."""
    words, nodes, steps = Words(graph), [], []
    title, facts = head_words(graph)
    for node in graph.nodes:
        box = box_of(graph, words, (node.index,), str(node.index))
        nodes.append([box.name, box.value, box.gradient, box.kind, node.module, box.title, round(box.width, 1)])
        step = words.step(node.index)
        steps.append([step.title, step.sentence])
    return {
        "title": title, "facts": list(facts), "remarks": remarks(graph), "port": graph.port,
        "measured": graph.measured, "nodes": nodes, "steps": steps,
        "edges": [[e.consumer, e.producer, value_text(e.contribution) if e.contribution else ""]
                  for e in graph.edges],
        "partial": _partial(graph, words), "roots": list(graph.roots),
        "details": [node_detail(node, words) for node in graph.nodes] if len(graph.nodes) <= DETAILS_SENT else [],
        "opened": sorted(open_at_first(groups_of(graph))), "mlx": _mlx(graph.mlx) if graph.mlx is not None else None,
    }


def _partial(graph: GradientGraph, words: Words) -> dict[str, list[list[Any]]]:
    """For nodes where several ways meet: what their gradient reads after each step that adds to it."""
    found = {}
    for node in graph.nodes:
        edges = words.arriving(node.index)
        if 1 < len(edges) <= 12:
            consumers = sorted({edge.consumer for edge in edges})
            found[str(node.index)] = [[consumer, words.sums(node.index, until=consumer)] for consumer in consumers]
    return found


def node_detail(node: GradientNode, words: Words) -> dict[str, Any]:
    """What a node opens to; empty values are left out."""
    saved = []
    for one in node.saved:
        what = one.facts.text if one.facts is not None else one.problem
        version = f"version {one.version}" if one.version is not None else ""
        numbers = value_text(one.value) if one.value is not None else ""
        saved.append([visible(one.name), visible(what), version, numbers, -1 if one.producer is None else one.producer])
    detail = {
        "operation": visible(node.operation), "function": visible(node.name),
        "outputs": [facts.text for facts in node.outputs],
        "value": full_text(node.value) if node.value is not None else "",
        "gradient": [full_text(value) for value in node.incoming],
        "existing": full_text(node.existing) if node.existing is not None else "",
        "saved": saved, "settings": [f"{visible(k)} = {visible(v)}" for k, v in node.settings.items()],
        "module": node.module, "measured": node.module_measured,
        "source": visible(node.source), "where": visible(node.location.text) if node.location else "",
        "file": visible(node.location.origin) if node.location else "", "problem": visible(node.problem),
        "sends": [[one.target, one.name, one.local, one.amount] for one in words.step(node.index).sent],
    }
    return {key: value for key, value in detail.items() if value not in ("", [], None)}


def _mlx(side: MLXGradients) -> dict[str, Any]:
    boxes, edges = mlx_boxes(side)
    return {"line": visible(mlx_line(side)), "ok": side.ok, "how": side.how, "source": side.source,
            "problem": bool(side.problem), "notes": [visible(note) for note in side.notes],
            "rows": [[one.ok, *comparison_words(one)] for one in side.comparisons],
            "primitives": plural(len(side.operations), "primitive"),
            "boxes": [[name, text, kind] for name, (text, kind) in boxes.items()], "edges": edges}
