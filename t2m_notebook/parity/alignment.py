"""Which MLX operation is which of torch's: by module, order, shape and values.

Both frameworks ran the same computation, so the two lists are aligned as two texts are: no pair
crosses another. Layers with weights stand at known paths and are the fixed points; between two of
them the best alignment is found by dynamic programming.
"""

from __future__ import annotations

import ast
import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ..types import TracedOperation, TracedTensor

MOST_CELLS = 1_000_000  # of one alignment table; longer stretches are cut
_CUT = 900
#: How far apart the fingerprints of equal arrays may be: rounding, seen through many weights.
SAME_PRINT = {"float16": 5e-2, "bfloat16": 0.1}


@dataclass(frozen=True, slots=True)
class TorchStep:
    """What is looked for: torch's operation with the shapes that MLX's results have by the layout plan."""

    operation: TracedOperation
    path: str  # MLX's path of the module
    shapes: tuple[tuple[int, ...], ...]
    form: str  # the rule's expression
    in_layer: bool  # the operation is the call of a layer
    fingerprint: float | None = None  # of the first result, its axes in MLX's order


@dataclass(frozen=True, slots=True)
class MlxStep:
    """An operation of MLX and its first result's fingerprint."""

    operation: TracedOperation
    fingerprint: float | None = None

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def path(self) -> str:
        return self.operation.path

    @property
    def outputs(self) -> tuple[TracedTensor, ...]:
        return self.operation.outputs


def align(steps: Sequence[TorchStep], events: Sequence[MlxStep]) -> list[tuple[int, int]]:
    """Pairs ``(step, event)``, both increasing."""
    fixed = _fixed_points(steps, events)
    pairs, step, event = [], 0, 0
    for end_step, end_event in [*fixed, (len(steps), len(events))]:
        pairs += _stretch(steps, events, step, end_step, event, end_event)
        if end_step < len(steps):
            pairs.append((end_step, end_event))
        step, event = end_step + 1, end_event + 1
    return pairs


def crossed(steps: Sequence[TorchStep], events: Sequence[MlxStep], pairs: list[tuple[int, int]]) -> dict[int, int]:
    """Of what :func:`align` left over, the operations that are surely the same and only ran earlier or
    later: same operation, shape and every element. Step -> event, the nearest one."""
    taken = {event for _, event in pairs}
    done = {step for step, _ in pairs}
    left: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        if number not in taken and event.outputs and event.fingerprint is not None:
            left[event.outputs[0].shape].append(number)
    found: dict[int, int] = {}
    for number, step in enumerate(steps):
        if number in done or not step.shapes or step.fingerprint is None:
            continue
        same = [n for n in left.get(step.shapes[0], ()) if _main_name(step.form) == events[n].name.rpartition(".")[2]
                and likeness(step, events[n]) >= 7.0]
        if same:
            found[number] = min(same, key=lambda n: abs(n - _near(pairs, number)))
            left[step.shapes[0]].remove(found[number])
    return found


def _near(pairs: list[tuple[int, int]], step: int) -> int:
    """The event beside which an unpaired step would stand."""
    at = bisect.bisect_left(pairs, (step, 0))
    return pairs[at - 1][1] if at else 0


def _fixed_points(steps: Sequence[TorchStep], events: Sequence[MlxStep]) -> list[tuple[int, int]]:
    """The n-th call of a layer at one path on both sides; the longest set of them that keeps the order."""
    there: dict[str, list[int]] = defaultdict(list)
    here: dict[str, list[int]] = defaultdict(list)
    layers = {step.path for step in steps if step.in_layer and step.path}
    for number, event in enumerate(events):
        if event.path in layers and _names_a_layer(event.name):
            there[event.path].append(number)
    for number, step in enumerate(steps):
        if step.in_layer and step.path in there:
            here[step.path].append(number)
    pairs = sorted((a, b) for path, numbers in here.items() if len(numbers) == len(there[path])
                   for a, b in zip(numbers, there[path], strict=True))
    return _longest_increasing(pairs)


def _names_a_layer(name: str) -> bool:
    return name.rpartition(".")[2][:1].isupper() and not name.startswith("mx.")


def _longest_increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    tails: list[int] = []
    ends: list[int] = []  # position in pairs of each tail
    before: list[int] = []
    for position, (_, value) in enumerate(pairs):
        at = bisect.bisect_left(tails, value)
        before.append(ends[at - 1] if at else -1)
        tails[at:at + 1], ends[at:at + 1] = [value], [position]
    chain, position = [], ends[-1] if ends else -1
    while position >= 0:
        chain.append(pairs[position])
        position = before[position]
    return chain[::-1]


