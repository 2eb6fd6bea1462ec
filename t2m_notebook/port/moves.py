"""The weight moves that the written classes ask for."""

from __future__ import annotations

from typing import Any

import torch

from ..capture.recording import ModuleCall, Recording
from ..rules import AxisMove, standard
from ..weights.plan import Move
from .classes import ClassWriter
from .layout import LayoutPlan
from .structure import Structure


def weight_moves(recording: Recording, plan: LayoutPlan, structure: Structure,
                 classes: ClassWriter) -> tuple[list[Move], dict[str, torch.Tensor]]:
    """Every move of the port and the tensors that it reads, by torch name."""
    model = recording.model
    state: dict[str, torch.Tensor] = {}
    first: dict[int, str] = {}
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        first.setdefault(id(tensor), name)
        state[name] = tensor
    moves: dict[str, Move] = {}
    for step in plan.steps.values():
        event = step.event
        if isinstance(event, ModuleCall) and step.layer is not None and event.path in classes.used_modules:
            _layer_moves(event, step.layer, plan, structure, moves)
    for path, index in classes.used_tensors.items():
        if path not in moves:
            moves[path] = Move(path, structure.weight_name(path), _order_move(plan.orders[index]))
    for path, index in classes.constants.items():
        owner, _, name = path.rpartition(".")
        prefix = structure.weight_name(owner)
        source = f"{path} (constant)"
        state[source] = recording.tensors[index]
        moves[source] = Move(source, f"{prefix}.{name}" if prefix else name, _order_move(plan.orders[index]),
                             "made outside the forward")
    for name, tensor in state.items():
        if name not in moves:
            same = first.get(id(tensor), name)
            reason = f"the same tensor as {same}" if same != name else "not used by this forward"
            moves[name] = Move(name, None, None, reason)
    return list(moves.values()), state


def _order_move(order: tuple[int, ...]) -> AxisMove | None:
    return None if order == standard(len(order)) else AxisMove.of_order(order)


def _layer_moves(event: ModuleCall, layer: Any, plan: LayoutPlan, structure: Structure, moves: dict[str, Move]) -> None:
    module, prefix = event.module, structure.weight_name(event.path)
    for path, _ in [*module.named_parameters(), *module.named_buffers()]:
        source = f"{event.path}.{path}" if event.path else path
        move = layer.weights.get(path, "")
        if move is None:
            moves[source] = Move(source, None, None, "MLX does not keep it")
            continue
        target = path
        if isinstance(move, tuple):
            target, move = move
        axes = AxisMove(move) if isinstance(move, str) and move else (move or None)
        if path == "weight" and id(module) in plan.column_moves:
            axes = plan.column_moves[id(module)]
        moves[source] = Move(source, f"{prefix}.{target}", axes)
