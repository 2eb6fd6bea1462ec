"""Gives every value of a body its place and every statement its names."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from ..capture.predicates import negated
from ..rules.substitute import mentions, substitute, value_of
from .assignments import Key, Raw
from .choices import Arm, nodes_in
from .names import attribute_name, variable_name
from .statements import arrange, choose_names
from .structure import relative

if TYPE_CHECKING:
    from .body import _Writing


class Resolver:
    """Gives every value its place: an argument, an attribute, a variable, or a keyword that
    the caller hands down."""

    def __init__(self, writing: _Writing):
        self.writing = writing
        self.body = writing.body
        self.names: dict[Key, str] = {}
        self.used_parameters: set[str] = set()
        self.extra: dict[Key, str] = {}
        self.lengths = {variable_name(name): (type(value), len(value)) for name, value in writing.signature
                        if isinstance(value, (tuple, list))}

    def parameters(self) -> list[str]:
        ordered = [variable_name(name) for name, _ in self.writing.signature]
        if self.writing.call.parent is None:
            return ordered
        return [name for name in ordered if name in self.used_parameters]

    def write(self, raws: list[Raw], returned: ast.expr | None) -> list[ast.stmt]:
        reserved = {variable_name(name) for name, _ in self.writing.signature}
        last: dict[Key, int] = {}
        for position, raw in enumerate(raws):
            for key in _keys(raw.node):
                last[key] = position
        for key in _keys(returned):
            last[key] = len(raws)
        until: dict[str, int] = {}
        for key, node in self.writing.local.items():
            base = node
            while isinstance(base, ast.Subscript):
                base = base.value
            until[base.id] = max(until.get(base.id, -1), last.get(key, -1))
        # A local variable must not hide a function that the body calls.
        functions = {node.id: len(raws) + 1 for raw in raws for tree in nodes_in(raw) for node in ast.walk(tree)
                     if isinstance(node, ast.Name) and not node.id.startswith("$")}
        self.taken = reserved | functions.keys()
        statements = self._sequence(raws, last, {**until, **functions})
        if returned is not None:
            statements.append(ast.Return(self.resolve(returned)))
        return statements

    def _sequence(self, raws: list[Raw], last: dict[Key, int], held: dict[str, int]) -> list[ast.stmt]:
        """``last`` says which statement reads a value last, ``held`` the same of a name."""
        statements: list[ast.stmt] = []
        for position, raw in enumerate(raws):
            if raw.loop is not None:
                statements.append(self._loop(raw, position, last, held))
                continue
            if raw.choice is not None:
                statements += self._choice(raw, position, last, held)
                continue
            value = self.resolve(raw.node)
            chosen = choose_names(raw, position, last, held, self.extra.values())
            self.names.update(zip(raw.targets, chosen, strict=True))
            targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name in chosen]
            target = targets[0] if not raw.unpack else ast.Tuple(targets, ast.Store())
            if isinstance(value, ast.Name) and isinstance(target, ast.Name) and value.id == target.id:
                continue
            statements.append(ast.Assign([target], value, lineno=0))
        return statements

    def _choice(self, raw: Raw, position: int, last: dict[Key, int], held: dict[str, int]) -> list[ast.stmt]:
        """``if … else …`` after which each result has one name, whichever arm it came from."""
        choice = raw.choice
        assert choice is not None
        test, outside, before = self.resolve(choice.test), dict(self.names), dict(held)
        chosen = choose_names(raw, position, last, held, self.extra.values())
        arms: list[list[ast.stmt]] = []
        for arm in choice.arms:
            self.names = dict(outside)
            arms.append(self._arm(arm, chosen, position, before))
        self.names = {**outside, **dict(zip(raw.targets, chosen, strict=True))}
        then, otherwise = arms
        if [ast.dump(one) for one in then] == [ast.dump(one) for one in otherwise]:
            return then
        if not then:
            test, then, otherwise = negated(test), otherwise, []
        return [ast.If(test, then, otherwise)]

    def _arm(self, arm: Arm, chosen: list[str], position: int, held: dict[str, int]) -> list[ast.stmt]:
        end = len(arm.raws)
        last: dict[Key, int] = {}
        for number, node in enumerate([*(raw.node for raw in arm.raws), *arm.ends]):
            for key in _keys(node):
                last[key] = min(number, end)
        # What is needed after the branch keeps its name; what only this arm reads does so till then.
        inside = {name: end + 1 for name, until in held.items() if until > position}
        for key, number in last.items():
            name = self.names.get(key)
            if name is None and key in self.writing.local:
                base = self.writing.local[key]
                while isinstance(base, ast.Subscript):
                    base = base.value
                name = base.id
            if name is not None:
                inside[name] = max(inside.get(name, -1), number)
        for name, node in zip(chosen, arm.ends, strict=True):
            key = value_of(node)
            for raw in arm.raws:
                if key is not None and key in raw.targets:
                    raw.names = tuple(name if target == key else raw.names[i] if i < len(raw.names) else raw.hint
                                      for i, target in enumerate(raw.targets))
        statements = self._sequence(arm.raws, last, inside)
        pairs = [(name, self.resolve(node)) for name, node in zip(chosen, arm.ends, strict=True)]
        pairs = [(name, node) for name, node in pairs if not (isinstance(node, ast.Name) and node.id == name)]
        if pairs:
            targets: list[ast.expr] = [ast.Name(name, ast.Store()) for name, _ in pairs]
            one = len(pairs) == 1
            target = targets[0] if one else ast.Tuple(targets, ast.Store())
            value = pairs[0][1] if one else ast.Tuple([node for _, node in pairs], ast.Load())
            statements.append(ast.Assign([target], value, lineno=0))
        return statements

    def _loop(self, raw: Raw, position: int, last: dict[Key, int], held: dict[str, int]) -> ast.stmt:
        """A rolled loop. Names inside never reuse one that anything outside still needs."""
        loop = raw.loop
        assert loop is not None
        fresh = {name: end for name, end in held.items() if end >= position}

        def take(wish: str) -> str:
            base, name, number = variable_name(wish), variable_name(wish), 1
            while name in fresh or name in self.extra.values() or name in self.taken:
                number += 1
                name = f"{base}_{number}"
            fresh[name] = held[name] = max(held.get(name, -1), last.get(raw.targets[0], position) if raw.targets else 0)
            return name

        heads: list[ast.expr] = []
        sources: list[ast.expr] = []
        if loop.count is not None or loop.numbered:
            self.names[loop.index] = take("t" if loop.count is not None else "i")
        if loop.count is not None:
            heads.append(ast.Name(self.names[loop.index], ast.Store()))
            bounds: list[ast.expr] = [ast.Constant(loop.first)] if loop.first else []
            sources.append(ast.Call(ast.Name("range", ast.Load()), [*bounds, self.resolve(loop.count)], []))
        for key, node in loop.items:
            sources.append(self.resolve(node))
            self.names[key] = take("x_t")
            heads.append(ast.Name(self.names[key], ast.Store()))
        needed = [*[new for _, new in loop.updates], *[item for _, item in loop.collected], *loop.keeps,
                  *[target for step in loop.body for target in step.targets if target in self.names]]
        anchor = ast.Tuple([ast.Name(f"${key}", ast.Load()) for key in needed], ast.Load())
        for step in loop.body:  # what leaves the step keeps a name
            if any(target in needed for target in step.targets) and not step.names:
                step.names = tuple(step.hint for _ in step.targets)
        inner: list[ast.stmt] = []
        for step in arrange(loop.body, anchor):
            value = self.resolve(step.node)
            for number, target in enumerate(step.targets):
                if target not in self.names:
                    self.names[target] = take(step.names[number] if number < len(step.names) else step.hint)
            targets: list[ast.expr] = [ast.Name(self.names[t], ast.Store()) for t in step.targets]
            inner.append(ast.Assign([ast.Tuple(targets, ast.Store()) if step.unpack else targets[0]], value, lineno=0))
        for key, item in loop.collected:
            text = f"{self.names[key]}.append({ast.unparse(self.value(item))})"
            inner += ast.parse(text).body
        if loop.updates:
            left: list[ast.expr] = [ast.Name(self.names[variable], ast.Store()) for variable, _ in loop.updates]
            right = [self.value(new) for _, new in loop.updates]
            one = len(left) == 1
            inner.append(ast.Assign([left[0] if one else ast.Tuple(left, ast.Store())],
                                    right[0] if one else ast.Tuple(right, ast.Load()), lineno=0))
        for key in loop.keeps:
            held[self.names[key]] = max(held.get(self.names[key], -1), last.get(key, -1))
        single = len(heads) == 1
        over = sources[0] if single else ast.Call(ast.Name("zip", ast.Load()), sources, [])
        head = heads[0] if single else ast.Tuple(heads, ast.Store())
        if loop.numbered:
            over = ast.Call(ast.Name("enumerate", ast.Load()), [over], [])
            head = ast.Tuple([ast.Name(self.names[loop.index], ast.Store()), head], ast.Store())
        return ast.For(head, over, inner, [], lineno=0)

    def resolve(self, node: ast.expr) -> ast.expr:
        return _Whole(self.lengths).visit(substitute(node, self.value, self.size))

    def size(self, key: Key, dim: int) -> ast.expr:
        axis = self.writing.writer.order(key).index(dim)
        return ast.Subscript(ast.Attribute(self.value(key), "shape", ast.Load()), ast.Constant(axis), ast.Load())

    def value(self, key: Key) -> ast.expr:
        if key in self.names:
            return ast.Name(self.names[key], ast.Load())
        if key in self.writing.local:
            node = self.writing.local[key]
            base = node
            while isinstance(base, ast.Subscript):
                base = base.value
            self.used_parameters.add(base.id)
            return node
        if isinstance(key, str) and key.startswith("module:"):
            return self._module(key)
        if isinstance(key, int):
            return self._tensor(key)
        raise AssertionError(f"value {key} of {self.writing.call.path} was never made")

    def _module(self, key: str) -> ast.expr:
        path = key[len("module:"):]
        below = relative(path, self.writing.call.path)
        if below:
            return self.writing.writer.structure.expression(self.writing.call.module, below)
        self.body.children.pop(path, None)
        return self._handed_down(key, path.rpartition(".")[2])

    def _tensor(self, index: int) -> ast.expr:
        value = self.writing.recording.values[index]
        first = index
        while self.writing.recording.values[first].previous is not None and \
                self.writing.recording.values[first].kind in ("parameter", "buffer", "attribute"):
            first = self.writing.recording.values[first].previous  # type: ignore[assignment]
        if value.kind in ("parameter", "buffer"):
            below = relative(value.name, self.writing.call.path)
            if below:
                self.body.tensors[value.name] = first
                return self.writing.writer.structure.expression(self.writing.call.module, below)
        elif value.kind in ("attribute", "constant"):
            name = attribute_name(value.name.rpartition(".")[2] if value.name else "constant")
            base, number = name, 1
            while self.body.constants.get(name, index) != index:
                number += 1
                name = f"{base}_{number}"
            self.body.constants[name] = index
            return ast.Attribute(ast.Name("self", ast.Load()), name, ast.Load())
        return self._handed_down(index, value.name.rpartition(".")[2] or "x")

    def _handed_down(self, key: Key, name: str) -> ast.expr:
        if key not in self.extra:
            name, base, number = variable_name(name), variable_name(name), 1
            while name in self.extra.values() or name in self.taken or name in self.names.values():
                number += 1
                name = f"{base}_{number}"
            self.extra[key] = name
        return ast.Name(self.extra[key], ast.Load())


def _keys(node: ast.expr | None) -> Counter:
    if node is None:
        return Counter()
    values, sizes = mentions(node)
    for (key, _), count in sizes.items():
        values[key] += count
    return values


class _Whole(ast.NodeTransformer):
    """``(pair[0], pair[1])`` as ``pair`` where that is all of it."""

    def __init__(self, lengths: dict[str, tuple[type, int]]):
        self.lengths = lengths

    def _visit(self, node):
        self.generic_visit(node)
        kind = tuple if isinstance(node, ast.Tuple) else list
        bases = [item.value.id if isinstance(item, ast.Subscript) and isinstance(item.value, ast.Name)
                 and isinstance(item.slice, ast.Constant) and item.slice.value == position else None
                 for position, item in enumerate(node.elts)]
        if bases and bases[0] is not None and len(set(bases)) == 1 and \
                self.lengths.get(bases[0]) == (kind, len(bases)):
            return ast.Name(bases[0], ast.Load())
        return node

    visit_Tuple = visit_List = _visit
