"""A parity report as text, rich renderable and HTML: the ladder, the comparisons, hostile names."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest

from t2m_notebook.render.parity import ladder, parity_html, parity_rich, parity_text, parity_tree, table_lines
from t2m_notebook.types import ParityData, ParityResult, Status, from_json, to_json
from tests.render import reports
from tests.render.pages import Page, text_of


def result(path: str, check: str = "module", status: Status = Status.PROVEN, difference: float | None = 2e-7,
           **more) -> ParityResult:
    more.setdefault("mlx_shape", (1, 8, 8, 4))
    more.setdefault("class_name", "Conv2d")
    return ParityResult(path, check=check, status=status, max_difference=difference, allowed=1e-4, **more)


def data(root=None, results=(), **more) -> ParityData:
    root = root or small()
    counts: dict[str, int] = {}
    for node in root.walk():
        counts[node.status.value] = counts.get(node.status.value, 0) + 1
    more.setdefault("ok", all(r.status is Status.PROVEN for r in results))
    return ParityData(root, counts, worst=None, results=tuple(results), seconds=1.25, **more)


def small(status: Status = Status.PROVEN):
    return reports.branch("", "Net", [reports.conv("conv1", 2, 2, 3, 1, (1, 2, 8, 8), 2.4e-7),
                                      reports.norm("bn1", 2, (1, 2, 8, 8), 1e-7, status)])


GOOD = (result("conv1"), result("bn1", difference=1e-7, class_name="BatchNorm2d"),
        result("", "end to end", difference=3e-8), result("", "other batch: 3×2×8×8", difference=4e-8),
        result("", "other image size: 1×2×16×16", difference=0.0))
BAD = (result("bn1", status=Status.DIVERGES, difference=3.8e-2, message="max|Δ| 3.8e-02, allowed 1.0e-04"),
       result("", "end to end", Status.DIVERGES, 4.1e-2, message="shape (1, 8), torch has (8, 1)"), result("conv1"))


def printed(value) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(parity_rich(value))
    return console.file.getvalue()


def rungs(value: ParityData) -> dict[str, tuple[Status, str]]:
    return {rung.name: (rung.status, rung.text) for rung in ladder(value.root, value.results)}


def test_the_ladder_of_a_good_port() -> None:
    assert rungs(data(results=GOOD)) == {
        "weights": (Status.PROVEN, "3 of 3"), "modules": (Status.PROVEN, "2 · 2.0e-07"),
        "end to end": (Status.PROVEN, "3.0e-08"), "other shapes": (Status.PROVEN, "batch, image size · 4.0e-08")}


def test_the_ladder_says_what_differs_and_what_was_not_measured() -> None:
    found = rungs(data(small(Status.DIVERGES), BAD))
    assert found["weights"] == (Status.DIVERGES, "1 of 3")
    assert found["modules"] == (Status.DIVERGES, "1 of 2 differs · 3.8e-02")
    assert found["end to end"] == (Status.DIVERGES, "differs · 4.1e-02")
    assert found["other shapes"] == (Status.UNSEEN, "not measured")
    missing = result("", "load", Status.MISSING, None, message="SyntaxError")
    assert rungs(data(small(), [missing]))["end to end"] == (Status.MISSING, "not ported")


def test_weights_are_proven_by_the_module_that_holds_them() -> None:
    unmeasured = small(Status.MAPPED)
    assert rungs(data(unmeasured))["weights"] == (Status.MAPPED, "1 of 3")
    tied = reports.leaf("head", "Linear", status=Status.MAPPED,
                        parameters=[reports.weight("weight", 2, 2, tied_to="conv1.weight")])
    root = dataclasses.replace(small(), children=(*small().children, tied))
    assert rungs(data(root))["weights"] == (Status.PROVEN, "3 of 3")
    assert rungs(data(reports.branch("", "Net", [reports.leaf("a", "ReLU")])))["weights"][1] == "none"


def test_a_nan_is_the_worst_number() -> None:
    value = data(results=[result("a"), result("b", status=Status.DIVERGES, difference=math.nan)])
    assert "nan" in rungs(value)["modules"][1]
    assert from_json(ParityData, to_json(value)).results[0] == value.results[0]


def test_text_tells_the_worst_first_and_then_the_tree() -> None:
    shown = parity_text(data(small(Status.DIVERGES), BAD, first_divergence="bn1 (BatchNorm2d): max|Δ| 3.8e-02",
                             diagnosis="eps is 1e-05 here", notes=("torch answers differently",)))
    lines = shown.splitlines()
    assert lines[0] == "Net · ✗ 1 of 3 proven · 1.2 s"
    for line in ("first: bn1 (BatchNorm2d): max|Δ| 3.8e-02", "probably: eps is 1e-05 here",
                 "note: torch answers differently"):
        assert line in lines
    order = [shown.index(text) for text in ("✗ bn1 ", "✗ the model", "shape (1, 8), torch has (8, 1)", "✓ conv1", "└─")]
    assert order == sorted(order)
    assert shown.count("allowed 1.0e-04") == 0  # the columns say it
    assert "└─" not in parity_text(data(results=GOOD), tree=False)


def test_the_table_fits_and_says_what_it_leaves_out() -> None:
    long = [result("encoder.layer.11.attention.output." + "x" * 60, class_name="Y" * 40) for _ in range(40)]
    for columns in (70, 80, 120):
        lines = table_lines(long, columns, limit=5)
        assert max(map(len, lines)) <= columns and lines[-1] == "  … 35 more"
        assert all("2.0e-07" in line for line in lines[1:-1])
    assert table_lines([]) == ["nothing was compared"]


@pytest.mark.parametrize("results", [GOOD, BAD, ()])
def test_every_face_says_the_same(results) -> None:
    value = data(results=results, first_divergence="bn1 differs" if results == BAD else "")
    texts = [parity_text(value), printed(value), text_of(parity_html(value))]
    for rung in ladder(value.root, value.results):
        for shown in texts:
            assert rung.name in shown and rung.text in shown
    for one in results:
        assert all((one.path or "the model") in shown and one.check in shown for shown in texts)


def test_html_is_well_formed_and_has_no_script() -> None:
    page = Page(parity_html(data(small(Status.DIVERGES), BAD, first_divergence="bn1 differs", notes=("a note",))))
    assert set(page.tags) <= {"div", "style", "b", "i", "span", "small", "br", "details", "summary", "table", "thead",
                              "tbody", "tr", "th", "td"}
    assert page.attributes <= {"class", "title", "style", "open", "aria-hidden"}


def test_hostile_names_stay_text() -> None:
    bad = result(reports.HOSTILE, reports.HOSTILE, Status.DIVERGES, class_name=reports.HOSTILE,
                 message=reports.HOSTILE + "\x1b[31m\ud800")
    whole = result("", "other " + reports.HOSTILE, class_name=reports.HOSTILE)
    value = data(reports.hostile().root, [bad, whole], first_divergence=reports.HOSTILE, diagnosis=reports.HOSTILE,
                 notes=(reports.HOSTILE + "\x1b",))
    html = parity_html(value)
    assert "<img" not in html and "<script" not in html and 'onerror="' not in html
    Page(html)
    for shown in (html, parity_text(value), printed(value)):
        assert "\x1b" not in shown
        shown.encode()


def test_the_tree_keeps_the_measured_statuses() -> None:
    value = data(small(Status.DIVERGES), BAD)
    report = parity_tree(value)
    assert report.root is value.root and report.counts == value.counts


def test_many_comparisons_are_limited_in_html() -> None:
    html = parity_html(data(results=[result(f"layer{i}") for i in range(1000)]), tree=False)
    assert "… 700 more" in html and len(html) < 200_000
