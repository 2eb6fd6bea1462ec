"""The user's class beside the generated one: which statements differ, and the text with some of them put back."""

from __future__ import annotations

import ast
import difflib
import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .difference import named
from .source import class_of, number, parsed

GENERATED = "differs from the generated line"


@dataclass(frozen=True, slots=True)
class Statement:
    """A simple statement, or the head of a compound one, written in one standard way."""

    text: str
    line: int
    end_line: int
    indent: int


@dataclass(frozen=True, slots=True)
class Hunk:
    """Statements of the user from ``start`` to ``end`` that stand for those of the generated class."""

    start: int
    end: int
    base_start: int
    base_end: int


def statements(cls: ast.ClassDef) -> list[Statement]:
    """The statements of a class in their order; docstrings are left out."""
    found: list[Statement] = []

    def visit(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            inner = getattr(node, "body", None)
            inline = not inner or inner[0].lineno <= node.lineno
            end = (node.end_lineno or node.lineno) if inline else max(node.lineno, _first_line(inner[0]) - 1)
            found.append(Statement(_standard(node, inline), node.lineno, end, node.col_offset))
            if not inline:
                visit(inner)
                for field in ("orelse", "finalbody"):
                    visit(getattr(node, field, None) or [])

    visit(cls.body)
    return found


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def _standard(node: ast.stmt, whole: bool) -> str:
    if whole:
        return ast.unparse(node)
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    fields.update(body=[ast.Pass()], **{name: [] for name in ("orelse", "finalbody") if name in fields})
    return ast.unparse(ast.fix_missing_locations(type(node)(**fields))).split("\n    pass")[0]


class Comparison:
    """A class against its generated source."""

    def __init__(self, text: str, cls: ast.ClassDef, baseline: str, generated: ast.ClassDef):
        self.lines, self.base_lines = text.split("\n"), baseline.split("\n")
        self.own, self.base = statements(cls), statements(generated)
        self.shift = cls.col_offset - generated.col_offset
        self.hunks: list[Hunk] = []
        matcher = difflib.SequenceMatcher(None, [s.text for s in self.own], [s.text for s in self.base], autojunk=False)
        for what, a, b, c, d in matcher.get_opcodes():
            if what == "replace" and b - a == d - c:
                self.hunks += [Hunk(a + n, a + n + 1, c + n, c + n + 1) for n in range(b - a)]
            elif what != "equal":
                self.hunks.append(Hunk(a, b, c, d))
        self.numbers = _numbers(generated, cls)

    @functools.cached_property
    def wanted(self) -> set[str]:
        """The generated statements that the user's class has not."""
        return {s.text for hunk in self.hunks for s in self.base[hunk.base_start:hunk.base_end]}

    def place(self, hunk: Hunk) -> range:
        """The lines of the user's text that a hunk concerns; where one is missing, those beside it."""
        if hunk.start < hunk.end:
            return range(self.own[hunk.start].line, self.own[hunk.end - 1].end_line + 1)
        first = self.own[hunk.start - 1].line if hunk.start else self.own[0].line
        last = self.own[hunk.start].end_line if hunk.start < len(self.own) else self.own[-1].end_line
        return range(first, last + 1)

    def said(self, hunk: Hunk) -> tuple[str, str]:
        """``(kind, message)`` of a hunk, by how the statements differ."""
        own = [ast.parse(_alone(s.text)).body[0] for s in self.own[hunk.start:hunk.end]]
        base = [ast.parse(_alone(s.text)).body[0] for s in self.base[hunk.base_start:hunk.base_end]]
        kind, message = named(own, base)
        if not kind:
            kind, message = GENERATED, f"the generated class has `{self.base[hunk.base_start].text}` here"
        return kind, message

    def restored(self, hunks: Iterable[Hunk]) -> str | None:
        """The text with some hunks as generated; None when that gives no Python."""
        lines = list(self.lines)
        for hunk in sorted(hunks, key=lambda h: h.start, reverse=True):
            new: list[str] = []
            for statement in self.base[hunk.base_start:hunk.base_end]:
                indent = self._indent(hunk, statement) - statement.indent
                new += [_moved(line, indent) for line in self.base_lines[statement.line - 1:statement.end_line]]
            if hunk.start < hunk.end:
                lines[self.own[hunk.start].line - 1:self.own[hunk.end - 1].end_line] = new
            else:
                after = self.own[hunk.start - 1].end_line if hunk.start else self.own[0].line - 1
                lines[after:after] = new
        text = "\n".join(lines)
        return text if parsed(text) is not None else None

    def _indent(self, hunk: Hunk, statement: Statement) -> int:
        """As far to the right as the user's statement in its place, or as its neighbours' generated twins tell."""
        if hunk.start < hunk.end and hunk.base_end > hunk.base_start:
            return self.own[hunk.start].indent + statement.indent - self.base[hunk.base_start].indent
        if hunk.start and hunk.base_start:
            return self.own[hunk.start - 1].indent + statement.indent - self.base[hunk.base_start - 1].indent
        return statement.indent + self.shift


def compared(text: str, cls: ast.ClassDef, baseline: str) -> Comparison | None:
    """The comparison, where the generated source is known and differs at all."""
    tree = parsed(baseline) if baseline else None
    generated = class_of(tree, cls.name) if tree is not None else None
    if generated is None:
        return None
    made = Comparison(text, cls, baseline, generated)
    return made if made.hunks else None


def _alone(text: str) -> str:
    """A statement that parses by itself: the head of a loop gets a body."""
    return text + "\n    pass" if text.endswith(":") else text


def _moved(line: str, by: int) -> str:
    if by >= 0:
        return " " * by + line if line.strip() else line
    return line[min(-by, len(line) - len(line.lstrip())):]


def _numbers(generated: ast.ClassDef, own: ast.ClassDef) -> tuple[float, ...]:
    """Numbers that the generated class has more often than the user's."""
    counts = [Counter(n for node in ast.walk(cls) if (n := number(node)) is not None) for cls in (generated, own)]
    return tuple((counts[0] - counts[1]).keys())
