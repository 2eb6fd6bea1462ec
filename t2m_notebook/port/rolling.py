"""Rolls repeated statements back into the loop over time that the source had.

A model that steps through a sequence (``for t in range(x.shape[1])``) is recorded step by
step. Where the steps are the same but for an index, for what the previous step left, and
for the item of a sequence, they become one loop whose count follows the input.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..rules.substitute import copied, mentions
from .choices import rename_in

if TYPE_CHECKING:
    from .assignments import Key, Raw

_LONGEST = 160  # raw assignments that one step may have
_FEWEST = 3  # steps that make a loop; two could be chance, but for those over the items of a sequence


@dataclass(slots=True)
class Loop:
    """A rolled loop: one step, and what goes from step to step."""

    body: list[Raw]
    count: ast.expr | None = None  # how many steps, when an index is used
    index: str = ""  # key of the index
    first: int = 0  # what the index starts at
    numbered: bool = False  # the index counts the items
    items: list[tuple[Key, ast.expr]] = field(default_factory=list)  # item of each step, the sequence
    updates: list[tuple[Key, Key]] = field(default_factory=list)  # carried variable, what it becomes
    collected: list[tuple[Key, Key]] = field(default_factory=list)  # list, what is appended
    keeps: list[Key] = field(default_factory=list)  # values of the last step that are used afterwards


def roll(raws: list[Raw], returned: ast.expr | None, size_at: Callable[[Key, int, int], ast.expr | None]) -> list[Raw]:
    """``raws`` with repeated steps rolled into loops; ``returned`` is changed in place where it
    reads what a loop made. ``size_at(value, axis, size)`` is the expression of an axis' size,
    or None when that axis has another size."""
    repeats = _Repeats(raws)
    start = 0
    while start < len(raws):
        found = repeats.at(start)
        if found is not None:
            length, count = found
            rolled = _Roller(raws, start, length, count, returned, size_at).run()
            if rolled is not None:
                raws = rolled
                repeats = _Repeats(raws)
        start += 1
    return raws


def roll_live(raws: list[Raw], returned: ast.expr | None,
              size_at: Callable[[Key, int, int], ast.expr | None]) -> list[Raw]:
    """The shorter of two: without anything that nobody reads; or with what the last step of a loop leaves behind
    as the others do, though no step is left to read it."""
    from .statements import _overwrite, live
    kept = live(raws, returned)
    read, kinds = {id(raw) for raw in kept}, {_signature(raw) for raw in kept}
    alike = [raw for raw in raws if id(raw) in read or _signature(raw) in kinds]
    settled = len(kept) == len(alike) or any(raw.choice is not None for raw in raws)
    found = returned if settled else copied(returned)
    best = roll(kept, found, size_at)
    if found is not returned:
        whole = copied(returned)
        rolled = live(roll(alike, whole, size_at), whole)
        if _length(rolled) < _length(live(best, found)):
            best, found = rolled, whole
        if returned is not None:
            _overwrite(returned, found)
    return best


def _length(raws: list[Raw]) -> int:
    return sum(1 if raw.loop is None else 1 + _length(raw.loop.body) for raw in raws)


class _Repeats:
    """Where the same statements follow one another."""

    def __init__(self, raws: list[Raw]):
        self.raws = raws
        numbers: dict[Any, int] = {}
        self.kinds = [numbers.setdefault(_signature(raw), len(numbers)) for raw in raws]  # equal for equal statements
        self.ends: dict[int, int] = {}  # length of a step -> where the newest repetition of that length ends
        self.tried: dict[tuple[int, int], int] = {}  # length and end of a repetition -> how often it was given out
        self.unpacked: dict[Key, int] = {}  # target of an unpacking statement -> its position
        for position, raw in enumerate(raws):
            if raw.unpack:
                self.unpacked.update(dict.fromkeys(raw.targets, position))
        self._facts: dict[int, tuple[tuple[int, ...], list[Key]]] = {}

    def at(self, start: int) -> tuple[int, int] | None:
        """``(length of a step, number of steps)`` of a repetition that starts here and may be a loop."""
        kinds, total = self.kinds, len(self.kinds)
        for length in range(1, min(_LONGEST, (total - start) // 2) + 1):
            if kinds[start] != kinds[start + length]:
                continue
            end = self.ends.get(length, 0)
            if end <= start:
                end = start
                while end + length < total and kinds[end] == kinds[end + length]:
                    end += 1
                self.ends[length] = end
            count = (end - start) // length + 1
            if count >= _FEWEST or count == 2 and self._items(start, length):
                tries = self.tried[length, end] = self.tried.get((length, end), 0) + 1
                # Beginning a round or two later may help; after that it is the same again.
                return (length, count) if tries <= 2 * length + 2 and self._counted(start, length) else None
        return None

    def _items(self, start: int, length: int) -> bool:
        """Whether the steps read the two items of a sequence, one each."""
        for position in range(start, start + length):
            for key, other in zip(self._known(position)[1], self._known(position + length)[1], strict=False):
                made = self.unpacked.get(key)
                if key != other and made is not None and made == self.unpacked.get(other) \
                        and len(self.raws[made].targets) == 2:
                    return True
        return False

    def _counted(self, start: int, length: int) -> bool:
        """Whether anything can say how many steps there are: a number that changes from the first
        step to the second, or the item of a sequence."""
        for position in range(start, start + length):
            numbers, _ = self._known(position)
            others, keys = self._known(position + length)
            if numbers != others or any(self.unpacked.get(key, start) < start for key in keys):
                return True
        return False

    def _known(self, position: int) -> tuple[tuple[int, ...], list[Key]]:
        """The whole numbers of a statement, and the values that it reads."""
        if position not in self._facts:
            node = self.raws[position].node
            self._facts[position] = tuple(inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)
                                          and type(inner.value) is int), _keys_of(node)
        return self._facts[position]


class _Blank(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name("$", ast.Load()) if node.id.startswith("$") and not node.id.startswith("$module:") else node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(0) if type(node.value) is int else node


def _signature(raw: Raw) -> Any:
    if raw.loop is not None or raw.choice is not None:
        return id(raw)
    return (ast.dump(_Blank().visit(copied(raw.node))), raw.place, raw.names, len(raw.targets), raw.unpack)


class _Impossible(Exception):
    pass


class _Roller:
    def __init__(self, raws, start, length, count, returned, size_at):
        self.raws, self.start, self.length, self.count = raws, start, length, count
        self.returned, self.size_at = returned, size_at
        self.steps = [raws[start + j * length: start + (j + 1) * length] for j in range(count)]
        self.after = raws[start + count * length:]
        self.place: dict[Key, tuple[int, int, int]] = {}  # target -> (step, raw, position)
        for j, step in enumerate(self.steps):
            for p, raw in enumerate(step):
                for t, target in enumerate(raw.targets):
                    self.place[target] = (j, p, t)
        self.carried: dict[tuple[int, int], Key] = {}  # (raw, position) -> value before the first step
        self.sequences: dict[int, tuple[Raw, Key]] = {}  # id of an unpacking raw -> (raw, item key)
        self.uses_index = False
        self.count_node: ast.expr | None = None
        self.first = 0  # where the index that gives the count starts

    def run(self) -> list[Raw] | None:
        try:
            return self._roll()
        except _Impossible:
            return None

    def _target(self, j: int, p: int, t: int) -> Key:
        return self.steps[j][p].targets[t]

    def _roll(self) -> list[Raw]:
        from .assignments import Raw
        body = [copy.copy(raw) for raw in self.steps[1]]
        for p, raw in enumerate(body):
            raw.node = self._merge(p, [step[p].node for step in self.steps])
        if not self.sequences and (self.count_node is None or not self.uses_index):
            raise _Impossible  # nothing says how many steps
        if self.count < _FEWEST and not self.sequences:
            raise _Impossible  # could be chance
        lists, keeps = self._uses_afterwards()
        updates: list[tuple[Key, Key]] = []
        before: list[Raw] = []
        for (p, t), first in self.carried.items():
            after_key = self._target(1, p, t)
            if not any(_reads(raw.node, f"carried:{p}:{t}") for raw in body[p + 1:]):
                variable: Key = after_key  # may be written in its place
            else:
                variable = f"{after_key}~carried{self._order_of(after_key)}"
                updates.append((variable, after_key))
            for raw in body:
                raw.node = _renamed(raw.node, {f"carried:{p}:{t}": variable})
            names = self.steps[1][p].names
            own = (names[t],) if t < len(names) else ()
            before.append(Raw([variable], ast.Name(f"${first}", ast.Load()), own or (self.steps[1][p].hint,)))
            keeps = [k for k in keeps if k != variable]
        loop = Loop(body, self.count_node if self.uses_index else None, f"index:{self.start}", self.first,
                    self.uses_index and self.count_node is None, [], updates)
        for raw in body:
            raw.node = self._indexed(raw.node)
        for raw, key in self.sequences.values():
            loop.items.append((key, raw.node))
        for (p, t), key in lists.items():
            before.append(Raw([key], ast.List([], ast.Load()), (_plural(self.steps[1][p], t),)))
            loop.collected.append((key, self._target(1, p, t)))
        loop.keeps = keeps
        made = {target for raw in body for target in raw.targets}
        external = [key for raw in body for key in _keys_of(raw.node) if key not in made and key != loop.index]
        external += [key for _, node in loop.items for key in _keys_of(node)]
        external += [key for key in (_keys_of(loop.count) if loop.count is not None else [])]
        external += [raw.targets[0] for raw in before]
        item_keys = {key for key, _ in loop.items}
        node = ast.Tuple([ast.Name(f"${key}", ast.Load()) for key in dict.fromkeys(external) if key not in item_keys],
                         ast.Load())
        carried_keys = [raw.targets[0] for raw in before]
        whole = Raw([*carried_keys, *keeps], node, hint="loop", loop=loop)
        mapping = {self._target(self.count - 1, p, t): self._variable(p, t, loop)
                   for p in range(self.length) for t in range(len(self.steps[1][p].targets))}
        after = []
        for raw in self.after:
            raw = copy.copy(raw)
            if raw.choice is not None:
                if any(key in self.place and key not in mapping for key in _keys_of(raw.node)):
                    raise _Impossible
                rename_in(raw, mapping)
                after.append(raw)
                continue
            raw.node = _renamed(_listed(raw.node, lists, self), mapping)
            after.append(raw)
        if self.returned is not None:
            from .statements import _overwrite
            _overwrite(self.returned, _renamed(_listed(self.returned, lists, self), mapping))
        dropped = {id(raw) for raw, _ in self.sequences.values()}
        head = [raw for raw in self.raws[: self.start] if id(raw) not in dropped]
        return [*head, *before, whole, *after]

    def _indexed(self, tree: ast.expr) -> ast.expr:
        """Each running number in terms of the loop's index."""
        prefix, first = f"$index:{self.start}:", self.first

        class Put(ast.NodeTransformer):
            def visit_Name(self, node: ast.Name) -> ast.AST:
                if not node.id.startswith(prefix):
                    return node
                index: ast.expr = ast.Name(prefix[:-1], ast.Load())
                shift = int(node.id[len(prefix):]) - first
                if shift == 0:
                    return index
                return ast.BinOp(index, ast.Add() if shift > 0 else ast.Sub(), ast.Constant(abs(shift)))

        return Put().visit(copied(tree))

    def _order_of(self, key: Key) -> str:
        return f"@like{key}"

    def _variable(self, p: int, t: int, loop: Loop) -> Key:
        key = self._target(1, p, t)
        return next((variable for variable, new in loop.updates if new == key), key)

    # -- one node out of all steps' nodes ---------------------------------------------------

    def _merge(self, p: int, nodes: list[ast.expr]) -> ast.expr:
        first = nodes[1]
        if isinstance(first, ast.Name):
            return self._merge_name(p, [node.id for node in nodes])  # type: ignore[attr-defined]
        if isinstance(first, ast.Constant) and type(first.value) is int:
            values = [node.value for node in nodes]  # type: ignore[attr-defined]
            if all(type(v) is int for v in values):
                if len(set(values)) == 1:
                    return first
                if values == list(range(values[0], values[0] + self.count)):
                    self.uses_index = True
                    return ast.Name(f"$index:{self.start}:{values[0]}", ast.Load())
            raise _Impossible
        made = copy.copy(first)
        for name, value in ast.iter_fields(first):
            others = [getattr(node, name) for node in nodes]
            if isinstance(value, ast.expr) or isinstance(value, ast.keyword):
                setattr(made, name, self._merge(p, others))
            elif isinstance(value, list):
                setattr(made, name, [self._merge(p, list(items)) if isinstance(items[0], ast.AST) else items[0]
                                     for items in zip(*others, strict=True)])
            else:
                setattr(made, name, value)
        if isinstance(first, ast.Subscript):
            self._count_from(first, nodes)
        return made

    def _merge_name(self, p: int, ids: list[str]) -> ast.expr:
        if len(set(ids)) == 1 and (not ids[0].startswith("$") or _key(ids[0]) not in self.place):
            return ast.Name(ids[0], ast.Load())
        keys = [_key(name) for name in ids]
        places = [self.place.get(key) for key in keys]
        if all(place is not None and place[0] == j for j, place in enumerate(places)):
            if len({place[1:] for place in places}) == 1:  # type: ignore[index]
                return ast.Name(ids[1], ast.Load())
        later = places[1:]
        if all(place is not None and place[0] == j for j, place in enumerate(later)) \
                and len({place[1:] for place in later}) == 1:  # type: ignore[index]
            where = later[0][1:]  # type: ignore[index]
            if places[0] is None and self.carried.setdefault(where, keys[0]) == keys[0]:
                return ast.Name(f"$carried:{where[0]}:{where[1]}", ast.Load())
            raise _Impossible
        source = next((raw for raw in self.raws[: self.start] if raw.unpack and raw.targets == keys), None)
        if source is not None and not any(key in _keys_of(raw.node) for raw in self.after for key in keys):
            self.sequences[id(source)] = (source, keys[1])
            return ast.Name(ids[1], ast.Load())
        raise _Impossible

    def _count_from(self, node: ast.Subscript, nodes: list[ast.expr]) -> None:
        """The number of steps, from an index that runs over a whole axis."""
        if self.count_node is not None or not isinstance(node.value, ast.Name):
            return
        if any(getattr(other.value, "id", "") != node.value.id for other in nodes):  # type: ignore[attr-defined]
            return  # each step has a tensor of its own, whose axis says nothing of the steps
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        axis = 0
        for position, part in enumerate(parts):
            if isinstance(part, ast.Constant) and part.value is None:
                continue
            if isinstance(part, ast.Constant) and part.value is Ellipsis:
                return
            at = part.lower if isinstance(part, ast.Slice) else part
            if isinstance(at, ast.Constant) and type(at.value) is int:
                def value_of(other: ast.expr, position: int = position) -> Any:
                    items = other.slice.elts if isinstance(other.slice, ast.Tuple) else [other.slice]  # type: ignore
                    item = items[position]
                    item = item.lower if isinstance(item, ast.Slice) else item
                    return getattr(item, "value", None)
                values = [value_of(other) for other in nodes]
                if all(type(v) is int for v in values) and values == list(range(values[0], values[0] + self.count)):
                    self.count_node = self.size_at(_key(node.value.id), axis, values[0] + self.count)
                    if self.count_node is not None:
                        self.first = values[0]
                        return
            axis += 1

    def _uses_afterwards(self) -> tuple[dict[tuple[int, int], Key], list[Key]]:
        """Lists of one value of every step, and values of the last step, that are read later."""
        lists: dict[tuple[int, int], Key] = {}
        keeps: dict[Key, None] = {}
        trees = [raw.node for raw in self.after] + ([self.returned] if self.returned is not None else [])
        for tree in trees:
            for node in ast.walk(tree):
                where = self._whole_list(node)
                if where is not None:
                    lists.setdefault(where, f"list:{self.start}:{where[0]}:{where[1]}")
            for key in _keys_of(_listed(tree, lists, self)):
                place = self.place.get(key)
                if place is None:
                    continue
                if place[0] != self.count - 1:
                    raise _Impossible
                keeps[self._target(1, place[1], place[2])] = None
        return lists, list(keeps)

    def _whole_list(self, node: ast.AST) -> tuple[int, int] | None:
        if not isinstance(node, (ast.List, ast.Tuple)) or len(node.elts) != self.count:
            return None
        places = [self.place.get(_key(e.id)) if isinstance(e, ast.Name) else None for e in node.elts]
        if all(place is not None and place[0] == j for j, place in enumerate(places)) \
                and len({place[1:] for place in places}) == 1:  # type: ignore[index]
            return places[0][1:]  # type: ignore[index, return-value]
        return None


def _listed(tree: ast.expr, lists: dict[tuple[int, int], Key], roller: _Roller) -> ast.expr:
    class Put(ast.NodeTransformer):
        def _visit(self, node):
            where = roller._whole_list(node)
            return ast.Name(f"${lists[where]}", ast.Load()) if where in lists else self.generic_visit(node)
        visit_List = visit_Tuple = _visit

    return Put().visit(copied(tree))


def _renamed(tree: ast.expr, mapping: dict[Any, Any]) -> ast.expr:
    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            key = _key(node.id)
            return ast.Name(f"${mapping[key]}", ast.Load()) if node.id.startswith("$") and key in mapping else node

    return Put().visit(copied(tree))


def _key(name: str) -> Any:
    text = name[1:]
    return int(text) if text.isdigit() else text


def _keys_of(node: ast.expr | None) -> list[Any]:
    if node is None:
        return []
    values, sizes = mentions(node)
    return [*values, *(key for key, _ in sizes)]


def _reads(node: ast.expr, key: Any) -> bool:
    return key in _keys_of(node)


def _plural(raw: Raw, position: int) -> str:
    name = raw.names[position] if position < len(raw.names) else raw.hint
    return name if name.endswith("s") else f"{name}s"
