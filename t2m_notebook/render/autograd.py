"""An autograd graph in words: each step of the backward pass, what adds up where, MLX beside it.

Every face (text, SVG, HTML, the live view) says what :func:`step_words` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from t2m_notebook.render.words import clip, difference_text, plural, visible
from t2m_notebook.types import (
    GradientComparison,
    GradientEdge,
    GradientGraph,
    GradientNode,
    MLXGradients,
    TensorValue,
    shape_text,
)

MOST_STEPS = 60  # of a text
_MOST_SHOWN = 4  # numbers of a tensor that are written out


def number_text(number: float) -> str:
    """``1260``, ``0.0807``, ``1.2e-05``, ``NaN``, ``−3``."""
    if number != number:
        return "NaN"
    if math.isinf(number):
        return "Inf" if number > 0 else "−Inf"
    text = f"{number:.6g}" if number == int(number) and abs(number) < 1e6 else f"{number:.4g}"
    return text.replace("-", "−") if "e" not in text else ("−" if number < 0 else "") + text.lstrip("-")


def value_text(value: TensorValue | None, most: int = _MOST_SHOWN) -> str:
    """A value in few words: its number, its numbers, or the range of many."""
    if value is None:
        return "none"
    if value.layout != "strided":
        return f"{value.layout} {shape_text(value.shape)}, not supported"
    if 0 in value.shape:
        return f"no elements, {shape_text(value.shape)}"
    if value.numbers is not None and value.dtype.startswith("complex"):
        parts = [_complex_text(*pair) for pair in zip(value.numbers[::2], value.numbers[1::2], strict=True)]
        return parts[0] if not value.shape else f"[{', '.join(parts[:most])}{', …' if len(parts) > most else ''}]"
    if value.numbers is not None:
        if len(value.numbers) == 1:
            return number_text(value.numbers[0])
        if len(value.numbers) <= most:
            return _nested([number_text(number) for number in value.numbers], value.shape)
    bad = f", {plural(value.nonfinite, 'number')} NaN or Inf" if value.nonfinite else ""
    finite = [n for n in value.numbers or () if n - n == 0]
    low, high = (min(finite), max(finite)) if finite else (value.minimum, value.maximum)
    if low is None or high is None:
        return f"{shape_text(value.shape)}{bad}"
    if low == high and not bad:
        return f"{shape_text(value.shape)}, all {number_text(low)}"
    return f"{shape_text(value.shape)} in {number_text(low)} … {number_text(high)}{bad}"


def _complex_text(real: float, imaginary: float) -> str:
    sign = "−" if imaginary < 0 else "+"
    return f"{number_text(real)}{sign}{number_text(abs(imaginary))}j"


def _nested(texts: list[str], shape: Sequence[int]) -> str:
    for size in reversed(shape):
        texts = [f"[{', '.join(texts[i:i + size])}]" for i in range(0, len(texts), size)]
    return texts[0]


def full_text(value: TensorValue | None) -> str:
    """All numbers of a small value, the summary of a larger one with its mean and norm."""
    text = value_text(value, most=16)
    if value is not None and value.norm is not None and value.mean is not None:
        text += f", mean {number_text(value.mean)}, norm {number_text(value.norm)}"
    return text


def short_operation(node: GradientNode) -> str:
    """``mul`` for ``torch.mul``; a leaf's name for a leaf."""
    return node.operation.rpartition(".")[2] or node.name


def node_name(node: GradientNode) -> str:
    """What a node is called in a sentence: the user's name, else its operation and number."""
    return visible(node.label) if node.label else f"{visible(short_operation(node))} #{node.index}"


def equation(node: GradientNode) -> str:
    """``c = a · b``, or ``c = mul`` where an operand has no name; without one of its own ``mul #3 = a · b``."""
    if node.kind == "leaf":
        return node_name(node)
    whole = bool(node.expression) and "…" not in node.expression
    what = visible(node.expression) if whole else visible(short_operation(node)) if node.label else ""
    return f"{node_name(node)} = {what}" if what else node_name(node)


