"""%%t2m_cell, %t2m_save and --notebook in a real IPython shell: verdicts are shown, mistakes are told briefly."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
import torch
from torch import nn

from t2m_notebook import notebook as notebooks
from t2m_notebook.cell_source import cell_text, class_of_cell, fingerprint
from t2m_notebook.errors import CannotSave
from t2m_notebook.magics_cells import T2MCellMagics
from t2m_notebook.port_notebook import write_notebook
from t2m_notebook.render.cell_check import check_html, check_text, counted_from_magic
from t2m_notebook.setup_history import cells_that_make, free_names
from t2m_notebook.types import CellCheck, Fix, Mark, WeightRow
from tests.shell_cells import run


class Gate(nn.Module):
    """A linear layer and an activation."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x):
        return torch.sigmoid(self.linear(x)) * x


class Pair(nn.Module):
    """Two gates."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Gate(6), Gate(6)

    def forward(self, x):
        return self.second(self.first(x))


@pytest.fixture(scope="module")
def session(shell):
    """A shell with a port named Pair, made once."""
    shell.reset(new_session=False)
    shell.user_ns.update(torch=torch, nn=nn, model=Pair().eval(), x=torch.randn(2, 6))
    run(shell, "p = %t2m_port model x --no-vary")
    yield shell
    shell.user_ns["p"].close()


@pytest.fixture
def ip(session):
    ports = session.magics_manager.registry["T2MCellMagics"].ports
    ports.last = session.user_ns["p"]
    for cell in session.user_ns["p"].cells.values():
        cell.reset()
    return session


def text_of(ip, class_name: str = "Gate") -> str:
    return ip.user_ns["p"].cells[class_name].generated


# ---------------------------------------------------------------------------- running a cell


def test_a_right_class_is_equal(ip):
    captured, result = run(ip, cell_text("Gate", text_of(ip)))
    assert result.result is None and len(captured.outputs) == 1
    data = captured.outputs[0].data
    assert data["text/plain"].startswith("✓ Gate · ") and "allowed" in data["text/plain"]
    assert "2 instances" in data["text/plain"] and "t2m-cell-check" in data["text/html"]
    assert not ip.user_ns["p"].cells["Gate"].edited


def test_a_wrong_class_is_shown_with_its_line_and_raises_nothing(ip):
    wrong = text_of(ip).replace("* x", "+ x")
    assert wrong != text_of(ip)
    captured, _ = run(ip, cell_text("Gate", wrong))
    data = captured.outputs[0].data
    line = next(n for n, text in enumerate(wrong.splitlines(), 2) if "+ x" in text)  # the magic line is 1
    assert data["text/plain"].startswith("✗ Gate") and f"line {line}" in data["text/plain"]
    assert "+ x" in data["text/plain"] and "<script" not in data["text/html"]
    assert ip.user_ns["p"].cells["Gate"].source.strip() == wrong.strip()
    captured, result = run(ip, "report = %t2m_parity Pair --no-vary")
    assert not ip.user_ns["report"].ok
    run(ip, cell_text("Gate", text_of(ip)))
    run(ip, "report = %t2m_parity Pair --no-vary")
    assert ip.user_ns["report"].ok


@pytest.mark.parametrize(("line", "said_of_it"), [
    ("return (", "was never closed"), ("return nowhere", "nowhere"), ("raise SystemExit(3)", "SystemExit"),
    ("import os; os._exit(5)", "worker process ended"),
])
def test_code_that_fails_is_shown_too(ip, line, said_of_it):
    head, mark, rest = text_of(ip).partition("def __call__(self, x):\n")
    captured, _ = run(ip, cell_text("Gate", f"{head}{mark}        {line}\n{rest}"))
    shown = captured.outputs[0].data["text/plain"]
    assert shown[0] in "✗!" and said_of_it in shown
    captured, _ = run(ip, cell_text("Gate", text_of(ip)))
    assert captured.outputs[0].data["text/plain"].startswith("✓ Gate")


def test_a_class_may_bring_helpers_of_its_own(ip):
    helper = "def gate(y, x):\n    return mx.sigmoid(y) * x\n\n\nclass Helper:\n    scale = 1\n\n\n"
    edited = text_of(ip).replace("mx.sigmoid(self.linear(x)) * x", "gate(self.linear(x), x) * Helper.scale")
    assert edited != text_of(ip)
    captured, _ = run(ip, cell_text("Gate", helper + edited))
    assert captured.outputs[0].data["text/plain"].startswith("✓ Gate")
    run(ip, "report = %t2m_parity Pair --no-vary")
    assert ip.user_ns["report"].ok


@pytest.mark.parametrize(("edit", "message"), [
    (lambda text: text.replace("class Gate(", "class Gatte("), "its text defines Gatte"),
    (lambda text: text + text.replace("* x", "- x"), "defined twice in this cell, on lines 2 and"),
    (lambda text: "pass", "not in this cell any more. %t2m_cell Gate --generated prints"),
    (lambda text: f"{text}\n%%t2m_cell Pair\nclass Pair(nn.Module):\n    pass", "Two cells are merged here"),
    (lambda text: text.replace("* x", "- x") + "\nclass Pair(nn.Module):\n    pass", "Pair has a cell of its own"),
])
def test_a_text_that_is_another_class_gets_one_message(ip, edit, message):
    captured, _ = run(ip, cell_text("Gate", edit(text_of(ip))), succeeds=False)
    text = captured.stdout + captured.stderr
    assert message in text and "Traceback" not in text and not captured.outputs
    run(ip, "report = %t2m_parity Pair --no-vary", succeeds=True)
    assert not ip.user_ns["report"].ok  # the cell holds no Gate: an older one must not be green in its place


@pytest.mark.parametrize(("head", "message"), [
    ("%%t2m_cell Gat", "The port Pair has no class Gat. Did you mean Gate?"),
    ("%%t2m_cell Transformer", "It has Gate, Pair."),
    ("%%t2m_cell", "Name one class: %%t2m_cell BasicBlock (the name is missing)"),
    ("%%t2m_cell Gate Pair", "Gate Pair is more than one name"),
    ("%%t2m_cell Gate --name Pear", "There is no port called Pear in this kernel. Did you mean Pair?"),
    ("%%t2m_cell Gate --nam Pair", "did you mean --name?"),
    ("%%t2m_cell Gate --name", "--name needs a value"),
])
def test_a_first_line_that_names_nothing_gets_one_message(ip, head, message):
    captured, _ = run(ip, f"{head}\n{text_of(ip)}", succeeds=False)
    text = captured.stdout + captured.stderr
    assert message in text and "Traceback" not in text


def test_without_a_port_it_says_how_to_make_one(ip):
    ip.magics_manager.registry["T2MCellMagics"].ports.last = None
    captured, _ = run(ip, cell_text("Gate", text_of(ip)), succeeds=False)
    assert "run %t2m_port model x first" in captured.stdout + captured.stderr


def test_two_ports_are_told_apart(ip):
    run(ip, "q = %t2m_port model x --no-vary --no-parity --name 'the other'")
    other = ip.user_ns["q"]
    wrong = text_of(ip).replace("* x", "- x")
    run(ip, cell_text("Gate", wrong, "Pair"))
    assert ip.user_ns["p"].cells["Gate"].edited and not other.cells["Gate"].edited
    run(ip, cell_text("Gate", wrong))  # without a name: the last port
    assert other.cells["Gate"].edited
    run(ip, cell_text("Gate", text_of(ip), "the other"))
    assert not other.cells["Gate"].edited
    other.close()


def test_a_fix_and_a_weight_without_a_match_are_shown():
    source = "\nclass Gate:\n    x = gelu(y)"
    weights = (WeightRow("w", (2, 3), "w", (3, 2), (0, 1), "float32", "shape"), WeightRow("b", (2,), "b", (2,)))
    fix = Fix("wrong activation", "torch has relu.", 3, 3, "    x = gelu(y)", "    x = relu(y)", 0.0)
    check = CellCheck("Gate", "diverges", "max|Δ| 1.0e-01 of 1.0e-04 allowed", 0.1, 1e-4, 2, 2, 3.0,
                      "Values part at line 3.", 3, (Mark(3, "Values part at line 3.", column=8, end_column=15),),
                      (fix,), weights)
    text, page = check_text(check, source), check_html(check, source)
    assert text.splitlines() == [
        "✗ Gate · max|Δ| 1.0e-01 of 1.0e-04 allowed · 2 instances · 3 ms", "  Values part at line 3.",
        "  line 3: x = gelu(y)", "  try: wrong activation: torch has relu. (max|Δ| 0 with it)", "    -     x = gelu(y)",
        "    +     x = relu(y)", "  weight w 2×3 → w 3×2: another shape"]
    assert "x = <u>gelu(y)</u>" in page and "1 weight without a match" in page and "w 2×3 → w 3×2" in page
    said = "stopped at line 3"
    stopped = CellCheck("Gate", "stopped", said, message=said, line=3, marks=(Mark(3, "m"),))
    assert counted_from_magic(stopped).message == "stopped at line 4" and counted_from_magic(stopped).marks[0].line == 4
    assert check_text(stopped, source).splitlines()[:2] == ["! Gate · stopped at line 3", "  line 3: x = gelu(y)"]


def test_names_and_source_are_escaped(ip):
    wrong = text_of(ip).replace("* x", "* x + len('<b>&')")
    captured, _ = run(ip, cell_text("Gate", wrong))
    page = captured.outputs[0].data["text/html"]
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page


# ---------------------------------------------------------------------------- the line magics


def test_what_was_edited_and_how_it_came(ip):
    captured, _ = run(ip, "%t2m_cell Gate")
    assert captured.stdout == "Gate is as it was generated.\n"
    run(ip, cell_text("Gate", text_of(ip).replace("* x", "- x")))
    captured, _ = run(ip, "%t2m_cell Gate --diff")
    assert "-        return" in captured.stdout and "+        return" in captured.stdout
    captured, _ = run(ip, "%t2m_cell Gate --generated")
    assert captured.stdout == text_of(ip)
    captured, _ = run(ip, "%t2m_cell Gate --torch")
    assert "return torch.sigmoid(self.linear(x)) * x" in captured.stdout
    captured, _ = run(ip, "%t2m_cell Gate --reset")
    assert cell_text("Gate", text_of(ip)) in captured.stdout and not ip.user_ns["p"].cells["Gate"].edited
    captured, _ = run(ip, "%t2m_cell Gat", succeeds=False)
    assert "Did you mean Gate?" in captured.stdout + captured.stderr
    captured, _ = run(ip, "%t2m_cell --help")
    assert "--generated" in captured.stdout and "%%t2m_cell BasicBlock" in captured.stdout


def test_save_takes_the_cells_as_they_are(ip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(ip, cell_text("Gate", text_of(ip).replace("class Gate(nn.Module):", "class Gate(nn.Module):\n    # mine")))
    captured, _ = run(ip, "%t2m_save out")
    assert captured.stdout == "Pair is saved in out.\n"
    assert "# mine" in (tmp_path / "out" / "model.py").read_text()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["parity"]["ok"]
    run(ip, cell_text("Gate", text_of(ip).replace("* x", "- x")))
    captured, _ = run(ip, "%t2m_save Pair 'a folder'")
    assert "saved in a folder. It differs from torch" in captured.stdout
    assert not json.loads((tmp_path / "a folder" / "manifest.json").read_text())["parity"]["ok"]
    for line, message in (("%t2m_save", "Name a folder"), ("%t2m_save Pear out", "Did you mean Pair?"),
                          ("%t2m_save a b c", "Name a folder"), ("%t2m_save out/model.py", "is a file")):
        captured, _ = run(ip, line, succeeds=False)
        assert message in captured.stdout + captured.stderr
    captured, _ = run(ip, "%t2m_save --help")
    assert "%t2m_save resnet out" in captured.stdout


def test_contradicting_options(ip):
    captured, _ = run(ip, "%t2m_port model x --cells --no-cells", succeeds=False)
    assert "contradict each other" in captured.stdout + captured.stderr


def test_loading_twice_changes_nothing(ip):
    magics = ip.magics_manager.registry["T2MCellMagics"]
    run(ip, "%reload_ext t2m_notebook")
    assert ip.magics_manager.registry["T2MCellMagics"] is magics and isinstance(magics, T2MCellMagics)


# ---------------------------------------------------------------------------- as a notebook file


PROGRAM = ["import torch\nfrom torch import nn",
           "from tests.test_magics_cells import Pair\ntorch.manual_seed(0)\nmodel = Pair()",
           "print('never mind')", "1 / 0", "model.eval()", "x = torch.randn(3, 6)", "broken ="]


@pytest.fixture
def typed(shell, tmp_path, monkeypatch):
    """A shell in which somebody typed the model, with mistakes on the way; gives it and the notebook's path."""
    shell.reset(new_session=True)
    monkeypatch.chdir(tmp_path)
    run(shell, "%load_ext t2m_notebook")
    for cell in PROGRAM:
        run(shell, cell, succeeds="1 / 0" not in cell and "broken" not in cell)
    yield shell, tmp_path / "port.ipynb"
    if "p" in shell.user_ns:
        shell.user_ns["p"].close()


