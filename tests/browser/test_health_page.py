"""The health view's script in a bare page: what it says, filters, keys, names full of HTML, pictures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.widgets.health import HealthWidget
from tests.browser.harness import screenshot
from tests.browser.test_tree_page import MODEL

pytestmark = pytest.mark.browser
NAMES = ("overview", "rows", "search", "filter", "twin")


class Attention(nn.Module):
    """A causal attention whose padding mask hides a whole row."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x, padding):
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = t2m.checkpoint(q @ k.transpose(1, 2) / 4, "attn.scores")
        scores = scores.masked_fill(padding[:, None], float("-inf"))
        return self.out(torch.softmax(scores, -1) @ v)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.attention = Attention()
        self.head = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, x, padding):
        return self.head(self.attention(torch.relu(self.embed(x) - 2), padding))


def broken_report():
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1] = True
    return t2m.health(Net().eval(), (torch.randn(2, 6, 8), padding), backward=True)


def show(page, report, **traits) -> HealthWidget:
    widget = HealthWidget(report, **traits)
    page.set_content("<!doctype html><div id='here'></div>")
    page.evaluate(MODEL, {"esm": widget._esm, "css": widget._css, "state": {n: getattr(widget, n) for n in NAMES}})
    return widget


def test_the_first_bad_operation_is_on_top(page) -> None:
    show(page, broken_report())
    first = page.locator(".t2m-first").first.inner_text()
    assert "torch.softmax made NaN" in first and "masked" not in first.split("\n")[0]
    assert "1 source" in page.locator(".t2m-score").inner_text()
    assert (
        "torch.Tensor.masked_fill" in page.locator("details", has_text="On purpose").inner_text(timeout=1000)
        or page.locator("details", has_text="On purpose").count() == 1
    )
    assert page.locator(".t2m-row[aria-selected=true]").inner_text().startswith("✗")


def test_filter_search_and_keys(page) -> None:
    widget = show(page, broken_report())
    page.locator(".t2m-chip[data-filter=parameter]").click()
    assert page.evaluate("window.state.filter") == "parameter"
    names = page.locator(".t2m-row").all_inner_texts()
    assert len(names) == sum(row["phase"] == "parameter" for row in widget.rows)
    page.locator(".t2m-chip[data-filter=parameter]").click()
    page.locator(".t2m-tools input").fill("attn.scores")
    assert page.locator(".t2m-row").count() == 1
    assert "◆" in page.locator(".t2m-row").inner_text()
    page.locator(".t2m-tools input").fill("")
    page.locator(".t2m-view").focus()
    before = page.locator(".t2m-row[aria-selected=true]").get_attribute("data-at")
    page.keyboard.press("ArrowDown")
    assert page.locator(".t2m-row[aria-selected=true]").get_attribute("data-at") == str(int(before) + 1)


def test_names_full_of_html_stay_text(page) -> None:
    name = "<img src=x onerror='window.hacked=1'>"
    model = nn.ModuleDict({"a": nn.Linear(2, 2)})
    model.forward = lambda x: t2m.checkpoint(model["a"](x), name)
    show(page, t2m.health(model, torch.ones(1, 2)))
    page.wait_for_timeout(100)
    assert page.evaluate("window.hacked") is None and page.locator("#here img").count() == 0
    assert name in page.locator(".t2m-health").inner_text()


def test_removal_leaves_nothing_behind(page) -> None:
    show(page, broken_report())
    page.evaluate("window.cleanUp()")
    assert page.evaluate("window.model.listeners()") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("wide", [1180, 640])
def test_pictures(page, theme: str, wide: int) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": wide, "height": 900})
    show(page, broken_report())
    page.evaluate("colour => { document.body.style.background = colour; }", "#111418" if theme == "dark" else "#fff")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    screenshot(page.locator(".t2m-health"), f"health-page-{wide}-{theme}")
    page.set_content(
        f"<body style='background:{'#111418' if theme == 'dark' else '#fff'}'>{broken_report()._repr_html_()}"
    )
    screenshot(page.locator(".t2m-card"), f"health-static-{wide}-{theme}")
