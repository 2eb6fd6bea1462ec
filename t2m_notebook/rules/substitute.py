"""Puts variables into the expressions that rules write."""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable

from .expression import SHAPE_ATTRIBUTE, VALUE_PREFIX


def value_of(node: ast.AST) -> int | str | None:
    """The recorded value that a leaf stands for, or None for any other node."""
    if isinstance(node, ast.Name) and node.id.startswith(VALUE_PREFIX):
        text = node.id[len(VALUE_PREFIX):]
        return int(text) if text.isdigit() else text
    return None


def size_of(node: ast.AST) -> tuple[int | str, int] | None:
    """``(value, torch dimension)`` for a leaf that is a size, else None."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) \
            and node.value.attr == SHAPE_ATTRIBUTE:
        return value_of(node.value.value), node.slice.value  # type: ignore[attr-defined, return-value]
    return None


class _Substitute(ast.NodeTransformer):
    def __init__(self, value: Callable, size: Callable):
        self.value, self.size = value, size

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        leaf = size_of(node)
        return self.size(*leaf) if leaf is not None else self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        index = value_of(node)
        return self.value(index) if index is not None else node


def substitute(node: ast.expr, value: Callable[[int | str], ast.expr],
               size: Callable[[int | str, int], ast.expr]) -> ast.expr:
    """A copy of ``node`` with each value leaf replaced by ``value(index)`` and each size
    leaf by ``size(index, torch_dimension)``."""
    return _Substitute(value, size).visit(copy.deepcopy(node))


def mentions(node: ast.AST) -> tuple[Counter, Counter]:
    """How often each value, and each ``(value, dimension)`` size, stands in ``node``."""
    values: Counter = Counter()
    sizes: Counter = Counter()
    stack = [node]
    while stack:
        current = stack.pop()
        leaf = size_of(current)
        if leaf is not None:
            sizes[leaf] += 1
            continue
        index = value_of(current)
        if index is not None:
            values[index] += 1
        stack.extend(ast.iter_child_nodes(current))
    return values, sizes
