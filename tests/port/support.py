"""Small ports for the tests, and a child process that knows neither torch nor this package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from t2m_notebook.parity.process import worker_environment
from t2m_notebook.session import Port, port


class Net(nn.Module):
    """A convolution, a norm, a head behind a flatten; small enough to port in no time."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width * 4 * 4, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        x = nn.functional.max_pool2d(x, 2)
        return self.head(torch.flatten(x, 1))


def net() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = Net().eval()
    model.norm.running_mean.normal_()
    model.norm.running_var.uniform_(0.5, 2)
    return model, torch.randn(2, 3, 8, 8)


def ported(model: nn.Module, *args: Any, **kwargs: Any) -> Port:
    """The port of a model that must have no class left out."""
    made = port(model.eval(), args, kwargs)
    assert made.problems == []
    return made


def proven(model: nn.Module, *args: Any, **kwargs: Any) -> Port:
    """The port, measured equal."""
    made = ported(model, *args, **kwargs)
    try:
        report = made.parity()
        assert report.ok, str(report)
    finally:
        made.close()
    return made


def checks(folders: list[Path], timeout: float = 300) -> dict[str, str]:
    """Run each artefact's check.py in one child that can import neither torch nor t2m_notebook.
    Returns what each printed, with ``FAILED`` in front when it did not pass."""
    code = """
import contextlib, importlib.util, io, runpy, sys, traceback
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "t2m_notebook", "numpy", "safetensors"):
            raise ImportError(f"the artefact imports {name}")
sys.meta_path.insert(0, Refuse())
for folder in sys.argv[1:]:
    sys.modules.pop("model", None)
    before, out, code = list(sys.path), io.StringIO(), 1
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(folder + "/check.py", run_name="__main__")
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc(file=out)
    sys.path[:] = before
    bad = sorted({"torch", "t2m_notebook"} & {name.split(".")[0] for name in sys.modules})
    text = out.getvalue() + (f" loaded {bad}" if bad else "")
    print("@@@", folder, "passed" if code == 0 and not bad else "FAILED " + text, flush=True)
"""
    environment = {k: v for k, v in worker_environment().items() if k != "PYTHONPATH"}
    child = subprocess.run([sys.executable, "-c", code, *map(str, folders)], capture_output=True, text=True,
                           timeout=timeout, env=environment, cwd="/")
    assert child.returncode == 0, child.stderr[-2000:]
    found = {}
    for part in child.stdout.split("@@@ ")[1:]:
        folder, _, text = part.partition(" ")
        found[folder] = text.strip()
    return found


def planted(made: Port, change: Callable[[str], str]):
    """Parity of a port whose source text was changed before it is loaded."""
    changed = change(made.source)
    assert changed != made.source, "nothing was planted"
    made._sources[()] = changed
    try:
        return made.parity(vary=False)
    finally:
        made.close()
