"""Strides as a picture: the elements as they are indexed, and the line that memory draws through them.

A cell shows where its element lies in the storage, in elements, the later the darker. The line joins
each element to the one that is next in memory; below, the storage itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

WHOLE = 64  # elements of a tensor that is drawn whole; of a larger one the first corner is
_PANELS, _ROWS, _COLUMNS = 3, 4, 8  # of a corner, at most
_WIDE, _HIGH, _GAP = 34, 22, 14  # of a cell in pixels, and between panels
_STRIP = 48  # places of the storage that are drawn


def corner_of(shape: Sequence[int]) -> tuple[int, ...]:
    """The part that is drawn: all of a small tensor, the first elements of a large one."""
    total = 1
    for size in shape:
        total *= size
    if total <= WHOLE:
        return tuple(shape)
    limits = [_COLUMNS, _ROWS, _PANELS]
    sizes = [min(size, limits[i] if i < 3 else 1) for i, size in enumerate(reversed(shape))]
    return tuple(reversed(sizes))


def memory_svg(shape: Sequence[int], stride: Sequence[int], offset: int = 0) -> str:
    """An SVG of a tensor's memory order; its colours are the ``--t2m-*`` variables of the page.

    ``stride`` and ``offset`` are in elements. Only numbers are written into it. Empty for a tensor
    without elements or without strides.
    """
    if len(shape) != len(stride) or 0 in shape:
        return ""
    drawn = corner_of(shape)
    rows, columns = (drawn[-2] if len(drawn) > 1 else 1), (drawn[-1] if drawn else 1)
    panels = list(itertools.product(*map(range, drawn[:-2])))
    per_line = max(1, min(len(panels), 980 // (columns * _WIDE + _GAP)))
    title = 14 if len(drawn) > 2 else 0
    step_x, step_y = columns * _WIDE + _GAP, rows * _HIGH + _GAP + title
    cells: list[_Cell] = []
    labels: list[str] = []
    for number, outer in enumerate(panels):
        left, top = 1 + (number % per_line) * step_x, 1 + title + (number // per_line) * step_y
        if title:
            name = ", ".join(map(str, outer))
            labels.append(f'<text class="t2m-axis" x="{left}" y="{top - 4}">[{name}, :, :]</text>')
        for row, column in itertools.product(range(rows), range(columns)):
            index = (*outer, row, column)[-len(drawn):] if drawn else ()
            place = offset + sum(i * s for i, s in zip(index, stride, strict=True))
            cells.append(_Cell(place, number, left + column * _WIDE, top + row * _HIGH))
    wide = min(len(panels), per_line) * step_x - _GAP + 2
    high = -(-len(panels) // per_line) * step_y - _GAP + 2
    places = sorted({cell.place for cell in cells})
    rank = {place: number / max(len(places) - 1, 1) for number, place in enumerate(places)}
    boxes = "".join(f'<rect class="t2m-later" x="{c.x}" y="{c.y}" width="{_WIDE}" height="{_HIGH}" '
                    f'fill-opacity="{0.04 + 0.4 * rank[c.place]:.2f}"/>' for c in cells)
    figures = "".join(f'<text x="{c.x + _WIDE / 2:g}" y="{c.y + 15}">{c.place}</text>' for c in cells)
    strip, strip_wide, strip_high = _storage_strip(places, high + 12)
    return (f'<svg class="t2m-memory" xmlns="http://www.w3.org/2000/svg" width="{max(wide, strip_wide)}" '
            f'height="{high + 12 + strip_high}" role="img" aria-label="order of the elements in memory">'
            f'{boxes}{_line_through(cells)}{figures}{"".join(labels)}{strip}</svg>')


class _Cell(NamedTuple):
    """An element: its place in the storage, its panel, its left upper corner."""

    place: int
    panel: int
    x: int
    y: int

    @property
    def middle(self) -> str:
        return f"{self.x + _WIDE / 2:g} {self.y + _HIGH / 2:g}"


def _line_through(cells: list[_Cell]) -> str:
    """From each element to the next in memory; a repeated element is visited once. Thin where the
    line goes over to another panel, dashed where it leaves out places of the storage."""
    ordered: list[_Cell] = []
    for cell in sorted(cells, key=lambda cell: cell.place):
        if not ordered or ordered[-1].place != cell.place:
            ordered.append(cell)
    paths: dict[str, list[str]] = {"t2m-next": [], "t2m-over": [], "t2m-skip": []}
    for one, other in itertools.pairwise(ordered):
        kind = "t2m-skip" if other.place > one.place + 1 else "t2m-next" if one.panel == other.panel else "t2m-over"
        paths[kind].append(f"M{one.middle}L{other.middle}")
    x, y = ordered[0].middle.split()
    return "".join(f'<path class="{kind}" d="{"".join(lines)}"/>' for kind, lines in paths.items() if lines) + \
        f'<circle cx="{x}" cy="{y}" r="4"/>'


def _storage_strip(places: list[int], top: float) -> tuple[str, int, int]:
    """The storage from the first place to the last: stretches in use filled. Returns it, its width and height."""
    first, last = places[0], min(places[-1], places[0] + _STRIP - 1)
    used, size, parts = set(places), 14, []
    for is_used, run in itertools.groupby(range(first, last + 1), key=used.__contains__):
        members = list(run)
        parts.append(f'<rect class="{"t2m-used" if is_used else "t2m-unused"}" x="{1 + (members[0] - first) * size}" '
                     f'y="{top:g}" width="{len(members) * size}" height="10"/>')
    wide = (last - first + 1) * size + 2
    label = f'<text class="t2m-axis" x="1" y="{top + 22:g}">storage {first}…{last}</text>'
    if places[-1] > last:
        parts.append(f'<text class="t2m-axis" x="{wide + 4}" y="{top + 9:g}">…</text>')
        wide += 20
    return "".join(parts) + label, max(wide, 130), 26


def memory_text(shape: Sequence[int], stride: Sequence[int]) -> str:
    """One sentence: which axis moves by how much, the fastest first."""
    if len(shape) != len(stride) or not shape:
        return ""
    if 0 in shape:
        return "no elements"
    axes = sorted((s, -axis) for axis, (size, s) in enumerate(zip(shape, stride, strict=True)) if size > 1)
    if not axes:
        return "one element"
    words = [f"axis {-axis} {'repeats' if not step else 'is next' if step == 1 else f'jumps by {step}'}"
             for step, axis in axes]
    return ", ".join(words) + ("; dashed: places between are left out" if _has_gaps(shape, stride) else "")


def _has_gaps(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """The drawn elements don't follow one another in the storage."""
    expected = 1
    for step, size in sorted((s, n) for s, n in zip(stride, corner_of(shape), strict=True) if n > 1 and s):
        if step != expected:
            return True
        expected *= size
    return False
