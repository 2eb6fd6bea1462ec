"""The JupyterLab extension against a kernel side without torch or MLX: badges, marks, fixes, cells, panel, commands."""

from __future__ import annotations

import re

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.harness import (
    activate_cell,
    cell_sources,
    cell_text,
    execute,
    lab,
    notebook,
    open_notebook,
    replace_in_cell,
    run_cell,
    save_notebook,
    screenshot,
    set_theme,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOAD = "%load_ext tests.browser.fake_bridge\nfrom tests.browser.fake_bridge import FAKE, port"
CELLS = [LOAD, "port('net')", "print(FAKE.kept)"]
BLOCK, NET, ASSEMBLY, LAST = 2, 3, 4, 5  # where cells are after the port
RELU = "return nn.relu(self.norm(x))"
EQUAL = re.compile("equal to torch.*6 instances · 8.2 ms", re.DOTALL)
# A port of ten thousand modules.
LARGE = """
from tests.browser import fake_bridge

def layer(path, depth):
    return {"name": path.rsplit(".", 1)[-1], "path": path, "class_name": "Conv2d", "status": "PROVEN",
            "description": "8, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1)", "max_difference": 1e-7,
            "children": [layer(f"{path}.{k}", depth - 1) for k in range(10)] if depth else []}

state = fake_bridge._state("net")
state["tree"]["children"] += [layer(f"m{k}", 2) for k in range(90)]
fake_bridge._tell(state)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory, chromium):
    folder = tmp_path_factory.mktemp("notebooks")
    with lab(folder, "--JupyterNotebookApp.expose_app_in_browser=True") as url:
        yield url, folder


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
    cell = page.locator(".jp-Notebook .jp-Cell").nth(BLOCK)
    cell.locator(".cm-line", has_text=RELU).click()
    page.keyboard.press("End")
    page.keyboard.type("  # WRONG")
    expect(badge).to_contain_text("parts at line 8")  # the magic line is the first
    expect(badge).to_contain_text("max|Δ| 3.8e-02 of 1.4e-05 allowed")
    expect(badge).to_have_attribute("data-state", "diverges")
    expect(badges.nth(1)).to_have_text(EQUAL)
    expect(cell.locator(".cm-lint-marker-error")).to_have_count(1)
    expect(cell.locator(".cm-lintRange-error")).to_have_text(f"{RELU}  # WRONG")
    cell.locator(".cm-lintRange-error").hover()
    expect(page.locator(".cm-tooltip .cm-diagnostic")).to_have_text("values part here: max|Δ| 3.8e-02")
    execute(page, "t2m:show-panel")
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(page, f"extension-{theme}")
    assert badge.evaluate("e => getComputedStyle(e).borderLeftColor") == "rgb(255, 138, 92)"

    badge.get_by_role("button", name="Apply fix").click()
    expect(badge).to_have_text(EQUAL)
    expect(cell.locator(".cm-lint-marker")).to_have_count(0)
    assert f"{RELU}  # RIGHT" in cell_sources(page)[BLOCK]
    # the fix is one step, apart from what was typed
    cell.locator(".cm-content").focus()
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


def test_what_is_said_to_other_front_ends_is_hidden(server, page) -> None:
    url, folder = server
    notebook(folder / "hidden.ipynb", ["from IPython.display import HTML\n"
                                       "HTML('<p>shown</p><p class=t2m-without-extension>hidden</p>')"])
    open_notebook(page, url, "hidden.ipynb")
    run_cell(page, 0)
    output = page.locator(".jp-OutputArea-output")
    expect(output.get_by_text("shown")).to_be_visible()
    expect(output.get_by_text("hidden")).to_be_hidden()


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


def test_two_ports_in_one_notebook(server, page) -> None:
    badges = ported(server, page, "ports")
    replace_in_cell(page, 1, "port('net')", "port('net')\nport('net two')")
    run_cell(page, 1)
    expect(badges).to_have_count(4)
    execute(page, "t2m:show-panel")
    choice = page.locator(".t2m-lab-panel select")
    assert choice.locator("option").all_inner_texts() == ["net", "net two"]
    expect(choice).to_have_value("net two")
    choice.select_option("net")
    expect(choice).to_have_value("net")
    # --name in the first line says which port a cell is for
    page.evaluate("""() => {
        const model = window.jupyterapp.shell.currentWidget.content.model.sharedModel;
        model.addCell({ cell_type: 'code', source: '%%t2m_cell Block --name "net two"\\npass' });
        model.addCell({ cell_type: 'code', source: "print(FAKE.received[-1]['port'])" });
    }""")
    expect(badges).to_have_count(5)
    expect(badges.nth(4)).to_have_text(EQUAL)
    last = len(cell_sources(page)) - 1
    run_cell(page, last)
    assert cell_text(page, last) == "net two\n"


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


def test_the_panel(server, page) -> None:
    badges = ported(server, page, "panel")
    execute(page, "t2m:show-panel")
    panel = page.locator(".t2m-lab-panel")
    expect(panel.locator(".t2m-lab-score")).to_contain_text("15/15 proven")
    expect(panel.locator(".t2m-lab-rung")).to_have_text(["✓weights4 of 4", "✓module by module15 · 3.1e-07",
                                                         "✓end to end2.2e-06", "other batchwaits"])
    rows = panel.get_by_role("treeitem")
    expect(rows).to_have_count(15)

    # click a node: its cell; the root belongs to Net, a layer to the class that holds it
    rows.filter(has_text="Conv2d").click()
    page.wait_for_function("window.jupyterapp.shell.currentWidget.content.activeCellIndex === 3")
    panel.locator('[data-path="blocks.3.norm"]').click()
    page.wait_for_function("window.jupyterapp.shell.currentWidget.content.activeCellIndex === 2")
    expect(panel.locator('[aria-selected="true"]')).to_have_attribute("data-path", "blocks.3.norm")
    # click a cell: its node
    activate_cell(page, NET)
    expect(panel.locator('[aria-selected="true"]')).to_have_attribute("data-path", "")

    replace_in_cell(page, BLOCK, RELU, f"{RELU}  # WRONG")
    expect(panel.locator(".t2m-lab-score")).to_contain_text("✗ 1/15 proven")
    expect(panel.locator('[data-path="blocks.3.norm"]')).to_have_attribute("data-status", "DIVERGES")
    panel.get_by_role("button", name="first red").click()
    expect(panel.locator('[aria-selected="true"]')).to_have_attribute("data-path", "blocks.0.norm")
    page.wait_for_function("window.jupyterapp.shell.currentWidget.content.activeCellIndex === 2")
    expect(page.locator(".t2m-lab-status-item")).to_have_text("✗1/15 proven")

    # keys
    tree = panel.get_by_role("tree")
    tree.focus()
    page.keyboard.press("Home")
    expect(panel.locator('[aria-selected="true"]')).to_have_attribute("data-path", "")
    page.keyboard.press("ArrowLeft")
    expect(rows).to_have_count(1)
    page.keyboard.press("ArrowRight")
    expect(rows).to_have_count(15)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("window.jupyterapp.shell.currentWidget.content.activeCellIndex === 3")

    # weights, live
    weights = panel.locator(".t2m-lab-weight")
    expect(weights).to_have_count(4)
    assert "block.conv.weight\n16×8×3×3\n→\nblock.conv.weight\n16×3×3×8\n0 2 3 1" in weights.first.inner_text()
    replace_in_cell(page, BLOCK, "self.norm = nn.BatchNorm(8, eps=1e-03)", "pass")
    replace_in_cell(page, BLOCK, "self.norm(x)", "x")
    expect(panel.locator('[data-state="missing"]')).to_have_count(1)
    expect(panel.locator(".t2m-lab-section-weights")).to_contain_text("3 of 4 matched")
    panel.get_by_label("unmatched only").check()
    expect(weights).to_have_count(1)
    panel.get_by_label("unmatched only").uncheck()
    panel.get_by_placeholder("filter").fill("conv 3×3×8")
    expect(weights).to_have_count(2)
    expect(badges.nth(0)).to_contain_text("1 of 2 parameters matched")
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(panel, f"extension-panel-{theme}")


def test_commands_and_toolbar(server, page) -> None:
    badges = ported(server, page, "commands")
    activate_cell(page, BLOCK)
    toolbar = page.locator(".jp-Notebook .jp-Cell").nth(BLOCK).locator(".jp-cell-toolbar")
    for name in ("t2m-check-now", "t2m-torch-source", "t2m-show-diff", "t2m-reset", "t2m-next-divergence"):
        expect(toolbar.locator(f'[data-jp-item-name="{name}"]')).to_be_visible()
    activate_cell(page, 0)
    first = page.locator(".jp-Notebook .jp-Cell").nth(0)
    expect(first.locator('[data-jp-item-name="move-cell-down"]')).to_be_visible()
    expect(first.locator(".t2m-lab-tool:visible")).to_have_count(0)

    # torch's source beside, following the active cell
    activate_cell(page, BLOCK)
    page.evaluate("() => { void window.jupyterapp.commands.execute('t2m:show-torch-source'); }")
    code = page.locator("#t2m-notebook-torch-source .cm-content")
    expect(code).to_contain_text("class Block(nn.Module)")
    expect(code).to_contain_text("nn.BatchNorm2d")
    expect(code).to_have_attribute("aria-readonly", "true")
    assert code.locator("span[class]").count() > 5  # coloured
    page.locator(".jp-Notebook .jp-Cell").nth(NET).locator(".jp-InputPrompt").click()
    expect(code).to_contain_text("class Net(nn.Module)")
    screenshot(page, "extension-torch-source")

    # next divergence goes round
    for index in (BLOCK, NET):
        replace_in_cell(page, index, RELU, f"{RELU}  # WRONG")
    expect(badges.nth(0)).to_contain_text("parts at line 8")
    expect(badges.nth(1)).to_contain_text("parts at line 8")
    places = []
    for _ in range(3):
        execute(page, "t2m:next-divergence")
        places.append(page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex"))
    assert places == [BLOCK, NET, BLOCK]
    execute(page, "t2m:reset")
    expect(badges.nth(0)).to_have_text(EQUAL)
    assert "WRONG" not in cell_sources(page)[BLOCK]

    # checks while typing off: stale until checked or run
    execute(page, "t2m:toggle-live")
    page.wait_for_function("!window.jupyterapp.commands.isToggled('t2m:toggle-live')")
    replace_in_cell(page, NET, "  # WRONG", "")
    expect(badges.nth(1)).to_contain_text("stale")
    page.wait_for_timeout(700)
    expect(badges.nth(1)).to_contain_text("parts at line 8")
    badges.nth(1).get_by_role("button", name="Check now").click()
    expect(badges.nth(1)).to_have_text(EQUAL)
    replace_in_cell(page, NET, RELU, f"{RELU}  # WRONG")
    expect(badges.nth(1)).to_contain_text("stale")
    run_cell(page, NET)
    expect(badges.nth(1)).to_contain_text("parts at line 8")
    execute(page, "t2m:toggle-live")
    page.wait_for_function("window.jupyterapp.commands.isToggled('t2m:toggle-live')")


def test_launcher_card_makes_a_notebook_and_runs_nothing(server, page) -> None:
    url, folder = server
    page.goto(f"{url}/lab?reset")
    card = page.locator(".jp-LauncherCard", has_text="New MLX port")
    card.wait_for()
    screenshot(page, "extension-launcher")
    card.click()
    page.wait_for_function("document.querySelector('.jp-NotebookPanel .jp-Cell')")
    wait_until_idle(page)
    path = page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    book = nbformat.read(folder / path, 4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert code[0].source == "%load_ext t2m_notebook" and code[-1].source == "p = %t2m_port model x"
    assert all(cell.execution_count is None for cell in code)
    names: dict = {}
    exec(compile(code[1].source, path, "exec"), names)  # the model is one that runs
    assert tuple(names["model"](names["x"]).shape) == (1, 10)


def test_graphs_are_laid_out_without_the_kernel(server, page) -> None:
    url, folder = server
    scripts: list[str] = []
    page.on("request", lambda request: scripts.append(request.url))
    notebook(folder / "graph.ipynb", ["1"])
    open_notebook(page, url, "graph.ipynb")
    assert not [one for one in scripts if "graphviz" in one]
    svg = page.evaluate("window.t2mGraphLayout('digraph { a -> b }')")
    assert svg.lstrip().startswith("<?xml") and svg.count('class="node"') == 2
    assert len([one for one in scripts if "graphviz" in one]) == 1
    assert all(one.startswith((url, "data:", "blob:")) for one in scripts)
    assert "syntax error" in page.evaluate("window.t2mGraphLayout('digraph {').catch(error => String(error))")


def test_notebook_7(server, browser) -> None:
    url, folder = server
    notebook(folder / "seven.ipynb", CELLS)
    context = browser.new_context(viewport={"width": 1400, "height": 950})
    page, problems = context.new_page(), []
    # Notebook 7 logs errors of its own on every page, with this extension and without it.
    page.on("pageerror", lambda error: problems.append(f"{error} {error.stack}"))
    page.goto(f"{url}/notebooks/seven.ipynb")
    page.locator(".jp-Notebook .jp-Cell").first.locator(".cm-content").click(timeout=60_000)
    page.wait_for_function("""() => window.jupyterapp.shell.currentWidget.sessionContext
        .session?.kernel?.status === 'idle'""", timeout=60_000)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    badges = page.locator(".t2m-lab-badge")
    expect(badges).to_have_count(2)
    expect(badges.nth(0)).to_have_text(EQUAL)
    page.locator(".cm-line", has_text=RELU).first.click()
    page.keyboard.press("End")
    page.keyboard.type("  # WRONG")
    expect(badges.nth(0)).to_contain_text("parts at line 8")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    page.keyboard.press("Alt+Shift+T")
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("nn.BatchNorm2d")
    screenshot(page, "extension-notebook7-source")
    dialog.get_by_role("button", name="Close").click()
    page.locator(".cm-line", has_text=RELU).first.click()
    page.keyboard.press("Alt+Shift+P")
    expect(page.locator(".t2m-lab-panel .t2m-lab-score")).to_contain_text("✗ 1/15 proven")
    screenshot(page, "extension-notebook7")
    badges.nth(0).get_by_role("button", name="Apply fix").click()
    expect(badges.nth(0)).to_have_text(EQUAL)
    context.close()
    assert not [text for text in problems if "t2m-notebook" in text], problems


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


def test_ten_thousand_modules_stay_quick_to_show(server, page) -> None:
    ported(server, page, "large")
    replace_in_cell(page, LAST, CELLS[2], LARGE)
    run_cell(page, LAST)
    execute(page, "t2m:show-panel")
    panel = page.locator(".t2m-lab-panel")
    panel.locator('[data-path="m0"] .t2m-lab-twisty').click()
    panel.locator('[data-path="m0.0"]').wait_for()
    assert 0 < panel.get_by_role("treeitem").count() < 100
    panel.get_by_role("tree").focus()
    page.keyboard.press("End")
    expect(panel.locator('[aria-selected="true"]')).to_have_attribute("data-path", "m89")
    expect(panel.locator('[data-path="m89"]')).to_contain_text("Conv2d 8→8 3×3 /2")
    assert 0 < panel.get_by_role("treeitem").count() < 100
