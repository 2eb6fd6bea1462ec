"""JupyterLab on loopback with settings of its own, and a page that drives it.

Used as ``with lab(folder) as url:`` with the ``page`` fixture of ``tests/conftest.py``, or
with :func:`browser` outside pytest. Everything a notebook does goes through JupyterLab's
command registry, so a test never depends on where a button is.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import CHROMIUM_ARGUMENTS, ROOT, chromium_environment, find_chromium

ARTEFACTS = ROOT / "tests" / "artefacts"  # screenshots to look at; not in the repository
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
_QUIET = '{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}'


@contextmanager
def lab(folder: Path, *options: str, python: str = sys.executable, seconds: float = 60) -> Iterator[str]:
    """Runs JupyterLab with ``folder`` as its root; gives its URL.

    The kernels find this checkout first, and no setting of the user's. Raises
    ``RuntimeError`` with the end of the server's log when it isn't up in ``seconds``.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="t2m-lab-", ignore_cleanup_errors=True) as private:
        log_path = Path(private, "lab.log")
        with log_path.open("w") as log:
            server = subprocess.Popen(
                [python, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
                 f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
                 "--ServerApp.password=",
                 "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={folder}",
                 "--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True",
                 "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", *options],
                env=_environment(Path(private)), stdout=log, stderr=log)
        try:
            _wait_until_up(server, url, log_path, seconds)
            yield url
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _environment(private: Path) -> dict[str, str]:
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
             "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
    settings = {name: str(private / name.lower()) for name in names}
    for path in settings.values():
        Path(path).mkdir()
    quiet = Path(settings["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", "apputils-extension")
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text(_QUIET)
    # The extension of this checkout, whatever is installed.
    extensions = private / "share" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "t2m-notebook").symlink_to(ROOT / "t2m_notebook" / "labextension")
    settings["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(private / "share"), os.environ.get("JUPYTER_PATH")]))
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **settings, "JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": os.pathsep.join(paths)}