def sources(path: Path) -> list[str]:
    return [cell.source for cell in notebooks.read(path).cells]


def test_a_notebook_runs_from_top_to_bottom_and_keeps_edits(typed):
    ip, path = typed
    run(ip, "p = %t2m_port model x --no-vary --notebook port.ipynb")
    made = ip.user_ns["p"]
    texts = sources(path)
    assert texts[0].startswith("# Pair in MLX")
    assert texts[1:6] == ["%load_ext t2m_notebook", PROGRAM[0], PROGRAM[1], PROGRAM[4], PROGRAM[5]]
    assert texts[6] == "p = %t2m_port model x"
    assert [class_of_cell(text) for text in texts[7:-1]] == ["Gate", "Pair"]
    assert "%t2m_parity Pair" in texts[-1]

    executed = notebooks.execute(path)
    shown = [str(output) for cell in executed.cells[7:] for output in cell.get("outputs", [])]
    assert "✓ Gate" in str(executed.cells[7].outputs) and "✓ Pair" in str(executed.cells[8].outputs)
    assert not any("'error'" in one for one in shown)

    # an edit stays, what was not edited follows, what is missing comes back
    book = notebooks.read(path)
    mine = book.cells[7].source.replace("* x", "- x")
    book.cells[7].source = mine
    del book.cells[8]
    book.cells.append(nbformat.v4.new_code_cell("print('my own')"))
    nbformat.write(book, path)
    assert made.notebook(path) == path
    again = sources(path)
    assert again == [*texts[:7], mine, *texts[8:], "print('my own')"]
    executed = notebooks.execute(path)
    assert "✗ Gate" in str(executed.cells[7].outputs)
    assert "1 class" not in str(executed.cells[7].outputs) and "'error'" not in str(executed.cells[7].outputs)


