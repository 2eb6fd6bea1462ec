"""%t2m_autograd in a real IPython shell: names and lines from the cells, a port beside it, brief errors."""

from __future__ import annotations

import pytest
import torch

from tests.shell_cells import text_of

SETUP = ("a = torch.tensor(2., requires_grad=True)\nb = torch.tensor(3., requires_grad=True)\nc = a * b\nd = a + b\n"
         "e = c * d\nL = e**2")


@pytest.fixture
def ip(shell):
    shell.reset(new_session=False)
    shell.user_ns["torch"] = torch
    shell.run_cell(SETUP, store_history=True)
    return shell


def test_the_classic_example(ip) -> None:
    text = text_of(ip, "graph = %t2m_autograd L")
    for said in ("L = e²", "900 + 360 = 1260", "600 + 360 = 960", "(900, (1260, 960)) ✓"):
        assert said in text
    graph = ip.user_ns["graph"]
    assert [node.source for node in graph.nodes[:4]] == ["L = e ** 2", "e = c * d", "d = a + b", "c = a * b"]
    assert ip.user_ns["a"].grad is None
    text_of(ip, "L.backward()")
    assert ip.user_ns["a"].grad == 1260


def test_without_mlx(ip) -> None:
    assert "MLX" not in text_of(ip, "%t2m_autograd L --no-mlx")


def test_a_loss_and_its_port(ip) -> None:
    text_of(ip, "model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh()).eval()\nx = torch.ones(1, 2)\n"
            "p = %t2m_port model x --no-parity --no-cells\nloss = model(x).sum()")
    assert "2 of 2 gradients equal" in text_of(ip, "%t2m_autograd loss p")
    assert "2 of 2 gradients equal" in text_of(ip, "%t2m_autograd p")
    assert "fixed weight" in text_of(ip, "%t2m_autograd model x --no-mlx")
    ip.user_ns["p"].close()


@pytest.mark.parametrize(("line", "says"), [
    ("", "Say which loss"), ("3.0", "has to be a tensor, got float"), ("L.detach()", "does not require grad"),
    ("L c", "not a port"), ("L c d", "one word too many"), ("nothing", "name 'nothing' is not defined"),
    ("torch.ones(2, requires_grad=True)", "2 numbers, not one")])
def test_bad_lines_get_a_sentence(ip, line, says) -> None:
    text = text_of(ip, f"%t2m_autograd {line}", succeeds=False)
    assert says in text and "Traceback" not in text


def test_help(ip) -> None:
    assert "--no-mlx" in text_of(ip, "%t2m_autograd --help")
