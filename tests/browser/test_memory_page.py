"""The memory view's script in a bare page: sliders predict, precisions count, names stay text, pictures."""

from __future__ import annotations

import mlx.core as mx
import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.widgets.memory import MemoryWidget
from tests.browser.harness import screenshot
from tests.browser.test_tree_page import MODEL

pytestmark = pytest.mark.browser
NAMES = ("data", "batch", "length", "precision", "twin")


@pytest.fixture(scope="module")
def report():
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
    return t2m.memory(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(4, 16, 64))


def show(page, report, **traits) -> MemoryWidget:
    widget = MemoryWidget(report, **traits)
    page.set_content("<!doctype html><div id='here'></div>")
    page.evaluate(MODEL, {"esm": widget._esm, "css": widget._css, "state": {n: getattr(widget, n) for n in NAMES}})
    return widget


def shown_bytes(page, mode: str) -> int:
    return int(page.locator(f".t2m-body[data-mode='torch {mode}']").get_attribute("data-bytes"))


def test_as_measured_first_and_predicted_on_the_slider(page, report) -> None:
    show(page, report)
    assert shown_bytes(page, "inference") == report.peak_inference
    assert shown_bytes(page, "training") == report.peak_training
    assert "As measured." in page.locator(".t2m-said").inner_text()
    page.evaluate("window.model.set('batch', 8)")
    doubled = next(s for s in report.scalings if s.axis == "batch" and s.quantity == "peak of inference")
    grown = report.peak_inference + report.inputs - doubled.measured[0] + doubled.measured[1]
    assert abs(shown_bytes(page, "inference") - grown) <= 2
    assert "measurements at 4, 8" in page.locator(".t2m-said").inner_text()
    page.get_by_text("as measured", exact=True).click()
    assert shown_bytes(page, "inference") == report.peak_inference


def test_a_precision_changes_the_parameters(page, report) -> None:
    show(page, report)
    page.locator("select").select_option("int4")
    int4 = next(p for p in report.precisions if p.name == "int4")
    assert shown_bytes(page, "inference") < report.peak_inference
    rows = page.locator("details", has_text="other precisions").locator("tr", has_text="int4")
    rows.page.get_by_text("parameters in other precisions").click()
    assert f"{int4.bits_per_weight:.2f}" in rows.inner_text()


def test_names_full_of_html_stay_text(page) -> None:
    name = "<img src=x onerror='window.hacked=1'>"
    model = nn.Module()
    model._modules[name] = nn.Linear(2, 2)
    model.forward = lambda x: model._modules[name](x)
    show(page, t2m.memory(model, torch.ones(1, 2)))
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None and page.locator("#here img").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures(page, report, theme: str) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 1180, "height": 1400})
    colour = "#111418" if theme == "dark" else "#fff"
    show(page, report)
    page.evaluate("colour => { document.body.style.background = colour; }", colour)
    page.evaluate("window.model.set('batch', 32)")
    page.get_by_text("discrete and unified memory").click()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(page.locator(".t2m-memory"), f"memory-page-{theme}")
    with t2m.pending() as pending:
        x = mx.zeros((64, 64))
        for step in range(60):
            x = x @ x + 1
            if step == 20:
                mx.eval(x)
    page.set_content(f"<body style='background:{colour}'><div>{report._repr_html_()}</div>{pending._repr_html_()}")
    screenshot(page.locator("body"), f"memory-static-{theme}")
