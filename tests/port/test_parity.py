"""The comparison itself: a planted bug is found where it is, and nothing ends the session."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from t2m_notebook.errors import WorkerFailed
from t2m_notebook.parity.compare import compare
from t2m_notebook.parity.process import Worker
from t2m_notebook.types import ParityData, Status, from_json

from .support import net, planted, ported

HANG = "import time\ntime.sleep(60)"


@pytest.fixture(scope="module")
def worker():
    made = Worker(timeout=30)
    yield made
    made.close()


def load(worker: Worker, source: str, timeout: float | None = None) -> dict:
    return worker.request({"do": "load", "source": source + "\ndef load(folder): return None", "folder": "/"}, timeout)


@pytest.mark.parametrize(("source", "message"), [
    ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "SIGKILL: it was killed"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV: MLX read or wrote outside an array"),
    ("import os\nos.abort()", "SIGABRT: MLX aborted"), ("import os\nos._exit(3)", "ended with code 3")])
def test_a_crash_ends_only_the_worker(worker, source, message):
    with pytest.raises(WorkerFailed, match=message):
        load(worker, source)
    generation = worker.generation
    assert worker.request({"do": "ping"}) == {"ok": True}
    assert worker.generation == generation + 1  # what was loaded is gone, and that can be seen


def test_a_hang_is_stopped(worker):
    worker.request({"do": "ping"})
    with pytest.raises(WorkerFailed, match="took longer than 1 s and was stopped"):
        load(worker, HANG, timeout=1)
    assert worker.request({"do": "ping"}) == {"ok": True}


@pytest.mark.parametrize(("source", "error"), [
    ("import sys\nsys.exit(1)", "SystemExit: 1"), ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("1 / 0", "ZeroDivisionError"), ("def broken(:", "SyntaxError"),
    ("import torch_does_not_exist", "ModuleNotFoundError"),
    ("def f(): f()\nf()", "RecursionError")])
def test_an_error_is_an_answer(worker, source, error):
    worker.request({"do": "ping"})
    generation = worker.generation
    answer = load(worker, source)
    assert not answer["ok"] and error in answer["error"]
    assert worker.request({"do": "ping"}) == {"ok": True} and worker.generation == generation


@pytest.mark.parametrize("source", [
    "print('x' * 10_000_000)", "import sys\nfor i in range(100_000): print(i, file=sys.stderr)",
    "import os\nos.write(1, b'{\"ok\": false}\\n' * 10000)", "print('{\"ok\": false}', flush=True)",
    "import sys\nsys.stdout = None\nsys.stdin = None"])
def test_what_the_code_prints_disturbs_nothing(worker, source):
    assert load(worker, source)["ok"] is True
    assert worker.request({"do": "ping"}) == {"ok": True}


def test_the_worker_knows_no_torch(worker):
    answer = load(worker, "import sys\nassert 'torch' not in sys.modules, 'torch is loaded'")
    assert answer == {"ok": True}


def test_closing_ends_the_process_and_a_request_starts_it_again():
    worker = Worker()
    assert worker.request({"do": "ping"})["ok"]
    process = worker._process
    worker.close()
    worker.close()
    assert process.poll() is not None
    assert worker.request({"do": "ping"})["ok"]
    worker.close()


def test_a_worker_that_was_killed_from_outside(worker):
    worker.request({"do": "ping"})
    os.kill(worker._process.pid, 9)
    worker._process.wait(5)
    assert worker.request({"do": "ping"}) == {"ok": True}


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return torch.tanh(self.fc(x))


class Other(nn.Module):
    def forward(self, x):
        return x * 0.5 + torch.sigmoid(x)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = Inner(), Other(), Inner()

    def forward(self, x):
        return self.third(self.second(self.first(x)))


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.replace("mx.sigmoid(", "mx.tanh("), "max|Δ|"), (lambda s: s.replace("* 0.5", "* 0.50001"), None),
    (lambda s: s.replace("mx.sigmoid(x)", "mx.sigmoid(x)[0]"), None),
    (lambda s: s.replace("mx.sigmoid(x)", "mx.sigmoid(x).astype(mx.int32)"), None),
    (lambda s: s.replace("mx.sigmoid(", "mx.no_such("), "AttributeError"),
    (lambda s: s.replace("mx.sigmoid(x)", "mx.log(x - 1)"), "NaN or Inf")])
def test_a_planted_bug_is_found_in_its_module(change, message):
    torch.manual_seed(0)
    made = ported(Outer(), torch.randn(2, 4))
    report = planted(made, change)
    tiny = message is None and "0.50001" in change(made.source + "* 0.5")
    if tiny and report.ok:
        return  # inside the tolerance: not a difference
    wrong = {r.path for r in report.results if r.status is not Status.PROVEN and r.check == "module"}
    assert not report.ok and "second" in wrong and not wrong & {"first", "third", "first.fc"}
    assert report.first_divergence.startswith("second (Other)")
    assert message is None or message in report.first_divergence
    statuses = {node.path: node.status for node in report.tree.walk()}
    assert statuses["second"] is Status.DIVERGES and statuses["first"] is Status.PROVEN
    assert statuses[""] is Status.DIVERGES


@pytest.mark.parametrize("change", [
    lambda s: s.replace("mx.sigmoid(x)", "exit(3)"),
    lambda s: s.replace("mx.sigmoid(x)", "__import__('os').kill(__import__('os').getpid(), 11)")])
def test_generated_code_that_ends_its_process(change):
    made = ported(Outer(), torch.randn(2, 4))
    report = planted(made, change)
    statuses = {node.path: node.status for node in report.tree.walk()}
    assert statuses["second"] is Status.DIVERGES and statuses["first"] is statuses["third"] is Status.PROVEN


def test_a_source_that_does_not_load():
    made = ported(Outer(), torch.randn(2, 4))
    report = planted(made, lambda s: s + "\n)")
    assert not report.ok and report.results[0].check == "load" and "SyntaxError" in report.results[0].message


def test_the_report_is_json_both_ways():
    model, x = net()
    made = ported(model, x)
    report = made.parity()
    made.close()
    assert from_json(ParityData, report.to_json()) == report.data
    assert report.ok and report.counts["PROVEN"] == 4 and report.worst is not None
    assert {r.check.partition(":")[0] for r in report.results} >= {"module", "end to end", "other batch"}
    assert all(node.max_difference is not None for node in report.tree.walk())


def mlx_of(tensor: torch.Tensor):
    import mlx.core as mx
    if tensor.dtype == torch.bfloat16:
        return mx.array(tensor.float().numpy()).astype(mx.bfloat16)
    return mx.array(tensor.numpy())


@pytest.mark.parametrize(("got", "want", "ok"), [
    (torch.ones(3), torch.ones(3), True), (torch.ones(3) * 1.0001, torch.ones(3), True),
    (torch.ones(3) * 1.0002, torch.ones(3), False),
    (torch.ones(3) * (1 + 1e-3), torch.ones(3, dtype=torch.float16), True),
    (torch.ones(3) * 1.015, torch.ones(3, dtype=torch.bfloat16), True),
    (torch.ones(3) * 1.02, torch.ones(3, dtype=torch.bfloat16), False),
    (torch.ones(3), torch.ones(1, 3), False), (torch.ones(3), torch.ones(3, dtype=torch.int64), False),
    (torch.ones(3, dtype=torch.int32), torch.ones(3, dtype=torch.int64), True),
    (torch.tensor([1, 2]), torch.tensor([1, 3]), False), (torch.tensor([True]), torch.tensor([1]), False),
    (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
    (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("inf")]), False),
    (torch.tensor([1.0, -float("inf")]), torch.tensor([1.0, float("inf")]), False),
    (torch.tensor([1.0, float("nan")]), torch.tensor([float("nan"), 1.0]), False),
    (torch.ones(0, 3), torch.ones(0, 3), True),
    (torch.zeros(3) + 9e-6, torch.zeros(3), True), (torch.zeros(3) + 2e-5, torch.zeros(3), False),
    (torch.tensor([1 + 1j]), torch.tensor([1 + 1j]), True), (torch.tensor([1 + 1j]), torch.tensor([1 + 2j]), False)])
def test_the_tolerance(got, want, ok):
    verdict = compare(mlx_of(got), mlx_of(want))
    assert verdict["ok"] is ok and bool(verdict["message"]) is not ok


@pytest.mark.parametrize("got", [None, 3.0, "x"])
def test_something_that_is_no_array(got):
    verdict = compare(got, mlx_of(torch.ones(2)))
    assert not verdict["ok"] and type(got).__name__ in verdict["message"]
