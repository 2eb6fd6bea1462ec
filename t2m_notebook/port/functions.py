"""The helper functions of a generated file: each written once, whoever calls it."""

from __future__ import annotations

import ast
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..capture.recording import OpCall, Recording
from ..rules.substitute import copied
from .block_source import file_of_name
from .folding import Fold
from .invocations import Helpers, levels
from .names import RESERVED, variable_name

if TYPE_CHECKING:
    from .body import Body

_MOST_ADDED = 2  # numbers that may become arguments so that two texts are one function
_COMMON = frozenset({-1.0, 0.0, 0.5, 1.0, 2.0})  # numbers that stand in a text for many reasons
_ORDER_CALLS = frozenset({"transpose", "moveaxis", "swapaxes"})


@dataclass(slots=True)
class Function:
    """A module-level function of the generated file."""

    name: str
    wish: str  # the torch helper's own name
    parameters: list[str]
    statements: list[ast.stmt]
    given: dict[str, Any] = field(default_factory=dict)  # what torch's helper was given, by argument, in its order

    @property
    def node(self) -> ast.FunctionDef:
        arguments = ast.arguments([], [ast.arg(name) for name in self.parameters], None, [], [], None, [])
        return ast.FunctionDef(self.name, arguments, self.statements, [], lineno=0)


