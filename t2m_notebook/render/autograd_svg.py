"""An autograd graph as one static SVG, and as HTML that needs no script: for exports and nbconvert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from t2m_notebook.render.autograd import (
    MOST_STEPS,
    Words,
    comparison_words,
    equation,
    head_words,
    mlx_line,
    node_name,
    remarks,
    short_operation,
    value_text,
)
from t2m_notebook.render.graph_folding import FoldedGraph, folded, groups_of, open_at_first
from t2m_notebook.render.graph_layout import Placed, is_long, lay_out
from t2m_notebook.render.style import CARD, STATIC, palette, status_colours
from t2m_notebook.render.words import clip, plural, visible
from t2m_notebook.types import GradientGraph, MLXGradients, shape_text

CHARACTER, HEIGHT, MLX_HEIGHT = 6.8, 46.0, 26.0  # of the boxes' text, in CSS pixels
_NARROW, _WIDE = 84.0, 290.0
_SHRINKS = 1700.0
MOST_PRIMITIVES = 400  # of MLX's graph that are drawn

STYLE = """
.t2m-graph { --t2m-box: var(--t2m-bg); font: 11.5px var(--t2m-mono); color: var(--t2m-fg); }
.t2m-graph rect { fill: var(--t2m-box); stroke: var(--t2m-line); rx: 5px; }
.t2m-graph .t2m-leaf rect { stroke: var(--t2m-accent); }
.t2m-graph .t2m-group rect { fill: var(--t2m-bg2); stroke-dasharray: 4 3; stroke: var(--t2m-dim); }
.t2m-graph .t2m-custom rect { stroke-dasharray: 2 2; stroke: var(--t2m-partial); }
.t2m-graph .t2m-broken rect { stroke: var(--t2m-diverges); stroke-width: 1.6; }
.t2m-graph text { fill: var(--t2m-fg); white-space: pre; }
.t2m-graph .t2m-name { font-weight: 600; }
.t2m-graph .t2m-value { fill: var(--t2m-dim); text-anchor: end; }
.t2m-graph .t2m-gradient { fill: var(--t2m-mapped); }
.t2m-graph path { fill: none; stroke: var(--t2m-dim); stroke-opacity: .55; stroke-width: 1.2; }
"""


@dataclass(frozen=True, slots=True)
class Box:
    """What one box shows."""

    name: str  # its upper line: "c = a · b"
    value: str  # at the right of it: "6", "2×8 float32"
    gradient: str  # its lower line: "900 + 360 = 1260"
    title: str  # when the pointer rests on it
    kind: str  # a CSS class

    @property
    def width(self) -> float:
        """As wide as its text needs, within bounds."""
        longest = max(len(self.name) + (len(self.value) + 2 if self.value else 0), len(self.gradient))
        return min(max(longest * CHARACTER + 20, _NARROW), _WIDE)


def box_of(graph: GradientGraph, words: Words, members: Sequence[int], name: str) -> Box:
    """The box of one node, or of a folded module."""
    if name.startswith("module:"):
        path = name.removeprefix("module:")
        operations = sum(graph.nodes[i].kind != "leaf" for i in members)
        leaves = len(members) - operations
        parameters = f" · {plural(leaves, 'parameter')}" if leaves else ""
        return Box(clip(visible(path), 34), "", plural(operations, "op") + parameters, f"module {visible(path)}",
                   "t2m-group")
    node = graph.nodes[members[0]]
    shape = shape_text(node.outputs[0].shape) if node.outputs else ""
    title = equation(node)
    if len(title) > 30 and node.kind != "leaf":
        title = f"{visible(node.label)} = {short_operation(node)}" if node.label else node_name(node)
    value = value_text(node.value) if node.value is not None and len(node.value.numbers or range(9)) <= 4 else shape
    gradient = words.gradient(node.index) if any(v is not None for v in node.incoming) else \
        "no gradient" if graph.measured else ""
    place = [node.source, node.location.text if node.location else "", f"in {node.module}" if node.module else ""]
    about = [node.operation or "leaf", *(facts.text for facts in node.outputs), *filter(None, map(visible, place)),
             f"gradient {gradient}" if gradient else "", node.problem]
    kind = "t2m-broken" if node.problem and not graph.freed else {
        "leaf": "t2m-leaf", "custom function": "t2m-custom"}.get(node.kind, "t2m-operation")
    room = int(_WIDE / CHARACTER) - 2
    value = clip(value, 22)
    if shape and value == shape:
        gradient = gradient.removeprefix(f"{shape} in ").removeprefix(f"{shape}, ")
    return Box(clip(title, max(room - len(value) - 2, 10)), value, clip(gradient, room),
               "\n".join(filter(None, about)), kind)


def placed_boxes(graph: GradientGraph, opened: set[str] | None = None, use_dot: bool = True,
                 ) -> tuple[FoldedGraph, dict[str, Box], Placed]:
    """What is drawn of ``graph`` and where; ``opened`` are the modules that are not folded."""
    opened = open_at_first(groups_of(graph)) if opened is None else opened
    drawn, words = folded(graph, opened), Words(graph)
    boxes = {name: box_of(graph, words, members, name) for name, members in drawn.boxes.items()}
    sizes = {name: (box.width, HEIGHT) for name, box in boxes.items()}
    return drawn, boxes, lay_out(sizes, drawn.edges, use_dot=use_dot, downwards=is_long(sizes, drawn.edges))


def graph_svg(graph: GradientGraph, opened: set[str] | None = None) -> str:
    """Torch's graph as SVG. A graph of many nodes has its modules folded."""
    _, boxes, placed = placed_boxes(graph, opened)
    parts = [_path(points) for points in placed.paths.values()]
    for name, box in boxes.items():
        x, y = placed.corners[name]
        parts.append(
            f'<g class="{box.kind}" transform="translate({x:.1f},{y:.1f})"><title>{escape(box.title)}</title>'
            f'<rect width="{box.width:.1f}" height="{HEIGHT:.0f}" rx="5"/>'
            f'<text class="t2m-name" x="9" y="18">{escape(box.name)}</text>'
            f'<text class="t2m-value" x="{box.width - 9:.1f}" y="18">{escape(box.value)}</text>'
            f'<text class="t2m-gradient" x="9" y="36">{escape(box.gradient)}</text></g>')
    return _svg(parts, placed, f"autograd graph of {head_words(graph)[0]}")


