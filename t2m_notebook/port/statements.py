"""From raw assignments to readable statements: what is dropped, moved, and named."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..rules.substitute import mentions, substitute, value_of
from .choices import reads_of, rename_in
from .names import variable_name

if TYPE_CHECKING:
    from .assignments import Key, Raw


def live(raws: list[Raw], returned: ast.expr | None) -> list[Raw]:
    """``raws`` without what nobody reads: the first step of a loop may leave less behind than the others."""
    return _live(raws, returned)[1]


def written_once(raws: list[Raw]) -> list[Raw]:
    """``y[0] += v`` writes through the view ``y[0]`` and then into ``y`` again: the second write changes nothing."""
    writes: dict[Key, tuple[str, str]] = {}
    for raw in raws:
        node = raw.node
        same = value_of(node)
        if same in writes and len(raw.targets) == 1:
            writes[raw.targets[0]] = writes[same]
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "set_item"
                and len(node.args) == 3 and len(raw.targets) == 1):
            continue
        what = ast.dump(node.args[1]), ast.dump(node.args[2])
        into = value_of(node.args[0])
        if into is not None and writes.get(into) == what:
            raw.node = node.args[0]
        writes[raw.targets[0]] = what
    return raws


def arrange(raws: list[Raw], returned: ast.expr | None) -> list[Raw]:
    """Drop what nobody reads; put what is read once, and had no name in the source, where
    it is read."""
    counts, kept = _live(raws, returned)
    whole = {key for raw in kept if raw.choice is not None for key in mentions(raw.node)[0]}
    pending: dict[Key, ast.expr] = {}
    names_of: dict[Key, tuple[str, ...]] = {}
    result: list[Raw] = []
    for raw in kept:
        if raw.loop is not None:  # everything that it reads must have a name
            names, _ = mentions(raw.node)
            for key in [k for k in names if k in pending]:
                result.append(type(raw)([key], pending.pop(key), names_of.get(key, ()), hint="x"))
            result.append(raw)
            continue
        if raw.choice is not None:
            keys = {key: value_of(node) for key, node in pending.items() if _is_leaf(node)}
            rename_in(raw, keys)  # type: ignore[arg-type]
            result.append(raw)
            continue
        raw.node = _insert(raw.node, pending)
        key = raw.targets[0]
        values, sizes = counts
        trivial = _is_leaf(raw.node)
        alone = len(raw.targets) == 1 and not raw.unpack
        if alone and trivial and not any(k == key for k, _ in sizes):
            pending[key], names_of[key] = raw.node, raw.names
        elif alone and not raw.named and values[key] == 1 and key not in whole and not any(k == key for k, _ in sizes) \
                and _short(raw.node):
            pending[key] = raw.node
        else:
            result.append(raw)
    if returned is not None and pending:
        replaced = _insert(returned, pending)
        if replaced is not returned:
            _overwrite(returned, replaced)
    return result


def _overwrite(node: ast.expr, other: ast.expr) -> None:
    """Make ``node`` the same tree as ``other`` in place."""
    node.__class__ = other.__class__
    node.__dict__.clear()
    node.__dict__.update(other.__dict__)


def _live(raws: list[Raw], returned: ast.expr | None):
    values: Counter = Counter()
    sizes: Counter = Counter()

    def read(node: ast.expr) -> None:
        v, s = mentions(node)
        values.update(v)
        sizes.update(s)

    if returned is not None:
        read(returned)
    kept = []
    for raw in reversed(raws):
        if raw.choice is not None:
            if _prune(raw, {t for t in raw.targets if values[t] or any(k == t for k, _ in sizes)}):
                kept.append(raw)
                read(raw.node)
        elif raw.loop is not None or any(values[t] or any(k == t for k, _ in sizes) for t in raw.targets):
            kept.append(raw)
            read(raw.node)
    return (values, sizes), kept[::-1]


def _prune(raw: Raw, live: set[Key]) -> bool:
    """Keep of a choice what its live results need; False when none is live."""
    choice = raw.choice
    assert choice is not None
    keep = [number for number, target in enumerate(raw.targets) if target in live]
    if not keep:
        return False
    raw.targets = [raw.targets[number] for number in keep]
    raw.names = tuple(raw.names[number] for number in keep)
    for arm in choice.arms:
        ends = ast.Set([arm.ends[number] for number in keep])
        arm.raws = arrange(arm.raws, ends)
        arm.ends = ends.elts
    raw.node = reads_of(choice)
    return True


def _insert(node: ast.expr, pending: dict[Key, ast.expr]) -> ast.expr:
    if not pending:
        return node
    used, _ = mentions(node)
    if not any(key in pending for key in used):
        return node

    def value(key: Key) -> ast.expr:
        return pending[key] if key in pending else ast.Name(f"${key}", ast.Load())

    def size(key: Key, dim: int) -> ast.expr:
        leaf = ast.Attribute(ast.Name(f"${key}", ast.Load()), "$shape", ast.Load())
        return ast.Subscript(leaf, ast.Constant(dim), ast.Load())

    return substitute(node, value, size)


def _is_leaf(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id.startswith("$")


def _short(node: ast.expr, limit: int = 100) -> bool:
    return len(ast.unparse(ast.fix_missing_locations(node))) <= limit


def choose_names(raw: Raw, position: int, last: dict[Key, int], held: dict[str, int],
                 others: Iterable[str]) -> list[str]:
    """A name for each target: the source's where it gives one. A name is taken again only
    when nothing still needs what it holds. ``held`` maps a name to the last statement that
    reads it, and is updated."""
    taken_by_others = set(others)
    chosen: list[str] = []
    for number, target in enumerate(raw.targets):
        end = last.get(target, -1)
        if end < 0:
            chosen.append("_")
            continue
        wish = raw.names[number] if number < len(raw.names) else raw.hint
        base = variable_name(wish)
        name, count = base, 1
        while held.get(name, -1) > position or name in chosen or name in taken_by_others:
            count += 1
            name = f"{base}_{count}"
        held[name] = end
        chosen.append(name)
    return chosen
