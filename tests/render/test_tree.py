"""The module tree as text, rich renderable and static HTML."""

from __future__ import annotations

import dataclasses
import io
import sys

import pytest

from t2m_notebook.render.cells import STRUCTURE_ALONE, TRAIN_MODE
from t2m_notebook.render.tree import tree_html, tree_rich, tree_text
from t2m_notebook.types import Status
from tests.render import reports
from tests.render.pages import Page, text_of

SMALL = """\
Net · 128 parameters · 512 B float32 · x: 1×2×8×8 float32 · 6 modules · 2 ops, 50.0 % with a rule
✓ 4 proven · ? 2 missing

                         output   params  bytes   max|Δ|
? Net                    1×2×8×8     128  512 B
├─✓ conv1 Conv2d 2→2 3×3 1×2×8×8      36  144 B  2.4e-07
├─✓ 0…2 ReLU [×3]        1×2×8×8                 1.0e-08
└─? odd Odd              1×2×8×8
      ? torch.fft.rfft(x)  line 7: no rule
"""


def small():
    shape = (1, 2, 8, 8)
    relus = [reports.leaf(str(i), "ReLU", "inplace=True", out=reports.tensor(*shape), max_difference=d)
             for i, d in enumerate((0.0, 1e-8, 2e-9))]
    odd = reports.leaf("odd", "Odd", status=Status.MISSING, out=reports.tensor(*shape), operations=(
        reports.op(0, "torch.fft.rfft(x)", "", Status.MISSING, line=7, reason="no rule"),
        reports.op(1, "x + 1", "x + 1")), reason="torch.fft.rfft has no rule")
    root = reports.branch("", "Net", [reports.conv("conv1", 2, 2, 3, 1, shape, 2.4e-7), *relus, odd],
                          out=reports.tensor(*shape), parameter_count=128, parameter_bytes=512)
    return reports.report(root, inputs=("x: 1×2×8×8 float32",), coverage=0.5)


def test_text_of_a_small_tree() -> None:
    shown = tree_text(small())
    # Runs of spaces are alignment, checked by the next test.
    assert [" ".join(line.split()) for line in shown.splitlines()] == \
        [" ".join(line.split()) for line in SMALL.splitlines()]


def test_columns_are_aligned_and_lines_fit() -> None:
    for columns in (60, 80, 100, 140):
        lines = tree_text(reports.resnet(), width=columns).splitlines()
        table = lines[3:]
        assert max(map(len, table)) <= columns
        assert table[0].index("output") == table[1].index("1×1000")
        assert {len(line) for line in table if "e-0" in line and "Δ" not in line} == {len(table[0])}
        assert not [line for line in lines if line != line.rstrip()]


def test_ascii_alone() -> None:
    shown = tree_text(reports.bert(), unicode=False)
    assert shown.isascii()
    assert "0..11 BertLayer [x12]" in shown
    lines = shown.splitlines()
    header = next(line for line in lines if "output" in line and "params" in line)
    embeddings = next(line for line in lines if "embeddings" in line)
    assert embeddings[header.index("output"):].startswith("1x128x768")


def test_depth_and_limit_say_what_is_left_out() -> None:
    shown = tree_text(reports.bert(), depth=1)
    assert "BertLayer" not in shown
    assert "97 of 104 modules are left out here." not in shown  # 1 + 5 are shown
    assert "98 of 104 modules are left out here." in shown
    assert "9,990 of 10,000 modules are left out here." in tree_text(reports.large(), limit=10)
    assert "left out" not in tree_text(reports.bert())


def test_operations_on_request() -> None:
    assert "F.gelu(h) → nn.gelu(h)  line 455" in tree_text(reports.bert(), operations=True)
    assert "F.gelu" not in tree_text(reports.bert())


def test_notes_are_shown_in_every_face() -> None:
    root = reports.branch("", "Net", [reports.leaf("a", "Linear", status=Status.MAPPED, calls=0)], calls=0)
    bare = reports.report(root, from_structure=True, training=True, notes=("a note <b>",))
    for shown in (tree_text(bare), printed(bare)):
        for note in (STRUCTURE_ALONE, TRAIN_MODE, "a note <b>"):
            assert note in " ".join(shown.split())
        assert "not called" not in shown
    html = text_of(tree_html(bare))
    assert STRUCTURE_ALONE in html and TRAIN_MODE in html and "a note <b>" in html


def printed(report, **options) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=110, color_system=None)
    console.print(tree_rich(report, **options))
    return console.file.getvalue()