def _stretch(steps: Sequence[TorchStep], events: Sequence[MlxStep], first: int, last: int, start: int,
             end: int) -> list[tuple[int, int]]:
    """The best pairs of ``steps[first:last]`` and ``events[start:end]``."""
    while (last - first) * (end - start) > MOST_CELLS:
        # The head of both, then what is left after its last pair.
        head = _stretch(steps, events, first, min(first + _CUT, last), start, min(start + _CUT, end))
        half = [pair for pair in head if pair[0] < first + _CUT // 2] or head[:1]
        cut = half[-1] if half else (first + _CUT // 2 - 1, start + _CUT // 2 - 1)
        return half + _stretch(steps, events, cut[0] + 1, last, cut[1] + 1, end)
    rows, columns = last - first, end - start
    if rows <= 0 or columns <= 0:
        return []
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    score = [[likeness(steps[first + i], events[start + j]) for j in range(columns)] for i in range(rows)]
    for i in range(rows - 1, -1, -1):
        below, own, line = best[i + 1], best[i], score[i]
        for j in range(columns - 1, -1, -1):
            own[j] = max(below[j], own[j + 1], below[j + 1] + line[j] if line[j] else 0.0)
    pairs, i, j = [], 0, 0
    while i < rows and j < columns:
        if score[i][j] and best[i][j] == best[i + 1][j + 1] + score[i][j]:
            pairs.append((first + i, start + j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def likeness(step: TorchStep, event: MlxStep) -> float:
    """How well an MLX operation answers to one of torch's; 0 when it can't be the same."""
    outputs = step.operation.outputs
    if event.outputs and not outputs or outputs and not event.outputs or step.form == "x":
        return 0.0
    name = _main_name(step.form) == event.name.rpartition(".")[2]
    if not outputs:
        return 1.0 if name else 0.0
    shape = step.shapes[0] == event.outputs[0].shape
    values = same_values(outputs[0], event.outputs[0])
    if values and step.fingerprint is not None and event.fingerprint is not None:
        values = abs(step.fingerprint - event.fingerprint) <= SAME_PRINT.get(outputs[0].dtype, 1e-2)
    if not (shape and (name or values is not False)) and not (name and values):
        return 0.0
    near = event.path == step.path or step.path.startswith(event.path + ".") or not event.path
    return 2.0 * shape + 2.0 * name + (3.0 if values else 0.0) + (0.5 if near else -0.5) + \
        (0.5 if len(outputs) == len(event.outputs) else 0.0)


def same_values(one: TracedTensor, other: TracedTensor) -> bool | None:
    """True when two tensors' summaries agree up to rounding; None when there is nothing to compare."""
    a, b = one.summary, other.summary
    if a is None or b is None:
        return None
    if (a.nan, a.inf, a.mean is None) != (b.nan, b.inf, b.mean is None):
        return False
    if a.mean is None:
        return None
    size = max(abs(a.minimum or 0.0), abs(a.maximum or 0.0), 1e-3)
    half = 3e-2 if "16" in one.dtype or "16" in other.dtype else 1e-3
    return all(abs((x or 0.0) - (y or 0.0)) <= half * size
               for x, y in ((a.mean, b.mean), (a.minimum, b.minimum), (a.maximum, b.maximum)))


_OPERATORS = {ast.Add: "__add__", ast.Sub: "__sub__", ast.Mult: "__mul__", ast.Div: "__truediv__",
              ast.FloorDiv: "__floordiv__", ast.Mod: "__mod__", ast.Pow: "__pow__", ast.MatMult: "__matmul__",
              ast.BitAnd: "__and__", ast.BitOr: "__or__", ast.BitXor: "__xor__", ast.LShift: "__lshift__",
              ast.RShift: "__rshift__", ast.USub: "__neg__", ast.Invert: "__invert__", ast.Eq: "__eq__",
              ast.NotEq: "__ne__", ast.Lt: "__lt__", ast.LtE: "__le__", ast.Gt: "__gt__", ast.GtE: "__ge__"}


@cache
def _main_name(form: str) -> str:
    """The operation that an expression ends with: ``x.reshape(2)`` is ``reshape``, ``x + 1`` is ``__add__``."""
    try:
        node = ast.parse(form, mode="eval").body
    except SyntaxError:
        return ""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, (ast.Attribute, ast.Name)):
        return node.attr if isinstance(node, ast.Attribute) else node.id
    if isinstance(node, ast.Subscript):
        return "__getitem__"
    if isinstance(node, (ast.BinOp, ast.UnaryOp)):
        return _OPERATORS.get(type(node.op), "")
    return _OPERATORS.get(type(node.ops[0]), "") if isinstance(node, ast.Compare) else ""
