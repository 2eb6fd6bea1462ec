"""The user's source as a tree whose nodes can be replaced in the text, all else left as typed."""

from __future__ import annotations

import ast
import bisect
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Text that replaces the bytes from start to end.
Edit = tuple[int, int, str]

ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.ListComp)
BINDING = (ast.BinOp, ast.UnaryOp, ast.Attribute, ast.Compare, ast.BoolOp, ast.Starred)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One hypothesis made concrete: the edits, what they would mean, and how far-fetched they are
    (``cost``: 0 for a mistake that people are known to make, 5 for a guess). A ``risky`` one could
    read outside an array, so it is only tried where it restores a line that is known to be right."""

    kind: str
    message: str
    edits: tuple[Edit, ...]
    cost: float
    risky: bool = False


def parsed(text: str) -> ast.Module | None:
    """The tree of ``text``, None when it is not Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def class_of(tree: ast.Module, name: str) -> ast.ClassDef | None:
    """The class called ``name``; the last one where there are several, as Python takes it."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name]
    return found[-1] if found else None


class Source:
    """A class in its source text, with what the hypotheses ask about it."""

    def __init__(self, text: str, tree: ast.Module, cls: ast.ClassDef, facts: Mapping[str, Mapping[str, Any]],
                 numbers: tuple[float, ...] = (), rows: frozenset[int] = frozenset()):
        self.text, self.tree, self.cls, self.facts = text, tree, cls, facts
        self.baseline_numbers = numbers  # what the generated class has and this one has not
        self.rows = rows  # the lines to look at; empty for all
        self._names: dict[tuple[int, int], list[str]] = {}
        self.data = text.encode()
        self._starts = [0]
        for row in self.data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(row))
        self.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.init = next((f for f in cls.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)

    # positions

    def span(self, node: Any) -> tuple[int, int]:
        """First and last byte of a node; its parentheses are not part of it."""
        return (self._starts[node.lineno - 1] + node.col_offset,
                self._starts[node.end_lineno - 1] + node.end_col_offset)

    def read(self, node: ast.AST) -> str:
        """The text of a node as the user typed it."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def operand(self, node: ast.AST) -> str:
        """The text of an expression, in parentheses where an operator or a dot may follow."""
        text = self.read(node)
        number = isinstance(node, ast.Constant) and not isinstance(node.value, str)
        return text if isinstance(node, ATOMS) and not number else f"({text})"

    def row(self, position: int) -> int:
        """The line, from 1, of a byte."""
        return bisect.bisect_right(self._starts, position)

    def start(self, row: int) -> int:
        """The first byte of a line."""
        return self._starts[min(row, len(self._starts)) - 1]

    @functools.cached_property
    def _simple(self) -> dict[int, ast.stmt]:
        """The innermost statement on each line."""
        found: dict[int, ast.stmt] = {}
        for node in ast.walk(self.tree):  # outer before inner
            if isinstance(node, ast.stmt):
                found.update(dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node))
        return found

    def statement_at(self, position: int) -> str:
        """The text of the statement that holds a byte."""
        statement = self._simple.get(self.row(position))
        return self.read(statement) if statement is not None else ""

    # edits

    def put(self, node: ast.AST, text: str) -> Edit:
        """Replace an expression; parentheses are added where the surroundings need them."""
        start, end = self.span(node)
        parent = self.parents.get(node)
        binds = isinstance(parent, BINDING) or (isinstance(parent, (ast.Subscript, ast.Call))
                                                and node is getattr(parent, "value", getattr(parent, "func", None)))
        if binds and not self._enclosed(start, end):
            made = parsed(text)
            first = made.body[0] if made and made.body else None
            if not isinstance(first, ast.Expr) or not isinstance(first.value, ATOMS):
                text = f"({text})"
        return start, end, text

    def _enclosed(self, start: int, end: int) -> bool:
        return self.data[:start].rstrip().endswith(b"(") and self.data[end:].lstrip().startswith(b")")

    def put_arguments(self, call: ast.Call, texts: list[str]) -> Edit:
        """Replace everything between the parentheses of a call."""
        start = self.data.index(b"(", self.span(call.func)[1]) + 1
        return start, self.span(call)[1] - 1, ", ".join(texts)

    def arguments(self, call: ast.Call) -> list[str]:
        """The texts of a call's arguments, keywords included."""
        return [self.read(argument) for argument in [*call.args, *call.keywords]]

    def add_argument(self, call: ast.Call, text: str) -> Edit:
        """Append an argument to a call."""
        close = self.span(call)[1] - 1
        end = len(self.data[:close].rstrip())
        before = self.data[end - 1:end]
        return end, end, text if before == b"(" else " " + text if before == b"," else ", " + text

    def remove_argument(self, call: ast.Call, argument: ast.AST) -> Edit:
        """Take an argument out of a call."""
        return self.put_arguments(call, [self.read(a) for a in [*call.args, *call.keywords] if a is not argument])

    def remove_statement(self, statement: ast.stmt) -> Edit | None:
        """Take the lines of a statement out; None where it shares a line with another."""
        block = self.block(statement)
        start, end = self._starts[statement.lineno - 1], self._starts[statement.end_lineno or statement.lineno]
        if self.data[start:end].strip() != self.read(statement).encode().strip():
            return None
        if len(block) == 1:
            return *self.span(statement), "pass"
        return start, end, ""

    def insert_after(self, statement: ast.stmt, text: str) -> Edit:
        """A new line after a statement, as far to the right as the statement."""
        end = self.span(statement)[1]
        return end, end, "\n" + " " * statement.col_offset + text

    def applied(self, edits: tuple[Edit, ...]) -> str:
        """The text with edits made."""
        data = self.data
        for start, end, text in sorted(edits, reverse=True):
            data = data[:start] + text.encode() + data[end:]
        return data.decode()

    # structure

    def statement(self, node: ast.AST) -> ast.stmt:
        """The innermost statement that holds a node."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def forgets(self, edit: Edit) -> bool:
        """Whether an edit takes away the last use of a layer or parameter: rarely what torch does."""
        start, end, text = edit
        gone = self.data[start:end].decode(errors="replace")
        return any(f"self.{name}" in gone and f"self.{name}" not in text and
                   all(start <= self.span(node)[0] < end for node in self.uses.get(name, [])) for name in self.uses)

    def function(self, node: ast.AST) -> ast.FunctionDef | None:
        """The function around a node."""
        up = self.parents.get(node)
        while up is not None and not isinstance(up, ast.FunctionDef):
            up = self.parents.get(up)
        return up

    def block(self, statement: ast.stmt) -> list[ast.stmt]:
        """The statements among which one stands."""
        parent = self.parents[statement]
        for field in ("body", "orelse", "finalbody"):
            if statement in (getattr(parent, field, None) or []):
                return getattr(parent, field)
        return [statement]

    def in_init(self, node: ast.AST) -> bool:
        """Whether a node belongs to the constructor."""
        function = self.function(node)
        return function is not None and function is self.init

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """What a hypothesis may touch."""
        return [node for node in self._all if node.lineno in self.rows] if self.rows else self._all  # type: ignore[attr-defined]

    @functools.cached_property
    def _all(self) -> list[ast.AST]:
        """All nodes but errors, annotations, imports, and loops that might then never end."""
        found: list[ast.AST] = []

        def visit(node: ast.AST) -> None:
            for field, value in ast.iter_fields(node):
                if field in ("annotation", "returns", "decorator_list", "bases"):
                    continue
                if isinstance(value, ast.arguments):  # of a signature just the defaults
                    for default in filter(None, [*value.defaults, *value.kw_defaults]):
                        found.append(default)
                        visit(default)
                    continue
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST) and not isinstance(child, (
                            ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.While)):
                        found.append(child)
                        visit(child)

        visit(self.tree)
        return [node for node in found if hasattr(node, "lineno")]

    def of(self, *types: type) -> Iterator[Any]:
        """The nodes of some types."""
        return (node for node in self.nodes if isinstance(node, types))

    @functools.cached_property
    def layers(self) -> dict[str, ast.expr]:
        """What the constructor assigns to ``self``: attribute -> expression."""
        found: dict[str, ast.expr] = {}
        for node in ast.walk(self.init) if self.init else ():
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    pairs = [(target, node.value)]
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                        pairs = list(zip(target.elts, node.value.elts, strict=False))
                    found |= {one.attr: made for one, made in pairs if is_own(one)}  # type: ignore[attr-defined]
        return found

    @functools.cached_property
    def uses(self) -> dict[str, list[ast.Attribute]]:
        """Where the methods read ``self.<attribute>``."""
        found: dict[str, list[ast.Attribute]] = {}
        for node in self._all:
            if (
                isinstance(node, ast.Attribute)
                and is_own(node)
                and isinstance(node.ctx, ast.Load)
                and not self.in_init(node)
            ):
                found.setdefault(node.attr, []).append(node)
        return found

    @functools.cached_property
    def unused(self) -> list[str]:
        """Attributes with layers or arrays that no method reads."""
        return [name for name, made in self.layers.items()
                if name not in self.uses and any(isinstance(n, ast.Call) for n in ast.walk(made))]

    def constructor(self, attribute: str) -> str:
        """The name of the class or function that makes an attribute: ``Linear``, ``zeros``; for a
        list the name for its first item; empty when it is none."""
        call = next((n for n in ast.walk(self.layers.get(attribute) or ast.Pass()) if isinstance(n, ast.Call)), None)
        return "" if call is None else last_name(call.func)

    def is_array(self, attribute: str) -> bool:
        """Whether an attribute is a parameter or buffer of its own."""
        return self.constructor(attribute) in ("zeros", "ones", "array", "full", "normal", "uniform", "arange",
                                               "zeros_like", "ones_like", "eye", "tril", "triu")

    def names_before(self, node: ast.AST) -> list[str]:
        """Local names that a statement may read, the latest first."""
        function = self.function(node)
        if function is None:
            return []
        here = self.statement(node).lineno
        key = (function.lineno, here)
        if key not in self._names:
            self._names[key] = self._names_before(function, here)
        return self._names[key]

    def _names_before(self, function: ast.FunctionDef, here: int) -> list[str]:
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if a.arg != "self"]
        for inner in ast.walk(function):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and \
                    (inner.lineno < here or isinstance(self.parents[inner], (ast.For, ast.comprehension))):
                names.append(inner.id)
        return list(dict.fromkeys(reversed(names)))

    def values(self) -> Iterator[ast.expr]:
        """Every whole value in the methods: the right of an assignment, or what is returned."""
        for statement in self.of(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return):
            if statement.value is not None and not self.in_init(statement):
                yield statement.value

    @functools.cached_property
    def channels_last(self) -> bool:
        """Whether the class seems to handle images or signals."""
        words = ("Conv", "Pool", "Upsample", "BatchNorm", "GroupNorm", "InstanceNorm", "conv", "2d", "1d", "3d")
        made = [self.constructor(name) for name in self.layers] + [str(f.get("class")) for f in self.facts.values()]
        return any(word in name for name in made for word in words) or "(0, 3, 1, 2)" in self.text \
            or "(0, 2, 3, 1)" in self.text or any(w in self.text for w in ("conv2d", "LayerNorm2d", "pixel", "NHWC"))


def is_own(node: ast.AST) -> bool:
    """Whether a node is ``self.<attribute>``."""
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def last_name(node: ast.AST) -> str:
    """``softmax`` of ``mx.softmax``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def number(node: ast.AST | None) -> float | int | None:
    """The value of a literal number, with its sign; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    return None


def numbers(node: ast.AST | None) -> tuple[int, ...] | None:
    """The values of a tuple or list of literal integers."""
    if not isinstance(node, (ast.Tuple, ast.List)):
        return None
    found = [number(item) for item in node.elts]
    return tuple(found) if all(isinstance(n, int) for n in found) else None  # type: ignore[arg-type,return-value]
