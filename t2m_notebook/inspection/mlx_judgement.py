"""What the MLX watch concludes once a step is evaluated: whom to blame, forward and backward."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..types.health import BAD, Finding, Ranges, TensorHealth, kinds_of
from .limits import not_finite_in
from .mlx_sources import locate, source_text
from .mlx_values import Later
from .reasons import backward_reason, reason, sentence

MOST_ROWS = 20_000


class Seen:
    """An array that was seen: what is measured of it, and once that is judged, its mark."""

    __slots__ = ("later", "mark", "kind", "name", "made_by", "edges", "judged")

    def __init__(self, later: Later | None, kind: str = "", name: str = "", made_by: Operation | None = None):
        self.later, self.kind, self.name, self.made_by = later, kind, name, made_by
        self.mark: int | None = None
        self.edges: list[Edge] = []  # gradients that came back from its uses
        self.judged = made_by is not None


class Operation:
    __slots__ = ("name", "path", "class_name", "frame", "inputs", "results", "constants", "number")

    def __init__(self, name, path, class_name, frame, inputs, constants, number):
        self.name, self.path, self.class_name, self.frame = name, path, class_name, frame
        self.inputs, self.constants, self.number = inputs, constants, number
        self.results: list[Seen] = []


class Edge:
    """The gradient that an operation gave back for one of its inputs."""

    __slots__ = ("operation", "value", "later")

    def __init__(self, operation: Operation, value: Seen, later: Later):
        self.operation, self.value, self.later = operation, value, later


class Judgement:
    """Mixed into the watch, whose records it reads."""

    # -- judgement --------------------------------------------------------------------------------

    def _judge(self) -> Finding | None:
        found: Finding | None = None

        def reach(mark: int | None, where: str, values: Ranges | None = None) -> None:
            nonlocal found
            origin = self.origins.reach(mark, where, values)
            if origin is not None and found is None:
                found = origin.settled

        for operation in self._ran:
            inputs = [(value.later.ranges, self._mark(value)) for value in operation.inputs]
            for number, value in enumerate(operation.results):
                ranges = value.later.ranges
                if not ranges.finite:
                    value.mark = self.origins.judge(
                        operation.name,
                        inputs,
                        ranges,
                        not_finite_in(ranges.dtype, operation.constants),
                        partial(self._finding, operation, [v for v, _ in inputs], [ranges]),
                    )  # noqa: B023 (called at once)
                if self.whole or self.steps == 0:
                    self._row("forward", operation, ranges, number)
        for where, value in self._ends:
            if where in ("the model's result", "the loss"):
                reach(self._mark(value), where, value.later.ranges)
        leaves = self._judge_backward({name for name, value in self._gradients if not value.later.ranges.finite})
        for name, value in self._gradients:
            ranges = value.later.ranges
            if not ranges.finite or self.whole:
                self.rows[("gradient", name)] = TensorHealth.of_named("gradient", name, ranges, self.steps)
            if not ranges.finite:
                mark = leaves.get(name)
                if mark is None:
                    mark = self._first_bad() if self._edges or self.origins.found else None
                if mark is None:
                    mark = self.origins.add(
                        Finding(
                            "gradient",
                            f"gradient of {name}",
                            ranges.kinds,
                            outputs=(ranges,),
                            step=self.steps,
                            framework="mlx",
                        )
                    )
                reach(mark, f"gradient of {name}")
        for where, value in self._ends:
            if where not in ("the model's result", "the loss"):
                mark = self._mark(value)
                if mark is not None and self.origins.found[mark].intended:
                    self.origins.found[mark].intended = False
                reach(mark, where)
        for name, path, frame, value in self._marks:
            place = locate(frame)
            self.checkpoints[(name, path)] = TensorHealth(
                "checkpoint",
                "t2m.checkpoint",
                path,
                value.later.ranges,
                source_text(place),
                place,
                self.steps,
                mark=name,
                verdict="" if value.later.ranges.finite else BAD,
            )
        return found

    def _first_bad(self) -> int | None:
        marks = [i for i, o in enumerate(self.origins.found) if not o.intended and o.finding.step == self.steps]
        return marks[0] if marks else None

    def _mark(self, value: Seen) -> int | None:
        """The mark of a value; one that no operation made is judged when first asked for."""
        if not value.judged:
            value.judged = True
            ranges = value.later.ranges
            if self.whole and value.kind == "parameter":
                self.rows[("parameter", value.name)] = TensorHealth(
                    "parameter", value.name, value.name.rpartition(".")[0], ranges, step=self.steps
                )
            if not ranges.finite:
                mask_like = (
                    not ranges.nan
                    and value.kind in ("", "input")
                    and not (value.kind == "input" and ranges.positive_inf)
                )
                value.mark = self.origins.add(
                    Finding(
                        value.kind or "input",
                        value.name or "an array from outside",
                        ranges.kinds,
                        path=value.name.rpartition(".")[0] if value.kind == "parameter" else "",
                        outputs=(ranges,),
                        step=self.steps,
                        framework="mlx",
                        reason="It is so before anything ran." if not self.steps else "",
                    ),
                    intended=mask_like,
                )
        return value.mark

    def _judge_backward(self, bad_parameters: set[str]) -> dict[str, int]:
        """Blame the first operation, in the order of the backward pass, that gave back a bad gradient for a good one.
        What was not measured hands on what it got. Gives the marks of the parameters whose gradient is bad."""
        self.phases.update({"backward": None} if self._edges else {})
        outgoing: dict[int, list[Edge]] = {}
        for edge in self._edges:
            outgoing.setdefault(id(edge.operation), []).append(edge)
        users: dict[int, list[str]] = {}
        for name in bad_parameters:
            for operation in self._uses.get(name, ()):
                users.setdefault(id(operation), []).append(name)
        came: dict[int, int] = {}  # operation -> mark of the bad gradient that it got
        leaves: dict[str, int] = {}
        for operation in reversed(self._ran):
            edges, own = outgoing.get(id(operation), []), users.get(id(operation), [])
            if self.whole:
                for edge in edges:
                    self._row("backward", operation, edge.later.ranges, len(self.rows))
            bad = [edge for edge in edges if not edge.later.ranges.finite]
            mark = came.get(id(operation))
            if mark is None:
                mark = self.origins.came_out(v.mark for v in (*operation.inputs, *operation.results))
            if mark is None and (bad or own):
                mark = self._backward_origin(
                    operation,
                    [edge.later.ranges for edge in bad]
                    or [value.later.ranges for name, value in self._gradients if name in own],
                )
            if mark is None:
                continue
            for value in [edge.value for edge in bad] if edges else operation.inputs:
                if value.made_by is not None:
                    came[id(value.made_by)] = min(mark, came.get(id(value.made_by), mark))
                elif value.kind == "parameter":
                    leaves.setdefault(value.name, mark)
            for name in own:
                leaves.setdefault(name, mark)
        return leaves

    def _backward_origin(self, operation: Operation, bad: list[Ranges]) -> int:
        finding = self._finding(operation, [value.later.ranges for value in operation.inputs], bad)
        why = backward_reason(operation.name.rpartition(".")[2].replace("__", ""))
        return self.origins.add(
            replace(
                finding,
                phase="backward",
                operation=f"{operation.name} (its gradient)",
                forward_operation=operation.name,
                reason=sentence(why),
            )
        )

    def _finding(self, operation: Operation, inputs: list[Ranges], outputs: list[Ranges]) -> Finding:
        place = locate(operation.frame)
        return Finding(
            "forward",
            operation.name,
            kinds_of(outputs),
            path=operation.path,
            class_name=operation.class_name,
            source=source_text(place),
            location=place,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            reason=sentence(reason(operation.name, inputs, outputs)),
            step=self.steps,
            framework="mlx",
        )

    def _row(self, phase: str, operation: Operation, ranges: Ranges, number: int) -> None:
        if len(self.rows) < MOST_ROWS:
            place = locate(operation.frame)
            self.rows[(phase, operation.number, number)] = TensorHealth(
                phase, operation.name, operation.path, ranges, source_text(place), place, self.steps
            )
