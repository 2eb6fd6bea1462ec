"""Every kind of model in ``kinds.py`` comes out equal to torch: module by module, end to end,
at other sizes, and as a saved artefact in a process without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import t2m_notebook as t2m
from t2m_notebook.parity.process import worker_environment
from tests.port.kinds import KINDS, build

LENGTHS = {"steps_through_time", "attending_decoder", "convolutional_memory", "rotary_complex"}


@pytest.mark.parametrize("name", KINDS)
def test_port_equals_torch(name, tmp_path):
    port = t2m.port(*build(name))
    try:
        assert port.problems == []
        report = port.parity()
        assert report.ok, str(report)
        if name in LENGTHS:
            assert any(result.check.startswith("other length") for result in report.results), str(report)
        folder = port.save(tmp_path / "port")
    finally:
        port.close()
    environment = {k: v for k, v in worker_environment().items() if k != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-P", str(folder / "check.py")], capture_output=True, text=True,
                          env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_loop_over_time_stays_a_loop():
    port = t2m.port(*build("steps_through_time"))
    port.close()
    assert "for t in range(x.shape[1]):" in port.cells["StepsThroughTime"].source


def test_tied_weights_are_saved_once():
    port = t2m.port(*build("cached_decoder"))
    port.close()
    assert "embedding.weight" in port.weights and "head.weight" not in port.weights
    tied = next(r for r in port.receipts if r.source == "head.weight")
    assert tied.target is None and "embedding.weight" in tied.reason
