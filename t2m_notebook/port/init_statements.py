"""Statements of a generated ``__init__``: written, compared but for their constants, and given other constants."""

from __future__ import annotations

import ast

from ..rules.substitute import copied
from .folding import Fold

_POSITIONAL = ("in_features", "out_features", "kernel_size")  # what MLX's layers call their first arguments


class PutConstants(ast.NodeTransformer):
    def __init__(self, replace: dict[int, ast.expr]):
        self.replace = replace

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return self.replace.get(id(node), node)


def folded(statement: ast.stmt) -> ast.stmt:
    return Fold().visit(statement)


def constants_of(statements: list[ast.stmt]) -> list[ast.Constant]:
    return [node for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Constant)]


class _Blank(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(0 if not isinstance(node.value, str) else node.value)


def skeleton(statements: list[ast.stmt]) -> str:
    return "\n".join(ast.dump(_Blank().visit(copied(s))) for s in statements)


def argument_hints(statements: list[ast.stmt]) -> dict[int, str]:
    """What each constant is passed as: ``conv1_stride`` for ``self.conv1 = nn.Conv2d(…, stride=2)``."""
    names: dict[int, str] = {}
    for statement in statements:
        owner = ""
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Attribute):
            owner = statement.targets[0].attr
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                for keyword in node.keywords:
                    for inner in ast.walk(keyword.value):
                        if isinstance(inner, ast.Constant) and keyword.arg:
                            names.setdefault(id(inner), f"{owner}_{keyword.arg}" if owner else keyword.arg)
                for number, argument in enumerate(node.args):
                    if isinstance(argument, ast.Constant):
                        word = _POSITIONAL[number] if number < len(_POSITIONAL) else f"size_{number}"
                        names.setdefault(id(argument), f"{owner}_{word}" if owner else word)
    ordered = constants_of(statements)
    return {position: names[id(node)] for position, node in enumerate(ordered) if id(node) in names}


def assignment(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Attribute(ast.Name("self", ast.Load()), name, ast.Store())], value, lineno=0)


def list_display(items: list[ast.expr]) -> ast.expr:
    """A list display, or a comprehension when two or more items are the same."""
    texts = {ast.dump(item) for item in items}
    if len(items) >= 2 and len(texts) == 1 and not isinstance(items[0], ast.Constant):
        loop = ast.comprehension(ast.Name("_", ast.Store()), ast.Call(
            ast.Name("range", ast.Load()), [ast.Constant(len(items))], []), [], 0)
        return ast.ListComp(items[0], [loop])
    return ast.List(items, ast.Load())


def length_of(node: ast.expr) -> int:
    if isinstance(node, ast.ListComp):
        return node.generators[0].iter.args[0].value  # type: ignore[attr-defined]
    return len(node.elts)  # type: ignore[attr-defined]


def note_lengths(node: ast.expr, base: str, lengths: dict[str, int]) -> None:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            note_lengths(value, f"{base}[{key.value!r}]", lengths)  # type: ignore[union-attr]
    elif isinstance(node, (ast.List, ast.ListComp)):
        lengths[base] = length_of(node)
