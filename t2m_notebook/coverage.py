"""Tree + recording + rules -> a status with a reason for every node.

A status comes from the operations that really ran inside a module, never from its class
name. Nothing is PROVEN here: that takes a measurement.
"""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

from .capture.reads import READS
from .capture.recording import ModuleCall, OpCall, Recording, location, refs, source_text
from .capture.tree import Branch, class_location, description, module_tree
from .errors import Refused
from .rules import emit_layer, op_rule, spec_name
from .types import (
    AnalysisReport,
    MissingOperation,
    ModuleNode,
    OperationNode,
    SourceLocation,
    Status,
    TensorFacts,
    worst,
)
from .verdicts import Judge, Verdict, class_name


def coverage_of(model, recording: Recording | None, inputs: tuple[str, ...] = (),
                notes: tuple[str, ...] = ()) -> AnalysisReport:
    """The analysed tree. Without a recording it is shown from structure alone, and says so."""
    root = module_tree(model)
    survey = _Survey(recording) if recording is not None and recording.root is not None else None
    node = _build(root, survey)
    counts = collections.Counter(n.status.value for n in node.walk())
    total = survey.total if survey else 0
    return AnalysisReport(
        root=node, counts={status.value: counts[status.value] for status in Status},
        coverage=(survey.mapped / total if total else 0.0) if survey else _structural_coverage(node),
        missing=tuple(survey.missing({b.path: n for n, b in enumerate(root.walk())})) if survey else (),
        inputs=inputs, from_structure=survey is None,
        training=model.training, notes=(*notes, *(recording.notes if recording else ())),
        operation_count=total, seconds=recording.seconds if recording else 0.0)


def _structural_coverage(root: ModuleNode) -> float:
    leaves = [n for n in root.walk() if not n.children and n.status is not Status.UNSEEN]
    return sum(n.status in (Status.MAPPED, Status.PARTIAL) for n in leaves) / len(leaves) if leaves else 0.0


class _Survey:
    """Every module's calls and the verdicts on what ran inside them."""

    def __init__(self, recording: Recording):
        self.recording = recording
        self.judge = Judge(recording)
        self.calls: dict[str, list[ModuleCall]] = collections.defaultdict(list)
        self.total = self.mapped = 0
        self._missing: dict[tuple[str, str], tuple[Verdict, list]] = {}
        assert recording.root is not None
        for call in recording.root.walk():
            self.calls[call.path].append(call)

    def operations(self, path: str) -> tuple[tuple[OperationNode, ...], list[tuple[Status, str]]]:
        """The operations to show (of the first call, plus any that only later calls made)
        and the statuses of all."""
        shown: list[OperationNode] = []
        statuses: list[tuple[Status, str]] = []
        places: set[Any] = set()
        for number, call in enumerate(self.calls.get(path, ())):
            if call.leaf:
                verdict = self._count(call, self.judge.layer(call))
                statuses.append((verdict.status, verdict.reason))
                continue
            for event in call.events:
                if isinstance(event, OpCall) and not refs(event.outputs) and not event.mutated \
                        and event.name.rpartition(".")[2] not in READS and op_rule(event.name) is None \
                        and not refs([list(event.args), event.kwargs]):
                    continue  # torch's own switches (set_grad_enabled): nothing to port
                place = location(event.frames)
                key = (event.name if isinstance(event, OpCall) else event.path, place)
                if number and key in places:
                    if isinstance(event, OpCall):
                        verdict = self._count(event, self.judge.operation(event))
                        statuses.append((verdict.status, verdict.reason))
                    continue
                places.add(key)
                node = self._node(event, place)
                if isinstance(event, OpCall):
                    statuses.append((node.status, f"{node.reason} ({_at(node)})" if node.reason else ""))
                shown.append(node)
        return tuple(shown), statuses

    def _node(self, event: OpCall | ModuleCall, place: SourceLocation | None) -> OperationNode:
        values = self.recording.values
        inputs = tuple(values[i].facts for i in refs([list(event.args), event.kwargs]))
        outputs = tuple(values[i].facts for i in refs(event.outputs))
        if isinstance(event, OpCall):
            verdict = self._count(event, self.judge.operation(event))
            name, child = spec_name(event.name), None
        else:
            verdict = self.judge.layer(event) if event.leaf else Verdict(Status.MAPPED, "", "")
            name, child = class_name(type(event.module)), event.path
        return OperationNode(event.index, name, verdict.status, verdict.reason, source_text(place), place,
                             verdict.mlx, inputs, outputs, child)

    def _count(self, event: OpCall | ModuleCall, verdict: Verdict) -> Verdict:
        self.total += 1
        if verdict.status in (Status.MAPPED, Status.PARTIAL):
            self.mapped += 1
        else:
            name = spec_name(event.name) if isinstance(event, OpCall) else class_name(type(event.module))
            path = event.owner.path if isinstance(event, OpCall) else event.path
            place = location(event.frames)
            _, events = self._missing.setdefault((name, verdict.reason), (verdict, []))
            events.append((event.index, path, place))
        return verdict

    def missing(self, order: dict[str, int]) -> list[MissingOperation]:
        """Operations without a rule, the most frequent first, then as they ran; the place is
        that of the first call. ``order`` is each path's position in the tree."""
        rows = []
        for (name, reason), (verdict, events) in self._missing.items():
            first, _, place = min(events, key=lambda event: event[0])
            paths = sorted({path for _, path, _ in events}, key=lambda path: order.get(path, len(order)))
            rows.append((-len(events), first, MissingOperation(
                name, verdict.status, reason, len(events), tuple(paths), source_text(place), place)))
        return [row for _, _, row in sorted(rows, key=lambda row: row[:2])]


