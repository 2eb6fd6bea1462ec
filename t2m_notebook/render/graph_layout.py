"""Where the boxes of a graph go: graphviz's ``dot`` where it is installed, else layers of its own.

Both give the same kind of answer, so a drawing does not care who laid it out. ``autograd_layout.js``
has the same own layout for the browser.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GAP_ALONG, GAP_DOWN, GAP_ACROSS = 84, 40, 16  # CSS pixels between layers, and between neighbours in one
_INCH = 72
_SWEEPS = 6
_DOT_SECONDS = 10
_LARGEST_FOR_DOT = 700


@dataclass(frozen=True, slots=True)
class Placed:
    """Upper left corners by node, a path of points by edge, and the size of it all, in CSS pixels."""

    corners: dict[str, tuple[float, float]]
    paths: dict[tuple[str, str], tuple[tuple[float, float], ...]]
    width: float
    height: float


def lay_out(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]], *,
            use_dot: bool = True, downwards: bool = False, gap: float = GAP_ALONG) -> Placed:
    """Places boxes of the given ``(width, height)`` along ``edges``, which have no cycle: from left to
    right, or ``downwards``."""
    edges = list(dict.fromkeys((tail, head) for tail, head in edges if tail in sizes and head in sizes))
    if not sizes:
        return Placed({}, {}, 0, 0)
    if downwards:  # the same with the axes exchanged
        placed = lay_out({name: (h, w) for name, (w, h) in sizes.items()}, edges, use_dot=use_dot,
                         gap=GAP_DOWN)
        return Placed({name: (y, x) for name, (x, y) in placed.corners.items()},
                      {edge: tuple((y, x) for x, y in path) for edge, path in placed.paths.items()},
                      placed.height, placed.width)
    if use_dot and len(sizes) <= _LARGEST_FOR_DOT and (placed := _by_dot(sizes, edges, gap)):
        return placed
    return layered(sizes, edges, gap)


def is_long(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]], most: int = 9) -> bool:
    """True when the longest way has more than ``most`` steps: better drawn downwards."""
    return len(_layers(sizes, [(t, h) for t, h in edges if t in sizes and h in sizes])[0]) > most


def dot_source(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]],
               gap: float = GAP_ALONG) -> str:
    """The boxes without their text, for ``dot`` to place."""
    numbers = {name: number for number, name in enumerate(sizes)}
    lines = [f"digraph g {{ rankdir=LR; ranksep={gap / _INCH:.3f}; nodesep={GAP_ACROSS / _INCH:.3f};",
             "node [shape=box, fixedsize=true, label=\"\"]; edge [dir=none];"]
    lines += [f"n{numbers[name]} [width={w / _INCH:.4f}, height={h / _INCH:.4f}];" for name, (w, h) in sizes.items()]
    lines += [f"n{numbers[tail]} -> n{numbers[head]};" for tail, head in edges]
    return "\n".join([*lines, "}"])


def _by_dot(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]],
            gap: float) -> Placed | None:
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-Tplain"], input=dot_source(sizes, edges, gap), capture_output=True, text=True,
                              timeout=_DOT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None  # too old, too slow or broken: the own layout is always there
    return read_plain(done.stdout, sizes)


def read_plain(text: str, sizes: Mapping[str, tuple[float, float]]) -> Placed | None:
    """What ``dot -Tplain`` wrote, whose origin is the lower left corner and whose unit is the inch."""
    names = list(sizes)
    corners: dict[str, tuple[float, float]] = {}
    paths: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {}
    width = height = 0.0
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["graph"]:
            width, height = float(words[2]) * _INCH, float(words[3]) * _INCH
        elif words[:1] == ["node"]:
            name = names[int(words[1][1:])]
            x, y = float(words[2]) * _INCH, height - float(words[3]) * _INCH
            corners[name] = (x - sizes[name][0] / 2, y - sizes[name][1] / 2)
        elif words[:1] == ["edge"]:
            tail, head, count = names[int(words[1][1:])], names[int(words[2][1:])], int(words[3])
            flat = [float(word) * _INCH for word in words[4:4 + 2 * count]]
            paths[tail, head] = tuple((x, height - y) for x, y in zip(flat[::2], flat[1::2], strict=True))
    return Placed(corners, paths, width, height) if len(corners) == len(sizes) else None


def layered(sizes: Mapping[str, tuple[float, float]], edges: Sequence[tuple[str, str]],
            gap: float = GAP_ALONG) -> Placed:
    """Layers by the longest way to an end, ordered to cross little, each box near what it is joined to."""
    layers, follow, lead, extent, routes = _layers(sizes, edges)
    for sweep in range(_SWEEPS):
        along = sweep % 2 == 0
        neighbours = follow if along else lead
        places = {name: position for layer in layers for position, name in enumerate(layer)}
        for layer in layers if along else reversed(layers):
            layer.sort(key=lambda name: _mean([places[other] for other in neighbours.get(name, ())], places[name]))
            places.update({name: position for position, name in enumerate(layer)})
    across = _across(layers, follow, lead, extent)
    top = min(across[name] - extent[name] / 2 for name in across)
    corners, starts, x = {}, [], 0.0
    for layer in reversed(layers):
        wide = max((sizes[name][0] for name in layer if name in sizes), default=0.0)
        for name in layer:
            if name in sizes:
                corners[name] = (x + (wide - sizes[name][0]) / 2, across[name] - sizes[name][1] / 2 - top)
        starts.append((x, wide))
        x += wide + gap
    starts.reverse()
    depth = {name: number for number, layer in enumerate(layers) for name in layer}
    paths = {}
    for (tail, head), between in routes.items():
        points = [(corners[tail][0] + sizes[tail][0], corners[tail][1] + sizes[tail][1] / 2)]
        for name in between:
            left, wide = starts[depth[name]]
            points += [(left, across[name] - top), (left + wide, across[name] - top)]
        points.append((corners[head][0], corners[head][1] + sizes[head][1] / 2))
        paths[tail, head] = _curve(points)
    height = max(across[name] + extent[name] / 2 for name in across) - top
    return Placed(corners, paths, x - gap, height)


def _layers(sizes, edges):
    """Layers from the ends backwards, with stand-ins where an edge passes a layer."""
    heads: dict[str, list[str]] = {}
    waits = dict.fromkeys(sizes, 0)
    tails: dict[str, list[str]] = {}
    for tail, head in edges:
        heads.setdefault(tail, []).append(head)
        tails.setdefault(head, []).append(tail)
        waits[tail] += 1
    depth = dict.fromkeys(sizes, 0)
    ready = [name for name, count in waits.items() if not count]
    while ready:
        name = ready.pop()
        for tail in tails.get(name, ()):
            depth[tail] = max(depth[tail], depth[name] + 1)
            waits[tail] -= 1
            if not waits[tail]:
                ready.append(tail)
    layers: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    extent = {name: size[1] + GAP_ACROSS for name, size in sizes.items()}
    for name in sizes:
        layers[depth[name]].append(name)
    follow: dict[str, list[str]] = {}  # towards the ends
    lead: dict[str, list[str]] = {}
    routes: dict[tuple[str, str], list[str]] = {}
    for tail, head in edges:
        chain = [tail]
        for level in range(depth[tail] - 1, depth[head], -1):
            name = f"\0{tail}\0{head}\0{level}"
            layers[level].append(name)
            extent[name] = 8.0
            chain.append(name)
        routes[tail, head] = chain[1:]
        for one, other in zip(chain, [*chain[1:], head], strict=True):
            follow.setdefault(one, []).append(other)
            lead.setdefault(other, []).append(one)
    return layers, follow, lead, extent, routes


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _across(layers, follow, lead, extent) -> dict[str, float]:
    """Centres across the layers: packed first, then drawn towards neighbours without overlapping."""
    across: dict[str, float] = {}
    for layer in layers:
        at = 0.0
        for name in layer:
            across[name] = at + extent[name] / 2
            at += extent[name]
        for name in layer:
            across[name] -= at / 2
    for sweep in range(_SWEEPS):
        along = sweep % 2 == 0
        neighbours = follow if along else lead
        for layer in layers if along else reversed(layers):
            wish = [_mean([across[other] for other in neighbours.get(name, ())], across[name]) for name in layer]
            for name, place in zip(layer, _apart(wish, [extent[name] for name in layer]), strict=True):
                across[name] = place
    return across


def _apart(wish: list[float], extent: list[float]) -> list[float]:
    """The places nearest to ``wish``, in order, at which nothing overlaps: neighbours that would are
    joined into blocks, each at the mean of its members' wishes."""
    blocks: list[list[float]] = []  # [sum of wishes less offsets, members, length, first member]
    for number, (place, size) in enumerate(zip(wish, extent, strict=True)):
        blocks.append([place - size / 2, 1, size, number])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] + blocks[-2][2] > blocks[-1][0] / blocks[-1][1]:
            total, members, length, _ = blocks.pop()
            last = blocks[-1]
            last[0] += total - members * last[2]
            last[1] += members
            last[2] += length
    places = []
    for block, (total, members, _, first) in enumerate(blocks):
        at = total / members
        until = int(blocks[block + 1][3]) if block + 1 < len(blocks) else len(wish)
        for number in range(int(first), until):
            places.append(at + extent[number] / 2)
            at += extent[number]
    return places


def _curve(points: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Points of cubic Bézier curves through ``points``, level where they pass."""
    path = [points[0]]
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        middle = (x0 + x1) / 2
        path += [(middle, y0), (middle, y1), (x1, y1)]
    return tuple(path)
