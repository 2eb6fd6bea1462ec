"""Watches MLX code for NaN and Inf without giving up its laziness.

While the code builds its graph, small reductions (the largest and the smallest number) are put beside it: for the
result of every operation, for every gradient on its way back, for the gradients that the optimizer is given. They are
evaluated together with what the code evaluates itself, once a step, and only then read, in the order of the operations.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers

from ..errors import NonFinite
from ..types.health import HealthReport, TensorHealth
from .checkpoints import LISTENERS
from .limits import numbers_in
from .mlx_calls import REARRANGES, Calls, arrays_of, user_frame
from .mlx_judgement import Edge, Judgement, Operation, Seen
from .mlx_values import Later, is_float
from .origins import Origins

#: Operations whose gradient is finite where theirs is, but for an overflow: in a training loop they are not measured on
#: the way back (unless in float16), which leaves those that divide, take roots and logarithms.
LINEAR = frozenset(
    """add subtract multiply negative matmul addmm sum mean max min maximum minimum where concatenate stack
    split take take_along_axis pad broadcast_to repeat tile softmax logsumexp layer_norm rms_norm rope
    scaled_dot_product_attention astype einsum tensordot inner outer conv1d conv2d conv3d conv_general
    clip tanh sigmoid erf sin cos abs square cumsum roll gather_mm block_masked_mm quantized_matmul triu
    tril full zeros_like ones_like""".split()
) | {f"__{name}__" for name in """add radd sub rsub mul rmul neg matmul rmatmul getitem abs""".split()}


class MLXWatch(Judgement, Calls):
    """Watches MLX while it is entered. ``stop`` raises :class:`NonFinite` after the evaluation in which a NaN or Inf
    came out. ``whole`` measures everything about every array."""

    def __init__(
        self, model: nn.Module, *, stop: bool = True, whole: bool = False, optimizer: Any = None, backward: bool = True
    ):
        super().__init__(model)
        self.stop, self.whole, self.optimizer, self.look_back = stop, whole, optimizer, backward
        self.origins, self.steps, self.operations = Origins(), 0, 0
        self.notes: list[str] = []
        self.phases: dict[str, None] = {}
        self.rows: dict[tuple, TensorHealth] = {}
        self.checkpoints: dict[tuple, TensorHealth] = {}
        self._known: dict[int, tuple[weakref.ref, Seen]] = {}
        self._started = time.perf_counter()
        self._parameters: dict[str, Later] = {}  # as the optimizer left them
        self._clear()

    def _clear(self) -> None:
        self._ran: list[Operation] = []
        self._edges: list[Edge] = []
        self._uses: dict[str, list[Operation]] = {}  # parameter -> operations that take it
        self._outside: list[Seen] = []
        self._ends: list[tuple[str, Seen]] = []  # what came out, and where
        self._gradients: list[tuple[str, Seen]] = []
        self._marks: list[tuple[str, str, Any, Seen]] = []
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
            operation = Operation(name, path, class_name, user_frame(3), inputs, (), self.operations)
            if (
                self.differentiating
                and self.look_back
                and given
                and not word.startswith("__i")
                and word != "__setitem__"
            ):
                measured = (
                    self.whole
                    or word not in LINEAR
                    and not name.startswith("nn.")
                    or any(array.dtype == mx.float16 for array in given)
                )
                args = self._with_edges(args, operation, measured)
                kwargs = {key: self._with_edges(value, operation, measured) for key, value in kwargs.items()}
            result = function(*args, **kwargs)
            outs = [array for array in arrays_of(args[0] if word == "__setitem__" else result) if is_float(array)]
            if outs:
                self.operations += 1
                operation.constants = (*numbers_in(args), *numbers_in(kwargs))
                for array in outs:
                    value = Seen(Later(array, "result", self.whole), made_by=operation)
                    operation.results.append(value)
                    self._keep(array, value)
                self._ran.append(operation)
            return result
        finally:
            self.inside -= 1

    def _keep(self, array: mx.array, value: Seen) -> None:
        key = id(array)
        self._known[key] = (weakref.ref(array, lambda _, known=self._known: known.pop(key, None)), value)

    def _value(self, array: mx.array) -> Seen:
        known = self._known.get(id(array))
        if known is not None and known[0]() is array:
            return known[1]
        value = Seen(Later(array, "", self.whole))
        self._outside.append(value)
        self._keep(array, value)
        return value

    def _edge(self, array: mx.array, operation: Operation, measured: bool) -> mx.array:
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
                self._edges.append(
                    Edge(operation, value, Later(cotangent, "gradient that goes out", self.whole, rough=not self.whole))
                )
            return cotangent

        return edge(array)

    def _with_edges(self, value: Any, operation: Operation, measured: bool) -> Any:
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
            for name, array in flat(module.parameters()):
                if is_float(array):
                    self._named(array, "parameter", name)

    def name(self, array: mx.array, kind: str, name: str) -> None:
        """From now on ``array`` is called ``name``; ``kind`` is "input" or "parameter"."""
        with self.quiet():
            if is_float(array):
                self._named(array, kind, name)

    def _named(self, array: mx.array, kind: str, name: str) -> Seen:
        known = self._known.get(id(array))
        if kind == "parameter" and name in self._parameters and (known is None or known[0]() is not array):
            self._keep(array, Seen(self._parameters[name]))
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
            for name, array in flat(gradients):
                if is_float(array):
                    self._gradients.append((name, Seen(Later(array, "gradient", self.whole), "gradient", name)))

    def _update(self, update: Callable, optimizer: Any, model: nn.Module, gradients: Any) -> None:
        self.inside += 1
        try:
            self.phases["backward"] = self.phases["parameters"] = self.phases["optimizer state"] = None
            self.gradients(gradients)
            result = update(optimizer, model, gradients)
            self._parameters.clear()
            for name, array in flat(model.trainable_parameters()):
                if is_float(array):
                    value = self._named(array, "parameter", name)
                    self._ends.append((f"parameter {name}", value))
                    self._parameters[name] = value.later
            if self.whole or self.steps % 10 == 0:  # a bad state shows in the parameter of the same step
                for name, array in flat(optimizer.state):
                    if is_float(array) and array.ndim:
                        value = self._named(array, "optimizer state", name)
                        self._ends.append((f"optimizer state {name}", value))
            self._updated = True
            return result
        finally:
            self.inside -= 1

    def evaluate(self, evaluation: Callable, args: tuple, waits: bool) -> None:
        if self.inside:
            return evaluation(*args)
        with self.quiet():
            for array in arrays_of(args):
                known = self._known.get(id(array))
                if known is not None and known[0]() is array and array.size == 1 and known[1].made_by is not None:
                    self._ends.append(("the loss", known[1]))
            evaluation(*args, self._pending())
        if waits:
            self.settle()

    def _pending(self) -> list[mx.array]:
        return [part for value in self._all() if value.later is not None for part in value.later.parts] + [
            part for edge in self._edges for part in edge.later.parts
        ]

    def _all(self) -> Iterator[Seen]:
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

    def _checkpoint(self, x: Any, name: str) -> None:
        if is_float(x) and not self.inside:
            with self.quiet():
                self._marks.append((name, self.owner[0], user_frame(3), Seen(Later(x, name, True))))

    @property
    def report(self) -> HealthReport:
        """What was found until now."""
        found = self.origins.settled()
        marks = {(f.phase, f.path, f.location): f.verdict for f in reversed(found)}
        rows = tuple(
            replace(
                row,
                verdict=row.verdict
                or ("" if row.ranges.finite else marks.get((row.phase, row.path, row.location), "")),
            )
            for row in self.rows.values()
        )
        return HealthReport(
            type(self.model).__name__,
            "mlx",
            tuple(self.phases),
            tuple(found),
            rows,
            (),
            tuple(self.checkpoints.values()),
            tuple(self.notes),
            self.operations,
            self.steps,
            time.perf_counter() - self._started,
        )


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dicts and lists with dotted names, as ``mlx.utils.tree_flatten`` gives them."""
    if isinstance(tree, dict):
        for name, item in tree.items():
            yield from flat(item, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(tree, (list, tuple)):
        for number, item in enumerate(tree):
            yield from flat(item, f"{prefix}.{number}" if prefix else str(number))
    else:
        yield prefix, tree
