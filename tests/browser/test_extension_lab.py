"""The JupyterLab extension in a notebook's cells. Badges, marks, fixes while typing; cells that come, go and move."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.fake_port import ASSEMBLY, BLOCK, CELLS, EQUAL, LAST, NET, RELU, ported
from tests.browser.harness import (
    activate_cell,
    cell,
    cell_sources,
    cell_text,
    execute,
    replace_in_cell,
    run_cell,
    screenshot,
    set_theme,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_badge_marks_and_a_fix_while_typing(server, page) -> None:
    badges = ported(server, page, "typing")
    sources = cell_sources(page)
    assert [text.split("\n")[0] for text in sources[BLOCK:]] == [
        "%%t2m_cell Block", "%%t2m_cell Net", "model = t2m.assemble('net')  # version 0", CELLS[2]]
    metadata = page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
        .map(widget => widget.model.getMetadata('t2m') ?? null)""")
    assert metadata[BLOCK]["port"] == "net" and metadata[BLOCK]["class"] == "Block"
    assert len(metadata[BLOCK]["generated"]) == 64 and metadata[ASSEMBLY]["assembly"] is True
    badge = badges.nth(0)
    assert badge.get_attribute("role") == "status" and badge.get_attribute("aria-live") == "polite"

    # as a person types it, at the end of a line
    block = cell(page, BLOCK)
    block.locator(".cm-line", has_text=RELU).click()
    page.keyboard.press("End")
    page.keyboard.type("  # WRONG")
    expect(badge).to_contain_text("parts at line 8")  # the magic line is the first
    expect(badge).to_contain_text("max|Δ| 3.8e-02 of 1.4e-05 allowed")
    expect(badge).to_have_attribute("data-state", "diverges")
    expect(badges.nth(1)).to_have_text(EQUAL)
    expect(block.locator(".cm-lint-marker-error")).to_have_count(1)
    expect(block.locator(".cm-lintRange-error")).to_have_text(f"{RELU}  # WRONG")
    block.locator(".cm-lintRange-error").hover()
    expect(page.locator(".cm-tooltip .cm-diagnostic")).to_have_text("values part here: max|Δ| 3.8e-02")
    execute(page, "t2m:show-panel")
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(page, f"extension-{theme}")
    assert badge.evaluate("e => getComputedStyle(e).borderLeftColor") == "rgb(255, 138, 92)"

    badge.get_by_role("button", name="Apply fix").click()
    expect(badge).to_have_text(EQUAL)
    expect(block.locator(".cm-lint-marker")).to_have_count(0)
    assert f"{RELU}  # RIGHT" in cell_sources(page)[BLOCK]
    # the fix is one step, apart from what was typed
    block.locator(".cm-content").focus()
    page.keyboard.press("Control+z")
    assert f"{RELU}  # WRONG" in cell_sources(page)[BLOCK]
    expect(badge).to_contain_text("parts at line 8")
    page.keyboard.press("Alt+Shift+F")
    expect(badge).to_have_text(EQUAL)


def test_half_typed_and_hostile_cells(server, page) -> None:
    badges = ported(server, page, "hostile")
    replace_in_cell(page, BLOCK, RELU, "return nn.relu(")
    expect(badges.nth(0)).to_contain_text("error at line 8")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    replace_in_cell(page, BLOCK, "return nn.relu(", f"{RELU}  # CRASH")
    expect(badges.nth(0)).to_contain_text("stopped at line 8")
    expect(badges.nth(0)).to_contain_text("signal 11")
    expect(badges.nth(0)).to_have_attribute("data-status", "REFUSED")
    replace_in_cell(page, BLOCK, "  # CRASH", "")
    expect(badges.nth(0)).to_have_text(EQUAL)
    expect(page.locator(".cm-lint-marker")).to_have_count(0)
    # names from a model are text, not HTML
    replace_in_cell(page, BLOCK, "%%t2m_cell Block", "%%t2m_cell <img/src=x>")
    page.wait_for_timeout(600)
    assert page.locator(".t2m-lab-badge img").count() == 0


def test_the_newest_text_wins(server, page) -> None:
    badges = ported(server, page, "newest")
    replace_in_cell(page, LAST, CELLS[2], "FAKE.delay = 0.5")
    run_cell(page, LAST)
    page.evaluate("""() => {
        window.states = [];
        const badge = document.querySelector('.t2m-lab-badge');
        new MutationObserver(() => window.states.push(badge.dataset.phase + ' ' + badge.dataset.state))
            .observe(badge, { attributes: true, childList: true });
    }""")
    for _ in range(3):  # each check is under way when the next key comes
        replace_in_cell(page, BLOCK, RELU, f"{RELU}  # WRONG")
        page.wait_for_timeout(450)
        expect(badges.nth(0)).to_contain_text("checking…")
        assert badges.nth(0).get_attribute("aria-busy") == "true"
        replace_in_cell(page, BLOCK, "  # WRONG", "")
        page.wait_for_timeout(100)
    expect(badges.nth(0)).to_have_text(EQUAL)
    page.wait_for_timeout(1200)
    states = page.evaluate("window.states")
    assert "answered diverges" not in states and states[-1] == "answered proven"
    assert any(state.startswith("checking") for state in states)


