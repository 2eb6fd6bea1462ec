"""Axes in the wrong order: transposes left out, doubled or with other axes, and reshapes that mix axes up."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number, numbers

PAIRS = ((1, 2), (-2, -1), (2, 3), (1, 3), (0, 1), (0, 2), (2, 1))
KIND = "swapped axes"


def other_transpose(source: Source) -> Iterator[Rewrite]:
    """Another pair or another permutation; torch's ``transpose(0, 1)`` is MLX's ``swapaxes``."""
    for call in calls(source, "swapaxes", "moveaxis"):
        given = [number(a) for a in call.args[1:]]
        if len(given) != 2 or None in given:
            continue
        for place, pair in enumerate(PAIRS):
            if set(pair) != set(given) or call.name == "moveaxis":
                yield Rewrite(KIND, f"{call.name}{tuple(given)} should be {call.name}{pair}",
                              tuple(source.put(a, str(p)) for a, p in zip(call.args[1:], pair, strict=True)),
                              0.3 + 0.2 * place)
    for call in calls(source, "transpose"):
        axes = _permutation(call)
        if len(axes) == 2 and call.owner == ".":
            yield Rewrite(KIND, f"MLX's transpose takes a whole permutation; torch's transpose{axes} is swapaxes{axes}",
                          (source.put(call.node, f"{source.operand(call.args[0])}.swapaxes({axes[0]}, {axes[1]})"),), 0)
        if not 2 <= len(axes) <= 6:
            continue
        inverse = (
            tuple(sorted(range(len(axes)), key=lambda i: axes[i])) if sorted(axes) == list(range(len(axes))) else ()
        )
        found = [inverse] if len(inverse) > 4 else itertools.permutations(range(len(axes)))
        if len(axes) > 4:
            found = [*found, *_exchanged(axes)]
        for other in found:
            if other and other != axes:
                cost = (
                    0.3
                    if other == inverse
                    else 0.8
                    if sum(a != b for a, b in zip(other, axes, strict=True)) == 2
                    else 1.5
                )
                yield Rewrite(KIND, f"transpose{axes} should be transpose{tuple(other)}",
                              (_with_axes(source, call, other),), cost)


def needless_transpose(source: Source) -> Iterator[Rewrite]:
    """A transpose that torch doesn't do."""
    for call in calls(source, "swapaxes", "transpose", "moveaxis"):
        if call.args:
            yield Rewrite(KIND, f"torch does not exchange axes here; {call.name} should go",
                          (source.put(call.node, source.operand(call.args[0])),), 0.8)
    for node in source.of(ast.Attribute):
        if node.attr == "T":
            yield Rewrite(KIND, ".T reverses all axes; torch exchanges the last two",
                          (source.put(node, f"{source.operand(node.value)}.swapaxes(-1, -2)"),), 0.7)
            yield Rewrite(KIND, "torch does not transpose here; .T should go",
                          (source.put(node, source.operand(node.value)),), 0.9)


def missing_transpose(source: Source) -> Iterator[Rewrite]:
    """A transpose that was left out: around a reshape, at an operand of a product, or of a whole value."""
    for call in calls(source, "reshape", "flatten", "unflatten"):
        if not call.args or source.in_init(call.node):
            continue
        for place, pair in enumerate(PAIRS[:4]):
            cost = 0.5 + 0.2 * place
            yield Rewrite(KIND, f"torch exchanges axes {pair} before this {call.name}",
                          (source.put(call.args[0], f"{source.operand(call.args[0])}.swapaxes{pair}"),), cost)
            yield Rewrite(KIND, f"torch exchanges axes {pair} after this {call.name}",
                          (source.put(call.node, f"{source.operand(call.node)}.swapaxes{pair}"),), cost)
        for axes in ((0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1), (2, 0, 3, 1, 4)):
            yield Rewrite(KIND, f"torch permutes by {axes} before this {call.name}",
                          (source.put(call.args[0], f"{source.operand(call.args[0])}.transpose{axes}"),), 1.5)
            yield Rewrite(KIND, f"torch permutes by {axes} after this {call.name}",
                          (source.put(call.node, f"{source.operand(call.node)}.transpose{axes}"),), 1.5)
    for value in source.values():
        for place, pair in enumerate(PAIRS[:4]):
            yield Rewrite(KIND, f"torch exchanges axes {pair} here",
                          (source.put(value, f"{source.operand(value)}.swapaxes{pair}"),), 1.2 + 0.2 * place)
    for node in source.of(ast.BinOp):
        if isinstance(node.op, ast.MatMult):
            for side in (node.right, node.left):
                yield Rewrite("transposed operand", "torch multiplies by this operand with its last two axes exchanged",
                              (source.put(side, f"{source.operand(side)}.swapaxes(-1, -2)"),), 0.6)


