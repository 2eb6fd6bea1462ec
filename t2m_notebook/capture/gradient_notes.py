"""What has to be said of a graph in sentences: why its pass stopped, and what a reader could stumble over."""

from __future__ import annotations

from typing import Any

import torch

from ..types import GradientNode
from .backward_pass import BackwardPass
from .gradient_nodes import FREED
from .gradient_sources import SourceTracer


def problem_of(made: tuple[GradientNode, ...], passed: BackwardPass, freed: bool, tracer: SourceTracer | None) -> str:
    """Why the pass could not be measured, and where it stopped; empty when it ran."""
    if not passed.problem:
        return ""
    if freed and "second time" in passed.problem:
        return ("This graph was freed by an earlier backward(): torch let go of its saved tensors, so its steps can't "
                "be measured again. Call t2m.autograd(loss) before loss.backward(), or "
                "loss.backward(retain_graph=True).")
    broken = next((node for node in made if node.problem and node.problem != FREED
                   and node.index not in passed.passed), None)
    if broken is not None:
        saved = next(one for one in broken.saved if one.problem)
        place = f" at {broken.location.text}: {broken.source}" if broken.location else ""
        name = f"{broken.label} = {broken.operation}" if broken.label else broken.operation
        return (f"torch can't run this backward pass. {name}{place} saved {saved.name}, which was "
                f"{saved.problem}.{_writers(tracer)} Write out of place (y = y + 1), or write to a copy (y.clone()).")
    return "torch could not run this backward pass. " + passed.problem.partition(". Hint:")[0]


def _writers(tracer: SourceTracer | None) -> str:
    """Where something was written in place, when the forward was watched."""
    writes = list(tracer.writes.values()) if tracer is not None else []
    places = [f"{origin.location.text}: {origin.source}" for origin in writes if origin.location is not None]
    return f" Written in place at {', '.join(dict.fromkeys(places[:3]))}." if places else ""


def notes_of(made: tuple[GradientNode, ...], variables: list[torch.Tensor], nodes: list[Any]) -> list[str]:
    """Sentences about what is unusual in a graph."""
    notes = []
    if custom := sorted({node.operation.rpartition(".")[2] for node in made if node.kind == "custom function"}):
        notes.append(f"{_listed(custom)}: a custom torch.autograd.Function. Its backward is the author's own code, of "
                     "which no rule can know the MLX form.")
    if hooked := [node.label or node.operation for node in made if node.hooks]:
        notes.append(f"{_listed(hooked)} {_has(hooked)} gradient hooks. They ran, as in backward(), and the gradients "
                     "are as the hooks left them; hooks that wait for .grad did not run.")
    if changed := [node.label or node.operation for node in made if node.adds_up is False]:
        notes.append(f"{_listed(changed)}: what arrived is not the sum of what was sent. A hook changed it.")
    inside = {id(node) for node in nodes}
    if any(node.name.count("Backward") > 1 for node in made) or any(
            v.grad is not None and id(v.grad.grad_fn) in inside for v in variables):
        notes.append("This graph holds a backward pass itself (create_graph=True): it is the graph of a double "
                     "backward.")
    if all(node.kind == "leaf" for node in made):
        notes.append("The loss is a leaf: nothing was computed, so its gradient is the one that it starts with.")
    if sparse := [n.label or n.operation for n in made if any(v and v.layout != "strided" for v in n.incoming)]:
        notes.append(f"The gradient of {_listed(sparse)} is sparse. Sparse tensors are not supported here: their "
                     "numbers are not shown, and MLX has none.")
    if empty := [n.label or n.operation for n in made if n.outputs and 0 in n.outputs[0].shape]:
        notes.append(f"{_listed(empty)} {_has(empty)} no elements, so no gradient flows there.")
    if held := [node.label for node in made if node.existing is not None]:
        notes.append(f"{_listed(held)} already {'holds' if len(held) == 1 else 'hold'} a .grad, to which backward() "
                     "would add; what is shown is the gradient of this loss alone.")
    return notes


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"
