"""From a live model to a proven artefact: time in forwards, memory in weights; then how fast the result runs."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .models import MODELS
from .timing import Line, milliseconds, ratio

BERT = "BERT-base 1×128"


def main(name: str, folder: str) -> None:
    """In a process of its own: port, prove, save; print seconds and megabytes as JSON."""
    import resource
    import statistics

    import torch

    from t2m_notebook.session import port

    model, args, kwargs = MODELS[name]()
    weights = sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6
    forwards = []
    with torch.no_grad():
        for _ in range(4):
            started = time.perf_counter()
            model(*args, **kwargs)
            forwards.append(time.perf_counter() - started)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    made = port(model, args, kwargs)
    written = time.perf_counter()
    report = made.parity()
    measured = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        made.save(folder)
    saved = time.perf_counter()
    worker = _peak_of(made.worker._process.pid)
    made.close()
    unit = 1e3 if sys.platform.startswith("linux") else 1e6  # kilobytes on Linux, bytes on a Mac
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({
        "forward": statistics.median(forwards[1:]), "seconds": saved - started, "ok": report.ok,
        "parts": {"port": written - started, "parity": measured - written, "save": saved - measured},
        "weights": weights, "peak": highest, "before": before / unit, "worker": worker}))


def _peak_of(process: int) -> float:
    """The most memory that another process held so far, in megabytes; 0 where that can't be asked."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), 0.0)


def lines(rounds: int = 15) -> Iterator[Line]:
    """Port each model, then time what came out."""
    with tempfile.TemporaryDirectory(prefix="t2m_bench_") as scratch:
        for number, name in enumerate(MODELS):
            folder = str(Path(scratch, str(number)))
            found = _child("tests.benchmarks.porting", name, folder)
            assert found["ok"], f"{name} was not proven"
            parts = ", ".join(f"{part} {seconds:.1f} s" for part, seconds in found["parts"].items())
            over = found["seconds"] - 5.0
            yield Line(f"{name}: (port, prove, save − 5 s) / torch forward", over / found["forward"],
                       10.0 if name == BERT else None, f"{found['seconds']:.1f} s ({parts}); forward "
                       f"{1e3 * found['forward']:.0f} ms")
            yield Line(f"{name}: peak memory of the session / weights", found["peak"] / found["weights"],
                       3.0 if name == BERT else None, f"{found['peak']:.0f} MB, {found['before']:.0f} MB before; "
                       f"worker {found['worker']:.0f} MB; weights {found['weights']:.0f} MB")
            timed = _child("tests.benchmarks.generated", folder, name, str(rounds))
            for how in ("eager", "compiled"):
                yield Line(f"{name}: generated / hand-written, {how}",
                           ratio(timed["seconds"], f"generated, {how}", f"hand-written, {how}"), 1.05,
                           f"{milliseconds(timed['seconds'][f'generated, {how}'])} / "
                           f"{milliseconds(timed['seconds'][f'hand-written, {how}'])}")
                if f"naive, {how}" in timed["seconds"]:
                    yield Line(f"{name}: naive with transposes / hand-written, {how}",
                               ratio(timed["seconds"], f"naive, {how}", f"hand-written, {how}"), None,
                               milliseconds(timed["seconds"][f"naive, {how}"]))
            yield Line(f"{name}: max|Δ| of the hand-written model, in 1e-4", 1e4 * timed["apart"]["hand-written"],
                       None, "that both compute the same")


def _child(module: str, *arguments: str) -> dict:
    from t2m_notebook.parity.process import worker_environment

    child = subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], env=worker_environment(),
                           stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(child.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
