"""Arguments of one call in two recordings as arguments that are right in both."""

from __future__ import annotations

import ast
from typing import Any

from ..rules import Size, SizeFloat, to_node
from ..rules.substitute import substitute
from .aligning import Apart
from .generalise import Matcher
from .predicates import chosen, evaluate, values_in
from .recording import Recording, Ref


class Differ(Exception):
    """Two arguments that can't be one."""


class Numbers:
    """The part of a walk over two recordings that looks at arguments."""

    merged: Any
    recording: Recording
    other: Recording
    number: int
    hidden: set[int]

    def arguments(self, event: Any, twin: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments of an event that its twin has too; None when the two calls differ in
        more than tensors and numbers."""
        if len(event.args) != len(twin.args) or event.kwargs.keys() != twin.kwargs.keys():
            return None
        fitted = Matcher(self.recording, self.other, event, twin)
        try:
            for a, b in [*zip(event.args, twin.args, strict=True),
                         *((value, twin.kwargs[key]) for key, value in event.kwargs.items())]:
                self._alike(a, b)
            args = tuple(self._value(a, b, event, fitted) for a, b in zip(event.args, twin.args, strict=True))
            return args, {key: self._value(value, twin.kwargs[key], event, fitted)
                          for key, value in event.kwargs.items()}
        except Differ:
            return None

    def references(self, mine: Any, theirs: Any) -> Any:
        """The tensors of a module call's arguments or results; its numbers are read inside."""
        if isinstance(mine, Ref) or isinstance(theirs, Ref):
            if isinstance(mine, Ref) and isinstance(theirs, Ref):
                return Ref(self.pair(mine.index, theirs.index))
            if isinstance(mine, Ref) and theirs is None and mine.index in self.home:
                if (mine.index, -1) not in self.pairs:
                    self.pairs[mine.index, -1] = self.either(mine.index, None)
                return Ref(self.pairs[mine.index, -1])
            if mine is None and self.to.get(theirs.index) in self.home:
                if (-1, theirs.index) not in self.pairs:
                    self.pairs[-1, theirs.index] = self.either(None, theirs.index)
                return Ref(self.pairs[-1, theirs.index])
            return Ref(self.visible(mine.index)) if isinstance(mine, Ref) else mine
        if isinstance(mine, (tuple, list)) and isinstance(theirs, (tuple, list)) and len(mine) == len(theirs):
            items = [self.references(a, b) for a, b in zip(mine, theirs, strict=True)]
            return type(mine)._make(items) if hasattr(mine, "_fields") else type(mine)(items)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            return {key: self.references(value, theirs.get(key)) for key, value in mine.items()}
        return mine

    def _alike(self, a: Any, b: Any) -> None:
        """Raise unless the two have one form: then only which tensors and numbers may differ."""
        if isinstance(a, Ref) and isinstance(b, Ref):
            if len(self.recording.values[a.index].shape) != len(self.other.values[b.index].shape):
                raise Differ
            return
        if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)) and len(a) == len(b):
            for x, y in zip(a, b, strict=True):
                self._alike(x, y)
        elif isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            for key, value in a.items():
                self._alike(value, b[key])
        elif isinstance(a, slice) and isinstance(b, slice):
            for x, y in ((a.start, b.start), (a.stop, b.stop), (a.step, b.step)):
                self._alike(x, y)
        elif not (_is_number(a) and _is_number(b)):
            if type(a) is not type(b) or isinstance(a, Ref) or not _equal(a, b):
                raise Differ

    def _value(self, a: Any, b: Any, event: Any, fitted: Matcher) -> Any:
        if isinstance(a, Ref):
            return Ref(self.pair(a.index, b.index))
        if isinstance(a, (tuple, list)):
            items = [self._value(x, y, event, fitted) for x, y in zip(a, b, strict=True)]
            return type(a)._make(items) if hasattr(a, "_fields") else type(a)(items)
        if isinstance(a, dict):
            return {key: self._value(value, b[key], event, fitted) for key, value in a.items()}
        if isinstance(a, slice):
            return slice(self._value(a.start, b.start, event, fitted), self._value(a.stop, b.stop, event, fitted),
                         self._value(a.step, b.step, event, fitted))
        return self._number(a, b, event, fitted) if _is_number(a) else a

    def _number(self, a: Any, b: Any, event: Any, fitted: Matcher) -> Any:
        """One expression that gives ``a`` in the recordings so far and ``b`` in the other."""
        traced = isinstance(a, (Size, SizeFloat))
        if not traced and a == b:
            return a
        wanted = self._wanted(a, event)
        wanted[self.number] = b
        mine, theirs = self._renamed(to_node(a)), self.ours(to_node(b))
        candidates = [mine, self._together(to_node(a), to_node(b)), theirs]
        if not traced and not isinstance(b, (Size, SizeFloat)):
            found = fitted.value(a, b)
            candidates.append(found.node if isinstance(found, (Size, SizeFloat)) else None)
        for node in candidates:
            if node is not None and not values_in(node) & self.hidden and self._gives(node, wanted):
                return _carrying(a, node)
        if theirs is None or mine is None:
            raise Differ
        owner = event.owner if hasattr(event, "owner") else event.parent
        try:
            test = self.decide({number: number == self.number for number in wanted}, owner)
        except Apart:
            raise Differ from None
        node = chosen(theirs, test, mine)
        if not self._gives(node, wanted):
            raise Differ
        return _carrying(a, node)

    def _wanted(self, a: Any, event: Any) -> dict[int, Any]:
        """What the number was in each recording that made this call so far."""
        found: dict[int, Any] = {}
        for number in self.merged.seen.get(id(event), self.passing):
            try:
                found[number] = evaluate(to_node(a), self.merged.shapes[number])
            except KeyError:
                raise Differ from None
        return found

    def _gives(self, node: ast.expr, wanted: dict[int, Any]) -> bool:
        try:
            return all(evaluate(node, self.merged.shapes[number]) == value for number, value in wanted.items())
        except KeyError:
            return False

    def _renamed(self, node: ast.expr) -> ast.expr | None:
        return _with_values(node, lambda index: self.visible(index))

    def ours(self, node: ast.expr) -> ast.expr | None:
        """An expression of the other's over our values; None where it reads one that we lack."""
        def ours(index: int) -> int:
            found = self.latest.get(index, self.to.get(index))
            if found is None:
                raise KeyError(index)
            return self.visible(found)
        try:
            return _with_values(node, ours)
        except KeyError:
            return None

    def _together(self, mine: ast.expr, theirs: ast.expr) -> ast.expr | None:
        """The expression of two of one form whose sizes are read from paired tensors."""
        own = [node.id for node in ast.walk(mine) if isinstance(node, ast.Name) and node.id.startswith("$")]
        others = [node.id for node in ast.walk(theirs) if isinstance(node, ast.Name) and node.id.startswith("$")]
        if len(own) != len(others) or not own:
            return None
        pairs: dict[int, int] = {}
        for a, b in zip(own, others, strict=True):
            if pairs.setdefault(int(a[1:]), int(b[1:])) != int(b[1:]):
                return None
        try:
            if ast.dump(_with_values(theirs, lambda index: -1)) != ast.dump(_with_values(mine, lambda index: -1)):
                return None
            return _with_values(mine, lambda index: self.held(index, pairs[index]))
        except KeyError:
            return None

    def settled(self, value: Any) -> Any:
        """Arguments of a call that the other did not make, read where they are held now."""
        if isinstance(value, Ref):
            return Ref(self.visible(value.index))
        if isinstance(value, (Size, SizeFloat)):
            return _carrying(value, _with_values(value.node, self.visible))
        if isinstance(value, (tuple, list)):
            items = [self.settled(item) for item in value]
            return type(value)._make(items) if hasattr(value, "_fields") else type(value)(items)
        if isinstance(value, dict):
            return {key: self.settled(item) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(*(self.settled(one) for one in (value.start, value.stop, value.step)))
        return value

    def translated(self, value: Any, made: bool = False) -> Any:
        """Arguments or results of a call that only the other made, in our numbers."""
        if isinstance(value, Ref):
            new = made and value.index not in self.importing and value.index not in self.to
            return Ref(self._new(value.index) if new else self.inside(value.index))
        if isinstance(value, (Size, SizeFloat)):
            return _carrying(value, _with_values(value.node, self.inside))
        if isinstance(value, (tuple, list)):
            items = [self.translated(item, made) for item in value]
            return type(value)._make(items) if hasattr(value, "_fields") else type(value)(items)
        if isinstance(value, dict):
            return {key: self.translated(item, made) for key, item in value.items()}
        if isinstance(value, slice):
            return slice(*(self.translated(one) for one in (value.start, value.stop, value.step)))
        return value


def _with_values(node: ast.expr, index_of: Any) -> ast.expr:
    """An expression over sizes with the value of each replaced."""
    def value(key: int | str) -> ast.expr:
        return ast.Name(f"${index_of(key)}", ast.Load())

    def size(key: int | str, dim: int) -> ast.expr:
        leaf = ast.Attribute(ast.Name(f"${index_of(key)}", ast.Load()), "$shape", ast.Load())
        return ast.Subscript(leaf, ast.Constant(dim), ast.Load())

    return substitute(node, value, size)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except (TypeError, ValueError, RuntimeError):
        return False


def _carrying(number: Any, node: ast.expr) -> Any:
    return Size(int(number), node) if isinstance(number, int) else SizeFloat(float(number), node)
