"""%t2m_health and %t2m_memory in JupyterLab: live views, filters, sliders, keys, themes, and no kernel at all."""

from __future__ import annotations

import nbformat
import pytest

from tests.browser.harness import (
    assert_readable,
    cell,
    notebook,
    open_notebook,
    run_cell,
    save_notebook,
    screenshot,
    set_theme,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "%load_ext t2m_notebook\nimport torch\nfrom torch import nn",
    """class Gate(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.score = nn.Linear(width, width)

    def forward(self, x):
        scores = torch.sigmoid(self.score(x))
        return x * torch.log(scores - 1)  # the logarithm of a negative number


model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), Gate(16), nn.Linear(16, 4))
x = torch.randn(2, 6, 8)""",
    "%t2m_health model x --backward",
    "layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)\n"
    "encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)\nbatch = torch.randn(4, 16, 64)",
    "%t2m_memory encoder batch",
]
HEALTH, MEMORY = 2, 4  # the cells that show a view


def ran(page, url: str, path, *indexes: int) -> None:
    """Opens a notebook of all cells and runs some."""
    page.set_viewport_size({"width": 1400, "height": 1600})  # room for a view from top to bottom
    notebook(path, CELLS)
    open_notebook(page, url, path.name)
    for index in indexes:
        run_cell(page, index)


def live_alone(page, index: int, name: str):
    """The live view of cell ``index``, when its static twin is in the page and out of sight."""
    view = cell(page, index).locator(f".t2m-{name}")
    view.wait_for()
    page.wait_for_timeout(2500)  # until the static twin would have shown itself
    twin = cell(page, index).locator(".t2m-twin")
    assert view.count() == 1 and twin.count() == 1 and not twin.is_visible()
    return view


def pictures(page, view, name: str) -> None:
    """Screenshots in both themes; every text must be readable and nothing wider than the cell."""
    for theme in ("light", "dark"):
        set_theme(page, theme)
        page.mouse.move(0, 0)
        screenshot(view, f"{name}_lab_{theme}")
        assert_readable(view, theme)
        assert view.evaluate("view => view.scrollWidth <= view.clientWidth")
    set_theme(page, "light")


def reopened_without_a_kernel(page, url: str, path, index: int, name: str) -> str:
    """What cell ``index`` shows after saving and opening again when nothing runs that the live view belongs to."""
    save_notebook(page)
    for session in page.request.get(f"{url}/api/sessions").json():
        page.request.delete(f"{url}/api/sessions/{session['id']}")
    open_notebook(page, url, path.name)
    twin = cell(page, index).locator(".t2m-twin")
    twin.wait_for()
    assert cell(page, index).locator(f".t2m-{name}").count() == 0
    assert not page.get_by_text("Error displaying widget").first.is_visible()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(twin, f"{name}_lab_reopened_{theme}")
        assert_readable(twin, theme)
    outputs = nbformat.read(path, 4).cells[index].outputs
    assert [bool(output.data.get("text/html")) for output in outputs] == [False, True]  # nbconvert shows it once
    return twin.inner_text()


def test_health_in_a_notebook(server, page) -> None:
    url, folder = server
    path = folder / "health.ipynb"
    ran(page, url, path, 0, 1, HEALTH)
    view = live_alone(page, HEALTH, "health")
    first = view.locator(".t2m-first").first.inner_text()
    assert "first in the forward pass" in first and "torch.log made NaN at cell [2], line 8" in first
    assert view.locator(".t2m-row[aria-selected=true]").inner_text().startswith("✗torch.log")
    amber = view.locator(".t2m-row:has(.t2m-right.t2m-PARTIAL)").first  # the least readable there is: selected, too
    amber.click()
    assert amber.get_attribute("aria-selected") == "true"
    pictures(page, view, "health")

    rows, count = view.locator(".t2m-row"), view.locator(".t2m-tools > .t2m-dim")
    everything = count.inner_text()
    view.locator(".t2m-chip[data-filter=backward]").click()
    assert view.locator(".t2m-chip[data-filter=backward]").get_attribute("aria-pressed") == "true"
    assert rows.count() and all("backward" in text for text in rows.all_inner_texts())
    view.locator(".t2m-chip[data-filter=backward]").click()
    assert count.inner_text() == everything

    # what is typed stays in the view: b, d d, m and x are the notebook's own keys
    cells, kinds = page.locator(".jp-Notebook .jp-Cell").count(), page.locator(".jp-MarkdownCell").count()
    view.locator(".t2m-view").focus()
    page.keyboard.press("b")
    page.keyboard.press("/")
    for typed in ("ddmx", "sigmoid"):
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(typed)
    assert view.locator(".t2m-tools input").input_value() == "sigmoid"
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells and page.locator(".jp-MarkdownCell").count() == kinds
    assert rows.count() and all("sigmoid" in text.lower() for text in rows.all_inner_texts())
    screenshot(view, "health_lab_search")
    page.keyboard.press("ControlOrMeta+s")  # ... but saving goes on working
    page.wait_for_function("!window.jupyterapp.shell.currentWidget.context.model.dirty")
    page.keyboard.press("Escape")
    assert count.inner_text() == everything
    before = int(view.locator(".t2m-row[aria-selected=true]").get_attribute("data-at"))
    page.keyboard.press("ArrowDown")
    assert view.locator(".t2m-row[aria-selected=true]").get_attribute("data-at") == str(before + 1)
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex") == HEALTH

    text = reopened_without_a_kernel(page, url, path, HEALTH, "health")
    assert "torch.log made NaN" in text and "first in the forward pass" in text


def test_memory_in_a_notebook(server, page) -> None:
    url, folder = server
    path = folder / "memory.ipynb"
    ran(page, url, path, 0, 3, MEMORY)
    view = live_alone(page, MEMORY, "memory")
    said, inference = view.locator(".t2m-said"), view.locator(".t2m-body[data-mode='torch inference']")
    measured = int(inference.get_attribute("data-bytes"))
    assert said.inner_text().startswith("As measured.") and measured > 0

    slider = view.locator("input[data-trait=batch]")
    assert view.locator("output").first.inner_text() == "4"
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert view.locator("output").first.inner_text() == "16"
    grown = int(inference.get_attribute("data-bytes"))
    assert grown > measured and said.inner_text().startswith("Predicted: batch from measurements at 4, 8")
    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex") == MEMORY
    wait_until_idle(page)
    view.locator("select").select_option("int4")
    assert int(inference.get_attribute("data-bytes")) < grown
    view.get_by_text("discrete and unified memory").click()
    pictures(page, view, "memory")
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    view.locator("select").focus()
    for key in ("b", "a", "d", "d"):
        page.keyboard.press(key)
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    view.get_by_role("button", name="as measured").click()
    assert int(inference.get_attribute("data-bytes")) == measured and said.inner_text().startswith("As measured.")

    text = reopened_without_a_kernel(page, url, path, MEMORY, "memory")
    assert "TransformerEncoder" in text and "inference" in text and "parameters" in text
