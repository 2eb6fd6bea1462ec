"""%t2m_trace in a real IPython shell, and `t2m trace`."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook import cli
from t2m_notebook.capture.trace_result import Trace
from t2m_notebook.types import TraceData, from_json
from tests.shell_cells import run

MODELS = '''
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
    def forward(self, x):
        print("forward on stdout")
        return self.fc(x).t()

class Fails(Net):
    def forward(self, x):
        return self.fc(x) @ x

def net(): return Net().eval(), torch.ones(2, 4)
def fails(): return Fails().eval(), torch.ones(2, 4)
'''


class Turn(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x).t()


@pytest.fixture(scope="module")
def port():
    made = t2m.port(Turn().eval(), torch.ones(2, 4), name="turned")
    yield made
    made.close()


@pytest.fixture
def ip(shell, port):
    shell.reset(new_session=False)
    shell.user_ns.update(torch=torch, model=Turn().eval(), x=torch.ones(2, 4), p=port)
    return shell


def test_a_trace_is_shown_once_and_given_back(ip):
    captured, _ = run(ip, "tr = %t2m_trace model x")
    trace = ip.user_ns["tr"]
    assert isinstance(trace, Trace) and [row.op for row in trace] == ["torch.nn.Linear", "torch.Tensor.t"]
    shown = captured.stdout + "".join(str(output.data.get("text/plain", "")) for output in captured.outputs)
    assert shown.count("Turn · ") == 1 and "….t()" in shown and "view of #0" in shown
    _, result = run(ip, "%t2m_trace model x --no-values")
    assert all(row.summary is None for row in result.result)


def test_a_port_shows_both_sides(ip):
    _, result = run(ip, "%t2m_trace p")
    assert result.result.data.sides == ("torch", "mlx") and result.result[1].mlx is not None
    assert [row.status.value for row in result.result] == ["PROVEN", "PROVEN"]


def test_mistakes_are_told_in_a_line(ip):
    for line, words in (("%t2m_trace", "Say which model"), ("%t2m_trace x", "first argument has to be the model"),
                        ("%t2m_trace model x --novalues", "did you mean --no-values")):
        _, result = run(ip, line, succeeds=False)
        assert words in str(result.error_in_exec), line


def t2m_command(folder, monkeypatch, capsys, *words):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "trace_models.py").write_text(MODELS)
    code = cli.main(["trace", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_prints_the_table(tmp_path, monkeypatch, capsys):
    code, out, _ = t2m_command(tmp_path, monkeypatch, capsys, "trace_models:net")
    assert code == 0 and "….t()" in out and "forward on stdout" not in out
    code, out, _ = t2m_command(tmp_path, monkeypatch, capsys, "trace_models:net", "--json", "--module", "fc")
    data = from_json(TraceData, out)
    assert code == 0 and [row.module for row in data.rows] == ["fc"] and json.loads(out)["title"] == "Net"


def test_the_command_traces_a_port_and_tells_an_error(tmp_path, monkeypatch, capsys):
    code, out, _ = t2m_command(tmp_path, monkeypatch, capsys, "trace_models:net", "--port")
    assert code == 0 and "2 of 2 equal" in out and "self.fc(x)" in out
    code, out, _ = t2m_command(tmp_path, monkeypatch, capsys, "trace_models:fails")
    assert code == 1 and "self.fc(x) @ x" in out and "RuntimeError" in out
