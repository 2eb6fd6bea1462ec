"""``B, L, D = x.shape`` at the top of a body that reads sizes of its arguments often."""

from __future__ import annotations

import ast
from collections import Counter

_LETTERS = {2: "BL", 3: "BLD", 4: "BHWC", 5: "BDHWC"}
_OFTEN = 3  # reads of one argument's sizes that are worth a line


def name_sizes(statements: list[ast.stmt], parameters: list[str], ranks: dict[str, int]) -> list[ast.stmt]:
    """``statements`` with the sizes of an argument that is read often unpacked first. Only for
    arguments that the body never assigns anew; ``ranks`` is the number of axes of each."""
    assigned = {node.id for s in statements for node in ast.walk(s)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    used = {node.id for s in statements for node in ast.walk(s) if isinstance(node, ast.Name)} | set(parameters)
    heads: list[ast.stmt] = []
    for name in parameters:
        rank = ranks.get(name)
        if name in assigned or rank not in _LETTERS:
            continue
        reads = Counter(axis for s in statements for node in ast.walk(s)
                        if (axis := _axis(node, name)) is not None and axis < rank)
        letters = _LETTERS[rank]
        if sum(reads.values()) < _OFTEN or any(letter in used for letter in letters):
            continue
        count = max(reads) + 1
        if any(axis not in reads for axis in range(count)):
            continue
        statements = [_Named(name, letters).visit(s) for s in statements]
        targets: list[ast.expr] = [ast.Name(letter, ast.Store()) for letter in letters[:count]]
        value: ast.expr = ast.Attribute(ast.Name(name, ast.Load()), "shape", ast.Load())
        if count < rank:
            value = ast.Subscript(value, ast.Slice(None, ast.Constant(count), None), ast.Load())
        if count == 1:
            value = ast.parse(f"{name}.shape[0]", mode="eval").body
        heads.append(ast.Assign([ast.Tuple(targets, ast.Store()) if count > 1 else targets[0]], value, lineno=0))
        used.update(letters[:count])
    return heads + statements


def _axis(node: ast.AST, name: str) -> int | None:
    """The axis that ``name.shape[axis]`` reads, else None."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "shape" \
            and isinstance(node.value.value, ast.Name) and node.value.value.id == name \
            and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int and node.slice.value >= 0:
        return node.slice.value
    return None


class _Named(ast.NodeTransformer):
    def __init__(self, name: str, letters: str):
        self.name, self.letters = name, letters

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        axis = _axis(node, self.name)
        return ast.Name(self.letters[axis], ast.Load()) if axis is not None else self.generic_visit(node)
