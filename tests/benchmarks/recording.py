"""What recording and analysing cost over the plain forward, and over torchinfo's summary."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Iterator

import torch
import torchinfo

from t2m_notebook.analysis import analyze
from t2m_notebook.capture import record

from .models import MODELS
from .timing import Line, milliseconds, ratio, side_by_side

RECORDING_GOALS = {"BERT-base 1×128": 1.25, "ResNet-50 1×3×224×224": 1.5}
ANALYZE_GOAL = 1.25
MEMORY_GOAL = 150.0


def lines(rounds: int = 15) -> Iterator[Line]:
    """Recording over forward, analyze over torchinfo, and memory, for each model."""
    for name, make in MODELS.items():
        model, args, kwargs = make()

        def forward(model=model, args=args):
            with torch.no_grad():
                return model(*args)

        def summary(model=model, args=args):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torchinfo.summary(model, input_data=list(args), verbose=0, depth=99)

        seconds = side_by_side({
            "forward": forward, "record": lambda m=model, a=args: record(m, a),
            "analyze": lambda m=model, a=args: analyze(m, a), "torchinfo": summary}, rounds)
        shown = {key: milliseconds(value) for key, value in seconds.items()}
        yield Line(f"{name}: recording / forward", ratio(seconds, "record", "forward"), RECORDING_GOALS[name],
                   f"{shown['record']} / {shown['forward']}")
        yield Line(f"{name}: analyze / torchinfo.summary", ratio(seconds, "analyze", "torchinfo"), ANALYZE_GOAL,
                   f"{shown['analyze']} / {shown['torchinfo']}")
        yield Line(f"{name}: extra memory of recording", _extra_memory(forward, lambda m=model, a=args: record(m, a)),
                   MEMORY_GOAL, "peak over that of the forward", " MB")


def _extra_memory(forward, recorded) -> float:
    forward(), recorded()  # what is allocated once and for all is no cost of a run
    plain, _ = _peak(forward)
    with_recording, kept = _peak(recorded)
    assert kept is not None
    return max(0.0, with_recording - plain)


def _peak(function) -> tuple[float, object]:
    """Megabytes by which the process grows at most while ``function`` runs."""
    done = threading.Event()
    started = _resident()
    highest = started

    def watch():
        nonlocal highest
        while not done.is_set():
            highest = max(highest, _resident())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = function()
    finally:
        highest = max(highest, _resident())
        done.set()
        watcher.join()
    return highest - started, result


def _resident() -> float:
    if sys.platform.startswith("linux"):
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 1e6
    import resource  # elsewhere the highest so far is the nearest thing

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