@dataclass(frozen=True, slots=True)
class Sent:
    """One contribution in words."""

    target: int
    name: str
    local: str  # "∂c/∂a = b = 3"
    amount: str  # "900"


@dataclass(frozen=True, slots=True)
class StepWords:
    """One step of the backward pass in words."""

    title: str
    incoming: str
    sums: str  # "900 + 360 = 1260" where several ways meet, else empty
    sent: tuple[Sent, ...]
    sentence: str


class Words:
    """The words for every step of one graph; each is made when asked for."""

    def __init__(self, graph: GradientGraph):
        self.graph = graph
        self._arriving: dict[tuple[int, int], list[GradientEdge]] = {}
        self._leaving: dict[int, list[GradientEdge]] = {}
        for edge in graph.edges:
            self._arriving.setdefault((edge.producer, edge.output), []).append(edge)
            self._leaving.setdefault(edge.consumer, []).append(edge)

    def arriving(self, index: int, output: int = 0) -> list[GradientEdge]:
        """Contributions to a node, in the order in which its value was used."""
        found = self._arriving.get((index, output), [])
        return sorted(found, key=lambda edge: (-edge.consumer, edge.position))

    def leaving(self, index: int) -> list[GradientEdge]:
        """What a node sends, by input."""
        return sorted(self._leaving.get(index, []), key=lambda edge: edge.position)

    def sums(self, index: int, until: int | None = None) -> str:
        """How the contributions to a node add up: ``900 + 360 = 1260``. ``until`` leaves out what is sent
        after that step, and then there is no total yet. Empty where fewer than two arrive."""
        edges = [edge for edge in self.arriving(index) if edge.contribution is not None]
        if len(edges) < 2:
            return ""
        node = self.graph.nodes[index]
        here = [edge for edge in edges if until is None or edge.consumer <= until]
        if len(edges) > 6 or any(e.contribution and len(e.contribution.numbers or range(9)) > _MOST_SHOWN
                                 for e in edges):
            total = f" = {value_text(node.gradient)}" if len(here) == len(edges) and node.gradient else ""
            return f"{len(here)} of {len(edges)} added{total}" if len(here) < len(edges) else \
                f"{len(edges)} contributions{total}"
        parts = [value_text(edge.contribution) if edge in here else "…" for edge in edges]
        text = parts[0] + "".join(f" − {part[1:]}" if part.startswith("−") else f" + {part}" for part in parts[1:])
        if len(here) < len(edges) or node.gradient is None:
            return text
        changed = " → " if node.adds_up is False else " = "
        return f"{text}{changed}{value_text(node.gradient)}" + (" (by a hook)" if node.adds_up is False else "")

    def gradient(self, index: int) -> str:
        """A node's gradient, with the sum that it came from where several ways meet."""
        return self.sums(index) or value_text(self.graph.nodes[index].gradient)

    def step(self, index: int) -> StepWords:
        """Step ``index`` of the backward pass."""
        node = self.graph.nodes[index]
        sent = tuple(self._sent(node, edge) for edge in self.leaving(index))
        sums = self.sums(index)
        arrived = [value_text(value) for value in node.incoming[:4]] if any(node.incoming) else []
        incoming = " and ".join(arrived) + (" and more" if arrived and len(node.incoming) > 4 else "")
        return StepWords(equation(node), incoming, sums, sent, self._sentence(node, incoming, sums, sent))

    def _sent(self, node: GradientNode, edge: GradientEdge) -> Sent:
        target = self.graph.nodes[edge.producer]
        name = visible(edge.name) if edge.name else node_name(target) + (f"[{edge.output}]" if len(target.outputs) > 1
                                                                         else "")
        parts = []
        if edge.formula and edge.formula not in ("1", "−1"):
            parts.append(visible(edge.formula))
        if edge.local is not None and len(edge.local.numbers or range(9)) <= _MOST_SHOWN:
            parts.append(value_text(edge.local) + (" on the diagonal" if edge.form == "diagonal" and edge.local.shape
                                                   else ""))
        own = visible(node.label) if node.label else short_operation(node)
        local = f"∂{own}/∂{name} = {' = '.join(dict.fromkeys(parts))}" if parts else ""
        return Sent(edge.producer, name, local, value_text(edge.contribution) if edge.contribution else "nothing")

    def _sentence(self, node: GradientNode, incoming: str, sums: str, sent: tuple[Sent, ...]) -> str:
        if not incoming:
            if node.problem:
                return node.problem
            held = f"; its .grad holds {value_text(node.existing)}" if node.existing is not None else ""
            return ("no gradient arrives here" if self.graph.measured else "not measured") + held
        if node.kind == "leaf":
            return f"gradient {incoming}" + (f"; {sums}: the ways meet here and add" if sums else "")
        words = [f"incoming {incoming}" + (f" ({sums})" if sums else "")]
        local = [one.local for one in sent if one.local]
        words += [f"local {', '.join(local)}"] if local else []
        meets = any(len(self.arriving(one.target)) > 1 for one in sent)
        gives = " and ".join(f"{one.amount} to {one.name}" for one in sent)
        words += [f"sends {gives}" + (", where they add" if meets else "")] if gives else ["sends nothing on"]
        return ", ".join(words)


