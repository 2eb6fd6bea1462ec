"""From a recording to everything a port consists of: classes, file, weight moves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ..capture.recording import Recording, flatten
from ..weights.plan import Move
from .arguments import bound_arguments
from .body import BodyWriter
from .classes import ClassWriter, Group
from .layout import LayoutPlan, plan_layout
from .moves import weight_moves
from .structure import Structure


@dataclass(slots=True)
class Written:
    """A port before its weights are converted."""

    recording: Recording
    plan: LayoutPlan
    structure: Structure
    writer: BodyWriter
    groups: list[Group]
    moves: list[Move]
    tensors: dict[str, torch.Tensor]
    _configurations: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def problems(self) -> list[str]:
        """What stands in the way, one sentence per class that can't be ported."""
        return [f"{group.name}: {group.problem}" for group in self.groups if group.problem]

    @property
    def inputs(self) -> list[tuple[str, int, str]]:
        """``(path, value, argument expression)`` of every tensor of the example."""
        found = []
        for name, value in bound_arguments(self.recording.root):  # type: ignore[arg-type]
            for path, ref in flatten(value, name):
                found.append((path, ref.index, name))
        return found + self.extra_inputs

    @property
    def extra_inputs(self) -> list[tuple[str, int, str]]:
        """Tensors inside objects that the forward was given (a key-value cache): each becomes
        a keyword of the root."""
        body = self.writer.bodies[self.recording.root.index]  # type: ignore[union-attr]
        return [(self.recording.values[key].name, key, name) for key, name in body.extra if isinstance(key, int)]

    @property
    def outputs(self) -> list[tuple[str, int]]:
        """``(path, value)`` of every tensor that the model returns."""
        return [(path or "0", ref.index) for path, ref in flatten(self.recording.root.outputs)]  # type: ignore

    def configuration(self, path: str) -> str:
        """The generated class of the module at ``path`` and what its constructor was given."""
        if not self._configurations:
            self._configurations.update(
                (instance.path, f"{group.name}({', '.join(f'{name}={v[position]!r}' for name, v in group.parameters)})")
                for group in self.groups for position, instance in enumerate(group.instances))
        return self._configurations.get(path, path)

    def arguments(self) -> list[tuple[str, Any]]:
        """The root's arguments with recorded values inside."""
        return bound_arguments(self.recording.root)  # type: ignore[arg-type]


def write(recording: Recording) -> Written:
    """Plan the layout, write every class, plan the weights."""
    plan = plan_layout(recording)
    structure = Structure.of(recording)
    writer = BodyWriter(recording, plan, structure)
    writer.write(recording.root)  # type: ignore[arg-type]
    classes = ClassWriter(recording, plan, structure, writer)
    groups = classes.run()
    moves, tensors = weight_moves(recording, plan, structure, classes)
    return Written(recording, plan, structure, writer, groups, moves, tensors)
