"""Whether the numbers of one recording, expressions over sizes among them, are right in another."""

from __future__ import annotations

import math
from typing import Any

from ..rules import Size, SizeFloat
from .predicates import Seen, Shapes, evaluate
from .recording import Recording, refs


def agrees(recording: Recording, other: Recording) -> bool:
    """True when every number in the calls of ``recording`` gives what the same call of ``other``
    was made with. The two are the same program."""
    by_name = {(v.kind, v.name): Seen(v) for v in other.values if v.previous is None}
    shapes = {v.index: by_name[v.kind, v.name] for v in recording.values
              if v.previous is None and (v.kind, v.name) in by_name}
    for one, two in zip(recording.calls(), other.calls(), strict=True):
        try:
            if not _alike([list(one.args), one.kwargs], [list(two.args), two.kwargs], shapes):
                return False
        except KeyError:
            return False
        made = zip(refs(one.outputs), refs(two.outputs), strict=False)
        for mine, theirs in [*made, *((a, b) for (_, a), (_, b) in zip(one.mutated, two.mutated, strict=False))]:
            shapes[mine] = Seen(other.values[theirs])
    return True


def _alike(a: Any, b: Any, shapes: Shapes) -> bool:
    if isinstance(a, (Size, SizeFloat)):
        value = evaluate(a.node, shapes)
        return isinstance(b, (int, float)) and math.isclose(value, b, rel_tol=1e-9)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(_alike(x, y, shapes) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(value, b[key], shapes) for key, value in a.items())
    if isinstance(a, slice) and isinstance(b, slice):
        return _alike((a.start, a.stop, a.step), (b.start, b.stop, b.step), shapes)
    plain = (bool, int, float, str, type(None))
    return a == b if isinstance(a, plain) and isinstance(b, plain) else True
