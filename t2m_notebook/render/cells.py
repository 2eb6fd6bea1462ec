"""What each line of the tree and its header say, as plain strings for every view.

A node that can't be read (a wrong type in a hand-made report, say) becomes a line that
says so; the others are shown as ever.
"""

from __future__ import annotations

from dataclasses import dataclass

from t2m_notebook.render.folding import Fold, child_nodes
from t2m_notebook.render.words import (
    bytes_text,
    calls_text,
    count_text,
    difference_text,
    plural,
    short_description,
    visible,
)
from t2m_notebook.types import AnalysisReport, CheckpointMark, ModuleNode, OperationNode, Status, shape_text

CHECKPOINT = "◆"  # what marks a module whose cell holds a t2m.checkpoint
STRUCTURE_ALONE = ("From structure alone: no example was run, so shapes, calls and operations are "
                   "not known. Pass an example input to see them.")
TRAIN_MODE = "Recorded in train mode: dropout is random and batch norm uses the batch's own statistics."


@dataclass(frozen=True, slots=True)
class Cells:
    """The strings of one line. Nothing in them needs more cleaning than HTML escaping."""

    status: Status
    name: str
    class_name: str
    description: str = ""
    badge: str = ""  # "Bottleneck ×3", "×12", "same as encoder.0", "3 calls"
    shape: str = ""  # of the output; "not called"
    parameters: str = ""
    bytes: str = ""
    difference: str = ""
    reason: str = ""
    marks: str = ""  # checkpoints in the cell of its class: "◆ attn.scores -0.17 … 3.2"
    alarms: str = ""  # those with NaN or Inf in them: "◆ attn.scores 3 NaN"


@dataclass(frozen=True, slots=True)
class Overview:
    """The header: what the model is, and how far its port is."""

    title: str
    facts: tuple[str, ...]
    score: str  # "157 of 161 proven"
    score_status: Status
    counts: tuple[tuple[Status, int], ...]  # without zeros, best first
    notes: tuple[str, ...]


_ORDER = (Status.PROVEN, Status.MAPPED, Status.PARTIAL, Status.DIVERGES, Status.REFUSED,
          Status.MISSING, Status.UNSEEN)


def is_problem(status: Status) -> bool:
    """True for what the reader has to look at: neither proven nor mapped nor unseen."""
    return status not in (Status.PROVEN, Status.MAPPED, Status.UNSEEN)


def is_origin(node: ModuleNode) -> bool:
    """True when the node's problem starts here rather than in one of its children."""
    return is_problem(node.status) and all(c.status is not node.status for c in child_nodes(node))


def row_cells(fold: Fold, from_structure: bool = False) -> Cells:
    """The strings for one line of the tree; never raises."""
    node = fold.first
    try:
        return _row_cells(fold, node, from_structure)
    except Exception as error:
        return Cells(Status.MISSING, visible(getattr(node, "name", "?")), "can't be shown",
                     reason=visible(f"this node can't be read: {type(error).__name__}: {error}"))


def _row_cells(fold: Fold, node: ModuleNode, from_structure: bool) -> Cells:
    if not isinstance(node.status, Status):
        raise TypeError(f"status is {node.status!r}")
    badges = []
    if fold.count > 1:
        badges.append(f"×{fold.count}")
    elif summary := _children_summary(node):
        badges.append(summary)
    if node.shared_with is not None:
        badges.append(f"same as {visible(node.shared_with) or 'the root'}")
    if node.calls > 1:
        badges.append(f"{node.calls:,} calls")
    if node.status is Status.UNSEEN and not from_structure:
        shape = "not called"
    else:
        shape = shape_text(node.outputs[0].shape) if node.outputs else ""
        shape += f" +{len(node.outputs) - 1}" if len(node.outputs) > 1 else ""
    # What is shared is counted where it first appears; a sum would count it again.
    counted = 1 if node.shared_with is not None else fold.count
    name, class_name = visible(fold.name) or visible(node.class_name), visible(node.class_name)
    return Cells(
        status=node.status,
        name=name,
        class_name="" if class_name == name else class_name,  # the root is called as its class
        description=short_description(node.class_name, node.description),
        badge=" · ".join(badges),
        shape=visible(shape),
        parameters=count_text(node.parameter_count * counted) if node.parameter_count else "",
        bytes=bytes_text(node.parameter_bytes * counted) if node.parameter_bytes else "",
        difference=difference_text(fold.max_difference),
        reason=visible(node.reason),
        marks="  ".join(mark_text(fold, mark) for mark in fold_marks(fold) if not mark.bad),
        alarms="  ".join(mark_text(fold, mark) for mark in fold_marks(fold) if mark.bad),
    )


