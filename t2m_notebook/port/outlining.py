"""Helper functions stay functions: what one call of a plain function of the model's own code did
is cut out of a body where it can be cut out cleanly, and the body calls it.

The assignments are pure, so any run of them that follow one another computes the same as a function.
The rest is a question of reading: what is doubtful stays where it is.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from ..capture.recording import Value, locate
from ..rules import Size
from ..rules.substitute import copied, mentions, substitute
from .assignments import Key, Raw
from .choices import nodes_in, reads_of
from .functions import function_name
from .invocations import Level, levels
from .names import assigned_names, names_through_returns, variable_name
from .resolving import Resolver
from .sizes import name_sizes
from .statements import arrange

if TYPE_CHECKING:
    from .body import _Writing

_MOST_RESULTS, _MOST_ARGUMENTS = 4, 9


def outline(writing: _Writing, raws: list[Raw], returned: ast.expr | None) -> list[Raw]:
    """``raws`` with calls of functions in the place of what these did."""
    return _Outliner(writing).whole(raws, _keys(returned), 0)


class _Outliner:
    def __init__(self, writing: _Writing):
        self.writing = writing
        self.functions = writing.writer.functions
        self._paths: dict[int, tuple[Raw, list[Level]]] = {}  # the Raw is kept: its id stands for it
        self.runs: Counter = Counter()  # how many stretches the assignments of an invocation stand in
        self.left: dict[Key, list[Key]] = {}  # result of a branch -> what its arms leave in it

    def whole(self, raws: list[Raw], wanted: list[Key], depth: int) -> list[Raw]:
        """:meth:`run` for a body or one arm of a branch."""
        self._place(raws)
        for below in range(max((len(self._path(raw)) for raw in raws), default=0)):
            nows = [self._invocation(raw, below) for raw in raws]
            self.runs.update(now for before, now in zip([None, *nows], nows, strict=False) if now != before)
        return self.run(raws, wanted, depth)

    def run(self, raws: list[Raw], wanted: list[Key], depth: int) -> list[Raw]:
        """``raws`` with the functions at ``depth`` below the forward cut out; ``wanted`` is read after them."""
        invocations = [self._invocation(raw, depth) for raw in raws]
        parted = {_places(path[:depth + 1]) for raw, now in zip(raws, invocations, strict=True) if now is None
                  for path in self._paths_inside(raw)}
        last = _last_reads(raws, wanted)
        result: list[Raw] = []
        start = 0
        while start < len(raws):
            now, end = invocations[start], start + 1
            if now is None:
                self._inside(raws[start], depth)
                result.append(raws[start])
                start = end
                continue
            while end < len(raws) and invocations[end] == now:
                end += 1
            run = raws[start:end]
            results = [target for raw in run for target in raw.targets if last.get(target, -1) >= end]
            inner = self.run(run, results, depth + 1)
            whole = self.runs[now] == 1 and self._in_order(run, depth) and \
                _places(self._path(run[0])[:depth + 1]) not in parted
            call = self._call(run, inner, results, depth) if whole else None
            result += inner if call is None else [call]
            start = end
        return result

    def _inside(self, raw: Raw, depth: int) -> None:
        if raw.choice is not None:
            for arm in raw.choice.arms:
                arm.raws = self.whole(arm.raws, [key for node in arm.ends for key in _keys(node)], depth)
            raw.node = reads_of(raw.choice)

    # -- who made it --------------------------------------------------------------------------

    def _path(self, raw: Raw) -> list[Level]:
        """The helpers that an assignment was made inside of, outermost first."""
        return self._paths[id(raw)][1]

    def _place(self, raws: list[Raw]) -> None:
        """Find the path of each. A branch is where what stands before and after it is, if its arms are."""
        for raw in raws:
            if id(raw) not in self._paths and raw.choice is None:
                self._paths[id(raw)] = raw, [] if raw.loop is not None else levels(raw.frames, self.functions.helpers)
        for position, raw in enumerate(raws):
            if id(raw) in self._paths:
                continue
            before = next((self._path(other) for other in reversed(raws[:position]) if other.choice is None), [])
            after = next((self._path(other) for other in raws[position + 1:] if other.choice is None), [])
            inside = [_places(path) for path in self._paths_inside(raw)]
            for arm in raw.choice.arms:  # type: ignore[union-attr]
                for target, end in zip(raw.targets, arm.ends, strict=True):
                    self.left.setdefault(target, []).extend(_keys(end))
            path: list[Level] = []
            for one, other in zip(before, after, strict=False):
                places = _places([*path, one])
                if _mark(one) != _mark(other) or not inside or any(p[:len(places)] != places for p in inside):
                    break
                path.append(one)
            self._paths[id(raw)] = raw, path

    def _paths_inside(self, raw: Raw) -> list[list[Level]]:
        """The paths of what stands in a branch."""
        if raw.choice is None:
            return []
        inner = [one for arm in raw.choice.arms for one in arm.raws]
        return [path for one in inner for path in (
            self._paths_inside(one) if one.choice is not None else [levels(one.frames, self.functions.helpers)])]

    def _invocation(self, raw: Raw, depth: int) -> Any:
        path = self._path(raw)
        return tuple(_mark(level) for level in path[:depth + 1]) if len(path) > depth else None

    def _in_order(self, run: list[Raw], depth: int) -> bool:
        """False where the function went back: its frame may be one that several invocations had in
        turn, or a loop's."""
        before: tuple[int, ...] = ()
        frames: Any = None
        for raw in run:
            if raw.choice is not None or raw.frames is frames:
                continue
            frames = raw.frames
            _, callers = self._path(raw)[depth]
            now = tuple(frame.instruction for frame in reversed(frames[:len(frames) - len(callers)]))
            if now <= before:
                return False
            before = now
        return True

    # -- the function ---------------------------------------------------------------------------

    def _call(self, run: list[Raw], inner: list[Raw], results: list[Key], depth: int) -> Raw | None:
        frame, callers = self._path(run[0])[depth]
        if not results or len(results) > _MOST_RESULTS or not all(isinstance(key, int) for key in results):
            return None
        trees = [tree for raw in inner for tree in nodes_in(raw)]
        if any(raw.loop is not None for raw in inner) or any(
                isinstance(node, ast.Name) and (node.id == "self" or node.id.startswith("$module:"))
                for tree in trees for node in ast.walk(tree)):
            return None
        if {function_name(frame.code.co_name)} & {variable_name(own) for own, _ in self.writing.signature}:
            return None
        last, needed = _last_reads(inner, results), _last_reads(run, results)
        live = [raw for raw in inner if any(target in last for target in raw.targets)]
        calls = {id(raw) if raw.choice is not None else id(raw.frames) for raw in run
                 if any(target in needed for target in raw.targets)}
        if len(calls) < 2 and self.functions.places[frame.code] < 2:
            return None
        if len(live) == 1 and isinstance(live[0].node, ast.Call) and isinstance(live[0].node.func, ast.Name) \
                and live[0].node.func.id in self.functions.by_name:
            return None  # it only hands on to another function
        given: dict[str, Any] = {}
        for raw in reversed(run):
            if raw.choice is None:
                given = dict(self._path(raw)[depth][0].arguments)
        handed = {} if any(raw.choice is not None for raw in live) else {
            name: (f"size:{name}", value.node) for name, value in given.items() if isinstance(value, Size)}
        live = [_with_handed(raw, handed) for raw in live]
        used = {key for raw in live for key in mentions(raw.node)[0]}
        handed = {name: pair for name, pair in handed.items() if pair[0] in used}
        parameters = self._parameters(live, given, handed)
        if parameters is None:
            return None
        live = [self._alone(raw, parameters) for raw in live]
        return self._write(frame.code.co_name, parameters, live, results, given, callers)

    def _parameters(self, live: list[Raw], given: dict[str, Any],
                    handed: dict[str, tuple[str, ast.expr]]) -> dict[Key, tuple[str, ast.expr]] | None:
        """What the function needs from outside: its name inside, and what is passed."""
        made = {target for raw in live for target in raw.targets} | {key for key, _ in handed.values()}
        values: dict[Key, None] = {}
        sizes: dict[tuple[Key, int], None] = {}
        for raw in live:
            used, measured = mentions(raw.node)
            values.update(dict.fromkeys(key for key in used if key not in made))
            sizes.update(dict.fromkeys(pair for pair in measured if pair[0] not in made))
        recorded = self.writing.recording.values
        named = {value.index: name for name, value in reversed(given.items()) if isinstance(value, Value)
                 and value.index < len(recorded) and recorded[value.index] is value}
        values.update(dict.fromkeys(key for key, _ in sizes if self._name_in(named, key)))
        alone = [pair for pair in sizes if pair[0] not in values]
        if any(raw.choice is not None for raw in live) and alone:
            return None
        if len(values) + len(alone) > _MOST_ARGUMENTS:
            return None
        found: dict[Key, tuple[str, ast.expr]] = {}
        for key in values:
            index = _index(key)
            if index is None:
                return None
            found[key] = self._name_in(named, index) or self.writing._name_hint(index), ast.Name(f"${key}", ast.Load())
        for key, dim in alone:
            leaf = ast.Attribute(ast.Name(f"${key}", ast.Load()), "$shape", ast.Load())
            found[_size_key(key, dim)] = "size", ast.Subscript(leaf, ast.Constant(dim), ast.Load())
        for name, (key, node) in handed.items():
            found[key] = name, node
        taken: set[str] = set()
        result: dict[Key, tuple[str, ast.expr]] = {}
        for key, (wish, node) in _ranked(found.items(), lambda item: item[1][0], given):
            base, name, number = variable_name(wish), variable_name(wish), 1
            while name in taken or name in self.functions.by_name:
                number += 1
                name = f"{base}_{number}"
            taken.add(name)
            result[key] = name, node
        return result

    def _write(self, name: str, parameters: dict[Key, tuple[str, ast.expr]], raws: list[Raw], results: list[Key],
               given: dict[str, Any], callers: tuple) -> Raw | None:
        writing = self.writing
        own = {target: raw.names[i] if i < len(raw.names) else raw.hint
               for raw in raws for i, target in enumerate(raw.targets)}
        made = next((raw for raw in raws if raw.targets == results), None)
        nameless = made is not None and not made.names and made.choice is None
        leaves: list[ast.expr] = [ast.Name(f"${key}", ast.Load()) for key in results]
        returned = leaves[0] if len(leaves) == 1 else ast.Tuple(leaves, ast.Load())
        arguments = {parameter: node for parameter, node in parameters.values()}
        inside = _Inside(writing, {key: ast.Name(parameter, ast.Load()) for key, (parameter, _) in parameters.items()})
        statements = Resolver(inside).write(arrange(raws, returned), returned)  # type: ignore[arg-type]
        if nameless and len(statements) > 1 and isinstance(statements[-2], ast.Assign) \
                and ast.dump(statements[-2].targets[0]).replace("Store", "Load") == ast.dump(statements[-1].value):
            statements[-2:] = [ast.Return(statements[-2].value)]
        ranks = {parameter: len(writing.recording.values[index].shape) for key, (parameter, _) in parameters.items()
                 if (index := _index(key)) is not None}
        statements = name_sizes(statements, [*arguments], ranks)
        taken = {variable_name(parameter) for parameter, _ in writing.signature}
        function = self.functions.add(name, [*arguments], statements, given, taken)
        if function is None:
            return None
        call = ast.Call(ast.Name(function.name, ast.Load()), [*arguments.values()], [])
        place = locate(callers[0]) if callers else None
        names = assigned_names(place) or names_through_returns(callers)
        if len(names) != len(results):
            names = tuple(own[key] for key in results) if len(results) > 1 else ()
        return Raw([*results], call, names, len(results) > 1, own[results[-1]], place, frames=callers)

    def _name_in(self, named: dict[int, str], key: Key) -> str | None:
        """The name of a value or, where it came out of a branch, of what an arm left in it."""
        if key in named:
            return named[key]  # type: ignore[index]
        return next((name for other in self.left.get(key, ()) if (name := self._name_in(named, other))), None)

    def _alone(self, raw: Raw, parameters: dict[Key, tuple[str, ast.expr]]) -> Raw:
        """A copy whose sizes of values that are not passed are the arguments that stand for them, and
        that has no name but the helper's own."""
        def size(key: Key, dim: int) -> ast.expr:
            if _size_key(key, dim) in parameters:
                return ast.Name(f"${_size_key(key, dim)}", ast.Load())
            leaf = ast.Attribute(ast.Name(f"${key}", ast.Load()), "$shape", ast.Load())
            return ast.Subscript(leaf, ast.Constant(dim), ast.Load())

        node = substitute(raw.node, lambda key: ast.Name(f"${key}", ast.Load()), size)
        own = raw.choice is not None or raw.unpack or len(assigned_names(raw.place)) == len(raw.names)
        return Raw([*raw.targets], node, raw.names if own else (), raw.unpack, raw.hint, raw.place, raw.loop,
                   raw.choice, raw.frames)


