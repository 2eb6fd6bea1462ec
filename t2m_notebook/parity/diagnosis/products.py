"""Letters of an einsum; rotary embeddings."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number


def einsum_letters(source: Source) -> Iterator[Rewrite]:
    """Two letters exchanged in one operand, or in the result."""
    for call in calls(source, "einsum"):
        if not call.args or not isinstance(call.args[0], ast.Constant) or not isinstance(call.args[0].value, str):
            continue
        text = call.args[0].value
        terms = text.replace("->", ",").split(",")
        for place, term in enumerate(terms):
            letters = [n for n, c in enumerate(term) if c.isalpha()]
            for n, first in enumerate(letters):
                for second in letters[n + 1:]:
                    other = list(term)
                    other[first], other[second] = other[second], other[first]
                    made = [*terms[:place], "".join(other), *terms[place + 1:]]
                    joined = ",".join(made[:-1]) + "->" + made[-1] if "->" in text else ",".join(made)
                    if joined != text:
                        yield Rewrite("einsum letters", f'torch\'s einsum is "{joined}"',
                                      (source.put(call.args[0], f'"{joined}"'),), 0.3)


def rotary(source: Source) -> Iterator[Rewrite]:
    """Rotary embeddings: pairs or halves, the base, where positions start, which axis they run along."""
    for call in calls(source, "rope", "RoPE"):
        for word, values in (
            ("traditional", ("True", "False")),
            ("base", ("10000.0", "500000.0", "1000000.0", "100.0")),
            ("scale", ("1.0", "0.5", "2.0", "0.25")),
            ("offset", ("0", "1")),
        ):
            given = call.keyword(word)
            for value in values:
                if given is None and call.name == "RoPE" and word != "offset":
                    edit = source.add_argument(call.node, f"{word}={value}")
                elif given is not None and source.read(given) != value:
                    edit = source.put(given, value)
                else:
                    continue
                kind = "rotary layout" if word == "traditional" else f"rotary {word}"
                yield Rewrite(
                    kind, f"torch's rotary embedding has {word}={value}", (edit,), 0.2 if word == "traditional" else 0.6
                )
    for call in calls(source):
        if (call.name == "rope" or (call.owner == "self" and source.constructor(call.name) == "RoPE")) and call.args:
            array = source.operand(call.args[0])
            text = source.read(call.node).replace(source.read(call.args[0]), f"{array}.swapaxes(1, 2)", 1)
            yield Rewrite(
                "rotary axis",
                "rotary positions run along the last axis but one: exchange heads and length first",
                (source.put(call.node, f"{text}.swapaxes(1, 2)"),),
                0.5,
            )
            offset = call.keyword("offset")
            if offset is None and call.name != "rope":
                for value in ("1", "offset", "2"):
                    yield Rewrite("rotary offset", f"torch's positions start at {value}",
                                  (source.add_argument(call.node, f"offset={value}"),), 1.2)
    yield from _halves(source)


def _halves(source: Source) -> Iterator[Rewrite]:
    """Halves ``x[..., : d // 2]`` and ``x[..., d // 2 :]`` against pairs ``x[..., ::2]`` and ``x[..., 1::2]``."""
    found: list[tuple[ast.Subscript, str]] = []
    for node in source.of(ast.Subscript):
        if isinstance(node.slice, ast.Tuple) and isinstance(node.slice.elts[-1], ast.Slice):
            part = node.slice.elts[-1]
            if part.step is None and (part.lower is None) != (part.upper is None):
                found.append((node, "::2" if part.lower is None else "1::2"))
            elif number(part.step) == 2:
                length = f"{source.operand(node.value)}.shape[-1] // 2"
                found.append((node, f": {length}" if number(part.lower) in (None, 0) else f"{length} :"))
    for first, text in found:
        for second, other in found:
            if first.lineno <= second.lineno <= first.lineno + 2 and first is not second and text != other:
                edits = tuple(
                    (*source.span(node.slice.elts[-1]), new) for node, new in ((first, text), (second, other))
                )  # type: ignore[attr-defined]
                yield Rewrite(
                    "rotary layout", "torch rotates pairs where halves were taken, or halves for pairs", edits, 1
                )
