"""What the comparisons said, node by node, and the tree in its measured colours."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from ..types import ModuleNode, OperationNode, ParityData, ParityResult, Status, to_json, worst
from ..types.shown import ShowsItself, Views


class ParityReport(ShowsItself):
    """Results of one parity run. ``results`` has the worst first."""

    def __init__(self, data: ParityData):
        self.data = data

    @property
    def ok(self) -> bool:
        """True when every comparison that was asked for ran and agreed, but for sizes that a caveat names."""
        return self.data.ok

    @property
    def worst(self) -> float | None:
        """The largest max|Δ| of all comparisons; None when nothing could be compared."""
        return self.data.worst

    @property
    def counts(self) -> dict[str, int]:
        """Number of modules of each status."""
        return self.data.counts

    @property
    def results(self) -> tuple[ParityResult, ...]:
        """Every comparison, the worst first."""
        return self.data.results

    @property
    def tree(self) -> ModuleNode:
        """The module tree with measured statuses."""
        return self.data.root

    @property
    def first_divergence(self) -> str:
        """The first module, in the order of the forward, that differs; empty when none does."""
        return self.data.first_divergence

    @property
    def diagnosis(self) -> str:
        """What probably is the matter; empty when nothing is, or nothing is known."""
        return self.data.diagnosis

    def to_json(self, indent: int | None = None) -> str:
        """The report as JSON; ``types.from_json(ParityData, text)`` reads it back."""
        return to_json(self.data, indent)

    def __repr__(self) -> str:
        proven, total = self.counts.get("PROVEN", 0), sum(self.counts.values()) - self.counts.get("UNSEEN", 0)
        shown = "" if self.worst is None else f", worst max|Δ| {self.worst:.1e}"
        return f"ParityReport({'ok' if self.ok else 'not ok'}: {proven} of {total} proven{shown})"

    def _views(self) -> Views:
        from ..render.parity import parity_html, parity_rich, parity_text
        return Views(parity_text, parity_rich, parity_html, self.data)


_HOLDS = (Status.PROVEN, Status.PARTIAL)  # PARTIAL: at a size beyond those that every port is held to, it differs


def measured_tree(root: ModuleNode, results: list[ParityResult]) -> ModuleNode:
    """``root`` with the verdicts put in. A node without one of its own (a Sequential) is as
    good as its children; one that was never compared keeps what the rules said."""
    by_path: dict[str, list[ParityResult]] = {}
    for result in results:
        by_path.setdefault(result.path, []).append(result)
    order: list[ModuleNode] = list(root.walk())
    made: dict[int, ModuleNode] = {}
    by_node: dict[str, ModuleNode] = {}  # path -> node; a forward may call what is below its children
    for node in reversed(order):
        children = tuple(made[id(child)] for child in node.children)
        status, reason, number = _verdict(node, children, by_path.get(node.shared_with or node.path, []))
        operations = tuple(_operation(op, by_node.get(op.child or "")) for op in node.operations)
        made[id(node)] = by_node[node.path] = dataclasses.replace(
            node, status=status, reason=reason, max_difference=number, children=children, operations=operations)
    return made[id(root)]


def _operation(operation: OperationNode, child: ModuleNode | None) -> OperationNode:
    if child is not None and child.status is not operation.status:
        return dataclasses.replace(operation, status=child.status, reason=child.reason)
    return operation


def _verdict(node: ModuleNode, children: tuple[ModuleNode, ...],
             results: list[ParityResult]) -> tuple[Status, str, float | None]:
    if node.status is Status.UNSEEN:
        return node.status, node.reason, None
    if not results:
        seen = [child for child in children if child.status is not Status.UNSEEN]
        if seen and not node.operations or (seen and all(op.child for op in node.operations)):
            numbers = [c.max_difference for c in seen if c.max_difference is not None]
            status = worst(child.status for child in seen)
            return status, "as its parts" if status is not Status.PROVEN else "every part was measured equal", \
                max(numbers, default=None)
        return node.status, node.reason, None
    numbers = [r.max_difference for r in results if r.max_difference is not None]
    bad = next((r for r in results if r.status not in _HOLDS), None)
    if bad is not None:
        return bad.status, bad.message, max(numbers, default=None)
    limited = next((r for r in results if r.status is Status.PARTIAL), None)
    if limited is not None and node.status is not Status.MISSING and node.status is not Status.REFUSED:
        return Status.PARTIAL, f"{limited.check}: {limited.message}", max(numbers, default=None)
    if node.status in (Status.MISSING, Status.REFUSED):
        return node.status, node.reason, max(numbers, default=None)
    caveat = f"; {node.reason}" if node.status is Status.PARTIAL else ""
    number = max(numbers, default=0.0)
    twin = next((r for r in results if r.check.startswith("as measured at")), None)
    if twin is not None and all(r is twin for r in results):
        worst_child = max((c.max_difference for c in children if c.max_difference is not None), default=number)
        said = f"max|Δ| {number:.1e} {twin.check}; every layer of its own was measured{caveat}"
        return Status.PROVEN, said, worst_child
    return Status.PROVEN, f"max|Δ| {number:.1e}, measured on torch's own inputs{caveat}", number


def assemble(root: ModuleNode, results: list[ParityResult], order: dict[str, int], **rest: Any) -> ParityReport:
    """A report from its results; ``order`` is each path's position in the forward."""
    tree = measured_tree(root, results)
    counts = Counter(node.status.value for node in tree.walk())
    numbers = [r.max_difference for r in results if r.max_difference is not None]
    bad = [r for r in results if r.status not in _HOLDS]
    deepest = sorted(bad, key=lambda r: (-len(r.path.split(".")) if r.path else 0, order.get(r.path, 0)))
    first = ""
    if deepest:
        inner = [r for r in bad if not any(o is not r and (o.path.startswith(r.path + ".") or not r.path and o.path)
                                           for o in bad)]
        found = min(inner or deepest, key=lambda r: order.get(r.path, 0))
        first = f"{found.path or 'the model'} ({found.class_name}): {found.message}"
    ranked = sorted(results, key=lambda r: (r.status is Status.PROVEN,
                                            -(r.max_difference / r.allowed if r.max_difference and r.allowed else 0.0)))
    return ParityReport(ParityData(
        root=tree, counts={status.value: counts[status.value] for status in Status},
        ok=bool(results) and not bad, worst=max(numbers, default=None), results=tuple(ranked), first_divergence=first,
        **rest))
