"""Another layer, another attribute or another variable than torch's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .source import Rewrite, Source, is_own, number


def wrong_layer(source: Source) -> Iterator[Rewrite]:
    """``self.k_proj`` where torch uses ``self.q_proj``: layers that no line uses first, then those of one kind."""
    for name, uses in source.uses.items():
        if name not in source.layers:
            continue
        for other in source.layers:
            if other == name or not source.constructor(other):
                continue
            same = source.constructor(other) == source.constructor(name)
            risky = "Embedding" in source.constructor(other) + source.constructor(name)
            for node in uses:
                cost = (0.0 if other in source.unused else 0.9) + (0.1 if same else 1.2)
                yield Rewrite("wrong layer", f"torch uses self.{other} here, not self.{name}",
                              (source.put(node, f"self.{other}"),), cost, risky)


def exchanged_layers(source: Source) -> Iterator[Rewrite]:
    """Two layers, each used in the other's place."""
    names = [n for n in source.layers if n in source.uses and source.constructor(n)]
    for place, first in enumerate(names):
        for second in names[place + 1:]:
            if source.constructor(first) != source.constructor(second):
                continue
            risky = "Embedding" in source.constructor(first)
            edits = tuple(source.put(node, f"self.{other}") for name, other in ((first, second), (second, first))
                          for node in source.uses[name])
            if len(edits) <= 8:
                yield Rewrite(
                    "wrong layer", f"self.{first} and self.{second} are used in each other's place", edits, 0.7, risky
                )


def wrong_list_member(source: Source) -> Iterator[Rewrite]:
    """Another member of a list of layers."""
    for node in source.of(ast.Subscript):
        place = number(node.slice)
        if is_own(node.value) and isinstance(place, int) and not source.in_init(node):
            for other in (0, 1, 2, -1, place + 1, place - 1):
                if other != place:
                    yield Rewrite("wrong layer", f"torch uses {source.read(node.value)}[{other}] here, not [{place}]",
                                  (source.put(node.slice, str(other)),), 0.6)
    for node in source.of(ast.For):
        if is_own(node.iter) and not source.in_init(node):
            text = source.read(node.iter)
            for other in (f"reversed({text})", f"{text}[1:]", f"{text}[:-1]"):
                yield Rewrite("loop over layers", f"torch runs over {other}", (source.put(node.iter, other),), 0.9)
        elif isinstance(node.iter, ast.Call) and source.read(node.iter.func) == "reversed":
            yield Rewrite(
                "loop over layers", "torch runs forwards", (source.put(node.iter, source.read(node.iter.args[0])),), 0.3
            )
        elif isinstance(node.iter, ast.Subscript):
            yield Rewrite("loop over layers", "torch runs over all of them",
                          (source.put(node.iter, source.read(node.iter.value)),), 0.3)


def wrong_variable(source: Source) -> Iterator[Rewrite]:
    """Another local variable, such as the normalised value where the residual is meant."""
    for node in source.of(ast.Name):
        if not isinstance(node.ctx, ast.Load) or source.in_init(node):
            continue
        names = source.names_before(node)
        if node.id not in names:
            continue
        parent = source.parents.get(node)
        risky = isinstance(parent, ast.Subscript) and parent.slice is node or (
            isinstance(parent, ast.Call) and any("mbed" in source.read(f) or "w" == source.read(f)[-3:-2]
                                                 for f in [parent.func]))
        alike = isinstance(parent, ast.Attribute) and parent.attr == "shape"
        for place, other in enumerate(n for n in names if n != node.id):
            cost = 0.9 + 0.08 * place + (0.5 if alike else 0) - (0.3 if _stem(other) == _stem(node.id) else 0)
            yield Rewrite(
                "wrong variable", f"torch uses {other} here, not {node.id}", (source.put(node, other),), cost, risky
            )


def wrong_target(source: Source) -> Iterator[Rewrite]:
    """A value given to another name than torch gives it to: the next line then reads an older one."""
    for node in source.of(ast.Assign):
        target = node.targets[0]
        if isinstance(target, ast.Name) and not source.in_init(node):
            function = source.function(node)
            names = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)} if function else set()
            later = [n for n in sorted(names) if n != target.id and _stem(n) == _stem(target.id)]
            for other in later:
                yield Rewrite("wrong variable", f"torch assigns this to {other}, not to {target.id}",
                              (source.put(target, other),), 1.4)


def returned(source: Source) -> Iterator[Rewrite]:
    """Another value returned."""
    for node in source.of(ast.Return):
        if node.value is None or source.in_init(node):
            continue
        for place, name in enumerate(source.names_before(node)[:6]):
            if source.read(node.value) != name:
                yield Rewrite(
                    "wrong result", f"torch returns {name}", (source.put(node.value, name),), 1.1 + 0.1 * place
                )
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
            for item in node.value.elts:
                yield Rewrite("wrong result", f"torch returns just {source.read(item)}",
                              (source.put(node.value, source.read(item)),), 0.8)
        elif isinstance(node.value, ast.Name):
            for name in source.names_before(node)[:4]:
                if name != node.value.id:
                    yield Rewrite("wrong result", f"torch returns {name} as well",
                                  (source.put(node.value, f"{node.value.id}, {name}"),), 1.5)


def _stem(name: str) -> str:
    return name.rstrip("0123456789").rstrip("_")