def reshape_mixes_axes(source: Source) -> Iterator[Rewrite]:
    """Sizes in another order, or a reshape straight to what needs a transpose as well."""
    for call in calls(source, "reshape", "unflatten"):
        sizes = list(call.args[1:])
        if len(sizes) == 1 and isinstance(sizes[0], (ast.Tuple, ast.List)):
            sizes = list(sizes[0].elts)
        if source.in_init(call.node) or not 2 <= len(sizes) <= 7 or any(isinstance(s, ast.Starred) for s in sizes):
            continue
        texts = [source.read(size) for size in sizes]
        for first in range(len(sizes) - 1):
            for second in range(first + 1, len(sizes)):
                if texts[first] == texts[second]:
                    continue
                edits = (source.put(sizes[first], texts[second]), source.put(sizes[second], texts[first]))
                yield Rewrite("reshape sizes exchanged", f"reshape to ({', '.join(texts)}) has sizes {first} and "
                              f"{second} exchanged", edits, 0.9 + 0.2 * (second - first))
                yield Rewrite(
                    KIND,
                    f"reshape to ({', '.join(texts)}) mixes axes {first} and {second} up: reshape to the "
                    "other order, then exchange them",
                    (*edits, _after(source, call.node, f".swapaxes({first}, {second})")),
                    0.7,
                )
                following = _method_on(source, call.node)
                if following is not None and following.func.attr in ("swapaxes", "transpose"):  # type: ignore[attr-defined]
                    end = source.span(following)[1]
                    yield Rewrite(KIND, f"torch reshapes with sizes {first} and {second} the other way round and does "
                                  "not exchange axes afterwards",
                                  (*edits, (source.span(call.node)[1], end, "")), 1.4)


def _permutation(call) -> tuple[int, ...]:
    given = call.args[1:]
    if len(given) == 1 and isinstance(given[0], (ast.Tuple, ast.List)):
        return numbers(given[0]) or ()
    keyword = numbers(call.keyword("axes"))
    found = keyword or tuple(number(a) for a in given)
    return () if None in found else found  # type: ignore[return-value]


def _with_axes(source: Source, call, axes: tuple[int, ...]):
    method = call.owner == "."
    text = ", ".join(map(str, axes))
    return source.put(call.node, f"{source.operand(call.args[0])}.transpose({text})" if method else
                      f"mx.transpose({source.read(call.args[0])}, ({text}))")


def _exchanged(axes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for first, second in itertools.combinations(range(len(axes)), 2):
        other = list(axes)
        other[first], other[second] = other[second], other[first]
        yield tuple(other)


def _after(source: Source, node: ast.expr, text: str):
    end = source.span(node)[1]
    return end, end, text


def _method_on(source: Source, node: ast.expr) -> ast.Call | None:
    """The method call right after an expression, as ``.swapaxes(1, 2)`` in ``x.reshape(...).swapaxes(1, 2)``."""
    access = source.parents.get(node)
    call = source.parents.get(access) if isinstance(access, ast.Attribute) else None
    return call if isinstance(call, ast.Call) and call.func is access else None