def mlx_boxes(side: MLXGradients) -> tuple[dict[str, tuple[str, str]], list[tuple[str, str]]]:
    """MLX's graph as boxes (text and CSS class by id) and edges: primitives, and the arrays that have a
    name. Constants without a name are left out."""
    makers = {name: f"p{number}" for number, op in enumerate(side.operations) for name in op.outputs}
    labels = {array.name: array for array in side.arrays}
    boxes = {f"p{number}": (visible(op.name) + _shape(labels, op.outputs), "t2m-operation")
             for number, op in enumerate(side.operations)}
    edges = []
    for number, op in enumerate(side.operations):
        for name in op.inputs:
            if name in makers:
                edges.append((makers[name], f"p{number}"))
            elif labels.get(name) and labels[name].label:
                array = labels[name]
                shape = f" {shape_text(array.shape)}" if array.shape else ""
                boxes[f"a{name}"] = (clip(visible(array.label), 30) + shape, "t2m-leaf")
                edges.append((f"a{name}", f"p{number}"))
    return boxes, edges


def _shape(labels: dict, outputs: Sequence[str]) -> str:
    array = labels.get(outputs[0]) if outputs else None
    return f" {shape_text(array.shape)}" if array is not None and array.shape else ""


def mlx_svg(side: MLXGradients) -> str:
    """MLX's lazily built graph as SVG; a sentence where it is too large to draw."""
    if len(side.operations) > MOST_PRIMITIVES:
        return f'<div class="t2m-note">{plural(len(side.operations), "primitive")}: too many to draw here.</div>'
    boxes, edges = mlx_boxes(side)
    sizes = {name: (max(len(text) * CHARACTER + 18, 40.0), MLX_HEIGHT) for name, (text, _) in boxes.items()}
    placed = lay_out(sizes, edges, downwards=is_long(sizes, edges))
    parts = [_path(points) for points in placed.paths.values()]
    for name, (text, kind) in boxes.items():
        x, y = placed.corners[name]
        parts.append(f'<g class="{kind}" transform="translate({x:.1f},{y:.1f})"><rect width="{sizes[name][0]:.1f}" '
                     f'height="{MLX_HEIGHT:.0f}" rx="5"/><text x="9" y="17">{escape(text)}</text></g>')
    return _svg(parts, placed, "MLX's lazily built graph")


def _svg(parts: list[str], placed: Placed, label: str) -> str:
    width, height = placed.width + 24, placed.height + 24
    style = palette(".t2m-graph") + STYLE
    fits = ' style="max-width:100%;height:auto"' if width <= _SHRINKS else ""  # a wider one would be too small to read
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="t2m-graph" role="img" aria-label="{escape(label)}" '
            f'width="{width:.0f}" height="{height:.0f}"{fits} viewBox="-12 -12 {width:.0f} {height:.0f}">'
            f"<style>{style}</style>{''.join(parts)}</svg>")


def _path(points: Sequence[tuple[float, float]]) -> str:
    (x, y), rest = points[0], points[1:]
    return f'<path d="M{x:.1f} {y:.1f}C{" ".join(f"{a:.1f} {b:.1f}" for a, b in rest)}"/>'


