"""%t2m_port and %t2m_parity in JupyterLab: a green tree, the summary, and a notebook without its kernel."""

from __future__ import annotations

import nbformat
import pytest

from tests.browser.harness import cell, notebook, open_notebook, run_cell, save_notebook, screenshot, set_theme

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELLS = [
    "%load_ext t2m_notebook\nfrom t2m_notebook.demo import resnet\nmodel, args, _ = resnet()",
    "p = %t2m_port model *args --no-cells",
    "%t2m_parity",
    "p",
    "%t2m_analyze model *args",
]
PLAIN = [
    "import t2m_notebook as t2m\nfrom t2m_notebook.demo import resnet\nmodel, args, _ = resnet()\n"
    "p = t2m.port(model, args)\nreport = p.parity()",
    "p",
    "report",
    "t2m.analyze(model, args)",
]


def test_a_port_shows_a_green_tree(server, page) -> None:
    url, folder = server
    path = notebook(folder / "port.ipynb", CELLS)
    open_notebook(page, url, path.name)
    run_cell(page, 0)

    # the bar is there while it works, and gone when the result is
    page.evaluate("""() => {
        window.bars = [];
        new MutationObserver(() => {
            const bar = document.querySelector('.jp-OutputArea label:has(progress)');
            if (bar && window.bars.at(-1) !== bar.innerText) window.bars.push(bar.innerText);
        }).observe(document.body, { childList: true, subtree: true, characterData: true });
    }""")
    run_cell(page, 1)
    cell(page, 1).locator(".t2m-tree").wait_for()
    bars = page.evaluate("window.bars")
    assert any("Recording" in bar or "Writing" in bar for bar in bars), bars
    assert any("Comparing" in bar for bar in bars), bars
    assert page.locator(".jp-OutputArea progress").count() == 0

    card, tree = cell(page, 1).locator(".t2m-card"), cell(page, 1).locator(".t2m-tree")
    for words in ("ResNet in MLX", "45 of 45 proven", "weights", "modules", "end to end", "other shapes"):
        assert words in card.inner_text()
    assert "45 of 45 proven" in tree.locator(".t2m-score").inner_text()
    assert set(tree.locator(".t2m-row .t2m-glyph").all_inner_texts()) == {"✓"}
    page.wait_for_function("document.querySelector('.t2m-twin').hidden")
    assert cell(page, 1).locator(".jp-OutputArea-output:visible").count() == 2

    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(cell(page, 1).locator(".jp-OutputArea").first, f"port-lab-{theme}")
    proven = tree.locator(".t2m-row .t2m-PROVEN").first.evaluate("e => getComputedStyle(e).color")
    assert proven == "rgb(76, 201, 160)"

    run_cell(page, 2)
    report = cell(page, 2).locator(".t2m-card")
    report.locator("summary", has_text="comparisons, the worst first").click()
    assert report.locator("tbody tr").count() >= 38 and "stages.1.1.conv1" in report.inner_text()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(cell(page, 2).locator(".jp-OutputArea").first, f"parity-lab-{theme}")

    run_cell(page, 3)
    cell(page, 3).locator(".t2m-tree").wait_for()
    assert "45 of 45 proven" in cell(page, 3).locator(".t2m-card").inner_text()
    run_cell(page, 4)
    cell(page, 4).locator(".t2m-tree").wait_for()

    # without its kernel the saved notebook has the same to tell
    save_notebook(page)
    for session in page.request.get(f"{url}/api/sessions").json():
        page.request.delete(f"{url}/api/sessions/{session['id']}")
    open_notebook(page, url, path.name)
    for index in (1, 2, 3, 4):
        cell(page, index).locator(".t2m-static .t2m-rows").wait_for()
    page.wait_for_timeout(1500)  # twins are held back for a moment
    assert page.get_by_text("Error displaying widget").locator("visible=true").count() == 0
    assert "45 of 45 proven" in cell(page, 1).inner_text()
    screenshot(page, "port-reopened")
    outputs = nbformat.read(path, 4).cells[1].outputs
    assert [bool(output.data.get("text/html")) for output in outputs] == [True, False, True]


def test_results_show_themselves_without_the_extension(server, page) -> None:
    url, folder = server
    path = notebook(folder / "plain.ipynb", PLAIN)
    open_notebook(page, url, path.name)
    for index in range(len(PLAIN)):
        run_cell(page, index)
    assert "45 of 45 proven" in cell(page, 1).locator(".t2m-card").inner_text()
    assert cell(page, 2).locator(".t2m-rows").count() == 1
    assert "45 of 45 mapped" in cell(page, 3).locator(".t2m-static").inner_text()
    screenshot(cell(page, 1).locator(".jp-OutputArea").first, "port-plain")
