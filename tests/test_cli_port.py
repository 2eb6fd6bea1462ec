"""`t2m port`, `t2m parity` and `t2m verify`: exit codes, JSON, and nothing half-written."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t2m_notebook import cli
from t2m_notebook.types import ParityData, PortSummary, from_json
from tests.test_cli import t2m

FILES = ["check.py", "example.safetensors", "manifest.json", "model.py", "weights.safetensors"]
MODELS = '''
import time
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)
    def forward(self, x):
        print("forward on stdout")
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))

class Odd(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)

class Slow(Net):
    def forward(self, x):
        time.sleep(0.5)
        return super().forward(x)

def net(): return Net().eval(), torch.ones(2, 3, 8, 8)
def bare(): return Net()
def odd(): return nn.Sequential(nn.Linear(4, 4), Odd()).eval(), torch.ones(2, 4)
def slow(): return Slow().eval(), torch.ones(2, 3, 8, 8)
'''


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A file of models, as a user would have it."""
    path = tmp_path_factory.mktemp("user") / "port_models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="module")
def saved(models, tmp_path_factory) -> tuple[Path, str, str]:
    """A port that the command wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("ports") / "deep" / "out"
    done = t2m("port", f"{models}:bare", "--input", "2x3x8x8", "--eval", "-o", str(folder), "--name", "tiny")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_port_is_measured_and_written(saved):
    folder, out, err = saved
    assert listing(folder) == FILES and listing(folder.parent) == ["out"]
    assert out.startswith("tiny in MLX") and f"saved in {folder}" in out and "✓ 3 of 3 proven" in out
    assert "forward on stdout" in err and "forward on stdout" not in out
    assert json.loads((folder / "manifest.json").read_text())["parity"]["ok"] is True


def test_writing_again_replaces_the_port(saved, models, capsys):
    folder, _, _ = saved
    before = (folder / "weights.safetensors").read_bytes()
    assert cli.main(["port", f"{models}:net", "-o", str(folder), "--no-vary", "--json"]) == 0
    summary = from_json(PortSummary, capsys.readouterr().out)
    assert summary.ok and summary.folder == str(folder) and summary.name == "Net"
    assert not any(one.check.startswith("other image") for one in summary.results)
    assert listing(folder) == FILES and (folder / "weights.safetensors").read_bytes() != before


def test_what_can_not_be_ported_is_written_with_exit_code_1(models, tmp_path, capsys):
    folder = tmp_path / "odd"
    assert cli.main(["port", f"{models}:odd", "-o", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "not ported: Odd: torch.special.bessel_j0" in out and listing(folder) == FILES
    done = t2m("verify", str(folder))
    assert done.returncode == 1 and "NotImplementedError" in done.stdout and "Traceback" not in done.stderr
    assert cli.main(["parity", f"{models}:odd", "--json"]) == 1
    assert not from_json(ParityData, capsys.readouterr().out).ok


def test_parity_prints_the_comparisons(models, capsys):
    assert cli.main(["parity", f"{models}:net"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Net · ✓ 3 of 3 proven") and "the model" in out and "end to end" in out
    assert cli.main(["parity", "--input", "1x3x9x9", f"{models}:bare", "--eval", "--json", "--no-vary"]) == 0
    assert from_json(ParityData, capsys.readouterr().out).ok


def test_verify_runs_the_check_with_mlx_alone(saved):
    folder, _, _ = saved
    done = t2m("verify", str(folder))
    assert done.returncode == 0 and done.stdout.endswith("equal to torch\n") and done.stderr == ""
    model = folder / "model.py"
    source = model.read_text()
    try:
        for change, message in ((source.replace("return self.head(", "return 2 * self.head("), "not equal to torch"),
                                ("import torch\n" + source, "The check could not run. ModuleNotFoundError"),
                                ("import t2m_notebook.session\n" + source, "The check could not run.")):
            assert change != source
            model.write_text(change)
            done = t2m("verify", str(folder))
            assert done.returncode == 1 and message in done.stdout, done.stdout
    finally:
        model.write_text(source)
    assert not list(folder.rglob("__pycache__"))


@pytest.mark.parametrize(("arguments", "message"), [
    ("port {models}:net -o {full}", "holds other files and no port"),
    ("port {models}:net -o {full}/thesis.tex", "is a file; name a folder"),
    ("port {models}:net -o {full}/thesis.tex/out", "is a file, so"),
    ("port {models}:bare -o {full}/new", "missing a required argument: 'x'"),
    ("port {models}:bare --input 2x5 -o {full}/new", "conv"),
    ("port {models}:nett -o {full}/new", "Did you mean"),
    ("port -o {full}/new", "Say what to port: t2m port"),
    ("parity", "Say what to measure: t2m parity"),
    ("verify {full}", "is no saved port"),
    ("verify {full}/nothing", "is no saved port"),
])
def test_a_mistake_gets_one_message(models, tmp_path, capsys, arguments, message):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").touch()
    code = cli.main(arguments.format(models=models, full=full).split())
    out, err = capsys.readouterr()
    assert code == 2 and message in err
    assert err.count("t2m: ") == 1 and "Traceback" not in err and out == ""
    assert listing(full) == ["thesis.tex"]


def test_a_folder_that_can_not_be_written_is_told_before_the_work(models, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_, **__: False)
    assert cli.main(["port", f"{models}:net", "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert "can't be written; name another folder" in err and "forward on stdout" not in err


def test_a_full_disk_is_told_in_one_message(models, tmp_path, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    artefact = importlib.import_module("t2m_notebook.port.artefact")  # by its path one would get the verb
    monkeypatch.setattr(artefact, "write_files", full)
    monkeypatch.setattr("t2m_notebook.session.Port.parity", lambda *_, **__: None)
    assert cli.main(["port", f"{models}:net", "-o", str(tmp_path / "out")]) == 2
    assert "No space left on device" in capsys.readouterr().err and listing(tmp_path) == []


@pytest.mark.parametrize("seconds", [0.3, 2.5])
def test_an_interruption_leaves_nothing_behind(models, tmp_path, seconds):
    process = subprocess.Popen([sys.executable, "-m", "t2m_notebook.cli", "port", f"{models}:slow", "-o",
                                str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               cwd=tmp_path.parent, env=dict(os.environ))
    assert process.stderr is not None
    while "forward on stdout" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    if process.returncode == 130:
        assert err.rstrip().endswith("t2m: Interrupted.") and "Traceback" not in err and listing(tmp_path) == []
    else:  # it had finished, and was leaving
        assert process.returncode in (0, -signal.SIGINT) and listing(tmp_path / "out") == FILES
    assert listing(tmp_path) in ([], ["out"])
