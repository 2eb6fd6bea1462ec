"""Named axis moves: how a weight's axes go from torch to MLX and back.

``"OIHW->OHWI"`` and, where axes split or merge, ``"O (C H W) -> O (H W C)"``. The
inverse is the same move read from right to left, so it can't be wrong on its own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AxisMove:
    """One move. ``sizes`` gives the letters inside parentheses that can't be inferred.

    >>> AxisMove("OIHW->OHWI").order
    (0, 2, 3, 1)
    """

    pattern: str
    sizes: tuple[tuple[str, int], ...] = field(default=())

    @property
    def sides(self) -> tuple[list[list[str]], list[list[str]]]:
        left, arrow, right = self.pattern.partition("->")
        if not arrow:
            raise ValueError(f"axis move {self.pattern!r}: expected 'from->to'")
        parsed = (_groups(left), _groups(right))
        names = [sorted(name for group in side for name in group) for side in parsed]
        if names[0] != names[1] or len(set(names[0])) != len(names[0]):
            raise ValueError(f"axis move {self.pattern!r}: both sides must name the same axes once")
        return parsed

    @property
    def order(self) -> tuple[int, ...]:
        """The permutation, for a move that neither splits nor merges axes."""
        left, right = self.sides
        return tuple(left.index(group) for group in right)

    @property
    def is_identity(self) -> bool:
        left, right = self.sides
        return left == right

    def inverse(self) -> AxisMove:
        """The move back, computed by swapping the sides."""
        left, _, right = self.pattern.partition("->")
        return AxisMove(f"{right.strip()}->{left.strip()}", self.sizes)

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape after the move. Raises ``ValueError`` when ``shape`` doesn't fit."""
        sizes = self._letter_sizes(shape)
        return tuple(math.prod(sizes[name] for name in group) for group in self.sides[1])

    def apply(self, array: Any) -> Any:
        """Move a numpy array, torch tensor or MLX array (anything with ``reshape`` and
        numpy- or torch-style transposition). The result may be a view."""
        left, right = self.sides
        sizes = self._letter_sizes(tuple(array.shape))
        flat = [name for group in left for name in group]
        order = [flat.index(name) for group in right for name in group]
        split = array.reshape([sizes[name] for name in flat])
        moved = split.permute(order) if hasattr(split, "permute") else split.transpose(order)
        return moved.reshape([math.prod(sizes[name] for name in group) for group in right])

    def _letter_sizes(self, shape: tuple[int, ...]) -> dict[str, int]:
        left, _ = self.sides
        if len(left) != len(shape):
            raise ValueError(f"axis move {self.pattern!r}: {len(left)} axes named, shape {shape} has {len(shape)}")
        known = dict(self.sizes)
        for group, size in zip(left, shape, strict=True):
            unknown = [name for name in group if name not in known]
            rest = math.prod(known[name] for name in group if name in known)
            if len(unknown) > 1 or rest == 0 or size % max(rest, 1) or (not unknown and rest != size):
                raise ValueError(f"axis move {self.pattern!r}: size {size} does not split into {group}")
            if unknown:
                known[unknown[0]] = size // rest
        return known

    @staticmethod
    def of_order(order: tuple[int, ...]) -> AxisMove:
        """The move that permutes by ``order``."""
        names = "abcdefghijklmnopqrstuvwxyz"[: len(order)]
        return AxisMove(f"{names}->{''.join(names[axis] for axis in order)}")


def _groups(side: str) -> list[list[str]]:
    tokens = re.findall(r"\([^)]*\)|[A-Za-z]\d*", side)
    return [re.findall(r"[A-Za-z]\d*", token) for token in tokens]
