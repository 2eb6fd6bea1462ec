"""Every kind of model in ``kinds.py`` comes out equal to torch: module by module, end to end,
at other sizes, and as a saved artefact in a process without torch."""

from __future__ import annotations

import subprocess
import sys

import mlx.core as mx
import numpy as np
import pytest
import torch

import t2m_notebook as t2m
from t2m_notebook.parity.process import worker_environment
from tests.port.kinds import KINDS, build

LENGTHS = {"steps_through_time", "state_after_output", "repeated_rows", "positions_from_lists", "attending_decoder",
           "convolutional_memory", "rotary_complex"}


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


def test_a_state_that_the_last_step_leaves_unread_stays_in_the_loop():
    port = t2m.port(*build("state_after_output"))
    port.close()
    lines = [line.strip() for line in port.cells["StateAfterOutput"].source.splitlines()]
    start = lines.index("for t in range(x.shape[1]):")
    assert sorted(lines[start - 2:start]) == ["out = mx.zeros_like(x)", "state = mx.zeros_like(x[:, 0])"]
    assert lines[start + 1:] == [
        "now = x[:, t]", "out = set_item(out, (slice(None), t), mx.tanh(state + now))",
        "state = state * mx.exp(-self.decay) + now", "return out"]


def test_a_numbered_loop_over_rows_follows_the_batch():
    model, args, _ = build("repeated_rows")
    port = t2m.port(model, args)
    port.close()
    assert "in enumerate(zip(" in port.cells["RepeatedRows"].source
    made = port.build()
    for batch in (1, 2, 5):
        x, counts = torch.randn(batch, 6, 4), torch.randint(0, 5, (batch, 6))
        got = made(mx.array(x.numpy()), mx.array(counts.numpy()))
        torch.testing.assert_close(torch.from_numpy(np.array(got)), model(x, counts).detach(), atol=1e-5, rtol=1e-4)


def test_a_loop_over_the_experts_that_were_hit_follows_the_tokens():
    model, args, _ = build("experts_that_were_hit")
    port = t2m.port(model, args)
    port.close()
    assert "for " in port.cells["ExpertsThatWereHit"].source
    made = port.build()
    for shape in ((1, 1, 8), (2, 9, 8), (1, 2, 8)):  # one token chooses two experts, many choose all
        x = torch.randn(shape)
        want = model(x).detach()
        got = torch.from_numpy(np.array(made(mx.array(x.numpy()))))
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_tied_weights_are_saved_once():
    port = t2m.port(*build("cached_decoder"))
    port.close()
    assert "embedding.weight" in port.weights and "head.weight" not in port.weights
    tied = next(r for r in port.receipts if r.source == "head.weight")
    assert tied.target is None and "embedding.weight" in tied.reason
