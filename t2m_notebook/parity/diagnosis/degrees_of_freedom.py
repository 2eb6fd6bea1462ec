"""Variance with n or with n - 1: torch's default is n - 1, MLX's n."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number


def degrees_of_freedom(source: Source) -> Iterator[Rewrite]:
    """``ddof`` of a variance or standard deviation."""
    for call in calls(source, "var", "std"):
        given = call.argument(3, "ddof")
        if given is None:
            yield Rewrite("degrees of freedom", f"torch's {call.name} divides by n - 1 by default: ddof=1",
                          (source.add_argument(call.node, "ddof=1"),), 0)
        elif number(given) is not None:
            other = 0 if number(given) else 1
            yield Rewrite("degrees of freedom", f"torch's {call.name} has ddof={other} here (correction={other})",
                          (source.put(given, str(other)),), 0)
    for node in source.of(ast.BinOp):
        if not isinstance(node.op, ast.Div) or source.in_init(node):
            continue
        count = node.right
        if isinstance(count, ast.BinOp) and isinstance(count.op, ast.Sub) and number(count.right) == 1:
            yield Rewrite("degrees of freedom", "torch divides by n here, not by n - 1",
                          (source.put(count, source.operand(count.left)),), 0.4)
        elif "shape" in source.read(count) or isinstance(count, ast.Name) or "size" in source.read(count):
            yield Rewrite("degrees of freedom", "torch divides by n - 1 here, not by n",
                          (source.put(count, f"({source.read(count)} - 1)"),), 0.6)
