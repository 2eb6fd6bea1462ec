"""Watches the values of a class's statements, and finds the first that parts from the reference.

Runs in the worker: the standard library and MLX alone. The text of a class is compiled with every
expression wrapped, so that a run leaves a list of events ``(span, value)``. Two texts of one
class, the generated and the edited one, are aligned statement by statement; the first aligned
statement whose value differs is where they part.
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from .results import arrays_in

WATCH = "_t2m_watch"
MOST_EVENTS = 20_000


@dataclass(frozen=True, slots=True)
class Span:
    """A statement or an expression inside one, by its place in the text."""

    line: int
    end_line: int
    column: int
    end_column: int
    text: str
    statement: int  # number of the statement that it belongs to
    whole: bool  # it is the statement itself
    target: str = ""  # what the statement assigns to
    returns: bool = False


class Watched:
    """A class's text with every array expression observed."""

    def __init__(self, source: str, eager: bool = False):
        """``eager`` evaluates each value at once, so that a crash happens on its own line."""
        self.eager = eager
        self.spans: list[Span] = []
        self.statements: list[Span] = []
        tree = ast.parse(source)
        self.tree = ast.fix_missing_locations(_Wrap(self, source).visit(tree))
        self.events: list[tuple[int, Any]] = []

    def watch(self, number: int, value: Any) -> Any:
        """Called by the wrapped code with each value."""
        if len(self.events) < MOST_EVENTS and any(True for _ in arrays_in(value)):
            self.events.append((number, value))
            if self.eager:
                mx.eval(list(arrays_in(value)))
        return value

    def runs(self) -> dict[int, list[Any]]:
        """The values of each statement, one for each time it ran."""
        found: dict[int, list[Any]] = {}
        for number, value in self.events:
            if self.spans[number].whole:
                found.setdefault(self.spans[number].statement, []).append(value)
        return found


class _Wrap(ast.NodeTransformer):
    """Wraps what functions compute; what classes and signatures say stays as it is."""

    def __init__(self, watched: Watched, source: str):
        self.watched, self.lines = watched, source.splitlines()
        self.inside = False
        self.statement = -1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name == "__init__" and not self.inside:
            return node
        node.decorator_list = [d for d in node.decorator_list if "compile" not in ast.unparse(d)]  # it hides values
        outer, self.inside = self.inside, True
        node.body = self._block(node.body)
        self.inside = outer
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for statement in statements:
            made += self._statement(statement)
        return made

    def _statement(self, node: ast.stmt) -> list[ast.stmt]:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            return [self.visit(node)]
        if isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try)):
            for name in ("body", "orelse", "finalbody"):
                setattr(node, name, self._block(getattr(node, name, [])) or getattr(node, name, []))
            for handler in getattr(node, "handlers", []):
                handler.body = self._block(handler.body)
            return [node]
        if not isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr)) or node.value is None:
            return [node]
        text = ast.unparse(node)
        self.statement = len(self.watched.statements)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        target = targets[0]
        span = Span(node.lineno, node.end_lineno or node.lineno, self._characters(node.lineno, node.col_offset),
                    self._characters(node.end_lineno, node.end_col_offset), text, self.statement, True,
                    ast.unparse(target) if target is not None else "", isinstance(node, ast.Return))
        self.watched.statements.append(span)
        node.value = self.visit(node.value)
        # `x += v` and `x[i] = v` are known by what x is afterwards
        written = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(node, ast.AugAssign) or isinstance(target, ast.Subscript):
            after = ast.copy_location(ast.Expr(self._call(span, _loaded(written))), node)
            return [node, after]
        node.value = self._call(span, node.value)
        return [node]

    def _characters(self, line: int | None, offset: int | None) -> int:
        """A column in characters; Python counts UTF-8 bytes."""
        text = self.lines[line - 1] if line and line <= len(self.lines) else ""
        return len(text.encode()[: offset or 0].decode(errors="ignore"))

    def _call(self, span: Span, value: ast.expr) -> ast.Call:
        self.watched.spans.append(span)
        call = ast.Call(ast.Name(WATCH, ast.Load()), [ast.Constant(len(self.watched.spans) - 1), value], [])
        return ast.copy_location(call, value)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not self.inside or not isinstance(node, (ast.Call, ast.BinOp, ast.Subscript, ast.UnaryOp, ast.Attribute,
                                                    ast.IfExp, ast.Compare, ast.BoolOp)):
            return super().generic_visit(node)
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return super().generic_visit(node)
        text = ast.unparse(node)
        span = Span(node.lineno, node.end_lineno or node.lineno, self._characters(node.lineno, node.col_offset),
                    self._characters(node.end_lineno, node.end_col_offset), text, self.statement, False)
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):  # a method is no value, what it belongs to is
                node.func.value = self.visit(node.func.value)
            node.args = [self.visit(item) for item in node.args]
            node.keywords = [self.visit(item) for item in node.keywords]
            made: ast.AST = node
        elif isinstance(node, ast.Attribute) and _is_name(node):
            return self._call(span, node) if text.startswith("self.") else node
        else:
            made = super().generic_visit(node)
        return self._call(span, made)  # type: ignore[arg-type]


