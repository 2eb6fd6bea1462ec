"""Slices and indices: off by one, the wrong half, the wrong end, the wrong axis."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number


def off_by_one(source: Source) -> Iterator[Rewrite]:
    """A bound that is one too small or too large, left out, or on the other side."""
    for node in source.of(ast.Slice):
        lower, upper = (None if part is None else source.read(part) for part in (node.lower, node.upper))
        step = "" if node.step is None else ":" + source.read(node.step)
        found: list[tuple[str, str, float]] = []
        for bound, form in ((node.lower, ("", f":{upper or ''}")), (node.upper, (f"{lower or ''}:", ""))):
            if bound is None:
                continue
            value = number(bound)
            near = [str(value + d) for d in (1, -1)] if isinstance(value, int) else [
                f"{source.read(bound)} + 1", f"{source.read(bound)} - 1"]
            if isinstance(value, int):
                near += [str(-value)] if value else []
                near += [str(int(n)) for n in source.baseline_numbers if n == int(n)]
            elif (
                isinstance(bound, ast.BinOp)
                and number(bound.right) is not None
                and isinstance(bound.op, (ast.Add, ast.Sub))
            ):
                near.insert(0, source.read(bound.left))
            found += [("off-by-one slice", text.join(form), 0.3) for text in near]
            found.append(("off-by-one slice", "".join(form), 0.5))
        if lower is not None and upper is not None:
            for low, high in _shifted(source, node):
                found.append(("off-by-one slice", f"{low}:{high}", 0.4))
        if lower is None:
            found.append(("off-by-one slice", f"1:{upper or ''}", 0.7 if upper is None else 1.2))
        if upper is None:
            found.append(("off-by-one slice", f"{lower or ''}:-1", 0.7 if lower is None else 1.2))
        if (lower is None) != (upper is None):
            found.insert(0, ("wrong half", f"{lower}:" if upper is None else f"{upper}:", 0.2))
            found[0] = ("wrong half", f":{lower}" if upper is None else f"{upper}:", 0.2)
            if upper is None and isinstance(node.lower, ast.UnaryOp):
                found.append(("wrong half", f":{source.read(node.lower.operand)}", 0.3))
            if lower is None:
                found.append(("wrong half", f"-{source.operand(node.upper)}:", 0.4))  # type: ignore[arg-type]
        for kind, text, cost in found:
            yield Rewrite(kind, f"the slice is [{text}{step}] in torch, not [{source.read(node)}]",
                          ((*source.span(node), text + step if step or ":" in text else text),), cost)
        for other in {"::-1", "::2", "1::2"} - {source.read(node)} if node.step is not None or (
                lower is None and upper is None) else ():
            yield Rewrite(
                "step of a slice", f"torch takes [{other}]", ((*source.span(node), other),), 0.7 if node.step else 2
            )
        if node.step is not None:
            for text in (
                f"{lower or ''}:{upper or ''}",
                f"1{step and ':'}{upper or ''}{step}",
                f":{upper or ''}{step}",
            ):
                if text != source.read(node):
                    yield Rewrite("step of a slice", f"torch takes [{text}]", ((*source.span(node), text),), 0.5)


def wrong_index(source: Source) -> Iterator[Rewrite]:
    """Another element: the first for the last, the neighbour, another axis."""
    for node in source.of(ast.Subscript):
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape" or source.in_init(node):
            continue
        index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        for place, item in enumerate(index):
            value = number(item)
            if isinstance(value, int):
                for step, other in enumerate(v for v in (0, -1, 1, value + 1, value - 1, 2) if v != value):
                    yield Rewrite("wrong index", f"torch takes element {other}, not {value}",
                                  (source.put(item, str(other)),), 0.4 + 0.1 * step)
                text = source.read(item)
                moved = [[":"] * n + [text] for n in range(4) if n != place or len(index) != place + 1]
                for other in moved if all(isinstance(i, ast.Slice) or i is item for i in index) else ():
                    if ", ".join(other) != source.read(node.slice):
                        yield Rewrite("index on another axis", f"torch indexes [{', '.join(other)}]",
                                      ((*source.span(node.slice), ", ".join(other)),), 1)
                if len(index) == 1:
                    yield Rewrite(
                        "wrong index", "torch takes the whole here", (source.put(node, source.read(node.value)),), 1.5
                    )
        if len(index) > 1 and any(isinstance(i, ast.Slice) and (i.lower or i.upper) for i in index):
            texts = [source.read(i) for i in index]
            for first in range(len(texts)):
                for second in range(first + 1, len(texts)):
                    if texts[first] != texts[second]:
                        other = list(texts)
                        other[first], other[second] = other[second], other[first]
                        yield Rewrite("slice of another axis", f"torch slices [{', '.join(other)}]",
                                      ((*source.span(node.slice), ", ".join(other)),), 0.8)
        sliced = [i for i in index if isinstance(i, ast.Slice) and (i.lower or i.upper or i.step)]
        if sliced and len(sliced) + sum(isinstance(i, ast.Slice) or source.read(i) == "..." for i in index) >= len(
            index
        ):
            yield Rewrite("slice that torch has not", f"torch takes all of {source.read(node.value)}",
                          (source.put(node, source.read(node.value)),), 0.7)


def missing_slice(source: Source) -> Iterator[Rewrite]:
    """A part where the whole was taken: one of several results, the first or the last position."""
    for value in source.values():
        text = source.operand(value)
        for place, index in enumerate(("[0]", "[1]", "[:, 0]", "[:, -1]", "[:, 1:]", "[:, :-1]", "[-1]", "[None]",
                                       "[:, None]", "[..., None]", "[..., ::-1]", "[:, ::-1]")):
            yield Rewrite("missing index", f"torch takes {index} of this",
                          (source.put(value, text + index),), 1.3 + 0.1 * place)


def positions(source: Source) -> Iterator[Rewrite]:
    """Positions and ranges that start or end elsewhere."""
    for call in calls(source, "arange", "range"):
        if source.in_init(call.node) and not _loop(source, call.node):
            continue
        risky = call.name == "arange"
        texts = [source.read(a) for a in call.args]
        words = [source.read(k) for k in call.node.keywords]
        made: list[list[str]] = []
        if len(texts) == 1:
            made = [["1", f"{texts[0]} + 1"], ["1", texts[0]], [f"{texts[0]} - 1"], [f"{texts[0]} + 1"],
                    [f"{texts[0]} - 1", "-1", "-1"]]
        elif len(texts) >= 2:
            made = [
                texts[1:2],
                [f"{texts[0]} - 1", *texts[1:]],
                [f"{texts[0]} + 1", *texts[1:]],
                [texts[0], f"{texts[1]} - 1", *texts[2:]],
                [texts[0], f"{texts[1]} + 1", *texts[2:]],
                ["0", *texts[1:]],
            ]
            start, stop = number(call.args[0]), call.args[1]
            if isinstance(stop, ast.BinOp) and isinstance(start, int):
                made.insert(0, [source.read(stop.left)])
                made.insert(1, [texts[0], source.read(stop.left)])
        for place, other in enumerate(made):
            yield Rewrite(
                "position offset" if risky else "loop bounds",
                f"torch counts {call.name}({', '.join(other)})",
                (source.put_arguments(call.node, [*other, *words]),),
                0.9 + 0.1 * place,
                risky and "+ 1" in str(other),
            )
        if risky and not source.in_init(call.node):
            for step in (" + 1", " + 2", " - 1"):
                yield Rewrite("position offset", f"torch's positions are{step}",
                              (source.put(call.node, source.read(call.node) + step),), 1.4, step != " - 1")


def _loop(source: Source, node: ast.AST) -> bool:
    return isinstance(source.parents.get(node), (ast.comprehension, ast.For))


def _shifted(source: Source, node: ast.Slice) -> Iterator[tuple[str, str]]:
    """Both bounds one less, and one more."""
    low, high = number(node.lower), node.upper
    if isinstance(low, int) and high is not None:
        for by in (-1, 1):
            upper = str(number(high) + by) if isinstance(number(high), int) else f"{source.read(high)} {'+-'[by < 0]} 1"
            sides = (number(high.left), number(high.right)) if isinstance(high, ast.BinOp) else ()
            if low in sides and isinstance(high.op, ast.Add):  # type: ignore[attr-defined]
                rest = high.right if sides[0] == low else high.left  # type: ignore[attr-defined]
                upper = source.read(rest) if low + by == 0 else f"{low + by} + {source.read(rest)}"
            yield "" if low + by == 0 else str(low + by), upper
