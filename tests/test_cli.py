"""The `t2m` command: what it prints where, its exit codes, and one clear message for every mistake."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from t2m_notebook import __version__, cli
from t2m_notebook.errors import BadExample
from t2m_notebook.target import example_inputs
from t2m_notebook.types import AnalysisReport, from_json

ROOT = Path(__file__).resolve().parent.parent

MODELS = '''
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(100, 8)
        self.head = nn.Linear(8, 2)
    def forward(self, ids, mask=None):
        print("forward on stdout")
        x = self.embed(ids)
        return self.head(x if mask is None else x * mask[..., None])

def build():
    print("building on stdout")
    return Net()
def with_args(): return Net(), (torch.zeros(2, 3, dtype=torch.long),)
def with_tensor(): return Net(), torch.zeros(2, 3, dtype=torch.long)
def with_kwargs(): return Net(), (), {"ids": torch.zeros(2, 3, dtype=torch.long)}
def with_nothing(): return Net(), None, None
def needs_size(size): return Net()
def breaks(): raise ValueError("no such checkpoint")
def a_string(): return "model"
def too_many(): return Net(), (), {}, 4
def bad_kwargs(): return Net(), (), 4
class factory:
    @staticmethod
    def make(): return Net()
instance = Net()
'''


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A file of models, as a user would have it."""
    path = tmp_path_factory.mktemp("user") / "some_models.py"
    path.write_text(MODELS)
    return path


def t2m(*argv: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "t2m_notebook.cli", *argv], cwd=cwd, capture_output=True,
                          text=True, timeout=180, env={**os.environ, **environment})


# ------------------------------------------------------------------------------------- analyze


@pytest.mark.parametrize(("name", "options", "ran"), [
    ("build", ["--input", "2x3:int64"], True), ("with_args", [], True), ("with_tensor", [], True),
    ("with_kwargs", [], True), ("with_nothing", [], False), ("Net", [], False), ("factory.make", [], False),
    ("instance", ["--input", "ids=2x3:int64:0-99"], True),
    ("with_args", ["--input", "4x5:int64", "--input", "mask=4x5"], True),
    ("with_args", ["--input", "4x5:int64", "mask=4x5"], True),
])
def test_every_form_of_target(models, capsys, name, options, ran):
    assert cli.main(["analyze", f"{models}:{name}", "--json", *options]) == 0
    out, err = capsys.readouterr()
    report = from_json(AnalysisReport, out)
    assert report.root.class_name == "Net" and report.from_structure is not ran
    if "mask=4x5" in options:
        assert any("4×5 float32" in text for text in report.inputs)
    assert "on stdout" not in out


def test_input_before_the_target(models, capsys):
    assert cli.main(["analyze", "--input", "2x3:int64", f"{models}:build", "--json"]) == 0
    assert not json.loads(capsys.readouterr().out)["from_structure"]


def test_the_tree_and_its_depth(models, capsys):
    assert cli.main(["analyze", f"{models}:with_args"]) == 0
    whole = capsys.readouterr().out
    assert cli.main(["analyze", f"{models}:with_args", "--depth", "0"]) == 0
    top = capsys.readouterr().out
    assert "Embedding" in whole and "Embedding" not in top


def test_eval_mode_on_request(models, capsys):
    for option, training in (([], True), (["--eval"], False)):
        cli.main(["analyze", f"{models}:build", "--input", "2x3:int64", "--json", *option])
        assert json.loads(capsys.readouterr().out)["training"] is training


def test_a_module_of_the_current_folder(models):
    done = t2m("analyze", "some_models:with_args", "--json", cwd=models.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["root"]["class_name"] == "Net"


def test_json_alone_on_stdout(models):
    done = t2m("analyze", f"{models}:build", "--input", "2x3:int64", "--json")
    assert done.returncode == 0
    json.loads(done.stdout)
    assert "building on stdout" in done.stderr and "forward on stdout" in done.stderr


def test_a_reader_that_stops_is_no_error(models):
    command = f"{sys.executable} -m t2m_notebook.cli analyze {models}:with_args | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True,
                          timeout=180)
    assert "BrokenPipe" not in done.stderr and "Traceback" not in done.stderr


