"""The trace's script in a bare page with a stand-in for the widget model."""

from __future__ import annotations

import pytest

from t2m_notebook.widgets.trace import TraceWidget
from t2m_notebook.widgets.trace_data import row_detail
from tests.browser.harness import screenshot
from tests.browser.test_tree_page import MODEL
from tests.render import traces

pytestmark = pytest.mark.browser
TRAITS = ("columns", "overview", "selected", "search", "module", "status_filter", "shape_change", "copies", "twin")


class Table:
    """A trace in a page; asks for details are answered as the kernel would."""

    def __init__(self, page, data, **traits) -> None:
        self.page, self.data, self.widget = page, data, TraceWidget(data, **traits)
        state = {name: getattr(self.widget, name) for name in TRAITS}
        page.set_content("<!doctype html><div id='here'></div>")
        page.evaluate(MODEL, {"esm": self.widget._esm, "css": self.widget._css, "state": state})
        self.view, self.detail = page.locator(".t2m-view"), page.locator(".t2m-detail")
        self.answer()

    def answer(self) -> None:
        for message in self.page.evaluate("window.sent.splice(0)"):
            answer = {"index": message["detail"], "detail": row_detail(self.data.rows[message["detail"]])}
            self.page.evaluate("answer => window.model.tell('msg:custom', answer)", answer)

    def column(self, title: str) -> list[str]:
        heads = [head for head in self.widget.columns["heads"]]
        at = heads.index(title) + 1
        return self.page.locator(f".t2m-row > span:nth-child({at})").all_text_contents()

    def numbers(self) -> list[int]:
        return [int(number) for number in self.column("#")]

    def set(self, **values) -> None:
        self.page.evaluate("values => window.model.set(values)", values)
        self.answer()

    def press(self, *keys: str) -> None:
        self.view.focus()
        for key in keys:
            self.page.keyboard.press(key)
        self.answer()


def test_both_sides_stand_in_one_row(page) -> None:
    table = Table(page, traces.both())
    assert table.column("torch") == ["self.fc(x)", "….transpose(1, 2)", "q.contiguous()", "q + 1", ""]
    assert table.column("MLX") == ["self.fc(x)", "….swapaxes(1, 2)", "not needed", "q + 2", "mx.contiguous(q)"]
    assert table.column("max|Δ|") == ["2.4e-07", "0", "", "1.0e+00", ""]
    assert page.locator(".t2m-score").inner_text() == "✗ 2 of 3 equal, first at row 3"
    assert page.locator(".t2m-row .t2m-strange").all_text_contents() == ["12 1 4", "12 1 4"]
    assert not table.detail.is_visible()


def test_filters_by_status_module_shape_copies_and_words(page) -> None:
    table = Table(page, traces.both())
    page.locator(".t2m-chip[data-status=DIVERGES]").click()
    assert table.numbers() == [3]
    page.locator(".t2m-chip[data-status=DIVERGES]").click()
    page.locator(".t2m-chip[data-filter=copies]").click()
    assert table.numbers() == [0, 2, 3, 4]
    page.locator(".t2m-chip[data-filter=copies]").click()
    page.locator(".t2m-chip[data-filter=shape_change]").click()
    assert table.numbers() == [1, 3, 4]
    table.press("Escape")
    assert table.numbers() == [0, 1, 2, 3, 4]
    page.locator("select").select_option("block.0.fc")
    assert table.numbers() == [0]
    page.locator("select").select_option("block")
    assert table.numbers() == [0, 1, 2, 3, 4]
    page.locator("input").fill("SWAPAXES")
    assert table.numbers() == [1] and "1 of 5" in page.locator(".t2m-tools").inner_text()


def test_a_row_opens_to_its_tensors_and_the_order_of_its_memory(page) -> None:
    table = Table(page, traces.both())
    page.locator(".t2m-row").nth(1).click()
    table.answer()
    text = table.detail.inner_text()
    assert "self.fc(x).transpose(1, 2)" in text and "not contiguous" in text and "(0, 2, 1)" in text
    figures = table.detail.locator("svg text:not(.t2m-axis)").all_text_contents()
    places = [b * 12 + t + c * 4 for b in range(2) for t in range(4) for c in range(3)]
    assert [int(figure) for figure in figures] == places
    assert table.detail.locator("svg").count() == 1  # both sides hold it alike
    page.locator(".t2m-row").nth(1).click()
    assert not table.detail.is_visible()


def test_keys_move_and_find_the_next_problem(page) -> None:
    table = Table(page, traces.both())
    table.press("ArrowDown", "ArrowDown")
    assert page.evaluate("window.state.selected") == 1
    table.press("n")
    assert page.evaluate("window.state.selected") == 3 and "allowed 2.1e-04" in table.detail.inner_text()
    table.press("End")
    assert page.evaluate("window.state.selected") == 4
    table.press("Home", "/")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"


def test_errors_nan_and_reads_are_told(page) -> None:
    table = Table(page, traces.torch_only())
    assert "RuntimeError: no" in page.locator(".t2m-error").inner_text()
    assert table.column("values")[0] == "24 NaN" and table.column("memory")[2] == "reads a value"
    assert page.locator(".t2m-bad").count() == 1
    table.press("Home", "n")
    assert "no rule for torch.fancy" in table.detail.inner_text()


def test_hostile_names_stay_text(page) -> None:
    table = Table(page, traces.hostile(), selected=0)
    table.answer()
    assert page.locator("img").count() == 0 and page.locator("script").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.locator(".t2m-trace").inner_text()


def test_twenty_thousand_rows_are_a_few_in_the_page(page) -> None:
    table = Table(page, traces.large())
    assert int(page.locator(".t2m-trace").get_attribute("data-rows")) < 60
    table.press("End")
    assert table.numbers()[-1] == 19_999
    table.set(search="x + 12345")
    assert table.numbers() == [12345]
    table.set(search="", module="layers.7")
    page.evaluate("document.querySelector('.t2m-view').scrollTop = 1e6")
    page.wait_for_timeout(50)
    assert table.numbers()[-1] == 319


def test_leaving_lets_go_of_everything(page) -> None:
    Table(page, traces.both())
    page.evaluate("window.cleanUp()")
    assert page.evaluate("window.model.listeners()") == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 760])
def test_pictures(page, theme: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    table = Table(page, traces.both(), selected=1)
    page.evaluate("theme => { document.documentElement.dataset.theme = theme; "
                  "document.body.style.background = theme === 'dark' ? '#111418' : '#fff'; }", theme)
    assert table.detail.locator("svg").bounding_box()["width"] > 100
    screenshot(page, f"trace-page-{width}-{theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_static_pictures(page, theme: str) -> None:
    from t2m_notebook.render.trace import trace_html
    page.set_viewport_size({"width": 1200, "height": 700})
    page.set_content(f"<!doctype html><html data-theme='{theme}'><body style='background:"
                     f"{'#111418' if theme == 'dark' else '#fff'}'>{trace_html(traces.both())}<br>"
                     f"{trace_html(traces.torch_only())}</body></html>")
    page.evaluate("document.querySelectorAll('details')[1].open = true")
    assert page.locator("details[open] svg").bounding_box()["width"] > 100
    screenshot(page, f"trace-static-{theme}")
