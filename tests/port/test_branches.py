"""Forwards that take another path at another size: the saved port takes it too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from t2m_notebook.parity.process import worker_environment
from t2m_notebook.session import port

from .support import checks


class PadsIfNeeded(nn.Module):
    """Windows of four along a sequence, padded where the length is no multiple, cut back at the end."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, x):
        B, L, C = x.shape
        rest = L % 4
        if rest:
            x = F.pad(x, (0, 0, 0, 4 - rest), value=1.0)
        windows = x.view(B, -1, 4, C).transpose(2, 3)
        x = self.mix(windows).transpose(2, 3).reshape(B, -1, C)
        if rest:
            x = x[:, :L]
        return x + 1


class ShiftsIfLarger(nn.Module):
    """A decision that is kept in a number and asked again later."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(3)

    def forward(self, x):
        shift = 2
        if x.shape[1] <= 6:
            shift = 0
        y = torch.roll(x, -shift, 1) if shift > 0 else x
        y = self.norm(y).cumsum(1)
        if shift > 0:
            y = torch.roll(y, shift, 1)
        return x + y


class Chunked(nn.Module):
    """Long inputs go through in two halves."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        if x.shape[1] > 6:
            half = x.shape[1] // 2
            first, second = self.linear(x[:, :half]), self.linear(x[:, half:])
            return torch.cat([first.cumsum(1), second.cumsum(1)], 1)
        return self.linear(x).cumsum(1)


class ReturnsEarly(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        x = self.linear(x)
        if x.shape[1] == 1:
            return x
        return x - x.mean(1, keepdim=True)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x, mask=None):
        y = self.linear(x)
        if mask is not None:
            y = y * mask
        if y.size(1) > 6:
            y = y.flip(1).cumsum(1)
        return y


class BranchInAChild(nn.Module):
    """The child branches itself, and the parent hands it a mask or none."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Inner(), Inner()])

    def forward(self, x):
        mask = None
        if x.shape[1] > 6:
            mask = torch.arange(x.shape[1])[None, :, None] % 2
        for block in self.blocks:
            x = block(x, mask)
        return x


class ChoosesALayer(nn.Module):
    """Each path has weights of its own."""

    def __init__(self):
        super().__init__()
        self.short, self.long = nn.Linear(3, 5), nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5))

    def forward(self, x):
        return (self.long(x) if x.shape[1] > 6 else self.short(x)).tanh()


class BatchOfOne(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        y = self.linear(x)
        if x.shape[0] == 1:
            return y * 2
        return y - y.mean(0)


class PicksANumber(nn.Module):
    """No call differs, only a number: the larger of two."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        x = self.linear(x)
        missing = max(6 - x.shape[1], 0)
        return F.pad(x, (0, 0, missing, 0), value=0.5).cumsum(1)


class TwoSides(nn.Module):
    """Either side of an image may need padding."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 2, 2)

    def forward(self, x):
        H, W = x.shape[2:]
        if H % 2 or W % 2:
            x = F.pad(x, (0, W % 2, 0, H % 2), value=1.0)
            x = x * 2
        return self.conv(x)


CASES = {
    "pads if needed": (PadsIfNeeded, (2, 8, 4), [(3, 10, 4), (1, 13, 4), (2, 4, 4), (2, 3, 4), (1, 12, 4)]),
    "shifts if larger": (ShiftsIfLarger, (2, 5, 3), [(2, 6, 3), (1, 7, 3), (3, 20, 3)]),
    "in two halves": (Chunked, (2, 8, 3), [(2, 6, 3), (1, 7, 3), (3, 21, 3), (2, 3, 3)]),
    "returns early": (ReturnsEarly, (2, 8, 3), [(2, 1, 3), (1, 1, 3), (3, 2, 3), (1, 9, 3)]),
    "in a child": (BranchInAChild, (2, 5, 3), [(2, 6, 3), (1, 7, 3), (3, 19, 3)]),
    "another layer": (ChoosesALayer, (2, 5, 3), [(2, 6, 3), (1, 7, 3), (3, 19, 3)]),
    "a batch of one": (BatchOfOne, (2, 5, 3), [(1, 5, 3), (1, 2, 3), (4, 6, 3)]),
    "a number": (PicksANumber, (2, 8, 3), [(2, 6, 3), (1, 5, 3), (3, 2, 3)]),
    "two sides": (TwoSides, (2, 3, 8, 8), [(1, 3, 9, 8), (2, 3, 8, 11), (1, 3, 7, 5), (3, 3, 6, 6)]),
}

_AT_SIZES = """
import sys
from pathlib import Path
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "t2m_notebook", "numpy", "safetensors"):
            raise ImportError(f"the artefact imports {name}")
sys.meta_path.insert(0, Refuse())
import mlx.core as mx
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
from model import load
model, example = load(folder), mx.load(str(folder / "sizes.safetensors"))
for number in range(int(sys.argv[2])):
    got, want = model(example[f"in{number}"]), example[f"out{number}"]
    same = got.shape == want.shape and mx.abs(got - want).max().item() <= 1e-5 + 1e-4 * mx.abs(want).max().item()
    print("same" if same else f"differs: {got.shape} {want.shape}")
"""


def at_sizes(made, model, folder: Path, sizes) -> list[str]:
    """What the saved port gives at sizes that nobody recorded, in a child that knows mlx alone."""
    orders = [made.written.plan.orders[made.written.inputs[0][1]], made.written.plan.orders[made.written.outputs[0][1]]]
    values = {}
    for number, size in enumerate(sizes):
        x = torch.randn(size)
        with torch.no_grad():
            values[f"in{number}"] = x.permute(orders[0]).contiguous()
            values[f"out{number}"] = model(x).permute(orders[1]).contiguous()
    save_file(values, str(folder / "sizes.safetensors"))
    environment = {k: v for k, v in worker_environment().items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", _AT_SIZES, str(folder), str(len(sizes))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=120)
    assert done.returncode == 0, done.stderr[-2000:] + made.source
    return done.stdout.split("\n")[:-1]


@pytest.mark.parametrize("name", CASES)
def test_the_saved_port_takes_torchs_path_at_any_size(name, tmp_path):
    make, size, others = CASES[name]
    torch.manual_seed(0)
    model = make().eval()
    made = port(model, torch.randn(size))
    try:
        report = made.parity()
        assert made.problems == [] and report.ok, str(report) + made.source
        folder = made.save(str(tmp_path / "port"))
        assert at_sizes(made, model, folder, others) == ["same"] * len(others), made.source
        assert set(checks([folder]).values()) == {"passed"}
        stored = load_file(str(folder / "weights.safetensors"))
        assert sum(t.numel() for t in stored.values()) == sum(p.numel() for p in model.parameters())
    finally:
        made.close()
