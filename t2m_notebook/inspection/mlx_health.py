"""Watches MLX code for NaN and Inf without giving up its laziness.

While the code builds its graph, small reductions (the largest and the smallest number) are put beside it: for the
result of every operation, for every gradient on its way back, for the gradients that the optimizer is given. They are
evaluated together with what the code evaluates itself, once a step, and only then read, in the order of the operations.
"""

from __future__ import annotations

import linecache
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers

from ..errors import NonFinite
from ..types import SourceLocation
from ..types.health import BAD, Finding, HealthReport, Ranges, TensorHealth
from .checkpoints import LISTENERS
from .limits import overflows
from .mlx_calls import REARRANGES, Calls, arrays_of, user_frame
from .mlx_values import Later, is_float
from .origins import Origins
from .reasons import backward_reason, reason, sentence

MOST_ROWS = 20_000
#: Operations whose gradient is finite where theirs is, but for an overflow: in a training loop they are not measured on
#: the way back (unless in float16), which leaves those that divide, take roots and logarithms.
LINEAR = frozenset({
    *(f"__{name}__" for name in ("add", "radd", "sub", "rsub", "mul", "rmul", "neg", "matmul", "rmatmul", "getitem",
                                 "abs")),
    "add", "subtract", "multiply", "negative", "matmul", "addmm", "sum", "mean", "max", "min", "maximum", "minimum", "where",
    "concatenate", "stack", "split", "take", "take_along_axis", "pad", "broadcast_to", "repeat", "tile", "softmax",
    "logsumexp", "layer_norm", "rms_norm", "rope", "scaled_dot_product_attention", "astype", "einsum", "tensordot", "inner",
    "outer", "conv1d", "conv2d", "conv3d", "conv_general", "clip", "tanh", "sigmoid", "erf", "sin", "cos", "abs", "square",
    "cumsum", "roll", "gather_mm", "block_masked_mm", "quantized_matmul", "triu", "tril", "full", "zeros_like", "ones_like"})


class _Value:
    """An array that was seen: what is measured of it, and once that is judged, its mark."""

    __slots__ = ("later", "mark", "kind", "name", "made_by", "edges", "judged")

    def __init__(self, later: Later | None, kind: str = "", name: str = "", made_by: _Operation | None = None):
        self.later, self.kind, self.name, self.made_by = later, kind, name, made_by
        self.mark: int | None = None
        self.edges: list[_Edge] = []  # gradients that came back from its uses
        self.judged = made_by is not None


class _Operation:
    __slots__ = ("name", "path", "class_name", "frame", "inputs", "results", "constants", "number")

    def __init__(self, name, path, class_name, frame, inputs, constants, number):
        self.name, self.path, self.class_name, self.frame = name, path, class_name, frame
        self.inputs, self.constants, self.number = inputs, constants, number
        self.results: list[_Value] = []


class _Edge:
    """The gradient that an operation gave back for one of its inputs."""

    __slots__ = ("operation", "value", "later")

    def __init__(self, operation: _Operation, value: _Value, later: Later):
        self.operation, self.value, self.later = operation, value, later


