"""A call as ``function(array, ...)``, whether it was written so or as a method of the array."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from .source import Source, last_name

MODULES = ("mx", "nn", "np", "math", "mlx", "self", "super", "F")


@dataclass(frozen=True, slots=True)
class Called:
    """``name`` is ``softmax`` for both ``mx.softmax(x, axis=1)`` and ``x.softmax(1)``; ``args``
    starts with the array in both."""

    node: ast.Call
    name: str
    owner: str  # "mx", "nn", "mx.fast", "self", "" for a plain name; "." for a method of an array
    args: tuple[ast.expr, ...]

    def argument(self, position: int, keyword: str) -> ast.expr | None:
        """An argument by position or by keyword."""
        if 0 <= position < len(self.args):
            return self.args[position]
        return self.keyword(keyword)

    def keyword(self, name: str) -> ast.expr | None:
        """The value of a keyword."""
        return next((k.value for k in self.node.keywords if k.arg == name), None)


def called(node: ast.Call) -> Called:
    """A call in its one form."""
    function = node.func
    if not isinstance(function, ast.Attribute):
        return Called(node, last_name(function), "", tuple(node.args))
    root = function.value
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id in MODULES and root.id != "self":
        return Called(node, function.attr, ast.unparse(function.value), tuple(node.args))
    if isinstance(function.value, ast.Name) and function.value.id == "self":
        return Called(node, function.attr, "self", tuple(node.args))
    return Called(node, function.attr, ".", (function.value, *node.args))


def calls(source: Source, *names: str) -> Iterator[Called]:
    """The calls of some functions, all calls when none is named."""
    for node in source.of(ast.Call):
        found = called(node)
        if not names or found.name in names:
            yield found


def layer_calls(source: Source) -> Iterator[Called]:
    """``self.layer(...)``: calls of what the constructor made."""
    return (call for call in calls(source) if call.owner == "self" and call.name in source.layers)


def constructors(source: Source, *names: str) -> Iterator[tuple[str, Called]]:
    """``(attribute, call)`` of what the constructor makes; the attribute is empty for a layer made elsewhere."""
    for call in calls(source, *names):
        if call.owner in ("nn", "") and call.name[:1].isupper():
            yield attribute_of(source, call.node), call


def attribute_of(source: Source, node: ast.AST) -> str:
    """The attribute of ``self`` whose assignment holds a node."""
    for name, made in source.layers.items():
        if any(inner is node for inner in ast.walk(made)):
            return name
    return ""
