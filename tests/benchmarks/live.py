"""From an edited cell to its badge, in a BERT-base-size model; a worker that ends, and the next one."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator

import torch
from transformers import BertConfig, BertModel

from t2m_notebook.errors import WorkerFailed
from t2m_notebook.parity.live_worker import LiveWorker
from t2m_notebook.session import Port, port

from .timing import Line

CLASSES = ("BertSelfAttention", "BertIntermediate", "BertLayer")


def lines(rounds: int = 15) -> Iterator[Line]:
    """What a check costs beside MLX's own work, at two depths; how long a new worker takes."""
    deep, shallow = _bert(12), _bert(2)
    try:
        found = {name: (_check(deep, name, rounds), _check(shallow, name, rounds)) for name in CLASSES}
        for name, ((over, own, total), (over_shallow, _, _)) in found.items():
            yield Line(f"{name}: edit to verdict − one run in MLX", over, 30.0,
                       f"{total:.1f} ms in all, {own:.1f} ms one run", "ms")
            yield Line(f"{name}: the same, 12 layers / 2 layers", over / over_shallow, None, "does not grow with depth")
        yield _crash(deep.live.worker, rounds)
        yield Line("first check of a session", _first(deep), None, "recording, files, worker", "ms")
    finally:
        deep.close()
        shallow.close()


def _bert(depth: int) -> Port:
    torch.manual_seed(0)
    model = BertModel(BertConfig(num_hidden_layers=depth)).eval()
    made = port(model, torch.randint(0, 30000, (1, 128)))
    made.live.start()
    return made


def _check(made: Port, name: str, rounds: int) -> tuple[float, float, float]:
    """Milliseconds of a check beyond one run of the class, of that run, and of all, each the median."""
    over, own, total = [], [], []
    source = made.cells[name].generated
    for number in range(rounds + 1):
        edited = source.replace("super().__init__()", f"super().__init__()  # {number}")
        started = time.perf_counter()
        answer = made.live.worker.request({"do": "edit", "class": name, "source": edited})
        seconds = time.perf_counter() - started
        assert answer["state"] == "proven", answer
        once = max(result["once_milliseconds"] for result in answer["results"])
        if number:
            total.append(1e3 * seconds)
            own.append(once)
            over.append(1e3 * seconds - once)
    return statistics.median(over), statistics.median(own), statistics.median(total)


def _crash(worker: LiveWorker, rounds: int) -> Line:
    """From the notice of a crash to the next process that takes requests."""
    ready = []
    for _ in range(min(rounds, 5)):
        worker.request({"do": "edit", "class": "", "source": ""})
        worker._warming.join()  # the spare stands ready, as after a second of typing
        os.kill(worker._ready._process.pid, signal.SIGKILL)
        try:
            worker.request({"do": "edit", "class": "", "source": ""})
        except WorkerFailed:
            started = time.perf_counter()
            spare = worker._take_spare()
            spare.request({"do": "ping"})
            ready.append(1e3 * (time.perf_counter() - started))
            worker._spare = spare
    return Line("a worker that was killed: crash to ready, warm spare", statistics.median(ready), 50.0, "", "ms")


def _first(made: Port) -> float:
    """Milliseconds of the first check in a session that has the port."""
    again = Port(made.recording, made.args, made.kwargs, example=made.example)
    started = time.perf_counter()
    assert again.check("BertLayer").ok
    seconds = time.perf_counter() - started
    again.close()
    return 1e3 * seconds
