"""Puts variables into the expressions that rules write."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from typing import Any

from .expression import SHAPE_ATTRIBUTE, VALUE_PREFIX

_PLAIN = frozenset({str, int, float, bool, type(None)})
#: Nodes without content, which Python's own parser shares between trees too.
_SHARED = (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)


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


def substitute(node: ast.expr, value: Callable[[int | str], ast.expr],
               size: Callable[[int | str, int], ast.expr]) -> ast.expr:
    """A copy of ``node`` with each value leaf replaced by ``value(index)`` and each size
    leaf by ``size(index, torch_dimension)``."""
    def visit(part: Any) -> Any:
        if isinstance(part, list):
            return [visit(item) for item in part]
        if not isinstance(part, ast.AST) or isinstance(part, _SHARED):
            return part
        leaf = size_of(part)
        if leaf is not None:
            return size(*leaf)
        index = value_of(part)
        if index is not None:
            return value(index)
        copied = type(part)()
        for name, inner in vars(part).items():
            setattr(copied, name, visit(inner))
        return copied

    return visit(node)


def copied(node: Any) -> Any:
    """A copy of a tree (or of a list of trees); six times as fast as ``copy.deepcopy``."""
    if isinstance(node, list):
        return [copied(item) for item in node]
    if not isinstance(node, ast.AST) or isinstance(node, _SHARED):
        return int(node) if isinstance(node, int) else node  # a size is its number
    made = type(node)()
    attributes = made.__dict__
    for name, inner in node.__dict__.items():
        attributes[name] = inner if type(inner) in _PLAIN else copied(inner)
    return made


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
