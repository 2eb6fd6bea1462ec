"""The process in which generated code runs. Imports MLX and never torch.

Reads one JSON request a line from standard input and answers with one line on the
descriptor given in ``T2M_REPLY``; whatever the code prints goes elsewhere.

``{"do": "load", "source": …, "weights": path}`` builds the model;
``{"do": "values", "file": path}`` maps recorded tensors as ``v<index>``;
``{"do": "check", "checks": [{"id", "expression", "wanted": [index, …]}, …]}`` compares.
``{"do": "gradients", …}`` is that of :mod:`t2m_notebook.parity.gradient_worker`;
``live``, ``calibrate``, ``edit``, ``explain`` and ``settle`` are those of :mod:`t2m_notebook.parity.edited`.
"""

from __future__ import annotations

import functools
import json
import linecache
import os
import sys
import time
import traceback
from typing import Any


def _answer(reply: Any, data: dict[str, Any]) -> None:
    reply.write(json.dumps(data) + "\n")
    reply.flush()


class Bench:
    """The loaded model and the recorded values."""

    def __init__(self):
        self.namespace: dict[str, Any] = {}
        self.root: Any = None
        self.values: dict[str, Any] = {}
        self.traces: Any = None  # the bench of the last traced run

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Execute a port's source and build its root with weights."""
        source, name = request["source"], request.get("name", "<port>")
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        self.namespace = {"__name__": "t2m_port", "__file__": os.path.join(request["folder"], "model.py")}
        exec(compile(source, name, "exec"), self.namespace)
        self.root = self.namespace["load"](request["folder"])
        return {"ok": True}

    def map_values(self, request: dict[str, Any]) -> dict[str, Any]:
        """Recorded tensors from a safetensors file; read when first used."""
        import mlx.core as mx
        if request.get("replace"):
            self.values = {}
        self.values.update(mx.load(request["file"]))
        return {"ok": True, "count": len(self.values)}

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        """Evaluate each expression and compare its results with the recorded values."""
        return {"ok": True, "results": [self._one(check) for check in request["checks"]]}

    def trace(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the loaded port and note every MLX operation."""
        from t2m_notebook.parity.trace_worker import Bench as Traces
        self.traces = Traces()
        return self.traces.trace(self.namespace, self.root, self.values, request)

    def trace_compare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Hold the results of the traced run against mapped values."""
        return self.traces.compare(self.values, request)

    def gradients(self, request: dict[str, Any]) -> dict[str, Any]:
        """Gradients of a loss, MLX's graph of it, and how they compare with torch's."""
        from t2m_notebook.parity.gradient_worker import gradients
        return gradients(self.namespace, self.root, self.values, request)

    def _one(self, check: dict[str, Any]) -> dict[str, Any]:
        import mlx.core as mx
        import mlx.nn as nn

        from t2m_notebook.parity.compare import compare
        from t2m_notebook.parity.results import arrays_in
        started = time.perf_counter()
        names = {**self.namespace, "mx": mx, "nn": nn, "root": self.root, **self.values}
        try:
            got = list(arrays_in(eval(check["expression"], names)))
            mx.eval([g for g in got if isinstance(g, mx.array)])
        except Exception as error:
            return {"id": check["id"], "error": f"{type(error).__name__}: {str(error)[:500]}",
                    "line": _line(error), "milliseconds": 1e3 * (time.perf_counter() - started)}
        elapsed = 1e3 * (time.perf_counter() - started)
        wanted = [self.values[name] for name in check["wanted"]]
        if len(got) != len(wanted):
            return {"id": check["id"], "milliseconds": elapsed,
                    "error": f"gave {len(got)} tensors, torch {len(wanted)}"}
        return {"id": check["id"], "milliseconds": elapsed,
                "verdicts": [compare(g, w) for g, w in zip(got, wanted, strict=True)]}


def _line(error: Exception) -> int | None:
    """The line of the port at which an error arose."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<port>"]
    return lines[-1] if lines else None


class _Live:
    """The requests of live editing; MLX is imported with the first of them."""

    def __init__(self):
        self.bench: Any = None

    def handlers(self) -> dict[str, Any]:
        names = ("live", "calibrate", "edit", "explain", "settle")
        return {name: functools.partial(self.answer, name) for name in names}

    def answer(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Passes a request on; ``{"do": "live"}`` without a port only warms up."""
        if self.bench is None:
            from t2m_notebook.parity.edited import Bench as Edited
            self.bench = Edited()
        if name == "live" and "prelude" not in request:
            return {"ok": True}
        return getattr(self.bench, name)(request)


def _leave_tracebacks() -> None:
    """A crash, and the signal that asks, leave the Python lines in the file of ``T2M_TRACEBACKS``."""
    import faulthandler
    import signal
    name = os.environ.get("T2M_TRACEBACKS")
    if name:
        file = open(name, "w")  # stays open as long as the process
        faulthandler.enable(file, all_threads=False)
        faulthandler.register(signal.SIGUSR1, file, all_threads=False, chain=False)


def main() -> None:
    """Answer requests until the input ends."""
    reply = os.fdopen(int(os.environ["T2M_REPLY"]), "w")
    # The code gets streams of its own: `exit()` closes standard input, `input()` would read a request.
    requests = os.fdopen(os.dup(0))
    sys.stdin = open(os.devnull)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    _leave_tracebacks()
    bench = Bench()
    handlers = _Live().handlers() | {
        "load": bench.load, "values": bench.map_values, "check": bench.check, "gradients": bench.gradients,
        "trace": bench.trace, "trace_compare": bench.trace_compare,
        "ping": lambda r: {"ok": True}}
    import mlx.nn  # noqa: F401  takes a moment, best before the first request
    _answer(reply, {"ok": True, "ready": True})
    for line in requests:
        request = json.loads(line)
        try:
            answer = handlers[request["do"]](request)
        except BaseException as error:  # whatever the code did, the next request is answered
            answer = {"ok": False, "error": f"{type(error).__name__}: {str(error)[:2000]}",
                      "line": _line(error) if isinstance(error, Exception) else None}
        _answer(reply, answer)


if __name__ == "__main__":
    main()
