"""The pictures of the README, from the quickstart notebook in a real JupyterLab.

    .venv/bin/python -m tests.browser.pictures
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.harness import lab, open_notebook, run_cell, set_theme
from tests.conftest import CHROMIUM_ARGUMENTS, ROOT, chromium_environment, find_chromium

IMAGES = ROOT / "notebooks" / "images"
ARTEFACTS = ROOT / "tests" / "artefacts"
#: Picture of the README -> the one that a browser test took; run `pytest tests/browser` before.
TAKEN_BY_TESTS = {"live-light": "live-red-light", "live-dark": "live-red-dark",
                  "autograd": "autograd_lab_classic_light"}
SIZE = {"width": 1180, "height": 1500}


def main() -> None:
    """Runs the ResNet cells of the quickstart and photographs them in both themes."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as url, sync_playwright() as play:
        shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", folder)
        running = play.chromium.launch(executable_path=find_chromium(), headless=True,
                                       args=list(CHROMIUM_ARGUMENTS), env=chromium_environment())
        page = running.new_context(viewport=SIZE, device_scale_factor=1.5).new_page()
        page.set_default_timeout(120_000)
        open_notebook(page, url, "quickstart.ipynb")
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        page.add_style_tag(content=".jp-cell-toolbar, .jp-Notebook-footer { display: none !important; }")
        port = _find(page, "%t2m_port resnet")
        for index in range(port + 1):
            if _sources(page)[index][0] == "code":
                run_cell(page, index)
        page.locator(".t2m-lab-badge").first.wait_for()  # the classes stand in cells below now
        code = _find(page, "print(p.cells[")
        run_cell(page, code)
        cells = page.locator(".jp-Notebook .jp-Cell")
        tree = cells.nth(port).locator(".t2m-tree")
        tree.locator(".t2m-view").focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowDown", "ArrowDown",
                    "ArrowRight", "ArrowDown"):
            page.keyboard.press(key)
        page.wait_for_timeout(300)
        for theme in ("light", "dark"):
            set_theme(page, theme)
            page.wait_for_timeout(500)
            _picture(page, cells.nth(port), f"tree-{theme}")
        set_theme(page, "light")
        page.wait_for_timeout(500)
        _picture(page, cells.nth(code), "port")
        running.close()
    for name, artefact in TAKEN_BY_TESTS.items():
        shutil.copy(ARTEFACTS / f"{artefact}.png", IMAGES / f"{name}.png")


def _sources(page) -> list[list[str]]:
    """Type and text of every cell."""
    return page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets.map(
        cell => [cell.model.type, cell.model.sharedModel.getSource()])""")


def _find(page, text: str) -> int:
    return next(i for i, (kind, source) in enumerate(_sources(page)) if kind == "code" and text in source)


def _picture(page, cell, name: str) -> None:
    """The cell from its input down to the end of its output, without the cell's own frame."""
    page.evaluate("() => document.activeElement?.blur()")
    cell.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    top = cell.locator(".jp-InputArea").bounding_box()
    whole = cell.locator(".jp-OutputArea").bounding_box()
    clip = {"x": top["x"], "y": top["y"] - 6, "width": top["width"] + 6,
            "height": whole["y"] + whole["height"] - top["y"] + 8}
    path = IMAGES / f"{name}.png"
    page.screenshot(path=path, clip=clip)
    print(f"{path.stat().st_size // 1024:5} KB  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