def _loaded(node: Any) -> ast.expr:
    """A target as an expression that reads it."""
    return ast.parse(ast.unparse(node), mode="eval").body


def _is_name(node: ast.AST) -> bool:
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


# -- alignment ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two texts of one class part."""

    span: Span | None  # in the edited text; None: only what is missing is known
    got: Any
    want: Any
    changed: bool  # the statement itself differs from the generated one
    missing: str = ""  # a generated statement that is gone, where that explains it
    generated: str = ""  # the generated statement in its place


def aligned(baseline: list[Span], edited: list[Span]) -> dict[int, int]:
    """Edited statement -> generated statement."""
    pairs: dict[int, int] = {}
    matcher = difflib.SequenceMatcher(None, [s.text for s in baseline], [s.text for s in edited], autojunk=False)
    for kind, a1, a2, b1, b2 in matcher.get_opcodes():
        if kind == "equal":
            pairs.update(zip(range(b1, b2), range(a1, a2), strict=True))
        elif kind == "replace":
            free = list(range(a1, a2))
            rest = []
            for new in range(b1, b2):  # the same name is the same thing, in order
                old = next((o for o in free if baseline[o].target == edited[new].target
                            and baseline[o].returns == edited[new].returns), None)
                if old is None:
                    rest.append(new)
                    continue
                pairs[new] = old
                free = [o for o in free if o > old]
            if len(rest) == b2 - b1 and a2 - a1 == b2 - b1:  # every name is new: position tells
                pairs.update(zip(range(b1, b2), range(a1, a2), strict=True))
    return pairs


def first_parting(baseline: Watched, edited: Watched, same: Any) -> Parting | None:
    """The first statement of ``edited`` whose value is not what the generated one had.

    ``same(got, want)`` tells whether two values agree. None where every statement agrees.
    """
    pairs = aligned(baseline.statements, edited.statements)
    wanted, had = baseline.runs(), {}
    known = [array for _, value in baseline.events for array in arrays_in(value)]
    odd: tuple[Span, Any] | None = None  # the last new statement with a value that torch never had
    for number, value in edited.events:
        span = edited.spans[number]
        if not span.whole:
            continue
        turn = had[span.statement] = had.get(span.statement, -1) + 1
        old = pairs.get(span.statement)
        if old is None:
            if not all(any(same(a, k) for k in known if k.shape == a.shape) for a in arrays_in(value)):
                odd = (span, value)
            continue
        runs = wanted.get(old, [])
        if turn >= len(runs):
            continue
        if same(value, runs[turn]):
            continue
        generated = baseline.statements[old].text
        changed = generated != span.text
        if not changed:
            gone = _missing_before(baseline, pairs, old)
            if odd is not None:
                return Parting(odd[0], odd[1], runs[turn], True, generated=generated)
            return Parting(span, value, runs[turn], False, gone, generated)
        return Parting(span, value, runs[turn], True, generated=generated)
    return Parting(odd[0], odd[1], None, True) if odd is not None else None


def _missing_before(baseline: Watched, pairs: dict[int, int], old: int) -> str:
    """The nearest generated statement before ``old`` that has no counterpart."""
    kept = set(pairs.values())
    gone = [s for s in baseline.statements[:old] if s.statement not in kept]
    return gone[-1].text if gone else ""


def narrowed(edited: Watched, span: Span, baseline: Watched, same: Any, references: list[Any]) -> Span:
    """The innermost expression of ``span``'s statement with a value that the reference never had."""
    known = [array for _, value in baseline.events for array in arrays_in(value)] + references
    for number, value in edited.events:
        inner = edited.spans[number]
        if inner.statement != span.statement or inner.whole:
            continue
        if not all(any(same(a, k) for k in known if k.shape == a.shape) for a in arrays_in(value)):
            return inner
    return span
