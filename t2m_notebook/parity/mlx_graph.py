"""Reads what ``mx.export_to_dot`` wrote: MLX's lazily built graph as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..types import MLXArray, MLXOperation

_PRIMITIVE = re.compile(r'\{ (?P<id>\w+) \[label ="(?P<label>[^"]*)"')
_ARRAY = re.compile(r'\{ (?:rank=\w+; )?"(?P<name>[^"]*)"; \}')
_EDGE = re.compile(r'"?(?P<start>[^"]+?)"? -> "?(?P<end>[^"]+?)"?$')


def read_dot(text: str, shapes: list, known: Mapping[str, tuple[tuple[int, ...], str]],
             ) -> tuple[tuple[MLXOperation, ...], tuple[MLXArray, ...]]:
    """The primitives and arrays of a graph. ``shapes`` come from a traced export: they are used where
    it has the same primitives in the same order (MLX traces compiled functions opened);
    ``known`` has shape and dtype of named arrays."""
    labels: dict[str, str] = {}
    arrays: dict[str, None] = {}
    inputs: dict[str, list[str]] = {}
    outputs: dict[str, list[str]] = {}
    for line in text.splitlines():
        if found := _PRIMITIVE.search(line):
            labels[found["id"]] = found["label"]
        elif found := _ARRAY.search(line):
            arrays.setdefault(found["name"])
        elif found := _EDGE.match(line.strip().rstrip(";")):
            start, end = found["start"], found["end"]
            if end in labels:
                inputs.setdefault(end, []).append(start)
                arrays.setdefault(start)
            else:
                outputs.setdefault(start, []).append(end)
                arrays.setdefault(end)
    operations = tuple(MLXOperation(label, tuple(inputs.get(key, ())), tuple(outputs.get(key, ())))
                       for key, label in labels.items())
    facts = dict(known)
    if [len(op.outputs) for op in operations] == [len(results) for results in shapes]:
        for operation, results in zip(operations, shapes, strict=True):
            for name, (shape, dtype) in zip(operation.outputs, results, strict=True):
                facts.setdefault(name, (tuple(shape), dtype))
    made = tuple(MLXArray(name, name if name in known or name == "loss" else "", *facts.get(name, (None, "")))
                 for name in arrays)
    return operations, made
