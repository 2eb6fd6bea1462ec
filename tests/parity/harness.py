"""Runs one class of a port with another text, in this process, as the live worker does in its own."""

from __future__ import annotations

import functools
import math
import tempfile
from pathlib import Path
from typing import Any

import t2m_notebook as t2m
from t2m_notebook.parity.cell_text import line_in, said
from t2m_notebook.parity.diagnosis import Case, Finding, Outcome, diagnose
from t2m_notebook.parity.edited import Bench
from t2m_notebook.parity.live_setup import live_setup, small_recording
from tests import zoo

from . import small_models

#: Far more than it takes, so that a loaded machine finds the same: speed is for the benchmarks.
SECONDS = 60.0


@functools.cache
def bench(name: str) -> Bench:
    """The port of a model of the zoo, or of ``small_models``, with its recorded values."""
    model, args, kwargs = zoo.build(name) if name in zoo.ZOO else small_models.build(name)
    made = t2m.port(model, args, kwargs)
    with tempfile.TemporaryDirectory(prefix="t2m_") as folder:
        found = Bench()
        found.live(live_setup(made, small_recording(made), Path(folder)))
        _read_all(found)
    made.close()
    return found


def _read_all(found: Bench) -> None:
    """The files are gone afterwards: read what is mapped, build what is built from them."""
    import mlx.core as mx
    mx.eval(list(found.values.values()), list(found.weights.values()))
    found.root()


def run(found: Bench, name: str, source: str) -> Outcome:
    """Compile ``source``, build its instances with weights, run and compare them."""
    worst = Outcome(True, 0.0, 0.0)
    for check in found.checks[name]:
        try:
            names = found.defined(name, source)
            verdict, _ = found.outcome(names, found.instance(names, check), check, 1.0)
        except Exception as error:
            return Outcome(False, math.inf, None, error=said(error), line=line_in(error, name))
        if not verdict["ok"]:
            difference = verdict["difference"]
            return Outcome(False, math.inf if difference is None else difference, verdict["allowed"],
                           error=verdict["message"] if difference is None else "")
        if verdict["difference"] >= (worst.difference or 0.0):
            worst = Outcome(True, verdict["difference"], verdict["allowed"])
    return worst


def layers(found: Bench, name: str) -> dict[str, Any]:
    """Facts of torch's layers in a class."""
    return found.checks[name][0]["layers"]


def findings(found: Bench, name: str, source: str, *, baseline: bool = True, line: int | None = None,
             seconds: float = SECONDS) -> list[Finding]:
    """The diagnosis of a text, with or without the generated class to compare with."""
    generated = found.generated[name] if baseline else ""
    return diagnose(
        Case(source, name, generated, line, lambda text: run(found, name, text), layers(found, name)), SECONDS
    )