class Functions:
    """All functions of one port."""

    def __init__(self, recording: Recording):
        self.helpers = Helpers(recording.model)
        self.classes = {type(module).__name__ for module in recording.model.modules()}
        self.by_name: dict[str, Function] = {}
        self.by_text: dict[Any, Function] = {}
        self.places: Counter = Counter()  # code -> places that call it
        seen = set()
        for event in recording.calls():
            for frame, callers in levels(event.frames, self.helpers) if isinstance(event, OpCall) else ():
                place = (frame.code, callers[0].code, callers[0].instruction) if callers else (frame.code,)
                if place not in seen:
                    seen.add(place)
                    self.places[frame.code] += 1

    def add(self, wish: str, parameters: list[str], statements: list[ast.stmt], given: dict[str, Any],
            taken: set[str]) -> Function | None:
        """The function of this text, a new one where there is none. None when its name is ``taken``."""
        statements = [Fold().visit(s) for s in statements]
        base = function_name(wish)
        key = (base, _canonical(parameters, statements))
        known = self.by_text.get(key)
        if known is None:
            name = next(name for name in self._names(base) if name not in self.by_name)
            known = Function(name, base, parameters, statements, given)
        if {base, known.name} & taken:
            return None
        self.by_text[key] = self.by_name[known.name] = known
        return known

    def finish(self, bodies: Iterable[Body]) -> None:
        """Give functions the numbers that torch's had as arguments; make those one that differ in a
        few numbers; drop those that nobody calls."""
        bodies = list(bodies)
        trees = [statement for body in bodies for statement in body.statements]
        # What a function calls was registered before it: then its own text is as it will be.
        for wish in dict.fromkeys(function.wish for function in self.by_name.values()):
            families: dict[str, list[Function]] = {}
            for function in self.by_name.values():
                if function.wish == wish:
                    families.setdefault(_skeleton(function), []).append(function)
            for family in families.values():
                self._join(family, trees)
        self.by_name = {f.name: f for f in self.used_in(trees)}
        self._renumber(trees, {name for body in bodies for name in (*body.parameters, *(own for _, own in body.extra))})

    def _renumber(self, trees: list[ast.stmt], taken: set[str]) -> None:
        """Close the gaps that joined functions left in the numbers."""
        inside = [statement for function in self.by_name.values() for statement in function.statements]
        nodes = [node for tree in [*trees, *inside] for node in ast.walk(tree)]
        called = [node.func for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        taken |= {node.id for node in nodes if isinstance(node, ast.Name)}
        taken |= {name for function in self.by_name.values() for name in function.parameters}
        for function in list(self.by_name.values()):
            free = next(name for name in self._names(function.wish) if name == function.name or name not in taken)
            if free != function.name:
                for node in called:
                    if node.id == function.name:
                        node.id = free
                taken = taken - {function.name} | {free}
                function.name = free
        self.by_name = {function.name: function for function in self.by_name.values()}

    def _names(self, base: str) -> Iterator[str]:
        """``base``, ``base_2``, … without what something else in the file may be called."""
        for number in itertools.count(1):
            name = base if number == 1 else f"{base}_{number}"
            if name not in file_of_name() and name not in self.classes and name not in RESERVED:
                yield name

    def used_in(self, trees: Iterable[ast.AST]) -> list[Function]:
        """The functions that ``trees`` call, what they call themselves before them."""
        found: dict[str, Function] = {}

        def visit(tree: ast.AST) -> None:
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and node.id in self.by_name and node.id not in found:
                    function = self.by_name[node.id]
                    for statement in function.statements:
                        visit(statement)
                    found[node.id] = function

        for tree in trees:
            visit(tree)
        return list(found.values())

    def _join(self, family: list[Function], trees: list[ast.stmt]) -> None:
        first = family[0]
        marks = _marks(first.statements)
        columns = list(zip(*[[node.value for node, _ in _marks(f.statements)] for f in family], strict=True))
        used = {n.id for s in first.statements for n in ast.walk(s) if isinstance(n, ast.Name)} | {*first.parameters}
        named: dict[str, tuple] = {}  # argument -> its value in each function of the family
        put: dict[int, str] = {}  # constant -> argument
        for (node, movable), values in zip(marks, columns, strict=True):
            differ = any(type(value) is not type(values[0]) or value != values[0] for value in values)
            wishes = [name for name in first.given if all(
                type(f.given.get(name)) is type(value) and f.given[name] == value
                for f, value in zip(family, values, strict=True))]
            if differ and (not movable or any(type(value) not in (int, float) for value in values)):
                return self._apart(family, trees)
            if not differ and not (movable and len(wishes) == 1 and _telling(values[0])):
                continue
            wish = variable_name(wishes[0]) if wishes else "value"
            if not differ and wish in used:
                continue
            name, number = wish, 1
            while name in used or named.get(name, values) != values or name in self.by_name:
                number += 1
                name = f"{wish}_{number}"
            named[name], put[id(node)] = values, name
        if sum(name.startswith("value") for name in named) > _MOST_ADDED:
            return self._apart(family, trees)
        if not named and len(family) == 1:
            return
        order = {variable_name(name): place for place, name in enumerate(first.given)}
        parameters = sorted([*first.parameters, *named], key=lambda name: order.get(name, len(order)))
        members = {f.name: number for number, f in enumerate(family)}
        first.statements = [_Put(put).visit(s) for s in first.statements]
        done: set[int] = set()
        for tree in [*trees, *(s for f in self.by_name.values() for s in f.statements)]:
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in members \
                        and id(node) not in done:
                    done.add(id(node))
                    number = members[node.func.id]
                    passed = dict(zip(family[number].parameters, node.args, strict=True))
                    passed = dict(zip(first.parameters, passed.values(), strict=True))
                    passed |= {name: ast.Constant(values[number]) for name, values in named.items()}
                    node.args = [passed[name] for name in parameters]
                    node.func = ast.Name(first.name, ast.Load())
        first.parameters = parameters
        for function in family[1:]:
            del self.by_name[function.name]

    def _apart(self, family: list[Function], trees: list[ast.stmt]) -> None:
        """Functions that can't be one stay several."""
        for function in family if len(family) > 1 else ():
            self._join([function], trees)


class _Put(ast.NodeTransformer):
    def __init__(self, names: dict[int, str]):
        self.names = names

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Name(self.names[id(node)], ast.Load()) if id(node) in self.names else node


def function_name(name: str) -> str:
    """A torch function's own name, unless the generated code needs that for something else."""
    return name if name.startswith("_") and name.isidentifier() else variable_name(name)


def _telling(value: Any) -> bool:
    """Whether a number that stands in a text may be taken for the argument of that value."""
    return value > 2 if type(value) is int else type(value) is float and value not in _COMMON


def _marks(statements: list[ast.stmt]) -> list[tuple[ast.Constant, bool]]:
    """Every constant, and whether it is a quantity: neither an axis nor a position in a shape."""
    found: list[tuple[ast.Constant, bool]] = []

    def visit(node: ast.AST, movable: bool) -> None:
        if isinstance(node, ast.Constant):
            found.append((node, movable))
        if isinstance(node, ast.Subscript):
            whole = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
            visit(node.value, movable)
            visit(node.slice, movable and not whole and not isinstance(node.slice, ast.Constant))
            return
        if isinstance(node, ast.keyword) and node.arg in ("axis", "axes", "axis1", "axis2"):
            movable = False
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _ORDER_CALLS:
            visit(node.func, movable)
            for child in [*node.args, *node.keywords]:
                visit(child, False)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, movable)

    for statement in statements:
        visit(statement, True)
    return found


def _skeleton(function: Function) -> str:
    blank = [copied(s) for s in function.statements]
    for statement in blank:
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                node.value = 0
    return _canonical(function.parameters, blank)


def _canonical(parameters: list[str], statements: list[ast.stmt]) -> str:
    """The text with every variable called by its number."""
    own = dict.fromkeys([*parameters, *(node.id for s in statements for node in ast.walk(s)
                                        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))])
    numbers = {name: f"v{number}" for number, name in enumerate(own)}
    parts = []
    for statement in statements:
        statement = copied(statement)
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                node.id = numbers.get(node.id, f":{node.id}")
        parts.append(ast.dump(statement))
    return f"{len(parameters)}\n" + "\n".join(parts)
