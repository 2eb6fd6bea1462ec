"""Which calls of two recordings are the same call of the source, and where two paths meet again."""

from __future__ import annotations

import ast
import linecache
from functools import cache
from typing import Any

from .recording import SAME, Branch, OpCall, locate

#: Stands for the end of a module's forward among the keys of calls.
END = "end"


class Apart(Exception):
    """Two recordings that can't be put together; the message says why."""


def key_of(event: Any) -> Any:
    """What makes two calls the same: the function or module, and the source it was called from."""
    name = event.name if isinstance(event, OpCall) else event.path
    return name, tuple((frame.code, frame.instruction) for frame in event.frames)


def first_keys(events: list[Any], follow: set) -> set:
    """The keys that a walk over ``events`` may meet first; those of ``follow`` when it may be empty."""
    for position, event in enumerate(events):
        if isinstance(event, Branch):
            rest = first_keys(events[position + 1:], follow)
            return first_keys(event.then, rest) | first_keys(event.otherwise, rest)
        if not (isinstance(event, OpCall) and event.name == SAME):
            return {key_of(event)}
    return follow


def join(mine: list[Any], theirs: list[Any], follow: set) -> tuple[int, int]:
    """How many calls of each list to leave behind until they go on alike. At the latest that
    is at the end of both."""
    starts = [first_keys(mine[position:], follow) for position in range(len(mine) + 1)]
    ends = [key_of(event) for event in theirs] + [END]
    best: tuple[int, int] | None = None
    for ours, keys in enumerate(starts):
        for others, key in enumerate(ends):
            if best is not None and ours + others >= sum(best):
                break
            if key in keys and (ours or others):
                best = ours, others
                break
    if best is None:
        raise Apart("the paths never meet again")
    return best


def ahead(branch: Branch, mine: list[Any], theirs: list[Any], follow: set) -> int | None:
    """How many calls of ``theirs`` come before a branch of which they are no part: zero when they
    come after it, None when they may be part of it. ``mine`` starts with the branch."""
    if not theirs or key_of(theirs[0]) in first_keys(mine[:1], first_keys(mine[1:], follow)):
        return None
    arm = [event for event in [*branch.then, *branch.otherwise]
           if not isinstance(event, Branch) and not (isinstance(event, OpCall) and event.name == SAME)]
    if (branch.then and branch.otherwise) or not arm:
        return None
    keys = first_keys(mine, follow)
    for number in range(1, len(theirs) + 1):
        if (key_of(theirs[number]) if number < len(theirs) else END) in keys:
            return number if earlier(theirs[0], arm[0]) else 0
    return None if earlier(theirs[0], arm[0]) else 0


def earlier(one: Any, other: Any) -> bool:
    """True when ``one`` stands before ``other`` in the source of the function that makes both."""
    for here, there in zip(reversed(one.frames), reversed(other.frames), strict=False):
        if here.code is not there.code:
            return True
        if here.instruction != there.instruction:
            return here.instruction < there.instruction
    return True


def same_block(arm: list[Any], other: Any) -> bool:
    """True when ``other`` stands in the block of an ``if`` that the calls of ``arm`` stand in."""
    last = next((event for event in reversed(arm) if not isinstance(event, Branch)), None)
    if last is None:
        return False
    for here, there in zip(reversed(last.frames), reversed(other.frames), strict=False):
        if here.code is not there.code:
            return False
        if here.instruction != there.instruction:
            one, two = locate(here), locate(there)
            if one is None or two is None:
                return True
            blocks = [block for block in _blocks(one.file) if one.line in block]
            return bool(blocks) and two.line in min(blocks, key=len)
    return True


@cache
def _blocks(file: str) -> tuple[range, ...]:
    """The lines of each block of an ``if`` in a file."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except SyntaxError:
        return ()
    choices = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    blocks = [block for node in choices for block in (node.body, node.orelse) if block]
    return tuple(range(block[0].lineno, (block[-1].end_lineno or block[-1].lineno) + 1) for block in blocks)
