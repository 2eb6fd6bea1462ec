"""Writes a loop where the same statements follow one another for every item of a list."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from ..rules.substitute import copied

_LONGEST = 12  # statements that a loop's body may have


@dataclass(slots=True)
class _Shape:
    """A statement with the list items taken out: its text, and which items it used."""

    text: str
    items: dict[str, int] = field(default_factory=dict)  # "self.layers" -> 3


class _Lift(ast.NodeTransformer):
    """Replaces ``self.a.b[3]`` by a name that only says which list."""

    def __init__(self):
        self.items: dict[str, int] = {}
        self.mixed = False

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        base = _list_of(node)
        if base is None:
            return self.generic_visit(node)
        index = node.slice.value  # type: ignore[attr-defined]
        if self.items.setdefault(base, index) != index:
            self.mixed = True
        return ast.Name(f"item of {base}", ast.Load())


def _list_of(node: ast.expr) -> str | None:
    """``self.layers`` for ``self.layers[3]``; None for anything else."""
    if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)
            and type(node.slice.value) is int):
        return None
    base: ast.expr = node.value
    while isinstance(base, ast.Attribute):
        if base.attr == "shape":
            return None
        base = base.value
    of_self = isinstance(base, ast.Name) and base.id == "self" and base is not node.value
    return ast.unparse(node.value) if of_self else None


def _shape(statement: ast.stmt) -> _Shape | None:
    lift = _Lift()
    lifted = lift.visit(copied(statement))
    if lift.mixed:
        return None
    return _Shape(ast.unparse(ast.fix_missing_locations(lifted)), lift.items)


def collapse(statements: list[ast.stmt]) -> list[ast.stmt]:
    """``x = self.layers[0](x)``, ``x = self.layers[1](x)``, … as ``for layer in self.layers:``."""
    result: list[ast.stmt] = []
    position = 0
    shapes = [_shape(statement) for statement in statements]
    while position < len(statements):
        found = _loop_at(statements, shapes, position)
        if found is None:
            result.append(statements[position])
            position += 1
        else:
            loop, position = found
            result += loop
    return result


def _loop_at(statements: list[ast.stmt], shapes: list[_Shape | None],
             start: int) -> tuple[list[ast.stmt], int] | None:
    for length in range(1, _LONGEST + 1):
        first = shapes[start: start + length]
        if len(first) < length or any(shape is None for shape in first):
            return None
        items: dict[str, int] = {}
        for shape in first:
            for base, index in shape.items.items():  # type: ignore[union-attr]
                if items.setdefault(base, index) != index:
                    return None
        if not items:
            if length == 1:
                return None  # a loop starts at a statement that uses its item
            continue
        entry, body = _entry(statements, start, length)
        pattern = [shape.text for shape in (map(_shape, body) if entry else first) if shape]
        count = 1
        while _matches(shapes, start + count * length, pattern, items, count):
            count += 1
        if count >= 2:
            return entry + [_write(body, items, count)], start + count * length
    return None


def _entry(statements: list[ast.stmt], start: int, length: int) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The first round may read another variable than the later ones write: then the loop's
    variable is set before it. Returns that statement, if any, and the loop's body."""
    body = statements[start: start + length]
    following = statements[start + length: start + 2 * length]
    if length != 1 or len(following) != 1:
        return [], body
    one, two = body[0], following[0]
    if not all(isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name) for s in (one, two)):
        return [], body
    target = one.targets[0].id  # type: ignore[attr-defined]
    names_one, names_two = _loads(one.value), _loads(two.value)  # type: ignore[attr-defined]
    if len(names_one) != len(names_two) or target in names_one:
        return [], body
    different = [(a, b) for a, b in zip(names_one, names_two, strict=True) if a != b]
    if len(set(different)) != 1 or different[0][1] != target:
        return [], body
    entry = ast.Assign([ast.Name(target, ast.Store())], ast.Name(different[0][0], ast.Load()), lineno=0)
    replaced = copied(one)
    for node in ast.walk(replaced.value):  # type: ignore[attr-defined]
        if isinstance(node, ast.Name) and node.id == different[0][0]:
            node.id = target
    return [entry], [replaced]


def _loads(node: ast.expr) -> list[str]:
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]


def _matches(shapes: list[_Shape | None], at: int, pattern: list[str], items: dict[str, int], count: int) -> bool:
    group = shapes[at: at + len(pattern)]
    if len(group) < len(pattern):
        return False
    for shape, text in zip(group, pattern, strict=True):
        if shape is None or shape.text != text:
            return False
        if any(items[base] + count != index for base, index in shape.items.items()):
            return False
    return True


def _write(body: list[ast.stmt], items: dict[str, int], count: int) -> ast.For:
    used = {node.id for statement in body for node in ast.walk(statement) if isinstance(node, ast.Name)}
    names: dict[str, str] = {}
    for base in items:
        name = _singular(base.rpartition(".")[2])
        while name in used or name in names.values():
            name += "_"
        names[base] = name

    class Put(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            base = _list_of(node)
            return ast.Name(names[base], ast.Load()) if base in names else self.generic_visit(node)

    lists: list[ast.expr] = []
    for base, start in items.items():
        whole = ast.parse(base, mode="eval").body
        # The end stays out of the text where the loop runs to the list's last item; the port
        # fills that in, as only it knows the list's length.
        bounds = ast.Slice(ast.Constant(start), ast.Constant(start + count), None)
        lists.append(ast.Subscript(whole, bounds, ast.Load()))
    targets: list[ast.expr] = [ast.Name(names[base], ast.Store()) for base in items]
    one = len(items) == 1
    target = targets[0] if one else ast.Tuple(targets, ast.Store())
    over = lists[0] if one else ast.Call(ast.Name("zip", ast.Load()), lists, [])
    return ast.For(target, over, [Put().visit(copied(s)) for s in body], [], lineno=0)


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith("s") and not name.endswith("ss") and len(name) > 2:
        return name[:-1]
    return "layer" if len(name) < 3 or name in ("layer", "net", "features", "blocks") else f"{name}_layer"