def test_rich_has_the_same_lines() -> None:
    shown = printed(reports.resnet())
    for words in ("ResNet50", "133 proven", "Conv2d 3→64 7×7 /2", "1…5", "4.1e-02", "the gradient at 0"):
        assert words in shown
    assert max(map(len, shown.splitlines())) <= 110
    assert "[red]" in printed(named("[red]"))  # no markup in a name
    assert "\x1b" not in printed(reports.hostile())


def named(name: str):
    report = reports.report(reports.branch("", "Net", [reports.leaf("a", "Linear")]))
    child = dataclasses.replace(report.root.children[0], name=name)
    return dataclasses.replace(report, root=dataclasses.replace(report.root, children=(child,)))


@pytest.mark.parametrize("name", ["resnet", "bert", "hostile", "broken", "large", "deep"])
def test_html_is_well_formed_and_has_no_script(name: str) -> None:
    page = Page(tree_html(getattr(reports, name)()))
    assert set(page.tags) <= {"div", "style", "b", "i", "span", "details", "summary"}
    assert page.attributes <= {"class", "title", "style", "open", "aria-hidden"}
    assert page.deepest < 100  # browsers flatten what is nested deeper than 512


def test_html_says_what_the_text_says() -> None:
    shown = text_of(tree_html(reports.bert()))
    for words in ("125 M parameters", "● 102 of 104 mapped", "0…11 BertLayer", "×12", "1×128×30522",
                  "? missing 2", "torch.fft.rfft(x, dim=1)",
                  "F.gelu(h) → nn.gelu(h) line 455", "same as encoder.layer.0.act",
                  "2 calls", "tied to embeddings.weight", "step=2", TRAIN_MODE, "modeling_bert.py:441",
                  "The mask was built inside forward."):
        assert words in shown, words


def test_html_is_limited() -> None:
    html = tree_html(reports.large())
    assert "9,700 of 10,000 modules are left out here." in text_of(html)
    assert len(html) < 400_000
    assert html.count('class="t2m-row"') == 300


def test_hostile_names_stay_text() -> None:
    html = tree_html(reports.hostile())
    assert "<img" not in html and "<script" not in html
    assert 'onerror="' not in html
    for shown in (html, tree_text(reports.hostile()), printed(reports.hostile())):
        assert "\x1b" not in shown and "\u202e" not in shown
        shown.encode()  # no lone surrogates


def test_a_broken_node_costs_one_node() -> None:
    report = reports.broken()
    for shown in (tree_text(report), text_of(tree_html(report)), printed(report)):
        assert "b can't be shown" in shown
        assert "a Linear 2→2" in shown and "c Linear 2→2" in shown


def test_deep_trees_need_no_stack() -> None:
    limit = sys.getrecursionlimit()
    report = reports.deep(max(1500, limit + 500))
    assert tree_text(report).count("Wrapper") == max(1500, limit + 500) - 1
    assert "⋯ 1400" in tree_text(report)
    assert "left out" in tree_html(report)
    assert tree_rich(report)


def test_checkpoints_mark_their_modules() -> None:
    lines = [line.strip(" │") for line in tree_text(reports.with_checkpoints()).splitlines()]
    at = next(i for i, line in enumerate(lines) if "0…1 Block" in line)
    assert lines[at + 1:at + 3] == [
        "◆ attn.scores: (1, 4, 8, 8) float32, -0.5 … 1.25, 3 NaN, 1 +Inf in blocks.1",
        "◆ mlp.hidden: (1, 8, 32) float32, -0.17 … 3.2 in blocks.1"]
    gate = next(i for i, line in enumerate(lines) if "gate Gate" in line)
    assert lines[gate + 1].startswith("◆ <img") and lines[gate + 1].endswith("…")  # as wide as the terminal
    assert "* attn.scores: (1, 4" in tree_text(reports.with_checkpoints(), unicode=False)
    assert "◆" not in tree_text(reports.resnet())


def test_checkpoints_in_html() -> None:
    html = tree_html(reports.with_checkpoints())
    assert '<span class="t2m-mark t2m-DIVERGES">◆ attn.scores 3 NaN, 1 +Inf in blocks.1</span>' in html
    assert '<span class="t2m-mark">◆ mlp.hidden -0.17 … 3.2 in blocks.1</span>' in html
    assert "◆ attn.scores: (1, 4, 8, 8) float32, -0.5 … 1.25, 3 NaN, 1 +Inf in blocks.1" in text_of(html)
    assert "<img" not in html and "<script" not in html
    assert "t2m-mark\"" not in tree_html(reports.resnet())