def step_words(graph: GradientGraph, index: int) -> StepWords:
    """The words of step ``index``; for all steps make one :class:`Words`."""
    return Words(graph).step(index)


def head_words(graph: GradientGraph) -> tuple[str, tuple[str, ...]]:
    """The title (``L = 900``), and facts about the graph."""
    operations = sum(node.kind != "leaf" for node in graph.nodes)
    roots = [graph.nodes[index] for index in graph.roots]
    title = ", ".join(node_name(node) + (f" = {value_text(node.value)}" if node.value is not None else "")
                      for node in roots[:3])
    saved = sum(1 for node in graph.nodes for _ in node.saved)
    facts = [plural(operations, "operation"), _leaves(len(graph.nodes) - operations)]
    facts += [plural(saved, "saved tensor")] if saved else []
    return title, tuple(facts)


def _leaves(count: int) -> str:
    return "1 leaf" if count == 1 else f"{count:,} leaves"


def remarks(graph: GradientGraph) -> list[str]:
    """What has to be said of the whole graph."""
    return [visible(text) for text in (graph.problem, graph.reduction and f"Differentiated: {graph.reduction}",
                                       *graph.notes) if text]


def mlx_line(side: MLXGradients) -> str:
    """``value_and_grad(loss)(a, b) → (900, (1260, 960)) ✓``, shortened for many parameters."""
    if side.problem:
        return side.problem
    mark = {True: "✓", False: "✗", None: "–"}[side.ok]
    compared = [c for c in side.comparisons if c.ok is not None]
    small = sum(c.ok is None and c.mlx is not None for c in side.comparisons)
    if len(side.comparisons) <= 4 and all(c.mlx is not None and len(c.mlx.numbers or range(9)) == 1
                                          for c in side.comparisons) and side.comparisons and not side.value_is:
        values = ", ".join(value_text(c.mlx) for c in side.comparisons)
        result = f"({value_text(side.value)}, ({values}{',' if len(side.comparisons) == 1 else ''}))"
        return f"{side.function} → {result} {mark}"
    value = f"{value_text(side.value)} ({side.value_is})" if side.value_is else value_text(side.value)
    equal = sum(c.ok is True for c in compared)
    worst = max((c.max_difference or 0.0 for c in compared), default=0.0)
    return (f"{side.function} → {value}; {equal} of {plural(len(side.comparisons), 'gradient')} equal "
            f"to torch's, max|Δ| {difference_text(worst)}{f', {small:,} too small to tell' if small else ''} {mark}")


def comparison_words(one: GradientComparison) -> tuple[str, str, str, str, str, str]:
    """Glyph, name, torch's gradient, MLX's, difference, and the receipt or what is the matter."""
    glyph = {True: "✓", False: "✗", None: "–"}[one.ok]
    where = one.axes if not one.message else one.message
    name = visible(one.name) if one.name == one.mlx_name else f"{visible(one.name)} → {visible(one.mlx_name)}"
    if one.shape:
        name += f"  {shape_text(one.shape)}"
    return (glyph, name, _size_text(one.torch), _size_text(one.mlx) if one.mlx else "",
            difference_text(one.max_difference), visible(where))


