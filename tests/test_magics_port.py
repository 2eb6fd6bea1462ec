"""%t2m_port and %t2m_parity in a real IPython shell: options, what they show and give, and brief errors."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from t2m_notebook.magic_line import split_words
from t2m_notebook.parity.report import ParityReport
from t2m_notebook.session import Port
from tests.shell_cells import completions, run


class Small(nn.Module):
    """A convolution, a norm, and dropout for train mode."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.conv(x))).mean((2, 3)))


class Odd(nn.Module):
    """Calls what MLX can't do."""

    def forward(self, x):
        return torch.special.bessel_j0(x)


@pytest.fixture
def ip(shell):
    shell.reset(new_session=False)
    shell.user_ns.update(torch=torch, nn=nn, model=Small().eval(), x=torch.randn(2, 3, 8, 8))
    return shell


@pytest.fixture(scope="module")
def port():
    """A port to share, not yet measured."""
    import t2m_notebook as t2m

    made = t2m.port(Small().eval(), torch.randn(2, 3, 8, 8), name="shared")
    yield made
    made.close()


def said(captured) -> str:
    """All the text that a cell put on the page."""
    return captured.stdout + "".join(str(output.data.get("text/plain", "")) for output in captured.outputs)


def test_a_port_is_shown_once_and_given_back(ip):
    captured, _ = run(ip, "p = %t2m_port model x")
    made = ip.user_ns["p"]
    assert isinstance(made, Port) and made.last_report.ok and made.name == "Small"
    shown = said(captured)
    assert shown.count("Small in MLX") == 1 and "✓ 4 of 4 proven" in shown and "other shapes" in shown
    assert made.progress is None  # a bar of an earlier cell isn't touched later
    captured, result = run(ip, "%t2m_parity")
    assert isinstance(result.result, ParityReport) and result.result is made.last_report
    assert "the model" in said(captured)
    captured, result = run(ip, "%t2m_parity p --no-isolate --no-vary")
    assert {one.path for one in result.result.results} == {""} and len(result.result.results) <= 2
    captured, _ = run(ip, "p")
    assert said(captured).count("Small in MLX") == 1
    made.close()


def test_options(ip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ip.user_ns["folder"] = tmp_path
    model = ip.user_ns["model"].train()
    run(ip, 'p = %t2m_port model x --eval --name=tiny --save (folder / "a b") --no-vary')
    made = ip.user_ns["p"]
    assert made.name == "tiny" and not model.training and made.summary.folder == str(tmp_path / "a b")
    assert not any(one.check.startswith("other") and "recorded" not in one.check for one in made.last_report.results)
    assert json.loads((tmp_path / "a b" / "manifest.json").read_text())["parity"]["ok"]
    run(ip, "report = %t2m_parity tiny --no-vary")  # by its name
    assert ip.user_ns["report"] is made.last_report
    captured, _ = run(ip, "q = %t2m_port model x --no-parity --save out")
    assert ip.user_ns["q"].last_report is None and "nothing here is proven before parity ran" in said(captured)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["parity"] == {"measured": False}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a b", "out"]
    made.close()


def test_what_could_not_be_ported_is_said(ip):
    ip.user_ns["odd"] = nn.Sequential(nn.Linear(4, 4), Odd()).eval()
    captured, _ = run(ip, "p = %t2m_port odd torch.randn(2, 4)")
    assert "not ported: Odd: torch.special.bessel_j0" in said(captured)
    assert not ip.user_ns["p"].last_report.ok
    ip.user_ns["p"].close()


@pytest.mark.parametrize(("line", "message"), [
    ("%t2m_port", "Say which model: %t2m_port model x"),
    ("%t2m_port model x --save", "--save needs a value: --save DIR"),
    ("%t2m_port model x --name --eval", "--name needs a value"),
    ("%t2m_port model x --eval=yes", "--eval takes no value"),
    ("%t2m_port model x --no-partiy", "did you mean --no-parity?"),
    ("%t2m_port model x --save (nothing)", "name 'nothing' is not defined"),
    ("%t2m_port model x --save {file}", "is a file; name a folder"),
    ("%t2m_port model x --save {full}", "holds other files and no port"),
    ("%t2m_port model x --save {file}/inside", "is a file, so"),
    ("%t2m_port model torch.randn(2, 5)", "Conv2d"),
    ("%t2m_parity model", "model is a Small, not a port"),
    ("%t2m_parity nothing", "name 'nothing' is not defined"),
    ("%t2m_parity a b", "takes one port; b is one word too many"),
])
def test_a_mistake_gets_one_message_without_a_traceback(ip, tmp_path, line, message):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").touch()
    line = line.format(file=full / "thesis.tex", full=full)
    captured, _ = run(ip, line, succeeds=False)
    text = captured.stdout + captured.stderr
    assert message in text and "Traceback" not in text and not captured.outputs
    assert list(full.iterdir()) == [full / "thesis.tex"]


def test_without_a_port_parity_says_how_to_make_one(ip):
    ip.magics_manager.registry["T2MMagics"].ports.last = None
    captured, _ = run(ip, "%t2m_parity", succeeds=False)
    assert "Make one: %t2m_port model x" in captured.stdout + captured.stderr


def test_an_interruption_starts_a_new_worker(ip, port, monkeypatch):
    ip.user_ns["p"] = port
    first = port.worker

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Port, "parity", interrupted)
    run(ip, "%t2m_parity p", succeeds=False)
    assert port.worker is not first and port.progress is None


def test_results_show_themselves_without_the_magics(port):
    bundle = port._repr_mimebundle_()
    assert bundle["text/plain"] == str(port) and bundle["text/html"] == port._repr_html_()
    assert "shared in MLX" in bundle["text/plain"] and "t2m-card" in bundle["text/html"]
    from rich.console import Console

    console = Console(width=100, record=True, file=open("/dev/null", "w"))
    with console.file:
        console.print(port)
    assert "shared in MLX" in console.export_text()


def test_help_and_completion(ip):
    captured, _ = run(ip, "%t2m_port --help")
    assert "--save DIR" in captured.stdout and "--no-parity" in captured.stdout and "MODEL" in captured.stdout
    captured, _ = run(ip, "%t2m_parity --help")
    assert captured.stdout.startswith("%t2m_parity [PORT]")
    assert "%t2m_port model x --no-parity" in completions(ip, "%t2m_port model x --no-pa")
    assert "p = %t2m_port model" in completions(ip, "p = %t2m_port mo")


def test_tab_offers_ports_to_parity(ip, port):
    ip.user_ns["ported"] = port
    assert completions(ip, "%t2m_parity ") == ["%t2m_parity ported"]


@pytest.mark.parametrize(("line", "words"), [
    ('model x --save "my models/out"', ["model", "x", "--save", '"my models/out"']),
    ('model --save="a b"', ["model", '--save="a b"']),
])
def test_quoted_values_stay_whole(line, words):
    assert split_words(line) == words
