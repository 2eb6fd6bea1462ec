"""Graphs as text, DOT, SVG and HTML: words, escapes, folding, and boxes that don't overlap."""

from __future__ import annotations

import random
import re
import subprocess
from dataclasses import replace

import pytest

from t2m_notebook.render.autograd import graph_dot, graph_text, number_text, step_words, value_text
from t2m_notebook.render.autograd_svg import graph_html, graph_svg
from t2m_notebook.render.graph_folding import MOST_BOXES, folded, groups_of, open_at_first
from t2m_notebook.render.graph_layout import dot_source, lay_out, layered, read_plain
from t2m_notebook.types import (
    GradientComparison,
    GradientEdge,
    GradientGraph,
    GradientNode,
    MLXGradients,
    MLXOperation,
    TensorFacts,
    TensorValue,
)


def scalar(number: float) -> TensorValue:
    return TensorValue((), "float32", (number,))


FACTS = (TensorFacts((), "float32"),)


def classic() -> GradientGraph:
    """The classic example, as ``t2m.autograd`` gives it (tests/test_gradient_graphs.py measures it)."""
    def node(index, label, expression, value, gradient, operation="torch.mul"):
        kind = "operation" if expression else "leaf"
        return GradientNode(index, kind, "MulBackward0", operation if expression else "", label, expression,
                            outputs=FACTS, value=scalar(value), incoming=(scalar(gradient),), adds_up=True)

    nodes = (node(0, "L", "e²", 900, 1, "torch.pow"), node(1, "e", "c · d", 30, 60), node(2, "d", "a + b", 5, 360,
             "torch.add"), node(3, "c", "a · b", 6, 300), node(4, "a", "", 2, 1260), node(5, "b", "", 3, 960))

    def edge(consumer, position, producer, amount, local, formula):
        return GradientEdge(consumer, position, producer, 0, scalar(amount), scalar(local), "number", formula,
                            nodes[producer].label)

    edges = (edge(0, 0, 1, 60, 60, "2·e"), edge(1, 0, 3, 300, 5, "d"), edge(1, 1, 2, 360, 6, "c"),
             edge(2, 0, 4, 360, 1, "1"), edge(2, 1, 5, 360, 1, "1"), edge(3, 0, 4, 900, 3, "b"),
             edge(3, 1, 5, 600, 2, "a"))
    compared = tuple(GradientComparison(name, name, "", (), scalar(number), scalar(number), 0.0, 0.1, True)
                     for name, number in (("a", 1260), ("b", 960)))
    side = MLXGradients("written by the rules", "value_and_grad(loss)(a, b)", "def loss(a, b): ...", scalar(900),
                        scalar(900), True, operations=(MLXOperation("Multiply", ("a", "b"), ("C",)),),
                        comparisons=compared)
    return GradientGraph(nodes, edges, (0,), mlx=side)


def modules(count: int, width: int = 4) -> GradientGraph:
    """A chain of ``count`` modules of ``width`` operations, each with one parameter."""
    nodes, edges = [], []
    for layer in range(count):
        for place in range(width):
            index = len(nodes)
            nodes.append(GradientNode(index, "operation", "MulBackward0", "torch.mul", "", "… · …",
                                      f"layers.{layer}.part{place % 2}", True, outputs=FACTS, incoming=(scalar(1),)))
            if index:
                last = index - 1 if nodes[index - 1].kind == "operation" else index - 2
                edges.append(GradientEdge(last, 0, index, 0, scalar(1)))
        leaf = len(nodes)
        nodes.append(GradientNode(leaf, "leaf", "AccumulateGrad", "", f"layers.{layer}.part1.weight", "",
                                  f"layers.{layer}.part1", outputs=FACTS, incoming=(scalar(1),)))
        edges.append(GradientEdge(leaf - 1, 1, leaf, 0, scalar(1)))
    return GradientGraph(tuple(nodes), tuple(edges), (0,))


