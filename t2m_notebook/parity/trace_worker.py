"""Tracing in the worker: runs the loaded port on recorded inputs and notes every MLX operation.

Imports MLX and never torch. ``{"do": "trace", …}`` runs and answers with the operations;
``{"do": "trace_compare", …}`` holds their results against mapped values, and with ``done`` lets go of them.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn

from t2m_notebook.parity.array_facts import fingerprint_of
from t2m_notebook.parity.array_trace import ArrayEvent, ArrayTracer, is_layer
from t2m_notebook.parity.compare import compare
from t2m_notebook.types import to_data


class Bench:
    """The last traced run and its results."""

    def __init__(self) -> None:
        self.tracer: ArrayTracer | None = None

    def trace(self, namespace: dict[str, Any], root: Any, values: dict[str, Any],
              request: dict[str, Any]) -> dict[str, Any]:
        """Evaluate ``expression`` over ``root`` and the values; modules at ``leaves`` count as one operation."""
        leaves = set(request["leaves"])
        tracer = self.tracer = ArrayTracer(values_wanted=request["values"], keep=True,
                                           is_leaf=lambda module, path: path in leaves or is_layer(module))
        tracer.name_modules(root, "")
        tracer.name_inputs({name: values[key] for key, name in request["inputs"].items()})
        names = {**namespace, "mx": mx, "nn": nn, "root": root, **values}
        error = ""
        with tracer.watching():
            try:
                eval(request["expression"], names)
            except Exception as raised:
                error = f"{type(raised).__name__}: {' '.join(str(raised).split())[:500]}"
        return {"ok": True, "error": error, "failed": [event.index for event in tracer.events if event.error],
                "prints": [self._print(event) for event in tracer.events],
                "operations": [to_data(tracer.traced(event)) for event in tracer.events]}

    def _print(self, event: ArrayEvent) -> float | None:
        """The fingerprint of an operation's first result."""
        array = self.tracer.kept.get(event.outputs[0]) if event.outputs else None  # type: ignore[union-attr]
        return None if array is None else fingerprint_of(array)

    def compare(self, values: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        """A verdict for each ``[event, position of its result, name of the value]``."""
        assert self.tracer is not None
        verdicts = []
        for event, position, name in request["pairs"]:
            index = self.tracer.events[event].outputs[position]
            array = self.tracer.kept.get(index)
            verdicts.append(None if array is None else compare(array, values[name]))
        if request.get("done"):
            self.tracer = None
        return {"ok": True, "verdicts": verdicts}
