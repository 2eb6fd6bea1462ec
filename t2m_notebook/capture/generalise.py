"""Finds out which numbers of a recording follow the input's size.

Sizes that a model reads from ``.shape`` carry their expression already. Those that lose it
on the way (``int(math.sqrt(n))``, ``range``, numpy) show when the same forward is recorded at
another size: the number differs, and the one expression over sizes that gives both values
takes its place.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from typing import Any

import torch

from ..rules import Size, SizeFloat
from .recording import ModuleCall, OpCall, Recording, Ref, refs

Candidate = tuple[Any, int, int]  # size with its expression, its value here, its value there


def same_program(one: Recording, other: Recording) -> bool:
    """True when both forwards made the same calls in the same order."""
    first, second = list(one.calls()), list(other.calls())
    return len(first) == len(second) and all(_name(a) == _name(b) for a, b in zip(first, second, strict=True))


def _name(event: OpCall | ModuleCall) -> str:
    return event.name if isinstance(event, OpCall) else event.path


def generalise(recording: Recording, other: Recording) -> int:
    """Replace, in ``recording``'s arguments, every plain number that differs in ``other`` by
    an expression over sizes that gives both. Returns how many were found; numbers that no
    simple expression explains stay. The two must be the :func:`same_program`."""
    found = 0
    for one, two in zip(recording.calls(), other.calls(), strict=True):
        matcher = Matcher(recording, other, one, two)
        if _follow_range(one, two, matcher):
            found += matcher.found
            continue
        one.args = tuple(matcher.value(a, b) for a, b in zip(one.args, two.args, strict=False)) \
            if len(one.args) == len(two.args) else one.args
        one.kwargs = {key: matcher.value(value, two.kwargs[key]) if key in two.kwargs else value
                      for key, value in one.kwargs.items()}
        found += matcher.found
    return found


_MAKES_TENSORS = frozenset({"torch.tensor", "torch.as_tensor", "torch.asarray"})


def _follow_range(one: Any, two: Any, matcher: Matcher) -> bool:
    """``torch.tensor(list(range(n)))`` as the ``torch.arange`` that it is, where the list's length differs."""
    if not isinstance(one, OpCall) or one.name not in _MAKES_TENSORS or not one.args or not two.args:
        return False
    here, there = _steps(one.args[0]), _steps(two.args[0])
    if here is None or there is None or len(one.args[0]) == len(two.args[0]):
        return False
    bounds = tuple(matcher.value(a, b) for a, b in zip(here, there, strict=True))
    if any(a != b and not isinstance(found, (Size, SizeFloat))
           for a, b, found in zip(here, there, bounds, strict=True)):
        return False
    one.name, one.function, one.args = "torch.arange", torch.arange, bounds
    return True


def _steps(numbers: Any) -> tuple[Any, Any, Any] | None:
    """``(start, end, step)`` of numbers that lie equally far apart; None for any others."""
    if not isinstance(numbers, (list, tuple)) or len(numbers) < 2 or not all(
            isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers):
        return None
    numbers = [int(n) if isinstance(n, int) else float(n) for n in numbers]
    start, step = numbers[0], numbers[1] - numbers[0]
    if not step or any(not math.isclose(n, start + i * step, rel_tol=1e-12) for i, n in enumerate(numbers)):
        return None
    return start, start + len(numbers) * step, step


