"""An autograd graph with modules folded to one box each: what is drawn of a large graph."""

from __future__ import annotations

from dataclasses import dataclass, field

from t2m_notebook.types import GradientGraph

MOST_BOXES = 60  # that a graph opens with


@dataclass(slots=True)
class Group:
    """A module of the graph: its own nodes and the modules inside it."""

    path: str
    nodes: list[int] = field(default_factory=list)
    inside: dict[str, Group] = field(default_factory=dict)

    def count(self) -> int:
        """How many nodes it holds, those of inner modules too."""
        total, stack = 0, [self]
        while stack:
            group = stack.pop()
            total += len(group.nodes)
            stack.extend(group.inside.values())
        return total

    def members(self) -> list[int]:
        """The nodes that it holds."""
        found, stack = [], [self]
        while stack:
            group = stack.pop()
            found += group.nodes
            stack.extend(group.inside.values())
        return sorted(found)


def module_of(graph: GradientGraph, index: int) -> str | None:
    """The module that a node is drawn in; None: in none."""
    return graph.nodes[index].module


def groups_of(graph: GradientGraph) -> Group:
    """The tree of modules; nodes that belong to none, or to the model itself, are the root's own."""
    root = Group("")
    for node in graph.nodes:
        group, path = root, module_of(graph, node.index)
        for part in (path or "").split(".") if path else ():
            inner = f"{group.path}.{part}" if group.path else part
            group = group.inside.setdefault(part, Group(inner))
        group.nodes.append(node.index)
    return root


def open_at_first(root: Group, most: int = MOST_BOXES) -> set[str]:
    """The modules that are opened so that about ``most`` boxes are seen, outer ones first. A module with
    a single inner module and nothing else is never worth a box."""
    opened: set[str] = set()
    seen = len(root.nodes) + len(root.inside)
    level = list(root.inside.values())
    while level:
        following = []
        for group in level:
            inside = len(group.nodes) + len(group.inside)
            if seen - 1 + inside <= most or inside <= 1:
                opened.add(group.path)
                seen += inside - 1
                following += group.inside.values()
        level = following
    return opened


@dataclass(frozen=True, slots=True)
class FoldedGraph:
    """Boxes (a node's index as text, or ``module:`` and a path), which box each node is in, and edges
    from producer to consumer."""

    boxes: dict[str, tuple[int, ...]]
    box_of: dict[int, str]
    edges: tuple[tuple[str, str], ...]


def folded(graph: GradientGraph, opened: set[str]) -> FoldedGraph:
    """``graph`` with every module folded that is not in ``opened``."""
    boxes: dict[str, tuple[int, ...]] = {}
    box_of: dict[int, str] = {}
    stack = [groups_of(graph)]
    while stack:
        group = stack.pop()
        if group.path and group.path not in opened:
            name = f"module:{group.path}"
            boxes[name] = tuple(group.members())
            box_of.update(dict.fromkeys(boxes[name], name))
            continue
        for index in group.nodes:
            boxes[str(index)] = (index,)
            box_of[index] = str(index)
        stack.extend(group.inside.values())
    # operations as they ran, leaves as they got their gradients: then neither crosses without need
    order = sorted(boxes, key=lambda name: (1, max(boxes[name])) if len(boxes[name]) == 1 and
                   graph.nodes[boxes[name][0]].kind == "leaf" else (0, -max(boxes[name])))
    edges = dict.fromkeys((box_of[edge.producer], box_of[edge.consumer]) for edge in graph.edges)
    kept = _without_cycles(order, [edge for edge in edges if edge[0] != edge[1]], boxes)
    return FoldedGraph({name: boxes[name] for name in order}, box_of, tuple(kept))


def _without_cycles(order: list[str], edges: list[tuple[str, str]],
                    boxes: dict[str, tuple[int, ...]]) -> list[tuple[str, str]]:
    """A module that is used twice may lead to itself through others: such an edge back is left out of
    the drawing. Edges go from what ran earlier to what ran later."""
    first = {name: max(boxes[name]) for name in order}  # the earliest operation has the largest index
    return [(tail, head) for tail, head in edges if (first[tail], tail) > (first[head], head)
            or len(boxes[tail]) == len(boxes[head]) == 1]