def _at(node: OperationNode) -> str:
    return f"{node.location.text}: {node.source}" if node.location else node.source or "no source line"


def _build(root: Branch, survey: _Survey | None) -> ModuleNode:
    order, stack = [], [root]
    while stack:
        branch = stack.pop()
        order.append(branch)
        stack.extend(branch.children)
    made: dict[int, ModuleNode] = {}
    by_path: dict[str, ModuleNode] = {}
    for branch in reversed(order):  # children before parents, a module's first place before its others
        node = _node(branch, tuple(made[id(child)] for child in branch.children), survey)
        first = by_path.get(branch.shared_with) if branch.shared_with is not None and not node.calls else None
        if first is not None:
            node = dataclasses.replace(node, status=first.status, reason=first.reason, calls=first.calls,
                                       inputs=first.inputs, outputs=first.outputs, operations=first.operations)
        made[id(branch)] = by_path[branch.path] = node
    return made[id(root)]


def _node(branch: Branch, children: tuple[ModuleNode, ...], survey: _Survey | None) -> ModuleNode:
    module, cls = branch.module, type(branch.module)
    operations: tuple[OperationNode, ...] = ()
    calls, inputs, outputs = 0, (), ()
    if survey is None:
        status, reason = _structural(branch, children)
    else:
        found = survey.calls.get(branch.path, [])
        calls = len(found)
        operations, statuses = survey.operations(branch.path)
        status, reason = _combine(branch, statuses, children, calls)
        if found:

            def facts(value: Any) -> tuple[TensorFacts, ...]:
                return tuple(survey.recording.values[i].facts for i in refs(value))

            inputs, outputs = facts([list(found[0].args), found[0].kwargs]), facts(found[0].outputs)
        by_path = {child.path: child for child in children}
        operations = tuple(_with_child(op, by_path) for op in operations)
    return ModuleNode(
        branch.name, branch.path, cls.__name__, status, reason, cls.__module__, description(module),
        class_location(cls), branch.parameter_count, branch.parameter_bytes, branch.parameters, calls, inputs,
        outputs, operations, children, branch.shared_with, module.training)


def _with_child(operation: OperationNode, children: dict[str, ModuleNode]) -> OperationNode:
    child = children.get(operation.child) if operation.child is not None else None
    if child is None:
        return operation
    return dataclasses.replace(operation, status=child.status, reason=child.reason,
                               mlx=operation.mlx or f"class {child.class_name}")


def _combine(branch: Branch, own: list[tuple[Status, str]], children: tuple[ModuleNode, ...],
             calls: int) -> tuple[Status, str]:
    seen = [(child.status, f"{child.name}: {child.reason}" if child.reason else "")
            for child in children if child.status is not Status.UNSEEN]
    if not calls and not seen:
        return Status.UNSEEN, "never called by this example"
    everything = own + seen
    if not everything:
        return Status.MAPPED, "passes its input through"
    status = worst(s for s, _ in everything)
    reasons = list(dict.fromkeys(reason for s, reason in everything if s is status and reason))
    text = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    if status is Status.MAPPED and not text:
        text = "every operation that ran has a rule; not measured yet"
    return status, text


def _structural(branch: Branch, children: tuple[ModuleNode, ...]) -> tuple[Status, str]:
    from .capture.leaves import is_leaf
    if not is_leaf(branch.module):
        if children and type(branch.module).__module__.startswith("torch.nn.modules.container"):
            seen = [child.status for child in children if child.status is not Status.UNSEEN]
            if seen:
                return worst(seen), "from structure alone"
        return Status.UNSEEN, "from structure alone: its forward was not run; pass an example input"
    try:
        emitted = emit_layer(branch.module)
    except Refused as refusal:
        return Status.REFUSED, f"{type(branch.module).__name__}: {refusal}"
    if emitted is None:
        return Status.MISSING, f"no rule for the layer {class_name(type(branch.module))}"
    if emitted.caveats:
        return Status.PARTIAL, "; ".join(emitted.caveats)
    return Status.MAPPED, "from structure alone: the layer has a rule"
