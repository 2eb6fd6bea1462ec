"""Identical neighbours shown once: ``0…11 ×12`` instead of twelve equal layers.

Everything here walks with a list as its stack: a tree may be nested deeper than
Python's recursion limit.
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass

from t2m_notebook.types import ModuleNode, Status

_COUNTED = re.compile(r"(.*?)(\d{1,9})", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One or more neighbours that are equal but for name, path and measured difference."""

    members: tuple[ModuleNode, ...]

    @property
    def first(self) -> ModuleNode:
        """The member whose inside stands for all."""
        return self.members[0]

    @property
    def count(self) -> int:
        """How many modules the fold stands for."""
        return len(self.members)

    @property
    def name(self) -> str:
        """``conv1``, or ``0…11`` for several."""
        return self.first.name if self.count == 1 else f"{self.first.name}…{self.members[-1].name}"

    @property
    def max_difference(self) -> float | None:
        """The worst that was measured on any member; NaN is worse than any number."""
        measured = [m.max_difference for m in self.members if m.max_difference is not None]
        return max(measured, key=lambda d: (d != d, d), default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A line of a folded tree."""

    depth: int
    fold: Fold
    is_last: bool  # of its siblings
    modules: int  # how many modules of the report this line stands for
    hidden_rows: int = 0  # lines below it that a limit left out


def child_nodes(node: ModuleNode) -> tuple[ModuleNode, ...]:
    """The children of ``node``; none when the node is too broken to tell."""
    try:
        return tuple(child for child in node.children if hasattr(child, "name"))
    except Exception:
        return ()


def module_count(root: ModuleNode) -> int:
    """How many modules a tree has, the root included."""
    count, stack = 0, [root]
    while stack:
        count += 1
        stack.extend(child_nodes(stack.pop()))
    return count


def structure_ids(root: ModuleNode) -> dict[int, int]:
    """A number per node (keyed by ``id(node)``); equal numbers mean equal subtrees.

    Compared are class, description, status, reason, parameters, outputs, calls, operations
    and, recursively, the children with their names. A proven node's reason is its
    measurement, so it is not compared. A node that can't be read equals nothing.
    """
    known: dict[object, int] = {}
    ids: dict[int, int] = {}
    stack: list[tuple[ModuleNode, bool]] = [(root, False)]
    while stack:
        node, children_done = stack.pop()
        if id(node) in ids:
            continue
        children = child_nodes(node)
        if not children_done:
            stack.append((node, True))
            stack.extend((child, False) for child in children)
            continue
        try:
            key: object = (_own_facts(node), tuple((c.name, ids[id(c)]) for c in children))
            hash(key)
        except Exception:
            key = ("unreadable", id(node))
        ids[id(node)] = known.setdefault(key, len(known))
    return ids


def _own_facts(node: ModuleNode) -> tuple:
    return (
        node.class_name, node.class_module, node.description, node.status,
        "" if node.status is Status.PROVEN else node.reason,
        node.parameter_count, node.parameter_bytes, node.calls, node.shared_with, node.training,
        node.location, tuple(t.text for t in node.outputs),
        tuple((p.name, p.facts.text, p.kind, p.trainable, p.tied_to) for p in node.parameters),
        tuple((o.name, o.status, o.reason, o.source, o.mlx) for o in node.operations),
        tuple(mark.name for mark in node.checkpoints),
    )


def fold_siblings(children: typing.Sequence[ModuleNode], ids: dict[int, int]) -> list[Fold]:
    """``children`` in their order, with runs of equal neighbours as one :class:`Fold`.

    Names must count up (``0, 1, 2`` or ``block1, block2``): ``query, key, value`` may be
    equal layers, but each name tells something. ``ids`` comes from :func:`structure_ids`.
    """
    folds: list[list[ModuleNode]] = []
    for child in children:
        if folds and ids.get(id(folds[-1][-1])) == ids.get(id(child)) \
                and _counts_up(folds[-1][-1].name, child.name):
            folds[-1].append(child)
        else:
            folds.append([child])
    return [Fold(tuple(members)) for members in folds]


def _counts_up(before: object, after: object) -> bool:
    one, two = _COUNTED.fullmatch(str(before)), _COUNTED.fullmatch(str(after))
    return bool(one and two and one[1] == two[1] and int(two[2]) == int(one[2]) + 1)


def folded_rows(root: ModuleNode, depth: int | None = None, limit: int | None = None) -> list[Row]:
    """The lines of the folded tree, depth first; a fold's inside is its first member's.

    ``depth`` keeps lines at most that deep (the root is 0). ``limit`` keeps that many
    lines, the outer ones first, so that a cut never hides a whole later part of the model.
    """
    ids = structure_ids(root)
    rows: list[Row] = []
    stack = [(0, Fold((root,)), True, 1)]
    while stack:
        level, fold, is_last, modules = stack.pop()
        rows.append(Row(level, fold, is_last, modules))
        inside = fold_siblings(child_nodes(fold.first), ids)
        stack.extend((level + 1, f, i == 0, modules * f.count) for i, f in enumerate(reversed(inside)))
    kept = [i for i, row in enumerate(rows) if depth is None or row.depth <= depth]
    if limit is not None and len(kept) > limit:
        kept = sorted(sorted(kept, key=lambda i: rows[i].depth)[:max(limit, 1)])
    if len(kept) == len(rows):
        return rows
    return _with_hidden_counts(rows, set(kept))


def _with_hidden_counts(rows: list[Row], kept: set[int]) -> list[Row]:
    """The kept rows; each knows how many lines were cut directly below it."""
    above: list[int] = []  # index of the kept row at each depth above the current one
    hidden = dict.fromkeys(kept, 0)
    for i, row in enumerate(rows):
        del above[row.depth:]
        if i in kept:
            above.append(i)
        elif above:
            hidden[above[-1]] += 1
    return [Row(r.depth, r.fold, r.is_last, r.modules, hidden[i])
            for i, r in enumerate(rows) if i in kept]
