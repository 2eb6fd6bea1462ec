"""A branch of the forward among the raw assignments of a body: two lists of them, and what comes out."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..rules.substitute import mentions, substitute

if TYPE_CHECKING:
    from .assignments import Key, Raw


@dataclass(slots=True)
class Arm:
    """One way on, and the expression that each result of the branch has there."""

    raws: list[Raw]
    ends: list[ast.expr] = field(default_factory=list)


@dataclass(slots=True)
class Choice:
    """``if test: … else: …``. The results are the targets of the raw assignment that holds it."""

    test: ast.expr
    then: Arm
    otherwise: Arm

    @property
    def arms(self) -> tuple[Arm, Arm]:
        return self.then, self.otherwise


def reads_of(choice: Choice) -> ast.expr:
    """All that a choice reads from outside, as one expression."""
    values: dict[Key, None] = {}
    sizes: dict[tuple[Key, int], None] = {}

    def read(node: ast.expr, made: set[Key]) -> None:
        used, measured = mentions(node)
        values.update(dict.fromkeys(key for key in used if key not in made))
        sizes.update(dict.fromkeys(pair for pair in measured if pair[0] not in made))

    read(choice.test, set())
    for arm in choice.arms:
        made: set[Key] = set()
        for raw in arm.raws:
            read(raw.node, made)
            made.update(raw.targets)
        for node in arm.ends:
            read(node, made)
    names: list[ast.expr] = [ast.Name(f"${key}", ast.Load()) for key in values]
    names += [ast.Subscript(ast.Attribute(ast.Name(f"${key}", ast.Load()), "$shape", ast.Load()), ast.Constant(dim),
                            ast.Load()) for key, dim in sizes]
    return ast.Set(names)


def nodes_in(raw: Raw) -> Iterator[ast.expr]:
    """Every expression of a raw assignment, those inside its arms or its loop included."""
    yield raw.node
    if raw.choice is not None:
        yield raw.choice.test
        for arm in raw.choice.arms:
            yield from arm.ends
            for inner in arm.raws:
                yield from nodes_in(inner)
    for inner in raw.loop.body if raw.loop is not None else ():
        yield from nodes_in(inner)


def renamed(node: ast.expr, keys: Mapping[Key, Key]) -> ast.expr:
    """``node`` with the values in ``keys`` replaced."""
    def value(key: Key) -> ast.expr:
        return ast.Name(f"${keys.get(key, key)}", ast.Load())

    def size(key: Key, dim: int) -> ast.expr:
        leaf = ast.Attribute(value(key), "$shape", ast.Load())
        return ast.Subscript(leaf, ast.Constant(dim), ast.Load())

    return substitute(node, value, size)


def rename_in(raw: Raw, keys: Mapping[Key, Key]) -> None:
    """Replace the values in ``keys`` wherever ``raw`` reads them."""
    if raw.choice is not None:
        raw.choice.test = renamed(raw.choice.test, keys)
        for arm in raw.choice.arms:
            for inner in arm.raws:
                rename_in(inner, keys)
            arm.ends = [renamed(node, keys) for node in arm.ends]
    raw.node = renamed(raw.node, keys)