def test_without_a_history_the_first_cell_is_to_be_filled_in(typed, tmp_path):
    ip, _ = typed
    run(ip, "p = %t2m_port model x --no-vary --no-parity")
    made = ip.user_ns["p"]
    path = write_notebook(made, tmp_path / "other.ipynb", setup=["# nothing"])
    assert sources(path)[2] == "# nothing"
    ip.user_ns.pop("model")
    ip.magics_manager.registry["T2MCellMagics"].ports.add(made)
    path = made.notebook(tmp_path / "third.ipynb")
    assert sources(path)[2].startswith("# FILL IN") and "%t2m_port model x" in sources(path)[3]
    assert "fill-in" in notebooks.read(path).cells[2].metadata["tags"]


def test_names_that_no_cell_made_are_imported(typed, tmp_path):
    ip, _ = typed
    ip.user_ns["Twin"] = Pair  # a startup file, say
    run(ip, "twin = Twin().eval()")
    run(ip, "p = %t2m_port twin (x + 1) --no-vary --no-parity --name twin")
    path = ip.user_ns["p"].notebook(tmp_path / "twin.ipynb")
    texts = sources(path)
    assert texts[2] == "from tests.test_magics_cells import Pair as Twin"
    assert texts[-4] == "p = %t2m_port twin (x + 1) --name twin"


