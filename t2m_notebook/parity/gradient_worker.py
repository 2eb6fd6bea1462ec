"""Gradients in the worker: MLX's functional transform, its lazily built graph, and the comparison.

Imports MLX and never torch. :func:`gradients` answers ``{"do": "gradients", …}``: either of a
function that ``source`` defines, with ``arguments`` from the mapped values, or of the loaded
port's parameters, with ``expression`` for its call and ``weights`` for its results.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from t2m_notebook import blocks
from t2m_notebook.parity.compare import compare, to_numpy
from t2m_notebook.parity.results import arrays_in

SMALL = 16  # as in capture/gradient_values.py


def gradients(namespace: dict[str, Any], root: Any, values: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """The answer: ``value``, ``dot``, ``arrays``, and a verdict and the gradient by name. A wanted gradient
    is the value ``gradient:<name>``, the wanted loss ``loss``."""
    if "source" in request:
        loss, names, arrays = _written(request, values)
    else:
        loss, names, arrays = _of_port(namespace, root, values, request)
    value, found = mx.value_and_grad(loss, argnums=tuple(range(len(arrays))))(*arrays) if arrays else (loss(), ())
    found = found if isinstance(found, (tuple, list)) else (found,)
    mx.eval(value, found)
    answer: dict[str, Any] = {"ok": True, "value": described(value), "gradients": {}, "verdicts": {}}
    if "loss" in values:
        answer["value_verdict"] = compare(value, values["loss"])
    for name, gradient in zip(names, found, strict=True):
        wanted = values.get(f"gradient:{name}")
        if wanted is not None:
            answer["gradients"][name] = described(gradient)
            answer["verdicts"][name] = compare(gradient, wanted)
    text = io.StringIO()
    named = {name: array for name, array in zip(names, arrays, strict=True)}
    with contextlib.ExitStack() as put_back:
        if "source" not in request:
            put_back.callback(root.update, tree_unflatten(list(zip(names, arrays, strict=True))))
        mx.export_to_dot(text, **{"loss": loss(*arrays)}, **{k: v for k, v in named.items() if k != "loss"})
    answer["dot"] = stable(text.getvalue())
    answer["shapes"] = _shapes(loss, arrays)
    return answer


def _written(request: dict[str, Any], values: dict[str, Any]) -> tuple[Callable, list[str], list[mx.array]]:
    """A function that was written for one graph."""
    public = {name: block for name, block in vars(blocks).items() if not name.startswith("_")}
    names = {"mx": mx, "nn": nn, "math": math, **public,
             "kept": {k.removeprefix("kept:"): v for k, v in values.items() if k.startswith("kept:")}}
    exec(compile(request["source"], "<loss>", "exec"), names)
    return names["loss"], request["arguments"], [values[f"argument:{name}"] for name in request["arguments"]]


def _of_port(namespace: dict[str, Any], root: Any, values: dict[str, Any], request: dict[str, Any],
             ) -> tuple[Callable, list[str], list[mx.array]]:
    """The loaded port's parameters, and the weighted sum of its results as a function of them."""
    known = dict(tree_flatten(root.parameters()))
    names = [name for name in request["trainable"] if name in known]
    scope = {**namespace, "mx": mx, "nn": nn, "root": root, **values}
    weights = request["weights"]

    def loss(*arrays: mx.array) -> mx.array:
        root.update(tree_unflatten(list(zip(names, arrays, strict=True))))
        results = list(arrays_in(eval(request["expression"], scope)))
        parts = []
        for position, weight in weights.items():
            result = results[int(position)]
            parts.append((result * values[weight].astype(result.dtype)).sum() if weight else result.sum())
        return sum(parts[1:], parts[0])

    return loss, names, [known[name] for name in names]


def described(array: mx.array) -> dict[str, Any]:
    """An array as the fields of a ``TensorValue``."""
    data: dict[str, Any] = {"shape": list(array.shape), "dtype": str(array.dtype).removeprefix("mlx.core.")}
    plain = to_numpy(array)
    if array.size <= SMALL:
        flat = plain.reshape(-1).tolist()
        if data["dtype"].startswith("complex"):
            flat = [part for number in flat for part in (number.real, number.imag)]
        return {**data, "numbers": [repr(float(number)) for number in flat]}
    wide = abs(plain) if data["dtype"].startswith("complex") else plain.astype("float64")
    finite = wide[(wide - wide) == 0]
    data["nonfinite"] = int(wide.size - finite.size)
    if finite.size:
        data.update(minimum=float(finite.min()), maximum=float(finite.max()), mean=float(finite.mean()),
                    norm=float((finite ** 2).sum() ** 0.5))
    return data


def stable(dot: str) -> str:
    """MLX names primitives by address; here they are counted, so that equal graphs read equal."""
    numbers: dict[str, str] = {}
    return re.sub(r"(?<![\w\"])\d{6,}(?![\w\"])", lambda m: numbers.setdefault(m[0], f"p{len(numbers)}"), dot)


def _shapes(loss: Callable, arrays: list[mx.array]) -> list[list[list[Any]]]:
    """Shape and dtype of each primitive's results, in the order of the graph; empty where MLX can't
    export a primitive."""
    events: list[dict[str, Any]] = []
    try:
        mx.export_function(events.append, loss, *arrays)
    except (ValueError, RuntimeError, TypeError):
        return []
    return [[[list(shape), str(dtype).removeprefix("mlx.core.")] for _, shape, dtype in event["outputs"]]
            for event in events if event.get("type") == "primitive"]
