"""What every test stands on: an offline, quiet, reproducible process, and the browser where one is.

Nothing here imports torch or MLX, so that a test of texts starts at once.
"""

from __future__ import annotations

import atexit
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Set before anything imports the libraries that read them.
os.environ["MLX_ENABLE_TF32"] = "0"  # else matrix products on a GPU are rounded to 10 bits
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that would download something fails instead
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Kernels and other child processes find the package whether it is installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
# The user's own Jupyter and IPython settings have no say in the tests.
_SETTINGS = tempfile.mkdtemp(prefix="t2m-tests-")
atexit.register(shutil.rmtree, _SETTINGS, ignore_errors=True)  # after IPython's own, registered later
for _name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
              "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"):
    os.environ[_name] = str(Path(_SETTINGS, _name.lower()))
    Path(os.environ[_name]).mkdir()
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                      "--disable-background-networking", "--disable-component-update", "--disable-sync")


def chromium_environment() -> dict[str, str]:
    """The environment without a preloaded BLAS, whose threads keep Chromium's processes from starting."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def find_chromium() -> str | None:
    """The browser for the tests: $CHROMIUM, the system's, or the one that playwright brought."""
    for name in (os.environ.get("CHROMIUM", ""), *CHROMIUM_NAMES):
        if name and (path := shutil.which(name)):
            return path
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as play:
        path = play.chromium.executable_path
    return path if os.path.exists(path) else None


def can_install_packages() -> bool:
    """Whether `make test` could have installed the browser here."""
    script = ROOT / ".ci" / "as-root"
    return script.exists() and subprocess.run([script, "apt-get", "--version"], capture_output=True,
                                              cwd=ROOT).returncode == 0


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Each test draws the same numbers whatever ran before it, in whichever process."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if "mlx.core" in sys.modules:
        sys.modules["mlx.core"].random.seed(0)


@pytest.fixture(scope="module")
def shell() -> Iterator:
    """An IPython shell with the extension loaded, as a terminal has it."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.colors = "nocolor"
    result = shell.run_cell("%load_ext t2m_notebook")
    assert result.success, result.error_in_exec
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium. Skips where there is none; in CI fails if it could have been installed."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI") and can_install_packages():
            pytest.fail("Chromium is missing although it can be installed here; run `make test`.")
        pytest.skip("no Chromium; install it, or run `make test`, which does where it may")
    return path


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator:
    """A headless Chromium, one for the whole run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        running = play.chromium.launch(executable_path=chromium, headless=True, args=list(CHROMIUM_ARGUMENTS),
                                       env=chromium_environment())
        yield running
        running.close()


@pytest.fixture
def page(browser) -> Iterator:
    """A fresh page; the test fails if the page logged an uncaught error."""
    context = browser.new_context(viewport={"width": 1400, "height": 950})
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert not problems, f"uncaught errors in the page: {problems}"


@pytest.fixture
def needs_dot() -> str:
    """The path of graphviz's `dot`, or a skip."""
    path = shutil.which("dot")
    if path is None:
        pytest.skip("graphviz's `dot` is not installed")
    return path
