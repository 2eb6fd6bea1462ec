"""A number that differs from torch's."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator

from .called import called
from .source import Rewrite, Source, number

WELL_KNOWN = (
    0.0,
    1.0,
    0.5,
    2.0,
    0.01,
    0.1,
    0.2,
    0.02,
    10000.0,
    0.044715,
    math.sqrt(2 / math.pi),
    1.702,
    1e-2,
    6.0,
    3.0,
    math.sqrt(0.5),
    math.sqrt(2),
    math.pi,
)

#: Functions whose whole numbers are lengths of axes.
LENGTHS = {"reshape", "zeros", "ones", "full", "broadcast_to", "unflatten", "arange", "range", "eye", "tri", "split",
           "normal", "uniform", "repeat", "tile", "as_strided"}


def wrong_number(source: Source) -> Iterator[Rewrite]:
    """The numbers that torch's layers and the generated class have, then simple relatives of this one."""
    facts = [v for layer in source.facts.values() for v in layer.values() if type(v) in (int, float)]
    for node in source.of(ast.Constant, ast.UnaryOp):
        value = number(node)
        parent = source.parents.get(node)
        if value is None or isinstance(parent, (ast.Slice, ast.Subscript)) or (
                isinstance(parent, ast.UnaryOp) and number(parent) is not None):
            continue
        scale = isinstance(parent, ast.keyword) and parent.arg == "scale" or (
            isinstance(parent, ast.BinOp) and isinstance(parent.op, (ast.Mult, ast.Div)))
        word = parent.arg if isinstance(parent, ast.keyword) else ""
        kind = "wrong scale" if scale else f"wrong {word}" if word and word not in ("k", "axis") else "wrong number"
        size = isinstance(value, int) and abs(value) > 3 and not word
        counts = isinstance(value, int) and value > 0 and _is_length(source, node)
        for place, other in enumerate(_candidates(source, node, value, facts)):
            if counts and other <= 0:
                continue  # MLX does not survive every array of a negative length
            if other != value and type(other) in (int, float) and math.isfinite(other):
                text = repr(other)
                yield Rewrite(
                    kind,
                    f"{word + ' ' if word else ''}{_short(other)} agrees with torch, not {_short(value)}",
                    (source.put(node, text),),
                    1 + 0.12 * place + (1 if size or source.in_init(node) else 0) - (0.7 if scale else 0),
                )


def _is_length(source: Source, node: ast.AST) -> bool:
    """Whether a number says how long an axis is: an argument of a reshape, a creation or a layer."""
    parent = source.parents.get(node)
    while isinstance(parent, (ast.Tuple, ast.List, ast.BinOp, ast.UnaryOp)):
        node, parent = parent, source.parents.get(parent)
    if not isinstance(parent, ast.Call) or node is parent.func:
        return False
    found = called(parent)
    return found.name in LENGTHS or found.owner in ("nn", "") and found.name[:1].isupper()


def scale_of_size(source: Source) -> Iterator[Rewrite]:
    """A scale by d where torch has √d, or by one over it; a size in place of another."""
    for node in source.of(ast.BinOp):
        if isinstance(node.op, ast.Pow) and number(node.right) is not None:
            for other in (-0.5, 0.5, -1, 1, 2):
                if number(node.right) != other:
                    yield Rewrite("wrong scale", f"torch has the power {other} here",
                                  (source.put(node.right, str(other)),), 0.5)
        if isinstance(node.op, (ast.Mult, ast.Div)) and not source.in_init(node):
            for side in (node.right, node.left):
                text = source.operand(side)
                if isinstance(side, (ast.Name, ast.Attribute, ast.Subscript)) and (
                        "dim" in text or "size" in text or "shape" in text or "scale" in text or "heads" in text):
                    for form in (f"{text} ** 0.5", f"{text} ** -0.5"):
                        yield Rewrite(
                            "wrong scale", f"torch scales by {form}, not by {text}", (source.put(side, form),), 0.4
                        )
    for node in source.of(ast.Call):
        found = called(node)
        given = found.keyword("scale")
        if given is not None and found.args:
            q = source.operand(found.args[0])
            text = source.operand(given)
            for place, form in enumerate(
                (
                    f"{q}.shape[-1] ** -0.5",
                    f"{text} ** -0.5",
                    f"{text} ** 0.5",
                    f"1 / {text}",
                    "1.0",
                    f"{q}.shape[-1] ** 0.5",
                    f"1 / {q}.shape[-1]",
                )
            ):
                if form != source.read(given):
                    yield Rewrite(
                        "wrong scale", f"torch's scale is {form} here", (source.put(given, form),), 0.3 + 0.1 * place
                    )
        if found.name in ("sqrt", "rsqrt") and found.args and found.owner in ("mx", "math"):
            yield Rewrite(
                "wrong scale", "torch takes no root here", (source.put(node, source.operand(found.args[0])),), 1
            )


def _candidates(source: Source, node: ast.expr, value: float, facts: list[float]) -> list[float]:
    found: list[float] = [*source.baseline_numbers, *(f for f in facts if type(f) is type(value))][:12]
    if isinstance(value, int):
        relatives: list[float] = [
            value + 1,
            value - 1,
            -value,
            value * 2,
            *([value // 2] if value % 2 == 0 else []),
            0,
            1,
            2,
        ]
    else:
        relatives = [-value, value * 2, value / 2, value + 1, value - 1]
        if value > 0:
            relatives += [math.sqrt(value), 1 / value, 1 / math.sqrt(value), value * value]
            # a scale written for another head size
            relatives += [2.0 ** (k / 2) for k in range(-9, 0)] if value <= 1 else []
        relatives += [*WELL_KNOWN, value * 10, value / 10, value * 100, value / 100]
    exact = [v for v in found if not isinstance(value, int) or v == int(v)]
    return list(dict.fromkeys([int(v) if isinstance(value, int) else v for v in [*exact, *relatives]]))


def _short(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
