"""The process in which generated code runs. Imports MLX and never torch.

Reads one JSON request a line from standard input and answers with one line on the
descriptor given in ``T2M_REPLY``; whatever the code prints goes elsewhere.

``{"do": "load", "source": …, "weights": path}`` builds the model;
``{"do": "values", "file": path}`` maps recorded tensors as ``v<index>``;
``{"do": "check", "checks": [{"id", "expression", "wanted": [index, …]}, …]}`` compares.
"""

from __future__ import annotations

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

    def _one(self, check: dict[str, Any]) -> dict[str, Any]:
        import mlx.core as mx
        import mlx.nn as nn

        from t2m_notebook.parity.compare import compare
        started = time.perf_counter()
        names = {**self.namespace, "mx": mx, "nn": nn, "root": self.root, **self.values}
        try:
            got = list(flatten(eval(check["expression"], names)))
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


def flatten(value: Any):
    """Arrays inside lists, tuples and dicts, in order; None and plain values are left out."""
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from flatten(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from flatten(item)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        yield value


def _line(error: Exception) -> int | None:
    """The line of the port at which an error arose."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<port>"]
    return lines[-1] if lines else None


def main() -> None:
    """Answer requests until the input ends."""
    reply = os.fdopen(int(os.environ["T2M_REPLY"]), "w")
    # The code gets streams of its own: `exit()` closes standard input, `input()` would read a request.
    requests = os.fdopen(os.dup(0))
    sys.stdin = open(os.devnull)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    bench = Bench()
    handlers = {"load": bench.load, "values": bench.map_values, "check": bench.check, "ping": lambda r: {"ok": True}}
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
