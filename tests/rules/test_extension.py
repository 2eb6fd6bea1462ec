"""A person extends the rule book from a notebook or a package: a layer, an operation, an entry point."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import mlx.core
import pytest
import torch

import t2m_notebook as t2m
from t2m_notebook.errors import DuplicateRule
from t2m_notebook.rules import layer, mx, nn, op, op_rule, refuse, unregister


class ScaledLinear(torch.nn.Module):
    """A layer of somebody's own, which a rule maps as a whole."""

    def __init__(self, inputs: int, outputs: int, mode: str = "plain"):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(outputs, inputs) / 3)
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.mode = mode

    def forward(self, x):
        return torch.special.airy_ai(torch.zeros(())) * 0 + x @ self.weight.T + self.bias


class Net(torch.nn.Module):
    def __init__(self, mode: str = "plain"):
        super().__init__()
        self.first = ScaledLinear(4, 3, mode)

    def forward(self, x):
        return torch.relu(self.first(x))


@torch.library.custom_op("t2m_tests::soft_step", mutates_args=())
def soft_step(x: torch.Tensor, slope: float) -> torch.Tensor:
    return torch.sigmoid(x * slope)


class Stepped(torch.nn.Module):
    def forward(self, x):
        return soft_step(x, 2.0) + 1


@pytest.fixture
def scaled_linear_rule():
    @layer(ScaledLinear)
    def scaled_linear(m):
        """One line that the support table shows."""
        if m.mode != "plain":
            refuse("mode", m.mode, "build it with mode='plain'")
        return nn.Linear(m.weight.shape[1], m.weight.shape[0])
    yield
    unregister(ScaledLinear)


X = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))


def test_a_layer_rule_takes_effect_at_once(scaled_linear_rule):
    port = t2m.port(Net().eval(), X)
    assert "nn.Linear(4, 3)" in port.source and "airy" not in port.source
    assert port.parity().ok


def test_without_the_rule_the_layer_is_opened_and_refused():
    analysis = t2m.analyze(Net().eval(), X)
    assert "airy" in str(analysis.to_json())


def test_analyze_follows(scaled_linear_rule):
    assert "airy" not in str(t2m.analyze(Net().eval(), X).to_json())
    refused = str(t2m.analyze(Net("other").eval(), X).to_json())
    assert "mode" in refused and "mode='plain'" in refused


def test_a_custom_operation():
    before = str(t2m.analyze(Stepped().eval(), X).to_json())
    assert "soft_step" in before

    @op("t2m_tests.soft_step")
    def soft_step_rule(x, slope):
        return mx.sigmoid(x * slope)
    try:
        port = t2m.port(Stepped().eval(), X)
        assert "mx.sigmoid(x * 2.0)" in port.source
        assert port.parity().ok
        assert mlx.core.allclose(port.build()(mlx.core.zeros((1, 4))), mlx.core.full((1, 4), 1.5)).item()
    finally:
        unregister("t2m_tests.soft_step")


def test_a_rule_of_the_package_is_overridden_only_on_purpose():
    with pytest.raises(DuplicateRule, match="replace=True"):
        op("torch.softmax")(lambda x, dim: x)
    original = op_rule("torch.special.airy_ai")
    try:
        op("torch.special.airy_ai", replace=True)(lambda x: mx.zeros_like(x))
        assert op_rule("torch.special.airy_ai") is not original
    finally:
        op(original.name, layout=original.layout, replace=True)(original.emit)


def test_an_installed_package_ships_rules(tmp_path):
    """The entry point group t2m_notebook.rules names modules whose import registers rules."""
    (tmp_path / "some_rules.py").write_text(
        "from t2m_notebook.rules import mx, op\n"
        "@op('somelib.twice')\n"
        "def twice(x):\n    return x * 2\n")
    info = tmp_path / "some_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[t2m_notebook.rules]\nsome = some_rules\n")
    assert any(found.value == "some_rules" for found in importlib.metadata.Distribution.at(info).entry_points)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" \
           "from t2m_notebook.rules import op_rule\nprint(op_rule('somelib.twice').file)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert child.stdout.strip() == "some_rules", child.stderr
