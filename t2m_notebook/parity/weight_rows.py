"""The weight table: where each parameter of torch's lives in MLX, and whether it fits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ..types import CellCheck, WeightRow

if TYPE_CHECKING:
    from ..session import Port


def weight_table(port: Port, checks: dict[str, CellCheck]) -> tuple[WeightRow, ...]:
    """Every parameter and buffer of the port; those of a class that was just checked as found there."""
    moves = {move.target: move for move in port.written.moves if move.target}
    rows: dict[str, WeightRow] = {}
    for receipt in port.receipts:
        if receipt.target:
            tensor = port.written.tensors[receipt.source]
            rows[receipt.source] = WeightRow(receipt.source, tuple(tensor.shape), receipt.target, tuple(receipt.shape),
                                             _axes(moves[receipt.target], tensor.dim()), receipt.dtype)
    place: dict[str, str] = {receipt.target: receipt.source for receipt in port.receipts if receipt.target}
    for group in reversed(port.written.groups):  # a class knows its own weights better than one that holds it
        check = checks.get(group.name)
        prefixes = [port.written.structure.weight_name(path) for path in group.paths]
        for row in check.weights if check is not None else ():
            if row.state == "matched" and not row.torch_name:
                continue
            own = row.mlx_name or next((t for t, source in place.items() if source == row.torch_name), "")
            first = next((p for p in prefixes if not p or own.startswith(p + ".")), None)
            for prefix in prefixes if first is not None else ():  # the other instances are alike
                name = ".".join(filter(None, [prefix, own[len(first):].lstrip(".")]))
                source = place.get(name, "")
                before = rows.get(source)
                if before is not None:
                    if before.torch_shape != row.torch_shape:
                        continue  # an instance of other sizes
                    missing = row.state == "missing"
                    rows[source] = dataclasses.replace(before, state=row.state, mlx_name="" if missing else name,
                                                       mlx_shape=() if missing else row.mlx_shape)
                elif row.state == "extra":
                    rows[name] = dataclasses.replace(row, mlx_name=name)
    return tuple(rows.values())


def weight_rows(port: Port, found: list[dict[str, Any]]) -> tuple[WeightRow, ...]:
    """The weight table of the modules that a check built."""
    receipts = {receipt.target: receipt for receipt in port.receipts if receipt.target}
    moves = {move.target: move for move in port.written.moves if move.target}
    rows = []
    for row in found:
        receipt, move = receipts.get(row["name"]), moves.get(row["name"])
        if receipt is None:
            rows.append(WeightRow("", (), row["name"], tuple(row["shape"]), (), "", row["state"]))
            continue
        tensor = port.written.tensors[receipt.source]
        rows.append(WeightRow(receipt.source, tuple(tensor.shape), row["name"] if row["state"] != "missing" else "",
                              tuple(row["shape"]) if row["state"] != "missing" else (),
                              _axes(move, tensor.dim()), receipt.dtype, row["state"]))
    return tuple(rows)


def _axes(move: Any, ndim: int) -> tuple[int, ...]:
    """The permutation of a move; empty where it also splits or merges axes."""
    if move is None or move.axes is None:
        return tuple(range(ndim))
    left, right = move.axes.sides
    return move.axes.order if all(group in left for group in right) else ()