def fold_marks(fold: Fold) -> tuple[CheckpointMark, ...]:
    """The checkpoints of a line's modules, each once: the worst of what was measured."""
    worst: dict[str, CheckpointMark] = {}
    for node in fold.members:
        for mark in node.checkpoints:
            known = worst.get(mark.name)
            if known is None or (bool(mark.bad), bool(mark.tensor)) > (bool(known.bad), bool(known.tensor)):
                worst[mark.name] = mark
    return tuple(worst.values())


def mark_text(fold: Fold, mark: CheckpointMark, whole: bool = False) -> str:
    """``◆ attn.scores 3 NaN``: a checkpoint and the worst that it saw, in which of folded modules; the ``whole`` of it
    has shape, dtype and range."""
    said = mark.text if whole else f"{mark.name} {mark.finding}".rstrip()
    where = f" in {mark.path}" if fold.count > 1 and mark.tensor else ""
    return visible(f"{CHECKPOINT} {said}{where}")


def _children_summary(node: ModuleNode) -> str:
    """``Bottleneck ×3`` when a container holds nothing but several of one class."""
    children = child_nodes(node)
    classes = {child.class_name for child in children}
    if len(children) < 2 or len(classes) != 1 or not all(str(c.name).isdigit() for c in children):
        return ""
    return f"{visible(classes.pop())} ×{len(children)}"


def overview(report: AnalysisReport) -> Overview:
    """The header's strings. Costs one walk over the tree."""
    total, dtypes, walked = 0, set(), dict.fromkeys(_ORDER, 0)
    stack = [report.root]
    while stack:
        node = stack.pop()
        total += 1
        stack.extend(child_nodes(node))
        try:
            dtypes.update(p.facts.dtype for p in node.parameters if p.kind == "parameter")
            walked[node.status] += 1
        except Exception:
            walked[Status.MISSING] += 1
    counts = {s: report.counts.get(s.value, 0) for s in _ORDER} if report.counts else walked
    root, facts = report.root, []
    if root.parameter_count:
        facts.append(f"{count_text(root.parameter_count)} parameters")
        facts.append(" ".join([bytes_text(root.parameter_bytes), *sorted(map(visible, dtypes))]))
    shown = [visible(text) for text in report.inputs[:3]]
    if len(report.inputs) > 3:
        shown.append(f"{len(report.inputs) - 3} more")
    facts.extend([", ".join(shown)] if shown else [])
    facts.append(plural(total, "module"))
    if report.operation_count:
        facts.append(f"{plural(report.operation_count, 'op')}, {_percent(report.coverage)} with a rule")
    notes = [STRUCTURE_ALONE] if report.from_structure else []
    notes += [TRAIN_MODE] if report.training else []
    best = Status.PROVEN if counts[Status.PROVEN] else Status.MAPPED
    good = counts[Status.PROVEN] if best is Status.PROVEN else counts[Status.MAPPED]
    known = sum(counts.values())
    return Overview(
        title=visible(root.class_name),
        facts=tuple(facts),
        score=f"{good:,} of {known:,} {best.value.lower()}",
        score_status=best if good else root.status if isinstance(root.status, Status) else best,
        counts=tuple((s, n) for s, n in counts.items() if n),
        notes=tuple(notes + [visible(note) for note in report.notes]),
    )


def _percent(share: float) -> str:
    """``98.9 %``; 100 % only when nothing is missing, 0 % only when everything is."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    return f"{min(max(share * 100, 0.1), 99.9):.1f} %"


def operation_text(operation: OperationNode, node: ModuleNode) -> tuple[str, str, str]:
    """An operation of ``node`` as (torch source or name, what it maps to, line number or empty)."""
    line = f"{operation.location.line}" if operation.location else ""
    source = operation.source or operation.name
    if not operation.source and operation.child:
        source = f"{child_name(operation, node)}: {operation.name.rsplit('.', 1)[-1]}"
    return visible(source), visible(operation.mlx), line


def child_name(operation: OperationNode, node: ModuleNode) -> str:
    """The path from ``node`` to the child that the operation calls; empty when it calls none."""
    child = operation.child or ""
    return child.removeprefix(f"{node.path}.") if node.path else child


def where_text(node: ModuleNode) -> str:
    """``resnet.py:143 · called once`` for the head of a detail pane."""
    parts = []
    if node.location is not None:
        parts.append(visible(node.location.text))
    if node.calls or node.status is Status.UNSEEN:
        parts.append(calls_text(node.calls))
    if node.training:
        parts.append("train mode")
    return " · ".join(parts)
