"""The summary of a port as text, rich renderable and HTML."""

from __future__ import annotations

import dataclasses
import io

import pytest

from t2m_notebook.render.port import NOT_MEASURED, port_html, port_rich, port_text
from t2m_notebook.types import PortedClass, PortSummary, Status, from_json, to_json
from tests.render import reports
from tests.render.pages import Page, text_of
from tests.render.test_parity import BAD, GOOD, data, small


def summary(value=None, **more) -> PortSummary:
    made = PortSummary(
        "net", "models.Net", reports.report(small(Status.MAPPED)), weight_count=7, weight_bytes=2048,
        classes=(PortedClass("Block", ("a", "b"), 12, "from source"), PortedClass("Net", ("",), 20)),
        layout="4 of 9 values are laid out channels last, 1 transposes remain",
        transposes=("x.view(1, -1): a reshape across permuted axes",), folder="out", **more)
    if value is None:
        return made
    return dataclasses.replace(made, analysis=reports.report(value.root), ok=value.ok, results=value.results,
                               first_divergence=value.first_divergence, notes=value.notes)


def printed(value: PortSummary) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(port_rich(value))
    return console.file.getvalue()


def faces(value: PortSummary) -> list[str]:
    return [port_text(value, 200), printed(value), text_of(port_html(value))]


def test_a_proven_port() -> None:
    for shown in faces(summary(data(results=GOOD))):
        for words in ("net in MLX", "from models.Net", "2 classes", "7 weights", "2.0 KB", "saved in out",
                      "✓ 3 of 3 proven", "channels last", "a reshape across permuted axes", "end to end",
                      "batch, image size · 4.0e-08", "conv1"):
            assert words in shown, words
        assert NOT_MEASURED not in shown


def test_nothing_is_green_before_parity_ran() -> None:
    for shown in faces(summary()):
        assert NOT_MEASURED in shown and "not measured" in shown
    assert "t2m-box-PROVEN\"" not in port_html(summary()) and "end to end" not in port_text(summary())


def test_what_could_not_be_ported_comes_first() -> None:
    value = summary(data(small(Status.DIVERGES), BAD, first_divergence="bn1 differs"),
                    problems=("Odd: torch.special.bessel_j0 has no rule",))
    for shown in faces(value):
        assert shown.index("not ported: Odd: torch.special.bessel_j0") < shown.index("end to end")
        assert "first: bn1 differs" in shown and "✗ 1 of 3 proven" in shown
    # nothing measured differs, and still the whole is not green
    assert "✓ 3 of 3" not in port_text(dataclasses.replace(value, ok=True, results=GOOD))


@pytest.mark.parametrize("value", [summary(), summary(data(results=GOOD), problems=("a: b",)),
                                   summary(data(small(Status.DIVERGES), BAD))])
def test_json_and_back(value) -> None:
    assert from_json(PortSummary, to_json(value)) == value


def test_hostile_names_stay_text() -> None:
    bad = reports.HOSTILE + "\x1b[31m"
    value = PortSummary(bad, bad, reports.hostile(), (PortedClass(bad, (bad,), 1, bad, bad),), layout=bad,
                        transposes=(bad,), problems=(bad,), ok=False, notes=(bad,), diagnosis=bad, folder=bad,
                        first_divergence=bad)
    html = port_html(value)
    assert "<img" not in html and "<script" not in html and 'onerror="' not in html
    Page(html)
    for shown in (html, port_text(value), printed(value)):
        assert "\x1b" not in shown
