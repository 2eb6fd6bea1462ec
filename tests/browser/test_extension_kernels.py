"""The JupyterLab extension and kernels: one that has not loaded it, is restarted, or belongs to another notebook."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.fake_port import BLOCK, CELLS, EQUAL, LAST, LOAD, RELU, ported
from tests.browser.harness import (
    cell_sources,
    cell_text,
    execute,
    notebook,
    open_notebook,
    replace_in_cell,
    run_cell,
    save_notebook,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_nothing_runs_before_the_extension_is_loaded(server, page) -> None:
    url, folder = server
    notebook(folder / "stranger.ipynb", [LOAD, "%%t2m_cell Block\nraise SystemExit", CELLS[2], "port('net')"])
    open_notebook(page, url, "stranger.ipynb")
    badge = page.locator(".t2m-lab-badge")
    expect(badge).to_contain_text("no kernel: run %load_ext t2m_notebook")
    replace_in_cell(page, 1, "SystemExit", "SystemExit(1)")
    page.wait_for_timeout(700)
    expect(badge).to_contain_text("no kernel: run %load_ext t2m_notebook")
    counts = page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
        .map(widget => widget.model.executionCount)""")
    assert counts == [None] * 4
    run_cell(page, 0)
    expect(badge).to_contain_text("no port yet: run %t2m_port")
    replace_in_cell(page, 2, CELLS[2], "print([m['type'] for m in FAKE.received])")
    run_cell(page, 2)
    assert "check" not in cell_text(page, 2)
    run_cell(page, 3)
    expect(badge.nth(0)).to_have_text(EQUAL)  # edited, hence left as it was; the other class is new
    expect(badge).to_have_count(2)


def test_other_notebooks_are_left_in_peace(server, page) -> None:
    url, folder = server
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    notebook(folder / "other.ipynb", ["1 + 1"])
    open_notebook(page, url, "other.ipynb")
    run_cell(page, 0)
    assert any("execute_request" in frame for frame in sent)
    assert not [frame for frame in sent if "t2m_notebook" in frame]
    # the kernel speaks first, as soon as it has loaded us
    replace_in_cell(page, 0, "1 + 1", LOAD + "\nport('net')")
    run_cell(page, 0)
    expect(page.locator(".t2m-lab-badge")).to_have_count(2)
    expect(page.locator(".t2m-lab-badge").nth(1)).to_have_text(EQUAL)


def test_what_is_said_to_other_front_ends_is_hidden(server, page) -> None:
    url, folder = server
    notebook(folder / "hidden.ipynb", ["from IPython.display import HTML\n"
                                       "HTML('<p>shown</p><p class=t2m-without-extension>hidden</p>')"])
    open_notebook(page, url, "hidden.ipynb")
    run_cell(page, 0)
    output = page.locator(".jp-OutputArea-output")
    expect(output.get_by_text("shown")).to_be_visible()
    expect(output.get_by_text("hidden")).to_be_hidden()


def test_restart_and_reload(server, page) -> None:
    url, _ = server
    badges = ported(server, page, "restart")
    replace_in_cell(page, BLOCK, RELU, f"{RELU}  # WRONG")
    expect(badges.nth(0)).to_contain_text("parts at line 8")
    save_notebook(page)
    page.goto(f"{url}/lab/tree/restart.ipynb")  # the kernel goes on
    page.wait_for_function("window.jupyterapp && document.querySelector('.jp-NotebookPanel .jp-Cell')")
    expect(badges).to_have_count(2)
    expect(badges.nth(0)).to_contain_text("parts at line 8")
    expect(badges.nth(1)).to_have_text(EQUAL)
    wait_until_idle(page)

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(badges.nth(0)).to_contain_text("restarted")
    expect(badges.nth(0)).to_contain_text("%load_ext t2m_notebook")
    expect(page.locator(".jp-Notebook .cm-lint-marker")).to_have_count(0)
    wait_until_idle(page)
    page.wait_for_timeout(500)
    expect(badges.nth(0)).to_contain_text("%load_ext t2m_notebook")
    run_cell(page, 0)
    expect(badges.nth(0)).to_contain_text("no port yet")
    run_cell(page, 1)
    expect(badges.nth(0)).to_contain_text("parts at line 8")
    expect(badges.nth(1)).to_have_text(EQUAL)
    assert len(cell_sources(page)) == 6


def test_two_notebooks_with_kernels_of_their_own(server, page) -> None:
    badges = ported(server, page, "first")
    notebook(server[1] / "second.ipynb", CELLS)
    execute(page, "docmanager:open", path="second.ipynb")
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.title.label === 'second.ipynb'")
    wait_until_idle(page)
    run_cell(page, 0)
    replace_in_cell(page, 1, "port('net')", "port('other')")
    run_cell(page, 1)
    expect(badges).to_have_count(2)  # those in sight
    replace_in_cell(page, BLOCK, RELU, f"{RELU}  # WRONG")
    expect(badges.nth(0)).to_contain_text("parts at line 8")
    execute(page, "t2m:show-panel")
    panel = page.locator(".t2m-lab-panel")
    expect(panel.locator(".t2m-lab-title")).to_contain_text("other")
    expect(panel.locator(".t2m-lab-score")).to_contain_text("✗")
    execute(page, "docmanager:open", path="first.ipynb")
    expect(panel.locator(".t2m-lab-title")).to_contain_text("net")
    expect(panel.locator(".t2m-lab-score")).not_to_contain_text("✗")
    expect(badges.nth(0)).to_have_text(EQUAL)


def test_settings_reach_the_kernel_and_the_pause(server, page) -> None:
    url, _ = server
    put = page.request.put(f"{url}/lab/api/settings/t2m-notebook:plugin",
                           data={"raw": '{"debounce": 2000, "tolerance": 10}'})
    assert put.ok, put.text()
    try:
        badges = ported(server, page, "settings")
        replace_in_cell(page, LAST, CELLS[2], "print([m for m in FAKE.received if m['type'] == 'settings'][-1])")
        run_cell(page, LAST)
        assert cell_text(page, LAST) == "{'type': 'settings', 'tolerance': 10, 'live': True}\n"
        replace_in_cell(page, BLOCK, RELU, f"{RELU}  # WRONG")
        expect(badges.nth(0)).to_have_attribute("data-phase", "typing")
        page.wait_for_timeout(1000)
        expect(badges.nth(0)).to_have_attribute("data-phase", "typing")
        expect(badges.nth(0)).to_contain_text("parts at line 8")
    finally:
        page.request.put(f"{url}/lab/api/settings/t2m-notebook:plugin", data={"raw": "{}"})