def test_run_again_updates_keeps_and_adds(server, page) -> None:
    badges = ported(server, page, "again")
    replace_in_cell(page, BLOCK, RELU, f"{RELU}  # mine")
    run_cell(page, 1)  # nothing new: nothing changes
    assert len(cell_sources(page)) == 6
    expect(badges.nth(0).get_by_text("Show diff")).to_be_visible()
    replace_in_cell(page, 1, "port('net')", "port('net', version=1)")
    run_cell(page, 1)
    page.wait_for_function("""() => window.jupyterapp.shell.currentWidget.content.widgets[3]
        .model.sharedModel.getSource().includes('eps=1e-04')""")
    sources = cell_sources(page)
    assert len(sources) == 6
    assert "# mine" in sources[BLOCK] and "eps=1e-03" in sources[BLOCK]
    assert "version 1" in sources[ASSEMBLY]
    run_cell(page, LAST)
    assert cell_text(page, LAST) == "[['Block'], ['Block']]\n"

    badges.nth(0).get_by_role("button", name="Show diff").click()
    dialog = page.locator(".jp-Dialog")
    assert dialog.locator("del").all_inner_texts() == [
        "−         self.norm = nn.BatchNorm(8, eps=1e-04)", f"−         {RELU}"]
    assert dialog.locator("ins").all_inner_texts() == [
        "+         self.norm = nn.BatchNorm(8, eps=1e-03)", f"+         {RELU}  # mine"]
    screenshot(page, "extension-diff")
    dialog.get_by_role("button", name="Keep mine").click()
    assert "# mine" in cell_sources(page)[BLOCK]
    badges.nth(0).get_by_role("button", name="Reset").click()
    expect(badges.nth(0).get_by_text("Show diff")).to_have_count(0)
    assert "# mine" not in cell_sources(page)[BLOCK] and "eps=1e-04" in cell_sources(page)[BLOCK]

    # a class that came since goes where it belongs, and a deleted cell comes back
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.model.sharedModel.deleteCell(3); }")
    expect(badges).to_have_count(1)
    replace_in_cell(page, 1, "version=1", "version=1, classes=('Block', 'Neck', 'Net')")
    run_cell(page, 1)
    expect(badges).to_have_count(3)
    assert [text.split("\n")[0] for text in cell_sources(page)[2:5]] == [
        "%%t2m_cell Block", "%%t2m_cell Neck", "%%t2m_cell Net"]


def test_inserted_cells_are_one_step_for_undo(server, page) -> None:
    badges = ported(server, page, "undo")
    activate_cell(page, 1)
    execute(page, "notebook:undo-cell-action")
    expect(badges).to_have_count(0)
    assert cell_sources(page) == CELLS
    execute(page, "notebook:redo-cell-action")
    expect(badges).to_have_count(2)
    expect(badges.nth(1)).to_have_text(EQUAL)


def test_cells_deleted_split_merged_moved_and_pasted(server, page) -> None:
    badges = ported(server, page, "cells")
    activate_cell(page, BLOCK)
    execute(page, "notebook:move-cell-down")
    expect(badges).to_have_count(2)
    assert cell_sources(page)[BLOCK].startswith("%%t2m_cell Net")
    replace_in_cell(page, NET, RELU, f"{RELU}  # WRONG")  # Block is there now
    expect(badges.nth(1)).to_contain_text("parts at line 8")
    replace_in_cell(page, NET, "  # WRONG", "")
    activate_cell(page, NET)
    execute(page, "notebook:move-cell-up")
    expect(badges.nth(0)).to_have_text(EQUAL)

    page.evaluate("""() => {
        const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = 2;
        notebook.mode = 'edit';
        notebook.activeCell.editor.setCursorPosition({ line: 4, column: 0 });
    }""")
    execute(page, "notebook:split-cell-at-cursor")
    expect(badges).to_have_count(2)
    assert not cell_sources(page)[3].startswith("%%t2m_cell")
    activate_cell(page, 2)
    execute(page, "notebook:merge-cell-below")
    expect(badges).to_have_count(2)
    expect(badges.nth(0)).to_contain_text(re.compile("equal to torch|error"))  # a blank line came in

    activate_cell(page, 2)
    execute(page, "notebook:merge-cell-below")
    expect(badges).to_have_count(1)
    expect(badges.nth(0)).to_contain_text("there is a second %%t2m_cell")
    execute(page, "notebook:undo-cell-action")
    expect(badges).to_have_count(2)

    activate_cell(page, 3)
    execute(page, "notebook:copy-cell")
    execute(page, "notebook:paste-cell-below")
    expect(badges).to_have_count(3)
    expect(badges.nth(2)).to_have_text(EQUAL)
    execute(page, "notebook:delete-cell")
    expect(badges).to_have_count(2)
    last = len(cell_sources(page)) - 1
    replace_in_cell(page, last, CELLS[2], "print([m['type'] for m in FAKE.received].count('forget'))")
    run_cell(page, last)
    assert int(cell_text(page, last)) >= 2  # merged, and deleted

    # a cell becomes ours, and ceases to be, with its first line
    replace_in_cell(page, 2, "%%t2m_cell", "%%other")
    expect(badges).to_have_count(1)
    replace_in_cell(page, 2, "%%other", "%%t2m_cell")
    expect(badges).to_have_count(2)
