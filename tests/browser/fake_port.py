"""A notebook with a port that ``fake_bridge.py`` makes, without torch and MLX: what the extension's tests open."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.harness import notebook, open_notebook, run_cell

LOAD = "%load_ext tests.browser.fake_bridge\nfrom tests.browser.fake_bridge import FAKE, port"
CELLS = [LOAD, "port('net')", "print(FAKE.kept)"]
BLOCK, NET, ASSEMBLY, LAST = 2, 3, 4, 5  # where cells are after the port
RELU = "return nn.relu(self.norm(x))"
EQUAL = re.compile("equal to torch.*6 instances · 8.2 ms", re.DOTALL)


def ported(server, page, name: str):
    """Opens a new notebook and makes the port in it; gives the locator of its badges."""
    url, folder = server
    notebook(folder / f"{name}.ipynb", CELLS)
    open_notebook(page, url, f"{name}.ipynb")
    run_cell(page, 0)
    run_cell(page, 1)
    badges = page.locator(".jp-NotebookPanel:visible .t2m-lab-badge")
    expect(badges).to_have_count(2)
    expect(badges.nth(0)).to_have_text(EQUAL)
    expect(badges.nth(1)).to_have_text(EQUAL)
    return badges
