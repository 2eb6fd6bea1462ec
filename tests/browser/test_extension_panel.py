"""The JupyterLab extension's panel, commands, toolbar, launcher card, and Notebook 7."""

from __future__ import annotations

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.fake_port import BLOCK, CELLS, EQUAL, LAST, NET, RELU, ported
from tests.browser.harness import (
    activate_cell,
    assert_readable,
    cell,
    cell_sources,
    cell_text,
    execute,
    notebook,
    open_notebook,
    replace_in_cell,
    run_cell,
    screenshot,
    set_theme,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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

# What a port tells when cells of two of its modules hold checkpoints.
CHECKPOINTS = """
from tests.browser import fake_bridge

scores = {"name": "attn.scores", "path": "", "tensor": "", "span": "", "bad": ""}
hidden = {"name": "mlp.hidden", "path": "", "tensor": "(1, 8) float32", "span": "-0.17 … 3.2", "bad": ""}
bad = scores | {"tensor": "(1, 4) float32", "span": "0 … 1", "bad": "3 NaN"}
state, held = fake_bridge._state("net"), {"blocks.0": [bad, hidden], "blocks.1": [scores]}
nodes = [state["tree"]]
for node in nodes:
    nodes += node.get("children", [])
for one in nodes:
    one["checkpoints"] = held.get(one["path"], [])
fake_bridge._tell(state)
"""


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


def test_checkpoints_mark_their_modules(server, page) -> None:
    ported(server, page, "checkpoints")
    execute(page, "t2m:show-panel")
    panel = page.locator(".t2m-lab-panel")
    marks = panel.locator(".t2m-lab-mark")
    expect(panel.get_by_role("treeitem")).to_have_count(15)
    expect(marks).to_have_count(0)
    replace_in_cell(page, LAST, CELLS[2], CHECKPOINTS)
    run_cell(page, LAST)
    expect(marks).to_have_text(["◆ attn.scores 3 NaN", "◆ mlp.hidden -0.17 … 3.2", "◆ attn.scores"])
    expect(panel.locator('[data-path="blocks.0"] .t2m-lab-mark').first).to_have_class("t2m-lab-mark t2m-lab-DIVERGES")
    row = panel.locator('[data-path="blocks.0"]')
    assert "◆ attn.scores: (1, 4) float32, 0 … 1, 3 NaN" in row.get_attribute("title")
    assert "◆ attn.scores 3 NaN" in row.get_attribute("aria-label")
    row.click()
    panel.get_by_role("tree").focus()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        screenshot(panel, f"extension-panel-checkpoints-{theme}")
        assert_readable(row, theme)
    replace_in_cell(page, LAST, 'held.get(one["path"], [])', "[]")
    run_cell(page, LAST)
    expect(marks).to_have_count(0)


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


def test_commands_and_toolbar(server, page) -> None:
    badges = ported(server, page, "commands")
    activate_cell(page, BLOCK)
    toolbar = cell(page, BLOCK).locator(".jp-cell-toolbar")
    for name in ("t2m-check-now", "t2m-torch-source", "t2m-show-diff", "t2m-reset", "t2m-next-divergence"):
        expect(toolbar.locator(f'[data-jp-item-name="{name}"]')).to_be_visible()
    activate_cell(page, 0)
    first = cell(page, 0)
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
    cell(page, NET).locator(".jp-InputPrompt").click()
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
