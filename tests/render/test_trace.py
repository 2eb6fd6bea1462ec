"""A trace as text, rich renderable and HTML, and its memory pictures."""

from __future__ import annotations

import io
import itertools
import re

import pytest

from t2m_notebook.render.strides import corner_of, memory_svg, memory_text
from t2m_notebook.render.trace import trace_html, trace_rich, trace_text
from t2m_notebook.render.trace_cells import short_name, trace_verdict, values_text
from t2m_notebook.types import Status, TraceData, ValueSummary, from_json, to_json
from tests.render import traces
from tests.render.pages import Page, text_of


@pytest.mark.parametrize("name", ["both", "torch_only", "hostile"])
def test_every_face_says_the_same(name):
    data = getattr(traces, name)()
    from rich.console import Console
    out = io.StringIO()
    Console(file=out, width=400).print(trace_rich(data))
    html, text = text_of(trace_html(data)), trace_text(data, 400)
    for row in data.rows:
        for face in (html, text, out.getvalue()):
            assert f"{row.index}" in face
    assert from_json(TraceData, to_json(data)) == data
    if name == "both":
        for words in ("….transpose(1, 2)", "12 1 4", "2×4×3", "view of #0", "2.4e-07", "not needed", "2 of 3 equal",
                      "max|Δ| 1.0e+00, allowed 2.1e-04", "net.py:71", "copy 96 B"):
            assert words in html and words in text and words in out.getvalue(), words


def test_text_stays_within_its_width():
    for width in (90, 140):
        for line in trace_text(traces.both(), width).splitlines()[2:]:
            assert len(line) <= width
    assert "… 19,600 more operations" in trace_text(traces.large())


def test_mlx_alone_stands_on_mlxs_side():
    line = next(line for line in trace_text(traces.both(), 300).splitlines() if "mx.contiguous(q)" in line)
    head = next(line for line in trace_text(traces.both(), 300).splitlines() if "MLX" in line and "torch" in line)
    assert line.index("mx.contiguous") == head.index("MLX")


def test_errors_and_values_are_told():
    text = trace_text(traces.torch_only(), 300)
    assert "24 NaN" in text and "✗ RuntimeError: shapes do not fit" in text and "reads a value" in text
    assert "? no rule for torch.fancy" in text and "error: RuntimeError: no" in text
    assert "NaN or Inf in 1 result" in text and trace_verdict(traces.torch_only())[0] is Status.DIVERGES


def test_hostile_names_stay_text():
    html = trace_html(traces.hostile())
    page = Page(html.replace("<rect", "<i").replace("/>", "></i>").replace("<circle", "<i").replace("<path", "<i"))
    assert "img" not in page.tags and "script" not in page.tags and "onerror" not in page.attributes
    assert "\x1b" not in trace_text(traces.hostile()) and "\u202e" not in html


def test_html_has_a_limit():
    html = trace_html(traces.large(), limit=50)
    assert html.count("t2m-trow") < 120 and "19,950 more operations" in html


def test_an_empty_trace_says_so():
    assert "nothing ran" in trace_text(TraceData("block")) and "0 operations" in text_of(trace_html(TraceData("block")))


@pytest.mark.parametrize(("summary", "words"), [
    (None, ""), (ValueSummary(None, None, None), "no elements"), (ValueSummary(None, None, None, 3, 1), "3 NaN, 1 Inf"),
    (ValueSummary(0.5, -1.0, 2.0, 1, 0), "1 NaN, -1 … 2, mean 0.5"), (ValueSummary(1.23456e7, 0, 3e8),
                                                                    "0 … 3e+08, mean 1.23e+07")])
def test_values_in_words(summary, words):
    assert values_text(summary) == words


def test_names_are_short():
    assert [short_name(n) for n in ("torch.nn.functional.gelu", "torch.nn.Linear", "torch.Tensor.view", "mx.array.T",
                                    "torch.cat")] == ["F.gelu", "nn.Linear", ".view", ".T", "torch.cat"]


# ------------------------------------------------------------------------------ memory


def figures(svg):
    return [int(n) for n in re.findall(r"<text x=[^>]*>(\d+)</text>", svg)]


@pytest.mark.parametrize(("shape", "stride", "offset"), [
    ((3, 4), (4, 1), 0), ((4, 3), (1, 4), 0), ((2, 3, 4), (12, 1, 3), 5), ((5,), (2,), 1), ((), (), 7),
    ((3, 4), (0, 1), 0), ((2, 2, 2, 2), (8, 4, 2, 1), 0)])
def test_each_cell_says_where_its_element_lies(shape, stride, offset):
    wanted = [offset + sum(i * s for i, s in zip(index, stride, strict=True))
              for index in itertools.product(*map(range, shape))]
    assert figures(memory_svg(shape, stride, offset)) == wanted


def test_the_line_follows_memory():
    svg = memory_svg((2, 2), (1, 2))  # down the first column, then the second
    first = re.search(r'class="t2m-next" d="([^"]*)"', svg)[1]
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", first)
    assert [(x, y) for x, y in points] == [("18", "12"), ("18", "34"), ("18", "34"), ("52", "12"), ("52", "12"),
                                           ("52", "34")]
    assert "t2m-skip" in memory_svg((3,), (2,)) and "t2m-skip" not in memory_svg((3,), (1,))


def test_large_tensors_show_a_corner_and_empty_ones_nothing():
    assert corner_of((1000, 1000)) == (4, 8) and corner_of((4, 4, 4)) == (4, 4, 4)
    assert len(figures(memory_svg((50, 20, 30, 40), (24000, 1200, 40, 1)))) == 3 * 4 * 8
    assert memory_svg((0, 3), (3, 1)) == "" and memory_svg((2, 3), ()) == ""


@pytest.mark.parametrize(("shape", "stride", "words"), [
    ((2, 3), (3, 1), "axis 1 is next, axis 0 jumps by 3"), ((3, 2), (0, 1), "axis 0 repeats, axis 1 is next"),
    ((4,), (2,), "axis 0 jumps by 2; dashed: places between are left out"), ((1, 1), (1, 1), "one element"),
    ((0, 2), (2, 1), "no elements"), ((), (), "")])
def test_memory_in_words(shape, stride, words):
    assert memory_text(shape, stride) == words