class Matcher:
    """Finds the expression over sizes that gives a number in two recordings of one call."""

    def __init__(self, recording: Recording, other: Recording, one: Any, two: Any):
        self.recording, self.other, self.one, self.two = recording, other, one, two
        self.found = 0
        same = len(recording.reads) == len(other.reads)
        self.reads = [(mine, theirs) for mine, theirs in zip(recording.reads, other.reads, strict=same)
                      if mine.position <= one.index] if same else []

    def value(self, a: Any, b: Any) -> Any:
        if isinstance(a, (Size, SizeFloat)) or isinstance(a, bool) or isinstance(b, bool):
            return a
        if isinstance(a, int) and isinstance(b, int):
            return a if int(a) == int(b) else self._number(int(a), int(b))
        if isinstance(a, float) and isinstance(b, float):
            return a if a == b else self._fraction(a, b)
        if isinstance(a, Ref) or isinstance(b, Ref):
            return a
        if isinstance(a, (tuple, list)) and type(a) is type(b) and len(a) == len(b) and not hasattr(a, "_fields"):
            return type(a)(self.value(x, y) for x, y in zip(a, b, strict=True))
        if isinstance(a, slice) and isinstance(b, slice):
            return slice(self.value(a.start, b.start), self.value(a.stop, b.stop), self.value(a.step, b.step))
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return {key: self.value(value, b[key]) for key, value in a.items()}
        return a

    def _candidates(self) -> Iterator[Candidate]:
        """Sizes in reach: of the call's own tensors, its module's arguments, the model's."""
        owner, twin = ((self.one.owner, self.two.owner) if isinstance(self.one, OpCall)
                       else (self.one.parent, self.two.parent))
        places = [((list(self.one.args), self.one.kwargs), (list(self.two.args), self.two.kwargs))]
        while owner is not None and twin is not None:
            places.append(((list(owner.args), owner.kwargs), (list(twin.args), twin.kwargs)))
            owner, twin = owner.parent, twin.parent
        for here, there in places:
            for mine, theirs in zip(refs(list(here)), refs(list(there)), strict=False):
                shape, shape_there = self.recording.values[mine].shape, self.other.values[theirs].shape
                if len(shape) == len(shape_there):
                    for dim, (s, t) in enumerate(zip(shape, shape_there, strict=True)):
                        if s != t:
                            yield Size.of(s, mine, dim), s, t

    def _number(self, a: int, b: int) -> int:
        reads = [(Size.read(mine.number, mine.index), mine.number, theirs.number)
                 for mine, theirs in reversed(self.reads) if type(mine.number) is type(theirs.number) is int
                 and mine.number != theirs.number]
        for test in (_equal, _negative, _next, _scaled):
            for size, s, t in reads:
                made = test(size, s, t, a, b)
                if made is not None:
                    self.found += 1
                    return made
        candidates = list(self._candidates())
        for test in (_equal, _root, _scaled, _shifted):
            for size, s, t in candidates:
                made = test(size, s, t, a, b)
                if made is not None:
                    self.found += 1
                    return made
        for i, (size, s, t) in enumerate(candidates):
            for other, u, v in candidates[i + 1:]:
                if s * u and s * u != 0 and a % (s * u) == 0 and (a // (s * u)) * t * v == b:
                    self.found += 1
                    factor = a // (s * u)
                    return size * other * factor if factor != 1 else size * other
        return a

    def _fraction(self, a: float, b: float) -> float:
        for mine, theirs in reversed(self.reads):
            if (mine.number, theirs.number) == (a, b):
                self.found += 1
                return Size.read(a, mine.index)
        for size, s, t in self._candidates():
            if s and t and math.isclose(a / s, b / t, rel_tol=1e-9):
                self.found += 1
                whole = round(s / a) if a else 0
                if whole and math.isclose(s / whole, a, rel_tol=1e-12):
                    return size / whole
                return size * (a / s)
            if s and t and math.isclose(a * s, b * t, rel_tol=1e-9):
                self.found += 1
                return (round(a * s) if math.isclose(a * s, round(a * s), rel_tol=1e-12) else a * s) / size
            if s > 0 and t > 0 and math.isclose(a * math.sqrt(s), b * math.sqrt(t), rel_tol=1e-9):
                self.found += 1
                return (a * math.sqrt(s)) * size ** -0.5
        return a


def _call(function: str, size: Size, value: int) -> Size:
    name = ast.Attribute(ast.Name("math", ast.Load()), function, ast.Load())
    return Size(value, ast.Call(name, [size.node], []))


def _equal(size: Size, s: int, t: int, a: int, b: int) -> Size | None:
    return size if (s, t) == (a, b) else None


def _negative(size: Size, s: int, t: int, a: int, b: int) -> Size | None:
    return -size if (-s, -t) == (a, b) else None


def _next(size: Size, s: int, t: int, a: int, b: int) -> Size | None:
    if (a - s, b - t) in ((1, 1), (-1, -1)):
        return size + 1 if a > s else size - 1
    return None


def _root(size: Size, s: int, t: int, a: int, b: int) -> Size | None:
    return _call("isqrt", size, a) if s >= 0 and t >= 0 and math.isqrt(s) == a and math.isqrt(t) == b else None


def _scaled(size: Size, s: int, t: int, a: int, b: int) -> Size | None:
    if a and s and a % s == 0 and (a // s) * t == b:
        return size * (a // s)
    for divisor in ([s // a, -(-s // a)] if a else []):
        if divisor > 1 and s // divisor == a and t // divisor == b:
            return size // divisor
        if divisor > 1 and -(-s // divisor) == a and -(-t // divisor) == b:
            return -(-size // divisor)
    return None


def _shifted(size: Size, s: int, t: int, a: int, b: int) -> Size | None:
    if a - s == b - t:
        return size + (a - s) if a >= s else size - (s - a)
    if a + s == b + t:
        return (a + s) - size
    for factor in (2, 3, 4):
        if a - factor * s == b - factor * t:
            rest = a - factor * s
            return size * factor + rest if rest >= 0 else size * factor - (-rest)
        if a - s // factor == b - t // factor:
            rest = a - s // factor
            return size // factor + rest if rest >= 0 else size // factor - (-rest)
    return None
