"""Which module an operation of a graph belongs to, concluded from the parameters around it.

Used where the forward was not watched: a loss that the user made tells only which parameters it
was made from. An operation that uses a module's parameter is that module's; one between two
modules is the innermost module's that holds both. What comes before the first parameter or after
the last is nobody's.
"""

from __future__ import annotations

from typing import Any

from .backward_pass import is_leaf_node


def concluded_modules(nodes: list[Any], parameter_paths: dict[int, str]) -> dict[int, str]:
    """``{node: module path}``. ``nodes`` are in backward order, ``parameter_paths`` say which leaves
    (by index) are which parameters."""
    index = {id(node): number for number, node in enumerate(nodes)}
    owner: dict[int, str] = {n: path.rpartition(".")[0] for n, path in parameter_paths.items()}
    weights = set(owner)  # leaves, and what is made of parameters alone: a transposed weight
    for number in range(len(nodes) - 1, -1, -1):
        node = nodes[number]
        if is_leaf_node(node):
            continue
        below = [index[id(following)] for following, _ in node.next_functions if following is not None]
        used = [owner[n] for n in below if n in weights]
        if used:
            owner[number] = _common(used)
            if len(used) == len(below) and len(node.next_functions) == len(below):
                weights.add(number)
    before = _nearest(nodes, index, owner, weights, range(len(nodes) - 1, -1, -1), towards_inputs=True)
    after = _nearest(nodes, index, owner, weights, range(len(nodes)), towards_inputs=False)
    found = dict(owner)
    for number, node in enumerate(nodes):
        if number not in found and not is_leaf_node(node) and number in before and number in after:
            found[number] = _common([before[number], after[number]])
    return found


def _nearest(nodes: list[Any], index: dict[int, int], owner: dict[int, str], weights: set[int], order: Any,
             towards_inputs: bool) -> dict[int, str]:
    """For each node the module that holds the nearest owned ones in one direction."""
    found: dict[int, str] = {}
    if towards_inputs:
        for number in order:
            below = [index[id(f)] for f, _ in nodes[number].next_functions if f is not None]
            known = [owner.get(n, found.get(n)) for n in below if n not in weights]
            known = [path for path in known if path is not None]
            if known:
                found[number] = _common(known)
        return found
    above: dict[int, list[str]] = {}
    for number in order:
        if number in above:
            found[number] = _common(above[number])
        path = owner.get(number, found.get(number))
        if path is not None and number not in weights:
            for following, _ in nodes[number].next_functions:
                if following is not None:
                    above.setdefault(index[id(following)], []).append(path)
    return found


def _common(paths: list[str]) -> str:
    """The path of the innermost module that holds all of ``paths``."""
    parts = [path.split(".") if path else [] for path in paths]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared)
