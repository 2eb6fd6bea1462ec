"""Notebooks as files: execute one, write it as HTML, strip what running left behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .errors import T2MError

SECONDS_PER_CELL = 600
_EMPTY_SCRIPT = re.compile(r"""<script\s+src=(""|'')\s*>\s*</script>""")  # a library that was left out
WIDGET = "application/vnd.jupyter.widget-view+json"


class NotebookFailed(T2MError):
    """A cell of an executed notebook raised; the message has the cell and the error."""


def execute(path: str | Path, *, progress: Callable[[str, int, int], None] | None = None,
            folder: str | Path | None = None) -> NotebookNode:
    """The notebook at ``path``, run from top to bottom in a fresh kernel; the file stays as it is.

    Cells run in the notebook's own folder unless ``folder`` says otherwise.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    path = Path(path)
    notebook = read(path)
    code_cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    finished = 0

    def cell_finished(cell: NotebookNode, **_) -> None:
        nonlocal finished
        finished += cell.cell_type == "code"
        if progress is not None:
            progress(f"Running {path.name}", finished, code_cells)

    client = NotebookClient(notebook, timeout=SECONDS_PER_CELL, kernel_name="python3",
                            resources={"metadata": {"path": str(folder or path.resolve().parent)}},
                            on_cell_executed=cell_finished, extra_arguments=["--log-level=ERROR"])
    client.comm_open_handlers["t2m_notebook"] = lambda message: None  # live cells: there is nobody to edit them
    try:
        client.execute()
    except CellExecutionError as error:
        raise NotebookFailed(f"{path.name}, code cell {finished} raised {error.ename}: {error.evalue}\n"
                             f"{error.traceback}") from error
    except DeadKernelError as error:
        raise NotebookFailed(f"{path.name}: the kernel died in code cell {finished + 1}.") from error
    return notebook


def read(path: str | Path) -> NotebookNode:
    """The notebook at ``path``, checked against the format."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def write_html(notebook: NotebookNode, path: str | Path) -> Path:
    """Writes ``notebook`` with its outputs as one HTML page that needs no network, and returns its path."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(embed_images=True, mathjax_url="", require_js_url="", jquery_url="")
    page, _ = exporter.from_notebook_node(_with_static_outputs(notebook))
    page = _EMPTY_SCRIPT.sub("", page)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _with_static_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy in which widgets gave way to their HTML: a page without a kernel would show nothing of them."""
    static = nbformat.from_dict(notebook)
    static.metadata.pop("widgets", None)
    for cell in static.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data.pop(WIDGET, None)
    return static


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy as it should be committed: no outputs, counts, widget state or kernel details."""
    clean = nbformat.from_dict(notebook)
    for cell in clean.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = NotebookNode(tags=tags) if tags else NotebookNode()
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    clean.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"})
    return clean