_HTML = """
.t2m-static .t2m-drawing { padding: 8px 10px; overflow: auto; max-height: 620px;
  border-bottom: 1px solid var(--t2m-line); }
.t2m-static details > .t2m-drawing { border-bottom: 0; }
.t2m-static .t2m-drawing svg { max-width: none; }
.t2m-static .t2m-mlx { padding: 6px 12px; font: 12px/1.6 var(--t2m-mono); overflow-wrap: anywhere; }
.t2m-static pre.t2m-source { margin: 0; padding: 4px 12px 8px 26px; font: 12px/1.5 var(--t2m-mono); background: none;
  color: inherit; overflow-x: auto; }
"""


def graph_html(graph: GradientGraph) -> str:
    """Graph, steps, and MLX's side as one self-contained HTML fragment without scripts."""
    title, facts = head_words(graph)
    side, scope = graph.mlx, ".t2m-static"
    verdict = ""
    if side is not None and side.ok is not None:
        status, text = ("PROVEN", "✓ gradients equal in MLX") if side.ok else ("DIVERGES", "✗ gradients differ in MLX")
        verdict = f'<span class="t2m-score t2m-{status}">{text}</span>'
    parts = [
        '<div class="t2m-static t2m-card">',
        f"<style>{palette(scope)}{STATIC}{CARD}{status_colours(scope)}{_HTML}</style>",
        f'<div class="t2m-head"><b>{escape(title)}</b><span class="t2m-dim">{escape(" · ".join(facts))}</span>'
        f"{verdict}</div>",
        *(f'<div class="t2m-note">{escape(text)}</div>' for text in remarks(graph)),
        f'<div class="t2m-drawing">{graph_svg(graph)}</div>',
    ]
    if side is not None:
        parts.append(_mlx_html(side))
    parts.append(_steps_html(graph))
    return "".join([*parts, "</div>"])


def _mlx_html(side: MLXGradients) -> str:
    status = {True: "PROVEN", False: "DIVERGES", None: "UNSEEN"}[side.ok]
    parts = [f'<div class="t2m-mlx t2m-dim">MLX: <span class="t2m-{status}">{escape(mlx_line(side))}</span></div>',
             *(f'<div class="t2m-note">{escape(visible(note))}</div>' for note in side.notes)]
    if side.comparisons:
        rows = [comparison_words(one) for one in side.comparisons]
        classes = {True: "PROVEN", False: "DIVERGES", None: "UNSEEN"}
        body = "".join(
            f'<tr><td><b class="t2m-{classes[one.ok]}">{row[0]}</b> {escape(row[1])}</td><td class="t2m-r">'
            f'{escape(row[2])}</td><td class="t2m-r">{escape(row[3])}</td><td class="t2m-r">{row[4]}</td>'
            f"<td>{escape(row[5])}</td></tr>" for one, row in zip(side.comparisons, rows, strict=True))
        parts.append(
            f'<details class="t2m-fold"{" open" if len(rows) <= 12 else ""}><summary>{plural(len(rows), "gradient")}: '
            'torch\'s .grad and MLX\'s, in torch\'s axes</summary><div class="t2m-inner">'
            '<table class="t2m-table"><thead><tr><th>parameter</th><th class="t2m-r">torch</th>'
            '<th class="t2m-r">MLX</th><th class="t2m-r">max|Δ|</th>'
            f'<th>axes</th></tr></thead><tbody>{body}</tbody></table></div></details>')
    if side.operations:
        parts.append(f'<details class="t2m-fold" open><summary>MLX\'s lazily built graph, '
                     f'{plural(len(side.operations), "primitive")} · {escape(side.how)}</summary>'
                     f'<div class="t2m-drawing">{mlx_svg(side)}</div></details>')
    if side.source:
        parts.append('<details class="t2m-fold"><summary>the function that MLX differentiates</summary>'
                     f'<pre class="t2m-source">{escape(side.source)}</pre></details>')
    return "".join(parts)


def _steps_html(graph: GradientGraph) -> str:
    words, rows = Words(graph), []
    for node in graph.nodes[:MOST_STEPS]:
        step = words.step(node.index)
        name = f'<td title="{escape(visible(node.source))}">{escape(clip(step.title, 60))}</td>'
        place = node.location.text if node.location else ""
        rows.append(f'<tr><td class="t2m-r">{node.index + 1}</td>{name}<td>{escape(step.sentence)}</td>'
                    f'<td>{escape(visible(node.module or ""))} {escape(visible(place))}</td></tr>')
    left = len(graph.nodes) - MOST_STEPS
    more = f'<div class="t2m-note">{plural(left, "more step")}, not shown here.</div>' if left > 0 else ""
    return (f'<details class="t2m-fold"{" open" if len(graph.nodes) <= 20 else ""}><summary>the backward pass, step by '
            'step</summary><div class="t2m-inner"><table class="t2m-table"><thead><tr><th class="t2m-r">step</th>'
            '<th>operation</th><th>gradient</th><th>where</th></tr></thead><tbody>'
            f'{"".join(rows)}</tbody></table>{more}</div></details>')