def _wait_until_up(server: subprocess.Popen, url: str, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api/status", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def browser(width: int = 1400, height: int = 950) -> Iterator:
    """A page of a headless Chromium, for use outside pytest; sizes in CSS pixels."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=find_chromium(), headless=True,
                                       args=list(CHROMIUM_ARGUMENTS), env=chromium_environment())
        page = running.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(60_000)
        yield page
        running.close()


def notebook(path: Path, cells: Sequence[str]) -> Path:
    """Writes a notebook of code cells; gives its path."""
    import nbformat

    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    book.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(book, path)
    return path


def open_notebook(page, url: str, name: str, kernel: bool = True) -> None:
    """Opens a notebook of the lab's folder and waits for it, and for its kernel to be idle."""
    page.goto(f"{url}/lab/tree/{name}?reset")
    page.wait_for_function("window.jupyterapp && document.querySelector('.jp-NotebookPanel .jp-Cell')")
    if kernel:
        wait_until_idle(page)


def wait_until_idle(page) -> None:
    """Waits until the current notebook's kernel has nothing left to run."""
    page.wait_for_function("""() => {
        const widget = window.jupyterapp.shell.currentWidget;
        const kernel = widget?.sessionContext?.session?.kernel;
        return kernel && kernel.connectionStatus === 'connected' && kernel.status === 'idle';
    }""")


def run_cell(page, index: int) -> None:
    """Runs cell ``index`` (from 0) and waits for it. Raises ``RuntimeError`` with the
    traceback's last line when it failed."""
    page.evaluate("""async index => {
        const { shell, commands } = window.jupyterapp;
        shell.currentWidget.content.activeCellIndex = index;
        shell.currentWidget.content.deselectAll();
        await commands.execute('notebook:run-cell');
    }""", index)
    wait_until_idle(page)
    error = page.evaluate("""index => {
        const outputs = window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs;
        for (let i = 0; i < outputs.length; i++) {
            const output = outputs.get(i).toJSON();
            if (output.output_type === 'error') return `${output.ename}: ${output.evalue}`;
        }
        return null;
    }""", index)
    if error:
        raise RuntimeError(f"cell {index} failed: {error}")


def cell(page, index: int):
    """Cell ``index`` of the current notebook, as a locator."""
    return page.locator(".jp-Notebook .jp-Cell").nth(index)


def cell_text(page, index: int) -> str:
    """The text that cell ``index`` printed."""
    return page.evaluate("""index => {
        const outputs = window.jupyterapp.shell.currentWidget.content.widgets[index].model.outputs;
        const texts = Array.from({ length: outputs.length }, (_, i) => outputs.get(i).toJSON().text ?? '');
        return texts.flat().join('');
    }""", index)


def cell_sources(page) -> list[str]:
    """The texts of the current notebook's cells, in order."""
    return page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
        .map(widget => widget.model.sharedModel.getSource())""")


def replace_in_cell(page, index: int, old: str, new: str) -> None:
    """Replaces the first ``old`` in cell ``index`` as somebody who types would: by a change of the shared text.
    Raises ``ValueError`` when it isn't there."""
    found = page.evaluate("""([index, old, text]) => {
        const shared = window.jupyterapp.shell.currentWidget.content.widgets[index].model.sharedModel;
        const at = shared.getSource().indexOf(old);
        if (at >= 0) shared.updateSource(at, at + old.length, text);
        return at >= 0;
    }""", [index, old, new])
    if not found:
        raise ValueError(f"{old!r} is not in cell {index}")


def execute(page, command: str, **arguments) -> None:
    """Runs a command of JupyterLab and waits for it."""
    page.evaluate("([id, args]) => window.jupyterapp.commands.execute(id, args).then(() => null)",
                  [command, arguments])


def activate_cell(page, index: int) -> None:
    """Makes cell ``index`` the active one, in command mode."""
    page.evaluate("""index => {
        const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.deselectAll();
        notebook.mode = 'command';
        notebook.activeCellIndex = index;
    }""", index)


def save_notebook(page) -> None:
    """Writes the current notebook to disk."""
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


def set_theme(page, theme: str) -> None:
    """Switches JupyterLab to ``"light"`` or ``"dark"`` and waits until it shows."""
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
    page.evaluate(change, THEMES[theme])
    page.wait_for_function("light => document.body.dataset.jpThemeLight === light",
                           arg="true" if theme == "light" else "false")
    page.wait_for_function("!document.querySelector('#jupyterlab-splash')")


def screenshot(target, name: str) -> Path:
    """Saves a picture of a page or locator as ``tests/artefacts/<name>.png``."""
    ARTEFACTS.mkdir(exist_ok=True)
    path = ARTEFACTS / f"{name}.png"
    target.screenshot(path=path)
    return path


# The text with the least contrast to what is behind it, as WCAG 2 counts it: [ratio, text]. A glyph without letters
# may have two thirds of what text needs. A canvas reads the colours.
CONTRAST = """view => {
    const context = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
        .getContext('2d', { willReadFrequently: true });
    const paint = colours => {
        context.clearRect(0, 0, 1, 1);
        for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = rgb => rgb.map(c => c / 255).map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
    let least = [99, ''];
    const texts = document.createTreeWalker(view, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const element = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim();
        if (!text || element.closest('option, title') || !element.checkVisibility()) continue;
        const behind = [];
        const style = getComputedStyle(element), colour = element.closest('svg') ? style.fill : style.color;
        for (let above = element; above; above = above.parentElement) {
            behind.unshift(getComputedStyle(above).backgroundColor);
        }
        const [a, b] = [light(paint(behind)), light(paint([...behind, colour]))];
        const needs = /[\\p{L}\\p{N}]/u.test(text) ? 1 : 2 / 3;
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) / needs;
        if (ratio < least[0]) least = [ratio, text];
    }
    return least;
}"""
READABLE = 4.5  # WCAG 2, level AA; 3 for graphics


def assert_readable(view, when: str = "") -> None:
    """Every text in ``view`` has the contrast that WCAG asks for to what is behind it."""
    contrast, text = view.evaluate(CONTRAST)
    assert contrast >= READABLE, f"{when}: {text!r} has a contrast of {contrast:.2f}"
