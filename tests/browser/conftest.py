"""JupyterLab for a file's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.harness import lab


@pytest.fixture(scope="module")
def server(tmp_path_factory, chromium) -> Iterator[tuple[str, Path]]:
    """A running JupyterLab: its URL, and the folder of its notebooks. Pages of Notebook 7 are there, too."""
    folder = tmp_path_factory.mktemp("notebooks")
    with lab(folder, "--JupyterNotebookApp.expose_app_in_browser=True") as url:
        yield url, folder