def test_every_number_of_the_classic_example_is_said() -> None:
    text = graph_text(classic())
    for said in ("L = e²", "incoming 60", "sends 300 to c and 360 to d", "∂c/∂a = b = 3", "900 + 360 = 1260",
                 "600 + 360 = 960", "value_and_grad(loss)(a, b) → (900, (1260, 960)) ✓", "✓ a  torch 1260  mlx 1260"):
        assert said in text, said


def test_the_steps_as_a_table() -> None:
    table = classic().to_pandas()
    assert list(table["name"]) == ["L", "e", "d", "c", "a", "b"]
    assert table.loc[4, "adds"] == "900 + 360 = 1260" and table.loc[3, "gradient"] == "300"


def test_a_step_says_where_ways_meet() -> None:
    step = step_words(classic(), 3)
    assert step.title == "c = a · b" and step.incoming == "300"
    assert [(one.name, one.amount, one.local) for one in step.sent] == [
        ("a", "900", "∂c/∂a = b = 3"), ("b", "600", "∂c/∂b = a = 2")]
    assert step.sentence.endswith("sends 900 to a and 600 to b, where they add")
    assert step_words(classic(), 4).sums == "900 + 360 = 1260"


def test_a_hook_is_not_called_a_sum() -> None:
    graph = classic()
    nodes = tuple(replace(n, adds_up=False, incoming=(scalar(5),)) if n.label == "a" else n for n in graph.nodes)
    assert step_words(replace(graph, nodes=nodes), 4).sums == "900 + 360 → 5 (by a hook)"


@pytest.mark.parametrize(("number", "text"), [
    (1260.0, "1260"), (-3.0, "−3"), (0.0807123, "0.08071"), (float("nan"), "NaN"), (float("-inf"), "−Inf"),
    (1.25e-7, "1.25e-07"), (-1e-9, "−1e-09"), (123456.0, "123456")])
def test_numbers(number, text) -> None:
    assert number_text(number) == text


@pytest.mark.parametrize(("value", "text"), [
    (TensorValue((2, 2), "float32", (1, 2, 3, 4)), "[[1, 2], [3, 4]]"),
    (TensorValue((1, 1), "float32", (7,)), "7"),
    (TensorValue((0, 3), "float32", ()), "no elements, 0×3"),
    (TensorValue((2,), "complex64", (1, 2, 0, -1)), "[1+2j, 0−1j]"),
    (TensorValue((8,), "float32", None, -1, 2, 0.5, 3), "8 in −1 … 2"),
    (TensorValue((2, 8), "float32", None, 1, 1, 1, 4), "2×8, all 1"),
    (TensorValue((8,), "float32", None, nonfinite=8), "8, 8 numbers NaN or Inf"),
    (TensorValue((2, 2), "float32", layout="sparse_coo"), "sparse_coo 2×2, not supported")])
def test_values(value, text) -> None:
    assert value_text(value) == text


def test_dot_is_what_graphviz_reads(needs_dot) -> None:
    text = graph_dot(replace(classic(), nodes=(replace(classic().nodes[0], label='L "quoted" \\'),
                                               *classic().nodes[1:])))
    done = subprocess.run([needs_dot, "-Tplain"], input=text, capture_output=True, text=True, timeout=60, check=True)
    assert len(re.findall(r"^node ", done.stdout, re.M)) == 6 and len(re.findall(r"^edge ", done.stdout, re.M)) == 7


def test_names_are_escaped_everywhere() -> None:
    graph = classic()
    evil = replace(graph.nodes[0], label="<script>alert(1)</script>", module="<em>", source="<i>x</i>", problem="<u>")
    graph = replace(graph, nodes=(evil, *graph.nodes[1:]), notes=("<h1>",), problem="<h2>")
    for html in (graph_html(graph), graph_svg(graph)):
        assert not re.search(r"<(script|em|i|u|h1|h2)>", html) and "&lt;script&gt;" in html


def test_html_holds_graph_steps_and_mlx() -> None:
    html = graph_html(classic())
    assert html.count("<svg") == 2 and "✓ gradients equal in MLX" in html and "900 + 360 = 1260" in html
    assert "<script" not in html and 'class="t2m-PROVEN"' in html


