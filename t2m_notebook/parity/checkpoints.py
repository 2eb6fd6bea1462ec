"""``t2m.checkpoint(x, "name")`` in a cell: the value itself; what was in it marks its line and its module."""

from __future__ import annotations

import ast
from typing import Any

import mlx.core as mx

from .results import arrays_in

MOST_VALUES = 64  # kept of one check
UNNAMED = "checkpoint"


class Checkpoints:
    """What stands for the package in the names of a cell."""

    def __init__(self):
        self._values: list[tuple[str, str, Any]] = []  # (path of the module that runs, name, value)
        self._path: str | None = None  # None: nobody wants to know
        self._open = False

    def start(self) -> None:
        """A new check begins."""
        self._values, self._path, self._open = [], None, True

    def at(self, path: str | None) -> None:
        """What comes now is of the module at ``path``; None: of nothing that is shown."""
        self._path = path if self._open else None

    def checkpoint(self, value: Any, name: str = "") -> Any:
        """``value``, looked at when the check is over."""
        if self._path is not None and len(self._values) < MOST_VALUES:
            self._values.append((self._path, str(name) or UNNAMED, value))
        return value

    def found(self) -> list[dict[str, str]]:
        """The worst that was seen of each checkpoint in each module; the values are let go."""
        worst: dict[tuple[str, str], tuple[int, dict[str, str]]] = {}
        for path, name, value in self._values:
            facts = _facts(value)
            if facts is not None:
                count, words = facts
                known = worst.get((path, name))
                if known is None or count > known[0]:
                    worst[path, name] = count, {"path": path, "name": name, **words}
        self._values, self._path, self._open = [], None, False
        return [words for _, words in worst.values()]


def marks(source: str, found: list[dict[str, str]]) -> list[dict[str, Any]]:
    """A mark for each checkpoint of ``source`` that was reached: its range, NaN and Inf, the worst of all modules."""
    if not found:
        return []
    said: dict[str, dict[str, str]] = {}
    for one in found:
        if one["name"] not in said or one["bad"] and not said[one["name"]]["bad"]:
            said[one["name"]] = one
    made = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("t2m.checkpoint", "checkpoint"):
            name = next((a.value for a in [*node.args[1:], *(k.value for k in node.keywords)]
                         if isinstance(a, ast.Constant) and isinstance(a.value, str)), "") or UNNAMED
            if name in said:
                words = ", ".join(said[name][key] for key in ("tensor", "span", "bad") if said[name][key])
                made.append({"line": node.lineno, "end_line": node.end_lineno or node.lineno,
                             "column": node.col_offset, "end_column": node.end_col_offset or 0,
                             "message": f"{name}: {words}",
                             "severity": "warning" if said[name]["bad"] else "info"})
    return made


def _facts(value: Any) -> tuple[int, dict[str, str]] | None:
    """How many elements are NaN or Inf, and shape, dtype and range of the arrays in ``value`` as words; None where
    they can't be evaluated, as inside ``mx.compile``."""
    count, parts = 0, []
    for array in arrays_in(value):
        tensor = f"{tuple(array.shape)} {str(array.dtype).removeprefix('mlx.core.')}"
        try:
            if not mx.issubdtype(array.dtype, mx.floating) or not array.size:
                mx.eval(array)
                parts.append((tensor, "", ""))
                continue
            wide = array.astype(mx.float32)
            finite = mx.isfinite(wide)
            numbers = [mx.where(finite, wide, mx.inf).min(), mx.where(finite, wide, -mx.inf).max(),
                       mx.isnan(wide).sum(), (wide == mx.inf).sum(), (wide == -mx.inf).sum()]
            mx.eval(numbers)
        except (ValueError, RuntimeError):
            return None
        low, high, *bad = (number.item() for number in numbers)
        span = "nothing finite" if low > high else f"{low:.3g} … {high:.3g}" if low < high else f"all {low:.3g}"
        words = ", ".join(f"{n:,} {word}" for n, word in zip(bad, ("NaN", "+Inf", "−Inf"), strict=True) if n)
        count += sum(bad)
        parts.append((tensor, span, words))
    if not parts:
        return None
    tensors, spans, bads = ([word for word in words if word] for words in zip(*parts, strict=True))
    return count, {"tensor": "; ".join(tensors), "span": "; ".join(spans), "bad": "; ".join(bads)}
