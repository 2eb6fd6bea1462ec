"""The part of the torch watch that keeps what was measured, and makes the report of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import torch

from ..types.health import BAD, HealthReport, Ranges, TensorHealth
from .health_operation import Operation, user_frame
from .health_values import dead_units, measure
from .recording import locate, source_text

MOST_ROWS, MOST_FINDINGS = 20_000, 1_000


class MeasuredRows:
    """Mixed into the watch, whose values and origins it uses."""

    def _row(self, phase: str, operation: Operation, values: Ranges, number: int, tensor: Any = None) -> None:
        if len(self.rows) >= MOST_ROWS:
            return
        place = locate(operation.frame) if operation.frame else None
        key = (
            phase,
            operation.path,
            operation.name,
            place,
            number if not self.whole else self.operations * 64 + number,
            len(self.rows) if phase == "backward" else 0,
        )
        row = TensorHealth(phase, operation.name, operation.path, values, source_text(place), place, self.steps)
        self.rows[key] = row
        dead = dead_units(operation.name, tensor) if tensor is not None else None
        if dead is not None and dead[0] >= 0.5:
            self.dead[key] = replace(row, note=dead[1])

    def _checkpoint(self, value: Any, name: str) -> None:
        if not isinstance(value, torch.Tensor):
            return
        with torch._C.DisableTorchFunction():
            owner = self._stack[-1] if self._stack else None
            values = measure(value, name)
            mark = self._look(value)[1]
            frame = user_frame(3)
            place = locate(frame) if frame else None
            path = self._paths.get(id(owner), "")
            if values is not None:
                self.checkpoints[(name, path, self.steps if self.whole else 0)] = TensorHealth(
                    "checkpoint",
                    "t2m.checkpoint",
                    path,
                    values,
                    source_text(place),
                    place,
                    self.steps,
                    mark=name,
                    verdict="" if mark is None else BAD,
                )

    @property
    def report(self) -> HealthReport:
        """What was found until now."""
        found = self.origins.settled()[:MOST_FINDINGS]
        marks = {(f.phase, f.operation, f.path, f.location): f.verdict for f in reversed(found)}
        rows = tuple(
            replace(
                row,
                verdict=row.verdict
                or ("" if row.ranges.finite else marks.get((row.phase, row.operation, row.path, row.location), "")),
            )
            for row in self.rows.values()
        )
        return HealthReport(
            type(self.model).__name__,
            "torch",
            tuple(self.phases),
            tuple(found),
            rows,
            tuple(self.dead.values()),
            tuple(self.checkpoints.values()),
            tuple(self.notes),
            self.operations,
            self.steps,
            time.perf_counter() - self._started,
        )