def test_a_terminal_gets_a_progress_bar_and_colours(models):
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "t2m_notebook.cli", "analyze", f"{models}:with_args"],
                               cwd=ROOT, stdout=child, stderr=child, stdin=subprocess.DEVNULL,
                               env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"})
    os.close(child)
    shown = b""
    while select.select([parent], [], [], 120)[0]:
        try:
            shown += os.read(parent, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
    os.close(parent)
    assert process.wait(30) == 0
    text = shown.decode()
    assert "Importing" in text and "━" in text and "\x1b[" in text and "Embedding" in text


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("target", "message"), [
    ("no_such_package.models:build", "There is no module 'no_such_package'"),
    ("json.nothing:build", "There is no module 'json.nothing'"),
    ("some/nothing.py:build", "There is no file some/nothing.py"),
    ("{models}:biuld", "has no 'biuld'. Did you mean build?"),
    ("torch.nn:Relu", "Did you mean ReLU"),
    ("torch.nn", "doesn't say which callable"),
    (":build", "doesn't say which callable"),
    ("{models}:needs_size", "needs arguments"),
    ("{models}:breaks", "raised ValueError: no such checkpoint"),
    ("{models}:a_string", "gave a str, not a torch.nn.Module"),
    ("{models}:too_many", "gave a tuple of 4"),
    ("{models}:bad_kwargs", "with kwargs a dict"),
    ("{models}:build --input 2x3", "Embedding"),  # floats where indices are wanted
    ("{models}:build --input idz=2x3:int64", "forward(ids, mask=None)"),
    ("{models}:build --input two", "--input two: not a shape"),
    ("{models}:build --input 2x3:int12", "int12"),
    ("{models}:build --input 2x3:int64:9-0", "the range 9-0 is empty"),
    ("{models}:build --input 99999x99999x9", "that is 89,998,200,009 numbers"),
    ("{models}:build --input ids=2:int64 ids=2:int64", "gives 'ids' twice"),
    ("--input 2x3", "Say what to analyse"),
    ("", "Say what to analyse"),
])
def test_a_mistake_gets_one_message(models, capsys, target, message):
    code = cli.main(["analyze", *target.format(models=models).split()])
    out, err = capsys.readouterr()
    assert code == 2
    assert message in err and err.count("t2m: ") == 1
    assert "Traceback" not in err and out == ""


def test_a_module_whose_own_import_fails(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("needs_more.py").write_text("import a_package_that_is_not_here\n")
    assert cli.main(["analyze", "needs_more:build"]) == 2
    assert "it needs the module 'a_package_that_is_not_here'" in capsys.readouterr().err
    Path("broken.py").write_text("1 / 0\n")
    assert cli.main(["analyze", "broken.py:build"]) == 2
    assert "Importing broken.py failed: ZeroDivisionError" in capsys.readouterr().err


def test_debug_shows_the_traceback(models, capsys):
    assert cli.main(["analyze", f"{models}:breaks", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and err.rstrip().endswith("t2m: " + err.rstrip().rsplit("t2m: ", 1)[1])


def test_our_own_faults_are_called_that(models, capsys, monkeypatch):
    def broken(*_, **__):
        raise KeyError("inner")

    monkeypatch.setattr("t2m_notebook.session.analyze", broken)
    assert cli.main(["analyze", f"{models}:build"]) == 3
    err = capsys.readouterr().err
    assert "fault of t2m itself" in err and "--debug" in err and "Traceback" not in err


def test_interrupting(models, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("t2m_notebook.session.analyze", interrupted)
    assert cli.main(["analyze", f"{models}:build"]) == 130
    assert capsys.readouterr().err.endswith("t2m: Interrupted.\n")


# ------------------------------------------------------------------------------------ --input


def test_input_specifications():
    (image, ids, half, one, flags), named = example_inputs(
        ["1x3x8x8", "2x12:int64:5-7", "2x4:float16", "scalar:int64:3-3", "4:bool", "mask=2x12",
         "u=500:float32:-2-1"])
    assert image.shape == (1, 3, 8, 8) and image.dtype == torch.float32
    assert ids.shape == (2, 12) and ids.dtype == torch.int64 and set(ids.unique().tolist()) <= {5, 6, 7}
    assert half.dtype == torch.float16 and one.shape == () and one.item() == 3 and flags.dtype == torch.bool
    assert named["mask"].shape == (2, 12)
    assert -2 <= named["u"].min() < -1 and 0 < named["u"].max() <= 1


def test_inputs_are_the_same_every_time():
    specifications = ["3x4", "5:int64"]
    first, second = example_inputs(specifications)[0], example_inputs(specifications)[0]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("text", ["", "x", "1x", "1x2:", "1x2:int64:3", "=3", "a b=3", "1.5x2", "-1x2",
                                  "2x3:int64:1.5-2"])
def test_a_bad_specification(text):
    with pytest.raises(BadExample):
        example_inputs([text])


# --------------------------------------------------------------------------------------- rest


def test_version_and_help_need_no_torch():
    code = "import sys; from t2m_notebook import cli\ntry: cli.main(['{}'])\nexcept SystemExit: pass\n" \
           "assert 'torch' not in sys.modules and 'rich' not in sys.modules"
    for option in ("--version", "--help"):
        done = subprocess.run([sys.executable, "-c", code.format(option)], cwd=ROOT, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert ("analyze" if option == "--help" else __version__) in done.stdout


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["analyze", "x:y", "--nonsense"]])
def test_bad_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err