def _with_handed(raw: Raw, handed: dict[str, tuple[str, ast.expr]]) -> Raw:
    """A copy in which the sizes that the helper was given as numbers are read from its arguments."""
    if not handed:
        return copy.copy(raw)
    keys = {ast.dump(node): key for key, node in reversed(handed.values())}

    class Put(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            key = keys.get(ast.dump(node)) if isinstance(node, (ast.BinOp, ast.Subscript)) else None
            return ast.Name(f"${key}", ast.Load()) if key is not None else self.generic_visit(node)

    made = copy.copy(raw)
    made.node = Put().visit(copied(raw.node))
    return made


def _ranked(items, name_of, order) -> list:
    """``items`` in the order in which the helper has its arguments, what it has not at the end."""
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    return sorted(items, key=lambda item: places.get(name_of(item), len(places)))


class _Inside:
    """What a :class:`Resolver` needs to know of a function: its arguments are all that it sees."""

    def __init__(self, writing: _Writing, local: dict[Key, ast.expr]):
        from .body import Body
        self.call, self.writer, self.recording = writing.call, writing.writer, writing.recording
        self.signature: list[tuple[str, Any]] = []
        self.local = local
        self.body = Body(writing.call)


def _places(path: list[Level]) -> tuple:
    """What is the same of a path in another recording."""
    return tuple((frame.code, tuple((c.code, c.instruction) for c in callers)) for frame, callers in path)


def _mark(level: Level) -> tuple:
    frame, callers = level
    return frame.code, frame.identity, tuple((c.code, c.identity, c.instruction) for c in callers)


def _last_reads(raws: list[Raw], wanted: list[Key]) -> dict[Key, int]:
    """Which assignment, of those that anything needs, reads a value last; their count where it is
    wanted after them."""
    last: dict[Key, int] = dict.fromkeys(wanted, len(raws))
    for position in range(len(raws) - 1, -1, -1):
        raw = raws[position]
        if raw.loop is not None or any(target in last for target in raw.targets):
            for key in _keys(raw.node):
                last.setdefault(key, position)
    return last


def _keys(node: ast.expr | None) -> list[Key]:
    if node is None:
        return []
    values, sizes = mentions(node)
    return [*values, *(key for key, _ in sizes)]


def _index(key: Key) -> int | None:
    """The recorded value that a key stands for, itself or in another order."""
    text = str(key).partition("@")[0]
    return int(text) if text.isdigit() else None


def _size_key(key: Key, dim: int) -> str:
    return f"size:{key}:{dim}"
