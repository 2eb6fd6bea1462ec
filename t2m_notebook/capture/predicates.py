"""Tests over sizes: evaluated at the sizes of a recording, and chosen so that they tell recordings apart."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..rules.substitute import mentions, substitute
from .recording import Value

_FUNCTIONS = {"math": math, "max": max, "min": min, "round": round, "abs": abs, "int": int, "float": float}
_OPPOSITE = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt}
_NEAREST = 10  # tests that are tried in pairs

Shapes = Mapping[int, tuple[int, ...]]


class Seen(tuple):
    """A shape together with the numbers that Python read of the tensor."""

    content: Any

    def __new__(cls, value: Value):
        self = super().__new__(cls, value.shape)
        self.content = value.content
        return self


class _Content:
    """What was read of a tensor, read again as the code does."""

    def __init__(self, numbers: Any):
        self.numbers = numbers

    def __getitem__(self, place: int | tuple[int, ...]) -> _Content:
        numbers = self.numbers
        for position in place if isinstance(place, tuple) else (place,):
            numbers = numbers[position] if isinstance(numbers, list) else numbers
        return _Content(numbers)

    def item(self) -> Any:
        return self.numbers


def evaluate(node: ast.expr, shapes: Shapes) -> Any:
    """The value of an expression over sizes. Raises ``KeyError`` where it reads a size or a number that
    ``shapes`` lacks."""
    contents: dict[int | str, _Content] = {}

    def value(key: int | str) -> ast.expr:
        content = getattr(shapes[key], "content", None)  # type: ignore[index]
        if content is None:
            raise KeyError(key)
        contents[key] = _Content(content)
        return ast.Subscript(ast.Name("contents", ast.Load()), ast.Constant(key), ast.Load())

    def size(key: int | str, dim: int) -> ast.expr:
        return ast.Constant(shapes[key][dim])  # type: ignore[index]

    known = substitute(node, value, size)
    try:
        return eval(compile(ast.fix_missing_locations(ast.Expression(known)), "<size>", "eval"),
                    {**_FUNCTIONS, "contents": contents})
    except (ArithmeticError, ValueError, IndexError) as error:
        raise KeyError(str(error)) from None


def negated(test: ast.expr) -> ast.expr:
    """The opposite test, as one would write it."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return ast.Compare(test.left, [_OPPOSITE[type(test.ops[0])]()], test.comparators)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.BoolOp):
        other = ast.And() if isinstance(test.op, ast.Or) else ast.Or()
        return ast.BoolOp(other, [negated(part) for part in test.values])
    return ast.UnaryOp(ast.Not(), test)


def chosen(number: ast.expr, test: ast.expr, otherwise: ast.expr) -> ast.expr:
    """``number if test else otherwise``; ``max`` or ``min`` where that is what it says."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right = ast.dump(test.left), ast.dump(test.comparators[0])
        pair = (ast.dump(number), ast.dump(otherwise))
        larger = isinstance(test.ops[0], (ast.Gt, ast.GtE))
        smaller = isinstance(test.ops[0], (ast.Lt, ast.LtE))
        if (larger or smaller) and pair in ((left, right), (right, left)):
            function = "max" if larger == (pair == (left, right)) else "min"
            return ast.Call(ast.Name(function, ast.Load()), [test.left, test.comparators[0]], [])
    return ast.IfExp(test, number, otherwise)


@dataclass(frozen=True, slots=True)
class Test:
    """A comparison of sizes, and the line of the source that makes it."""

    node: ast.expr
    line: Any


def telling(tests: list[Test], labels: Mapping[int, bool], shapes_of: Callable[[int], Shapes]) -> ast.expr | None:
    """The first of ``tests``, or a pair of them joined by ``or`` or ``and``, that holds for just those
    recordings whose label is True. Pairs of one line of the source come first. None when none does."""
    table: list[tuple[ast.expr, list[bool], Any]] = []
    wanted = list(labels.values())
    seen: set[str] = set()
    for one in tests:
        test, text = one.node, ast.dump(one.node)
        if text in seen:
            continue
        seen.add(text)
        try:
            held = [bool(evaluate(test, shapes_of(number))) for number in labels]
        except KeyError:
            continue
        for candidate, outcomes in ((test, held), (negated(test), [not true for true in held])):
            if outcomes == wanted:
                return candidate
            table.append((candidate, outcomes, one.line))
    pairs = list(itertools.combinations(table[: 2 * _NEAREST], 2))
    for candidate, outcomes in _joined(sorted(pairs, key=lambda pair: pair[0][2] != pair[1][2])):
        if outcomes == wanted:
            return candidate
    return None


def _joined(pairs: list[Any]) -> Iterator[tuple[ast.expr, list[bool]]]:
    for (one, here, _), (two, there, _) in pairs:
        # Nearer tests come first; the source reads the other way round.
        yield ast.BoolOp(ast.Or(), [two, one]), [a or b for a, b in zip(here, there, strict=True)]
        yield ast.BoolOp(ast.And(), [two, one]), [a and b for a, b in zip(here, there, strict=True)]


def values_in(test: ast.expr) -> set[Any]:
    """The recorded values whose sizes a test reads."""
    values, sizes = mentions(test)
    return {*values, *(key for key, _ in sizes)}
