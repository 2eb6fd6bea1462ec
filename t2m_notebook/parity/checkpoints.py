"""``t2m.checkpoint(x, "name")`` in a cell: the value itself, and what was in it as a mark on its line."""

from __future__ import annotations

import ast
from typing import Any

import mlx.core as mx

from .results import arrays_in


class Checkpoints:
    """What stands for the package in the names of a cell."""

    def __init__(self):
        self.seen: dict[str, Any] = {}  # by name, the first value of a check

    def checkpoint(self, value: Any, name: str = "") -> Any:
        """``value``, looked at when the check is over."""
        self.seen.setdefault(name, value)
        return value

    def marks(self, source: str) -> list[dict[str, Any]]:
        """A mark for each checkpoint that was reached: its range, NaN and Inf."""
        if not self.seen:
            return []
        said = {name: text for name, value in self.seen.items() if (text := _said(value))}
        found = []
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("t2m.checkpoint", "checkpoint"):
                name = next((a.value for a in [*node.args[1:], *(k.value for k in node.keywords)]
                             if isinstance(a, ast.Constant) and isinstance(a.value, str)), "")
                if name in said:
                    bad = "NaN" in said[name] or "Inf" in said[name]
                    found.append({"line": node.lineno, "end_line": node.end_lineno or node.lineno,
                                  "column": node.col_offset, "end_column": node.end_col_offset or 0,
                                  "message": f"{name or 'checkpoint'}: {said[name]}",
                                  "severity": "warning" if bad else "info"})
        return found


def _said(value: Any) -> str:
    """Shape, dtype and range of the arrays in ``value``; empty where they can't be evaluated, as inside
    ``mx.compile``."""
    parts = []
    for array in arrays_in(value):
        try:
            if not mx.issubdtype(array.dtype, mx.floating) or not array.size:
                parts.append(f"{tuple(array.shape)} {str(array.dtype).removeprefix('mlx.core.')}")
                continue
            wide = array.astype(mx.float32)
            finite = mx.isfinite(wide)
            numbers = [mx.where(finite, wide, mx.inf).min(), mx.where(finite, wide, -mx.inf).max(),
                       mx.isnan(wide).sum(), mx.isinf(wide).sum()]
            mx.eval(numbers)
        except (ValueError, RuntimeError):
            return ""
        low, high, nans, infinities = (number.item() for number in numbers)
        text = f"{tuple(array.shape)} {str(array.dtype).removeprefix('mlx.core.')}"
        text += f", {low:.3g} … {high:.3g}" if low <= high else ", nothing finite"
        text += f", {nans} NaN" * bool(nans) + f", {infinities} Inf" * bool(infinities)
        parts.append(text)
    return "; ".join(parts)