class MLXWatch(Calls):
    """Watches MLX while it is entered. ``stop`` raises :class:`NonFinite` after the evaluation in which a NaN or Inf came
    out. ``whole`` measures everything about every array."""

    def __init__(self, model: nn.Module, *, stop: bool = True, whole: bool = False, optimizer: Any = None,
                 backward: bool = True):
        super().__init__(model)
        self.stop, self.whole, self.optimizer, self.look_back = stop, whole, optimizer, backward
        self.origins, self.steps, self.operations = Origins(), 0, 0
        self.notes: list[str] = []
        self.phases: dict[str, None] = {}
        self.rows: dict[tuple, TensorHealth] = {}
        self.checkpoints: dict[tuple, TensorHealth] = {}
        self._known: dict[int, tuple[weakref.ref, _Value]] = {}
        self._started = time.perf_counter()
        self._parameters: dict[str, Later] = {}  # as the optimizer left them
        self._clear()

    def _clear(self) -> None:
        self._ran: list[_Operation] = []
        self._edges: list[_Edge] = []
        self._uses: dict[str, list[_Operation]] = {}  # parameter -> operations that take it
        self._outside: list[_Value] = []
        self._ends: list[tuple[str, _Value]] = []  # what came out, and where
        self._gradients: list[tuple[str, _Value]] = []
        self._marks: list[tuple[str, str, Any, _Value]] = []
        self._updated = False

    # -- entering and leaving --------------------------------------------------------------------

    def __enter__(self):
        super().__enter__()
        LISTENERS.append(self._checkpoint)
        self._put_back.append(lambda: LISTENERS.remove(self._checkpoint))
        cls = type(self.optimizer) if self.optimizer is not None else mlx.optimizers.Optimizer
        update, watch = cls.update, self

        def updated(optimizer, model, gradients):
            if watch.inside or model is not watch.model:
                return update(optimizer, model, gradients)
            return watch._update(update, optimizer, model, gradients)

        self._set(cls, "update", updated)
        return self

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        if not error or error[0] is None:
            self.settle()
        else:
            self._clear()

    # -- operations ------------------------------------------------------------------------------

    def call(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        self.inside += 1
        try:
            word = name.rpartition(".")[2]
            given = [array for array in arrays_of(args) if is_float(array)]
            given += [array for array in arrays_of(kwargs) if is_float(array)] if kwargs else []
            if word in REARRANGES:
                result = function(*args, **kwargs)
                if given and isinstance(result, mx.array):
                    self._keep(result, self._value(given[0]))
                return result
            inputs = [self._value(array) for array in given]
            path, class_name = self.owner
            operation = _Operation(name, path, class_name, user_frame(3), inputs, (), self.operations)
            if self.differentiating and self.look_back and given and not word.startswith("__i") and word != "__setitem__":
                measured = self.whole or word not in LINEAR and not name.startswith("nn.") or any(
                    array.dtype == mx.float16 for array in given)
                args = self._with_edges(args, operation, measured)
                kwargs = {key: self._with_edges(value, operation, measured) for key, value in kwargs.items()}
            result = function(*args, **kwargs)
            outs = [array for array in arrays_of(args[0] if word == "__setitem__" else result) if is_float(array)]
            if outs:
                self.operations += 1
                operation.constants = tuple(_numbers(args)) + tuple(_numbers(kwargs))
                for array in outs:
                    value = _Value(Later(array, "result", self.whole), made_by=operation)
                    operation.results.append(value)
                    self._keep(array, value)
                self._ran.append(operation)
            return result
        finally:
            self.inside -= 1

    def _keep(self, array: mx.array, value: _Value) -> None:
        key = id(array)
        self._known[key] = (weakref.ref(array, lambda _, known=self._known: known.pop(key, None)), value)

    def _value(self, array: mx.array) -> _Value:
        known = self._known.get(id(array))
        if known is not None and known[0]() is array:
            return known[1]
        value = _Value(Later(array, "", self.whole))
        self._outside.append(value)
        self._keep(array, value)
        return value

    def _edge(self, array: mx.array, operation: _Operation, measured: bool) -> mx.array:
        """``array`` itself, through an identity whose gradient is looked at on its way back. A parameter's gradient is
        looked at when the optimizer gets it; here it is enough to know who used it."""
        value = self._value(array)
        if value.kind == "parameter" and not self.whole:
            self._uses.setdefault(value.name, []).append(operation)
            return array
        if not measured:
            return array

        @mx.custom_function
        def edge(x):
            return x

        @edge.vjp
        def edge_vjp(primals, cotangent, output):
            with self.quiet():
                self._edges.append(_Edge(operation, value, Later(
                    cotangent, "gradient that goes out", self.whole, rough=not self.whole)))
            return cotangent

        return edge(array)

    def _with_edges(self, value: Any, operation: _Operation, measured: bool) -> Any:
        if isinstance(value, mx.array):
            return self._edge(value, operation, measured) if is_float(value) else value
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self._with_edges(item, operation, measured) for item in value)
        return value

    # -- modules, optimizer, evaluation --------------------------------------------------------------

    def enter(self, module: Any) -> None:
        if module is not self.model or len(self.stack) > 1:
            return
        if self._ran and not self.differentiating and not self._updated:
            self.phases["forward"] = None
        if self._updated:  # the last step was never evaluated by the code itself
            self.settle()
        with self.quiet():
            for name, array in _flat(module.parameters()):
                if is_float(array):
                    self._named(array, "parameter", name)

    def name(self, array: mx.array, kind: str, name: str) -> None:
        """From now on ``array`` is called ``name``; ``kind`` is "input" or "parameter"."""
        with self.quiet():
            if is_float(array):
                self._named(array, kind, name)

    def _named(self, array: mx.array, kind: str, name: str) -> _Value:
        known = self._known.get(id(array))
        if kind == "parameter" and name in self._parameters and (known is None or known[0]() is not array):
            self._keep(array, _Value(self._parameters[name]))
        value = self._value(array)
        if not value.kind and value.made_by is None:
            value.kind, value.name = kind, name
        return value

    def leave(self, module: Any, result: Any) -> None:
        if module is self.model and len(self.stack) == 1:
            self.phases["forward"] = None
            with self.quiet():
                self._ends += [("the model's result", self._value(a)) for a in arrays_of(result) if is_float(a)]

    def gradients(self, gradients: Any) -> None:
        """Look at gradients, nested as ``nn.value_and_grad`` gives them."""
        with self.quiet():
            for name, array in _flat(gradients):
                if is_float(array):
                    self._gradients.append((name, _Value(Later(array, "gradient", self.whole), "gradient", name)))

    def _update(self, update: Callable, optimizer: Any, model: nn.Module, gradients: Any) -> None:
        self.inside += 1
        try:
            self.phases["backward"] = self.phases["parameters"] = self.phases["optimizer state"] = None
            self.gradients(gradients)
            result = update(optimizer, model, gradients)
            self._parameters.clear()
            for name, array in _flat(model.trainable_parameters()):
                if is_float(array):
                    value = self._named(array, "parameter", name)
                    self._ends.append((f"parameter {name}", value))
                    self._parameters[name] = value.later
            if self.whole or self.steps % 10 == 0:  # a bad state shows in the parameter of the same step
                for name, array in _flat(optimizer.state):
                    if is_float(array) and array.ndim:
                        value = self._named(array, "optimizer state", name)
                        self._ends.append((f"optimizer state {name}", value))
            self._updated = True
            return result
        finally:
            self.inside -= 1

    def evaluate(self, evaluation: Callable, args: tuple) -> None:
        if self.inside:
            return evaluation(*args)
        with self.quiet():
            for array in arrays_of(args):
                known = self._known.get(id(array))
                if known is not None and known[0]() is array and array.size == 1 and known[1].made_by is not None:
                    self._ends.append(("the loss", known[1]))
            evaluation(*args, self._pending())
        if evaluation.__name__ == "eval":
            self.settle()

    def _pending(self) -> list[mx.array]:
        return [part for value in self._all() if value.later is not None for part in value.later.parts] + [
            part for edge in self._edges for part in edge.later.parts]

    def _all(self) -> Iterator[_Value]:
        yield from self._outside
        for operation in self._ran:
            yield from operation.results
        for _, value in (*self._gradients, *((n, v) for n, _, _, v in self._marks)):
            yield value

    def settle(self) -> None:
        """Read what was measured, judge it, and begin the next step. Evaluates what nobody did."""
        if not (self._ran or self._gradients or self._ends or self._outside):
            return
        with self.quiet():
            mx.eval(self._pending())
            try:
                bad = self._judge()
            finally:
                self.steps += self._updated
                self._clear()
        if bad is not None and self.stop:
            raise NonFinite(bad)

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
                    constants = [c for c in operation.constants if not abs(c) < float("inf")]
                    constants += [float("inf") * (1 if c > 0 else -1) for c in operation.constants
                                  if overflows(c, ranges.dtype)]
                    value.mark = self.origins.judge(operation.name, inputs, ranges, constants, lambda: self._finding(
                        operation, [v for v, _ in inputs], [ranges]))  # noqa: B023 (called at once)
                if self.whole or self.steps == 0:
                    self._row("forward", operation, ranges, number)
        for where, value in self._ends:
            if where in ("the model's result", "the loss"):
                reach(self._mark(value), where, value.later.ranges)
        leaves = self._judge_backward({name for name, value in self._gradients if not value.later.ranges.finite})
        for name, value in self._gradients:
            ranges = value.later.ranges
            if not ranges.finite or self.whole:
                self.rows[("gradient", name)] = TensorHealth("gradient", name, name.rpartition(".")[0], ranges,
                                                             step=self.steps, verdict="" if ranges.finite else BAD)
            if not ranges.finite:
                mark = leaves.get(name)
                if mark is None:
                    mark = self._first_bad() if self._edges or self.origins.found else None
                if mark is None:
                    mark = self.origins.add(Finding("gradient", f"gradient of {name}", ranges.kinds, outputs=(ranges,),
                                                    step=self.steps, framework="mlx"))
                reach(mark, f"gradient of {name}")
        for where, value in self._ends:
            if where not in ("the model's result", "the loss"):
                mark = self._mark(value)
                if mark is not None and self.origins.found[mark].intended:
                    self.origins.found[mark].intended = False
                reach(mark, where)
        for name, path, frame, value in self._marks:
            place = _locate(frame)
            self.checkpoints[(name, path)] = TensorHealth(
                "checkpoint", "t2m.checkpoint", path, value.later.ranges, _source(place), place, self.steps, mark=name,
                verdict="" if value.later.ranges.finite else BAD)
        return found

    def _first_bad(self) -> int | None:
        marks = [i for i, o in enumerate(self.origins.found) if not o.intended and o.finding.step == self.steps]
        return marks[0] if marks else None

    def _mark(self, value: _Value) -> int | None:
        """The mark of a value; one that no operation made is judged when first asked for."""
        if not value.judged:
            value.judged = True
            ranges = value.later.ranges
            if self.whole and value.kind == "parameter":
                self.rows[("parameter", value.name)] = TensorHealth(
                    "parameter", value.name, value.name.rpartition(".")[0], ranges, step=self.steps)
            if not ranges.finite:
                mask_like = not ranges.nan and value.kind in ("", "input") and not (
                    value.kind == "input" and ranges.positive_inf)
                value.mark = self.origins.add(Finding(
                    value.kind or "input", value.name or "an array from outside", ranges.kinds,
                    path=value.name.rpartition(".")[0] if value.kind == "parameter" else "", outputs=(ranges,),
                    step=self.steps, framework="mlx", reason="It is so before anything ran." if not self.steps else ""),
                    intended=mask_like)
        return value.mark

    def _judge_backward(self, bad_parameters: set[str]) -> dict[str, int]:
        """Blame the first operation, in the order of the backward pass, that gave back a bad gradient for a good one.
        An operation that was not measured hands on what it got. Gives the marks of the parameters with a bad gradient."""
        self.phases.update({"backward": None} if self._edges else {})
        outgoing: dict[int, list[_Edge]] = {}
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
                mark = self._backward_origin(operation, [edge.later.ranges for edge in bad] or [
                    value.later.ranges for name, value in self._gradients if name in own])
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

    def _backward_origin(self, operation: _Operation, bad: list[Ranges]) -> int:
        finding = self._finding(operation, [value.later.ranges for value in operation.inputs], bad)
        why = backward_reason(operation.name.rpartition(".")[2].replace("__", ""))
        return self.origins.add(replace(
            finding, phase="backward", operation=f"{operation.name} (its gradient)", forward_operation=operation.name,
            reason=sentence(why)))

    def _finding(self, operation: _Operation, inputs: list[Ranges], outputs: list[Ranges]) -> Finding:
        place = _locate(operation.frame)
        made = ", ".join(dict.fromkeys(kind for values in outputs for kind in values.kinds.split(", ")))
        return Finding("forward", operation.name, made, path=operation.path, class_name=operation.class_name,
                       source=_source(place), location=place, inputs=tuple(inputs), outputs=tuple(outputs),
                       reason=sentence(reason(operation.name, inputs, outputs)), step=self.steps, framework="mlx")

    def _row(self, phase: str, operation: _Operation, ranges: Ranges, number: int) -> None:
        if len(self.rows) < MOST_ROWS:
            place = _locate(operation.frame)
            self.rows[(phase, operation.number, number)] = TensorHealth(
                phase, operation.name, operation.path, ranges, _source(place), place, self.steps)

    def _checkpoint(self, x: Any, name: str) -> None:
        if is_float(x) and not self.inside:
            with self.quiet():
                self._marks.append((name, self.owner[0], user_frame(4), _Value(Later(x, name, True))))

    @property
    def report(self) -> HealthReport:
        """What was found until now."""
        found = self.origins.settled()
        marks = {(f.phase, f.path, f.location): f.verdict for f in reversed(found)}
        rows = tuple(replace(row, verdict=row.verdict or ("" if row.ranges.finite else marks.get(
            (row.phase, row.path, row.location), ""))) for row in self.rows.values())
        return HealthReport(type(self.model).__name__, "mlx", tuple(self.phases), tuple(found), rows, (),
                            tuple(self.checkpoints.values()), tuple(self.notes), self.operations, self.steps,
                            time.perf_counter() - self._started)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        yield value
    elif isinstance(value, (list, tuple)) and len(value) < 64:
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item)


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts and lists with dotted names, as ``mlx.utils.tree_flatten`` gives them."""
    if isinstance(tree, dict):
        for name, item in tree.items():
            yield from _flat(item, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(tree, (list, tuple)):
        for number, item in enumerate(tree):
            yield from _flat(item, f"{prefix}.{number}" if prefix else str(number))
    else:
        yield prefix, tree


def _locate(frame: tuple[Any, int] | None) -> SourceLocation | None:
    if frame is None:
        return None
    code, instruction = frame
    at = next((p for i, p in enumerate(code.co_positions()) if i == instruction // 2), None)
    if at is None or at[0] is None:
        return None
    line, end_line, column, end_column = at
    return SourceLocation(code.co_filename, line, end_line or line, column or 0, end_column or 0, code.co_qualname)


def _source(place: SourceLocation | None, limit: int = 160) -> str:
    """The source expression of a span on one line."""
    if place is None:
        return ""
    lines = [linecache.getline(place.file, number).encode() for number in range(place.line, place.end_line + 1)]
    if not lines or not lines[0]:
        return ""
    lines[-1] = lines[-1][: place.end_column] if place.end_column else lines[-1]
    lines[0] = lines[0][place.column:]
    text = " ".join(line.decode(errors="replace").strip() for line in lines)
    return text if len(text) <= limit else text[: limit - 1] + "…"
