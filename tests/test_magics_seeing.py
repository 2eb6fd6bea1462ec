"""%t2m_health, %t2m_memory and %%t2m_pending in a real IPython shell, and their verbs in a terminal."""

from __future__ import annotations

import json

import mlx.core as mx
import mlx.nn
import pytest
import torch
from torch import nn

from t2m_notebook import cli
from t2m_notebook.cell_numbers import number_cells
from t2m_notebook.types import from_json
from t2m_notebook.types.health import HealthReport
from t2m_notebook.types.memory import MemoryReport
from tests.shell_cells import run, text_of


class Logarithm(nn.Module):
    """Makes −Inf of zeros."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return torch.log(self.linear(x) * 0)


@pytest.fixture
def ip(shell):
    shell.reset(new_session=False)
    shell.user_ns.update(model=Logarithm().eval(), x=torch.ones(2, 4), layer=mlx.nn.Linear(4, 2), a=mx.ones((3, 4)),
                         mx=mx)
    return shell


MODEL = """class InACell(torch.nn.Module):
    def forward(self, x):
        return torch.log(x - x)
"""


@pytest.mark.parametrize(("name", "above"), [
    ("<ipython-input-{}-0c3d5f2a9b11>", 0), ("/tmp/ipykernel_71/26296163{}.py", 4)], ids=["terminal", "kernel"])
def test_a_line_of_a_notebook_is_told_by_its_cell(ip, name, above, monkeypatch) -> None:
    """The first is how a terminal names its cells, the second how a kernel does."""
    monkeypatch.setattr(ip.compile, "get_code_name", lambda raw, code, number: name.format(number))
    number_cells(ip)
    number = ip.execution_count
    ip.user_ns["torch"] = torch
    text_of(ip, "# a line above\n" * above + MODEL + "bad = InACell()")
    line = f"cell [{number}], line {above + 3}"
    for verb in ("trace", "health"):
        assert line in text_of(ip, f"%t2m_{verb} bad x"), verb
    assert f"cell [{number}], line {above + 2}" in ip.run_cell("%t2m_analyze bad x").result._repr_html_()
    assert line in text_of(ip, "%t2m_autograd bad x.clone().requires_grad_()")
    captured, _ = run(ip, "%t2m_analyze bad None", succeeds=False)
    assert line in captured.stdout and "ipykernel" not in captured.stdout


def test_health(ip) -> None:
    said = text_of(ip, "report = %t2m_health model x --backward")
    assert "torch.log made −Inf" in said and "first in the forward pass" in said
    assert isinstance(ip.user_ns["report"], HealthReport)
    assert "no NaN, no Inf" in text_of(ip, "%t2m_health layer a --backward")
    assert "MODEL [INPUT ...]" in text_of(ip, "%t2m_health --help")
    assert "Traceback" not in text_of(ip, "%t2m_health model torch", succeeds=False)


def test_health_and_memory_of_a_port(ip) -> None:
    text_of(ip, "p = %t2m_port model x --no-parity")
    assert "mx.log made −Inf" in text_of(ip, "%t2m_health p")
    assert "mlx" in text_of(ip, "%t2m_memory p --optimizer sgd")


def test_memory(ip) -> None:
    said = text_of(ip, "report = %t2m_memory model x")
    assert "optimizer state" in said and "measured" in said and "predicted" in said
    assert isinstance(ip.user_ns["report"], MemoryReport)
    assert "training" not in text_of(ip, "%t2m_memory model x --inference").split("module")[0].split("note")[0]
    assert "active before" in text_of(ip, "%t2m_memory layer a")


def test_pending(ip) -> None:
    said = text_of(ip, "%%t2m_pending\nfor i in range(20):\n    a = a * 2\nmade = 1")
    assert "20 rounds" in said and ip.user_ns["made"] == 1
    text_of(ip, "%%t2m_pending\n1 / 0", succeeds=False)
    assert type(mx.exp).__name__ == "nb_func"


@pytest.fixture
def models(tmp_path):
    file = tmp_path / "models.py"
    file.write_text("import torch\nfrom torch import nn\n"
                    "class Log(nn.Module):\n    def forward(self, x):\n        return torch.log(x * 0)\n"
                    "def bad(): return Log(), torch.ones(2, 3)\n"
                    "def good(): return nn.Linear(3, 2), torch.ones(2, 3)\n")
    return str(file)


def test_the_verbs_in_a_terminal(models, capsys) -> None:
    assert cli.main(["health", f"{models}:bad"]) == 1
    assert "torch.log made −Inf at models.py:5" in capsys.readouterr().out
    assert cli.main(["health", f"{models}:good", "--backward", "--json"]) == 0
    report = from_json(HealthReport, capsys.readouterr().out)
    assert report.ok and "backward" in report.phases
    assert cli.main(["memory", f"{models}:good", "--optimizer", "sgd", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["optimizer"] == "SGD" and {part["mode"] for part in data["parts"]} == {"inference", "training"}
    assert cli.main(["memory", f"{models}:good", "--optimizer", "nothing"]) == 2
    assert "no optimizer 'nothing'" in capsys.readouterr().err
