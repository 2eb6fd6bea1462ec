"""The tree in JupyterLab: themes, selection in Python, keys, size, and a notebook without its kernel."""

from __future__ import annotations

import nbformat
import pytest

from t2m_notebook.render.tree import tree_text
from tests.browser.harness import (
    cell_text,
    notebook,
    open_notebook,
    run_cell,
    save_notebook,
    screenshot,
    set_theme,
    wait_until_idle,
)
from tests.render import reports

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "from t2m_notebook.widgets.tree import TreeWidget\nfrom tests.render import reports",
    "tree = TreeWidget(reports.resnet(), on_select=lambda path: None)\ntree",
    "print(tree.selected, tree.search, tree.status_filter)",
    "tree.selected = 'layer3.0.bn1'",
    "tree.update(reports.bert())",
    "TreeWidget(reports.large())",
    "from t2m_notebook.render.tree import tree_html\nfrom IPython.display import HTML\n"
    "HTML(tree_html(reports.bert()))",
]

# The time from the moment the cell's output is in the page until the tree's first line is painted.
WATCH = """() => {
    window.times = {};
    const area = document.querySelectorAll('.jp-Cell')[5].querySelector('.jp-OutputArea');
    const watcher = new MutationObserver(() => {
        if (area.querySelector('.jp-OutputArea-child')) window.times.output ??= performance.now();
        if (area.querySelector('.t2m-row') && !window.times.rows) {
            window.times.rows = performance.now();
            requestAnimationFrame(() => setTimeout(() => { window.times.painted = performance.now(); }));
            watcher.disconnect();
        }
    });
    watcher.observe(area, { childList: true, subtree: true });
}"""


def test_a_tree_in_jupyterlab(server, page) -> None:
    url, folder = server
    notebook(folder / "tree.ipynb", CELLS)
    open_notebook(page, url, "tree.ipynb")
    run_cell(page, 0)
    run_cell(page, 1)
    tree = page.locator(".t2m-tree")
    tree.wait_for()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(tree, f"tree-lab-{theme}")
        background = tree.evaluate("tree => getComputedStyle(tree).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (theme == "light")

    # keys stay in the tree, and the selection reaches Python
    before = page.locator(".jp-Notebook .jp-Cell").count()
    tree.locator(".t2m-view").focus()
    for key in ("n", "b", "d", "d", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("/")
    page.keyboard.type("bn")
    assert page.locator(".jp-Notebook .jp-Cell").count() == before
    wait_until_idle(page)
    run_cell(page, 2)
    assert cell_text(page, 2) == "layer3.0.conv1 bn []\n"
    page.locator(".t2m-tools input").press("Escape")

    # ... and from Python
    run_cell(page, 3)
    page.wait_for_function("document.querySelector('.t2m-title')?.textContent.startsWith('layer3.0.bn1')")
    run_cell(page, 4)
    page.wait_for_function("document.querySelector('.t2m-head b').textContent === 'BertForMaskedLM'")
    page.wait_for_function("document.querySelector('.t2m-twin').hidden")
    assert page.locator(".t2m-static").first.is_hidden()

    # ten thousand modules
    page.evaluate(WATCH)
    run_cell(page, 5)
    page.wait_for_function("window.times.painted")
    times = page.evaluate("window.times")
    print(f"10,000 modules: painted {times['painted'] - times['output']:.0f} ms after the output appeared")
    large = page.locator(".jp-Cell").nth(5).locator(".t2m-tree")
    assert 0 < large.locator(".t2m-row").count() < 100

    run_cell(page, 6)
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(page.locator(".jp-Cell").nth(6).locator(".t2m-static"), f"tree-static-{theme}")


def test_the_saved_notebook_shows_the_tree_without_a_kernel(server, page) -> None:
    url, folder = server
    path = notebook(folder / "saved.ipynb", CELLS[:2])
    open_notebook(page, url, path.name)
    run_cell(page, 0)
    run_cell(page, 1)
    page.locator(".t2m-tree").wait_for()
    save_notebook(page)
    for session in page.request.get(f"{url}/api/sessions").json():
        page.request.delete(f"{url}/api/sessions/{session['id']}")
    open_notebook(page, url, path.name)
    static = page.locator(".jp-Cell").nth(1).locator(".t2m-static")
    static.wait_for()
    assert "133 of 141 proven" in static.inner_text()
    assert not page.get_by_text("Error displaying widget").first.is_visible()
    screenshot(page, "tree-reopened")

    # nbconvert, GitHub and others read the outputs' HTML: once, not twice
    outputs = nbformat.read(path, 4).cells[1].outputs
    assert [bool(output.data.get("text/html")) for output in outputs] == [False, True]
    assert outputs[1].data["text/plain"] == tree_text(reports.resnet(), depth=2, limit=60)