def test_a_difference_is_said_in_words_and_colour() -> None:
    graph = classic()
    wrong = replace(graph.mlx.comparisons[0], ok=False, max_difference=5.0, message="max|Δ| 5.0e+00, allowed 1.0e-01")
    html = graph_html(replace(graph, mlx=replace(graph.mlx, comparisons=(wrong,))))
    assert "✗ gradients differ in MLX" in html and "allowed 1.0e-01" in html


# ------------------------------------------------------------------------------ folding and layout


def test_a_small_graph_is_shown_whole_and_a_large_one_folded() -> None:
    small, large = modules(3), modules(100)
    assert all(not name.startswith("module:") for name in folded(small, open_at_first(groups_of(small))).boxes)
    drawn = folded(large, open_at_first(groups_of(large)))
    assert len(drawn.boxes) <= MOST_BOXES
    assert sorted(index for members in drawn.boxes.values() for index in members) == list(range(len(large.nodes)))


def test_unfolding_one_module_shows_what_is_inside() -> None:
    graph = modules(4)
    drawn = folded(graph, {"layers", "layers.2"})
    assert {name for name in drawn.boxes if name.startswith("module:")} == {
        "module:layers.0", "module:layers.1", "module:layers.3", "module:layers.2.part0", "module:layers.2.part1"}
    assert "part" in graph_svg(graph, {"layers", "layers.2"})


def random_graph(count: int) -> tuple[dict[str, tuple[float, float]], list[tuple[str, str]]]:
    generator = random.Random(count)
    sizes = {f"n{i}": (generator.uniform(60, 200), 46.0) for i in range(count)}
    edges = [(f"n{i}", f"n{min(i + generator.randint(1, 9), count - 1)}") for i in range(count - 1) for _ in range(2)]
    return sizes, [edge for edge in edges if edge[0] != edge[1]]


@pytest.mark.parametrize("count", [2, 7, 60, 400])
@pytest.mark.parametrize("downwards", [False, True])
def test_no_two_boxes_overlap_and_edges_go_one_way(count, downwards) -> None:
    sizes, edges = random_graph(count)
    placed = lay_out(sizes, edges, use_dot=False, downwards=downwards)
    boxes = [(x, y, x + sizes[name][0], y + sizes[name][1]) for name, (x, y) in placed.corners.items()]
    assert len(boxes) == count
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert left >= -0.1 and top >= -0.1 and right <= placed.width + 0.1 and bottom <= placed.height + 0.1
        for other in boxes[number + 1:]:
            assert right <= other[0] + 0.1 or other[2] <= left + 0.1 or bottom <= other[1] + 0.1 or \
                other[3] <= top + 0.1
    axis = 1 if downwards else 0
    for (tail, head), path in placed.paths.items():
        assert placed.corners[tail][axis] < placed.corners[head][axis]
        assert len(path) % 3 == 1  # cubic Bézier curves


def test_dot_places_the_same_boxes(needs_dot) -> None:
    sizes, edges = random_graph(30)
    edges = list(dict.fromkeys(edges))
    placed = lay_out(sizes, edges)
    assert placed != layered(sizes, edges) and set(placed.corners) == set(sizes)
    done = subprocess.run([needs_dot, "-Tplain"], input=dot_source(sizes, edges), capture_output=True, text=True,
                          timeout=60, check=True)
    assert read_plain(done.stdout, sizes) == placed


def test_what_dot_did_not_finish_is_not_used() -> None:
    assert read_plain("graph 1 1 1\nnode n0 0.5 0.5 1 1\nstop\n", {"a": (10, 10), "b": (10, 10)}) is None


def test_a_module_used_twice_makes_no_cycle() -> None:
    graph = modules(3)
    nodes = list(graph.nodes)
    nodes[11] = replace(nodes[11], module="layers.0.part0")  # an operation deep in the chain is layer 0's
    drawn = folded(replace(graph, nodes=tuple(nodes)), {"layers"})
    placed = lay_out({name: (80, 46) for name in drawn.boxes}, drawn.edges, use_dot=False)
    assert set(placed.corners) == set(drawn.boxes)


def test_an_empty_graph() -> None:
    assert lay_out({}, []).width == 0
