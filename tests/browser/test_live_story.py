"""The live notebook in JupyterLab with a real kernel: from load to a planted bug, mended, saved, reopened; hostile
edits; a busy kernel, a restart, a reload; two notebooks."""

from __future__ import annotations

import re

import nbformat
import pytest
from playwright.sync_api import TimeoutError

from tests.browser.harness import (
    cell_sources,
    cell_text,
    notebook,
    open_notebook,
    run_cell,
    save_notebook,
    screenshot,
    set_theme,
    wait_until_idle,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETUP = "%load_ext t2m_notebook\nfrom t2m_notebook.demo import resnet\nmodel, args, _ = resnet()"
CELLS = [SETUP, "p = %t2m_port model *args --no-vary", "print('mine')"]
PROVEN = "45/45 proven"


@pytest.fixture
def ported(server, page, request):
    """A notebook in which the port was made; gives the page and the notebook's path."""
    url, folder = server
    path = notebook(folder / f"{re.sub(r'[^a-z]+', '-', request.node.name)}.ipynb", CELLS)
    open_notebook(page, url, path.name)
    run_cell(page, 0)
    run_cell(page, 1)
    wait_for_green(page)
    return page, path


def index_of(page, class_name: str) -> int:
    return next(number for number, text in enumerate(cell_sources(page))
                if re.match(rf"%%t2m_cell {class_name}(\s|$)", text))


def write(page, index: int, text: str) -> None:
    """Makes ``text`` the cell's, as typing or pasting does."""
    page.evaluate("([index, text]) => window.jupyterapp.shell.currentWidget.content.model.cells.get(index)"
                  ".sharedModel.setSource(text)", [index, text])


def show(page, index: int) -> None:
    """Scrolls to a cell."""
    page.evaluate("""async index => {
        const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = index;
        notebook.deselectAll();
        await notebook.scrollToItem(index, 'center');
    }""", index)


# A cell that is scrolled away may be out of the document, so a badge is looked for in its cell's own node.
_BADGE = "window.jupyterapp.shell.currentWidget.content.widgets[index]?.node.querySelector('.t2m-lab-badge')"


def badge(page, index: int) -> dict[str, str]:
    """The badge of cell ``index``: its state, the phase of the check, its words."""
    return page.evaluate(f"""index => {{
        const found = {_BADGE};
        return found ? {{ state: found.dataset.state, phase: found.dataset.phase, text: found.innerText,
                          sequence: found.dataset.sequence }} : {{}};
    }}""", index)


def wait_for_badge(page, index: int, state: str) -> str:
    """Waits for the verdict on the present text; gives the badge's words."""
    show(page, index)
    try:
        page.wait_for_function(
            f"([index, state]) => {{ const found = {_BADGE}; return found?.dataset.state === state && "
            "found.dataset.phase === 'answered'; }", arg=[index, state])
    except TimeoutError as error:
        raise AssertionError(f"cell {index} is not {state}: {badge(page, index)}") from error
    return badge(page, index)["text"]


def wait_for_words(page, index: int, words: str) -> str:
    """Waits until the badge of cell ``index`` says ``words``; gives all that it says."""
    show(page, index)
    try:
        page.wait_for_function(f"([index, words]) => {_BADGE}?.innerText.includes(words)", arg=[index, words])
    except TimeoutError as error:
        raise AssertionError(f"cell {index} does not say {words!r}: {badge(page, index)}") from error
    return badge(page, index)["text"]


def press(page, index: int, words: str) -> None:
    """Clicks the button of a badge."""
    wait_for_words(page, index, words)
    page.evaluate(f"""([index, words]) => [...{_BADGE}.querySelectorAll('button')]
        .find(button => button.innerText === words).click()""", [index, words])


def wait_for_green(page) -> None:
    """Waits until the status bar says that every module is proven."""
    page.locator(".jp-StatusBar-Widget, #jp-main-statusbar").get_by_text(PROVEN).first.wait_for()


def planted(text: str) -> str:
    """``text`` with an activation that torch doesn't have."""
    assert "nn.relu(" in text
    return text.replace("nn.relu(", "nn.gelu(", 1)


# ---------------------------------------------------------------------------- the story


def test_from_load_to_a_mended_bug_saved_and_reopened(ported, server) -> None:
    page, path = ported
    url, _ = server

    # one cell a class below the cell that ran, blocks first, the root last, then the assembly
    texts = cell_sources(page)
    assert texts[:2] == CELLS[:2] and texts[-1] == CELLS[2]
    assert [text.split()[1] for text in texts[2:-2]] == ["BasicBlock", "BasicBlock2", "ResNet"]
    assert "%t2m_parity ResNet" in texts[-2] and "%t2m_save ResNet" in texts[-2]
    assert not page.locator(".t2m-without-extension").first.is_visible()
    for index in range(2, 5):
        assert "equal to torch" in wait_for_badge(page, index, "proven")

    # a planted bug is red, with its line marked and a fix
    block = index_of(page, "BasicBlock")
    right = texts[block]
    write(page, block, planted(right))
    wait_for_badge(page, block, "diverges")
    said = wait_for_words(page, block, "Apply fix")
    line = next(number for number, text in enumerate(planted(right).splitlines(), 1) if "nn.gelu" in text)
    assert f"line {line}" in said and "max|Δ|" in said and "nn.relu" in said
    page.locator("#jp-main-statusbar").get_by_text("✗").first.wait_for()
    page.evaluate("() => window.jupyterapp.commands.execute('t2m:show-panel')")
    page.locator(".t2m-lab-panel").first.wait_for()
    for theme in ("light", "dark"):
        set_theme(page, theme)
        show(page, block)
        page.wait_for_timeout(300)  # the theme's transition
        screenshot(page, f"live-red-{theme}")

    # the fix is applied by its button, and everything is green again
    press(page, block, "Apply fix")
    assert "equal to torch" in wait_for_badge(page, block, "proven")
    assert cell_sources(page)[block].strip() == right.strip()
    wait_for_green(page)
    set_theme(page, "light")
    page.wait_for_timeout(300)
    screenshot(page, "live-green-light")

    # an edit of one's own that is right, the assembly, and saving
    edited = right.replace("class BasicBlock(nn.Module):", "class BasicBlock(nn.Module):\n    # mine", 1)
    write(page, block, edited)
    wait_for_badge(page, block, "proven")
    run_cell(page, block)
    wait_for_green(page)
    run_cell(page, 5)
    save_notebook(page)
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.cells[block].source == edited and book.cells[block].metadata["t2m"]["class"] == "BasicBlock"
    assert "✓ BasicBlock" in book.cells[block].outputs[0]["data"]["text/plain"]
    assert "proven" in "".join(str(one) for one in book.cells[5].outputs)

    # closed, the kernel ended, opened again: nothing runs by itself, and running all brings everything back
    page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    open_notebook(page, url, path.name)
    wait_for_words(page, block, "%load_ext t2m_notebook")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait_for_green(page)
    wait_until_idle(page)
    assert cell_sources(page)[:-1] == [*texts[:block], edited, *texts[block + 1:-1]]
    assert "equal to torch" in wait_for_badge(page, block, "proven")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    last = len(cell_sources(page)) - 1
    write(page, last, "print(p.cells['BasicBlock'].edited, p.cells['ResNet'].edited, p.last_report.ok)")
    run_cell(page, last)
    assert cell_text(page, last).split() == ["True", "False", "True"]


def test_run_again_an_edited_cell_is_left_alone_and_the_others_follow(ported) -> None:
    page, _ = ported
    before = cell_sources(page)
    block = index_of(page, "BasicBlock")
    mine = planted(before[block])
    write(page, block, mine)
    wait_for_badge(page, block, "diverges")
    page.evaluate("index => window.jupyterapp.shell.currentWidget.content.model.sharedModel.deleteCell(index)",
                  index_of(page, "BasicBlock2"))
    run_cell(page, 1)
    page.wait_for_function("count => window.jupyterapp.shell.currentWidget.content.model.cells.length === count",
                           arg=len(before))
    assert cell_sources(page) == [*before[:block], mine, *before[block + 1:]]  # the deleted one is back in its place
    wait_for_words(page, block, "Show diff")
    wait_for_badge(page, block, "diverges")
    wait_for_words(page, block, "parts at line")  # of the new port, by the text in the cell
    press(page, block, "Reset")
    wait_for_badge(page, block, "proven")
    assert cell_sources(page) == before
    wait_for_green(page)


# ---------------------------------------------------------------------------- hostile edits


HOSTILE = {
    "a loop without end": "while True: pass",
    "the end of the process": "import os; os._exit(7)",
    "sys.exit": "import sys; sys.exit(3)",
    "an index out of range": "x = mx.take(x, mx.array([10**9, 2**31 - 1]), axis=0); mx.eval(x)",
    "recursion": "return self(x)",
    "memory": "x = [bytearray(1 << 28) for _ in range(10**6)]",
    "a storm of prints": "for n in range(10**6): print('x' * 1000)",
    "no Python": "x = (",
    "an unknown name": "return nothing_of_this_name",
}


def test_nothing_that_is_typed_hurts_the_kernel_or_the_other_cells(ported) -> None:
    page, path = ported
    block, root = index_of(page, "BasicBlock"), index_of(page, "ResNet")
    right = cell_sources(page)[block]
    for what, line in HOSTILE.items():
        wrong = right.replace("    def __call__(self, x):\n", f"    def __call__(self, x):\n        {line}\n", 1)
        assert wrong != right
        show(page, block)
        before = badge(page, block)["sequence"]
        write(page, block, wrong)
        page.wait_for_function(f"([index, before]) => {{ const found = {_BADGE}; return found?.dataset.phase === "
                               "'answered' && Number(found.dataset.sequence) > before; }", arg=[block, int(before)])
        said = badge(page, block)["text"]
        if what != "a storm of prints":  # which is equal to torch, if slow
            assert badge(page, block)["state"] in ("error", "stopped"), (what, said)
        if what not in ("memory", "a storm of prints", "an index out of range", "the end of the process"):
            assert "line 13" in said, (what, said)
        if what == "a loop without end":
            screenshot(page, "live-stopped")
        assert badge(page, root)["state"] == "proven", what
        write(page, block, right)
        wait_for_badge(page, block, "proven")
    run_cell(page, len(cell_sources(page)) - 1)
    assert cell_text(page, len(cell_sources(page)) - 1) == "mine\n"
    wait_for_green(page)
    assert [one.name for one in path.parent.iterdir() if one.suffix != ".ipynb" and not one.name.startswith(".")] == []


def test_typing_on_does_not_wait_for_a_loop_without_end(ported) -> None:
    page, _ = ported
    block = index_of(page, "BasicBlock")
    right = cell_sources(page)[block]
    show(page, block)
    write(page, block, right.replace("        return nn.relu", "        while True: pass\n        return nn.relu", 1))
    page.locator(".t2m-lab-badge[data-phase=checking]").first.wait_for()
    write(page, block, right)
    wait_for_badge(page, block, "proven")


def test_renamed_removed_twice_and_unknown(ported) -> None:
    page, _ = ported
    block = index_of(page, "BasicBlock")
    right = cell_sources(page)[block]
    head, _, body = right.partition("\n")
    for text, words in (
            (right.replace("class BasicBlock(", "class BasicBlok(", 1), "change the name back"),
            (f"{right}\n\n{body}", "defined twice"),
            (f"{head}\n# nothing left", "not in this cell any more"),
            (f"%%t2m_cell BasicBlok\n{body}", "Did you mean BasicBlock"),
            (right.replace("def __call__(self, x):", "def __call__(self, y):", 1), "line"),
    ):
        write(page, block, text)
        assert words in wait_for_badge(page, block, "error"), words
    write(page, block, right)
    wait_for_badge(page, block, "proven")
    wait_for_green(page)


# ---------------------------------------------------------------------------- kernels and notebooks


def test_a_busy_kernel_still_answers(ported) -> None:
    page, _ = ported
    block = index_of(page, "BasicBlock")
    right = cell_sources(page)[block]
    write(page, len(cell_sources(page)) - 1, "import time\ntime.sleep(20)\nprint('done')")
    page.evaluate("""index => {
        const { shell, commands } = window.jupyterapp;
        shell.currentWidget.content.activeCellIndex = index;
        commands.execute('notebook:run-cell');
    }""", len(cell_sources(page)) - 1)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    write(page, block, planted(right))
    wait_for_badge(page, block, "diverges")
    write(page, block, right)
    wait_for_badge(page, block, "proven")
    assert cell_text(page, len(cell_sources(page)) - 1) == ""  # it is still running
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.interrupt()")
    wait_until_idle(page)


def test_reload_and_restart(ported, server) -> None:
    page, path = ported
    url, _ = server
    block = index_of(page, "BasicBlock")
    right = cell_sources(page)[block]
    write(page, block, planted(right))
    wait_for_badge(page, block, "diverges")
    save_notebook(page)

    open_notebook(page, url, path.name)  # the kernel lives on
    wait_for_badge(page, block, "diverges")
    wait_for_words(page, block, "parts at line")
    write(page, block, right)
    wait_for_badge(page, block, "proven")
    wait_for_green(page)

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    wait_until_idle(page)
    wait_for_words(page, block, "%load_ext")
    run_cell(page, 0)
    run_cell(page, 1)
    wait_for_badge(page, block, "proven")
    assert len(cell_sources(page)) == 7  # nothing was inserted twice


def test_two_notebooks_have_a_kernel_each(ported, server) -> None:
    page, path = ported
    url, folder = server
    other_path = notebook(folder / "the-other.ipynb", CELLS)
    block = index_of(page, "BasicBlock")
    right = cell_sources(page)[block]
    write(page, block, planted(right))
    wait_for_badge(page, block, "diverges")

    page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', { path })", other_path.name)
    page.wait_for_function("path => window.jupyterapp.shell.currentWidget?.context?.path === path && "
                           "window.jupyterapp.shell.currentWidget.content.widgets.length === 3", arg=other_path.name)
    wait_until_idle(page)
    run_cell(page, 0)
    run_cell(page, 1)
    wait_for_green(page)
    assert wait_for_badge(page, index_of(page, "BasicBlock"), "proven")

    page.evaluate("path => window.jupyterapp.commands.execute('docmanager:open', { path })", path.name)
    page.wait_for_function("path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=path.name)
    assert cell_sources(page)[block] == planted(right)
    wait_for_badge(page, block, "diverges")
    page.locator("#jp-main-statusbar").get_by_text("✗").first.wait_for()


def test_two_ports_in_one_notebook(ported) -> None:
    page, _ = ported
    last = len(cell_sources(page)) - 1
    write(page, last, "q = %t2m_port model *args --no-vary --name other")
    run_cell(page, last)
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget.content.model.cells.length === 11")
    texts = cell_sources(page)
    assert sum(text.startswith("%%t2m_cell BasicBlock\n") for text in texts) == 1
    second = next(n for n, text in enumerate(texts) if text.startswith("%%t2m_cell BasicBlock --name other\n"))
    write(page, second, planted(texts[second]))
    wait_for_badge(page, second, "diverges")
    assert wait_for_badge(page, index_of(page, "BasicBlock"), "proven")


def test_a_strangers_notebook_runs_nothing(server, page) -> None:
    url, folder = server
    text = f"%%t2m_cell Net\nopen({str(folder / 'trace')!r}, 'w')\nclass Net:\n    pass"
    path = notebook(folder / "stranger.ipynb", ["%load_ext t2m_notebook", text])
    open_notebook(page, url, path.name)
    wait_for_words(page, 1, "%load_ext")
    page.wait_for_timeout(1000)
    run_cell(page, 0)
    wait_for_words(page, 1, "%t2m_port")
    page.wait_for_timeout(1000)
    assert not (folder / "trace").exists()