def test_another_file_is_never_overwritten(typed, tmp_path):
    ip, path = typed
    run(ip, "p = %t2m_port model x --no-vary --no-parity")
    made = ip.user_ns["p"]
    for name, content in (("thesis.ipynb", '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'),
                          ("text.ipynb", "no notebook"), ("port.txt", "")):
        (tmp_path / name).write_text(content)
        with pytest.raises(CannotSave):
            made.notebook(tmp_path / name)
        assert (tmp_path / name).read_text() == content
    with pytest.raises(CannotSave, match="can't be written"):
        made.notebook(tmp_path / "no folder" / "port.ipynb")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["port.txt", "text.ipynb", "thesis.ipynb"]


# ---------------------------------------------------------------------------- texts


def test_the_history_is_cut_to_what_makes_the_names():
    history = ["", "import torch", "a = torch.ones(3)", "b = 2", "def f(n):\n    return n * b", "c = f(a)", "print(c)",
               "c += 1", "%matplotlib inline", "d = !ls", "c = f(", "%load_ext t2m_notebook\ne = 5",
               "q = %t2m_port c e", "%%t2m_cell C\nc = 1"]
    cells, missing = cells_that_make({"c"}, history)
    assert cells == ["import torch", "a = torch.ones(3)", "b = 2", "def f(n):\n    return n * b", "c = f(a)", "c += 1"]
    assert missing == set()
    assert cells_that_make({"e"}, history) == (["e = 5"], set())
    assert cells_that_make({"nobody"}, history) == ([], {"nobody"})
    assert cells_that_make({"model"}, ["model = Net()", "model = Net()", "model.eval()"]) == (
        ["model = Net()", "model.eval()"], {"Net"})
    assert free_names("torch.ones(n)[i for i in x]") == set() and free_names("f(x, y=z)") == {"f", "x", "z"}


def test_the_mark_of_a_text_ignores_what_an_editor_adds_at_its_end():
    text = cell_text("Gate", "class Gate:\n    pass\n\n")
    assert text == "%%t2m_cell Gate\nclass Gate:\n    pass"
    assert fingerprint(text) == fingerprint(text + "\n \n") != fingerprint(" " + text)
    assert class_of_cell(text) == "Gate" and class_of_cell("x = 1\n%%t2m_cell Gate") is None
    assert cell_text("Gate", "x", "my net").startswith("%%t2m_cell Gate --name 'my net'\n")