def _size_text(value: TensorValue | None) -> str:
    """A small gradient's numbers, or how large a larger one gets: ``max 1.2e-07``."""
    if value is None or value.layout != "strided" or (value.numbers is not None and len(value.numbers) <= _MOST_SHOWN):
        return value_text(value)
    found = [abs(n) for n in (value.minimum, value.maximum, *(value.numbers or ())) if n is not None and n - n == 0]
    bad = f", {plural(value.nonfinite, 'number')} NaN or Inf" if value.nonfinite else ""
    return f"max {number_text(max(found))}{bad}" if found else value_text(value)


def graph_text(graph: GradientGraph, width: int = 120, limit: int = MOST_STEPS) -> str:
    """The graph as text: a line for each step of the backward pass, then MLX's side."""
    title, facts = head_words(graph)
    words = Words(graph)
    lines = [f"{title} · {' · '.join(facts)}", *(f"note: {text}" for text in remarks(graph)), ""]
    rows = []
    for node in graph.nodes[:limit]:
        step = words.step(node.index)
        rows.append((f"{node.index + 1:>3}", step.title, step.sentence,
                     " · ".join(filter(None, (node.module or "", node.location.text if node.location else "")))))
    wide = min(max((len(row[1]) for row in rows), default=0), 44)
    for count, name, sentence, where in rows:
        line = f"{count}  {clip(name, wide):<{wide}}  {sentence}" + (f"  [{visible(where)}]" if where else "")
        lines.append(clip(line, max(width, 60)) if len(graph.nodes) > 12 else line)
    if len(graph.nodes) > limit:
        lines.append(f"     … {plural(len(graph.nodes) - limit, 'more step')}")
    if graph.mlx is not None:
        lines += ["", f"MLX: {mlx_line(graph.mlx)}", *_comparison_lines(graph.mlx.comparisons)]
        lines += [f"     {visible(note)}" for note in graph.mlx.notes]
    return "\n".join(line.rstrip() for line in lines)


def _comparison_lines(comparisons: Iterable[GradientComparison], limit: int = 40) -> list[str]:
    rows = [comparison_words(one) for one in comparisons]
    shown = rows[:limit]
    sizes = [max((len(row[i]) for row in shown), default=0) for i in range(6)]
    lines = []
    for row in shown:
        cells = [f"{text:<{size}}" for text, size in zip(row, sizes, strict=True)]
        lines.append("  " + f"{cells[0]} {cells[1]}  torch {cells[2]}  mlx {cells[3]}  {cells[4]}  {row[5]}".rstrip())
    return lines + ([f"  … {plural(len(rows) - limit, 'more gradient')}"] if len(rows) > limit else [])


def dot_text(text: str) -> str:
    """``text`` inside a DOT string."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def graph_dot(graph: GradientGraph) -> str:
    """Torch's graph in graphviz's language: boxes with value and gradient, edges with what they carry
    in the backward pass."""
    words = Words(graph)
    lines = ["digraph autograd {", "  rankdir=LR;",
             '  node [shape=box, style=rounded, fontname="monospace", fontsize=10];',
             '  edge [fontname="monospace", fontsize=9];']
    for node in graph.nodes:
        value = value_text(node.value) if node.value is not None else \
            " ".join(shape_text(facts.shape) for facts in node.outputs[:1])
        gradient = words.gradient(node.index)
        texts = [f"{equation(node)}  {value}", gradient]
        label = "\\n".join(dot_text(clip(text, 60)) for text in texts if text != "none")
        shape = ", style=\"rounded,bold\"" if node.kind == "leaf" else ""
        lines.append(f'  n{node.index} [label="{label}"{shape}];')
    for edge in graph.edges:
        label = f' [label="{dot_text(value_text(edge.contribution))}"]' if edge.contribution is not None else ""
        lines.append(f"  n{edge.producer} -> n{edge.consumer}{label};")
    return "\n".join([*lines, "}"]) + "\n"
