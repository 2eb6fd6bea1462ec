"""The notebooks: clean in the repository, running from top to bottom, readable as a page without a kernel."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from t2m_notebook import notebook as notebooks

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
ALL = sorted(path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)


def test_there_is_a_quickstart():
    assert FOLDER / "quickstart.ipynb" in ALL


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean(path):
    notebook = notebooks.read(path)
    assert notebook == notebooks.without_outputs(notebook)
    code = "".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "/home/" not in code and "/root/" not in code


@pytest.fixture(scope="module")
def quickstart():
    stages = []
    executed = notebooks.execute(FOLDER / "quickstart.ipynb", progress=lambda *stage: stages.append(stage))
    return executed, stages


def data_of(executed) -> list[dict]:
    """Every rich output of an executed notebook, in order."""
    return [output.data for cell in executed.cells for output in cell.get("outputs", []) if "data" in output]


def test_the_quickstart_shows_a_tree_for_every_model(quickstart):
    executed, stages = quickstart
    static = [data for data in data_of(executed) if "t2m-twin" in data.get("text/html", "")]
    names = ["ResNet", "ResNet", "ResNet", "BertModel", "LlamaForCausalLM", "TransformerEncoder"]
    for name, data in zip(names, static, strict=True):
        assert name in data["text/html"] and name in data["text/plain"]
    assert sum(notebooks.WIDGET in data for data in data_of(executed)) == len(names)  # and each has a live one
    assert stages[-1][1] == stages[-1][2] == sum(cell.cell_type == "code" for cell in executed.cells)


def test_the_quickstart_ports_the_resnet(quickstart):
    executed, _ = quickstart
    cards = [data["text/plain"] for data in data_of(executed) if "t2m-card" in data.get("text/html", "")]
    assert [card.split()[0] for card in cards] == ["ResNet", "ResNet", "TransformerEncoder"]
    assert all("proven" in card and "✗" not in card for card in cards)
    printed = "".join(output.text for cell in executed.cells for output in cell.get("outputs", [])
                      if output.output_type == "stream")
    assert "class BasicBlock(nn.Module):" in printed and "weights.safetensors" in printed


def test_the_quickstart_prints_nothing_unexpected(quickstart):
    executed, _ = quickstart
    errors = [output for cell in executed.cells for output in cell.get("outputs", [])
              if output.output_type == "error" or output.get("name") == "stderr"]
    assert errors == []


def test_the_page_needs_no_kernel_and_no_network(quickstart, tmp_path):
    page = notebooks.write_html(quickstart[0], tmp_path / "sub" / "page.html")
    text = page.read_text(encoding="utf-8")
    assert "LlamaForCausalLM" in text
    assert 'src="http' not in text and 'href="http' not in text and notebooks.WIDGET not in text
    assert not re.search(r"<script[^>]*\ssrc=", text)


@pytest.mark.browser
def test_the_page_in_a_browser(quickstart, tmp_path, page):
    path = notebooks.write_html(quickstart[0], tmp_path / "page.html")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.get_by_text("BertEncoder").count() >= 1
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_a_failing_cell_is_named(tmp_path):
    bad = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1"),
                                          nbformat.v4.new_code_cell("x / 0")])
    nbformat.write(bad, tmp_path / "bad.ipynb")
    with pytest.raises(notebooks.NotebookFailed, match="bad.ipynb, code cell 2 raised ZeroDivisionError"):
        notebooks.execute(tmp_path / "bad.ipynb")
