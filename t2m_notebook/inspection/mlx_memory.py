"""Measures where MLX's memory goes, with MLX's own counters, and how its lazy graph grows."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten

from ..errors import BadExample
from ..types.memory import MemoryPart, MemoryReport, PendingReport, PendingSample
from .arithmetic import precisions, state_count
from .mlx_calls import REARRANGES, Calls, arrays_of, user_frame
from .mlx_sources import locate
from .mlx_values import is_float

MOST_SAMPLES = 2_000


class Pending(Calls):
    """Counts what MLX has been asked for and has not calculated yet: operations, and the bytes of their results.

    ``on_change(report)`` is called at every evaluation and at most every 0.2 s in between.
    """

    def __init__(self, on_change: Callable[[PendingReport], Any] | None = None):
        super().__init__(None)
        self.on_change, self.samples = on_change, []
        self.operations = self.bytes = self.peak = self.peak_operations = self.evaluations = 0
        self._lines: Counter = Counter()
        self._worst: Counter = Counter()
        self._told = 0.0

    def call(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        result = self.unseen(function, *args, **kwargs)
        made = list(arrays_of(args[0] if name.endswith("__setitem__") else result))
        if made:
            self.operations += 1
            if name.rpartition(".")[2] not in REARRANGES:
                self.bytes += sum(array.nbytes for array in made)
            frame = user_frame(3)
            if frame is not None:
                self._lines[frame] += 1
            if self.bytes > self.peak:
                self.peak, self.peak_operations = self.bytes, max(self.operations, self.peak_operations)
            if self.operations % 16 == 0:
                self._sample(False)
        return result

    def evaluate(self, evaluation: Callable, args: tuple, waits: bool) -> None:
        if self.inside:
            return evaluation(*args)
        self._sample(True)
        self.unseen(evaluation, *args)
        self.evaluations += 1
        if not self._worst or sum(self._lines.values()) > sum(self._worst.values()):
            self._worst = self._lines
        self._lines = Counter()
        self.operations = self.bytes = 0
        self._sample(False)

    def _sample(self, evaluated: bool) -> None:
        if len(self.samples) >= MOST_SAMPLES:
            self.samples = self.samples[::2]
        self.samples.append(PendingSample(self.operations, self.bytes, evaluated))
        if self.on_change is not None and (evaluated or time.monotonic() - self._told > 0.2):
            self._told = time.monotonic()
            self.on_change(self.report)

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        self._sample(False)
        if self.on_change is not None:
            self.on_change(self.report)

    @property
    def report(self) -> PendingReport:
        """How the graph grew until now, and where an ``mx.eval`` belongs."""
        lines = self._lines if sum(self._lines.values()) > sum(self._worst.values()) else self._worst
        advice, place = "", None
        repeated = {frame: count for frame, count in lines.items() if count > 1}
        if repeated:
            rounds = max(repeated.values())
            body = [locate(frame) for frame, count in repeated.items() if count * 2 > rounds]
            place = max((p for p in body if p is not None), key=lambda p: p.line, default=None)
            if place is not None and rounds >= 3:
                advice = (
                    f"{rounds} rounds of a loop were put off without an evaluation. Put mx.eval(...) of what the loop "
                    f"carries on (parameters, optimizer.state, the loss) at the end of its body, after {place.text}"
                )
        return PendingReport(tuple(self.samples), self.peak, self.peak_operations, self.evaluations, advice, place)

    def _repr_html_(self) -> str:
        return self.report._repr_html_()

    def __str__(self) -> str:
        return str(self.report)


def mlx_memory(
    model: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    optimizer: Any = "adamw",
    training: bool = True,
) -> MemoryReport:
    """Measure an ``mlx.nn.Module``: a forward, and a training step with ``nn.value_and_grad`` and an optimizer. The
    parameters are put back. Most exact in a fresh process, where nothing else is active."""
    started = time.perf_counter()
    mx.eval(model.parameters())
    before = tree_flatten(model.parameters())
    predicted = sum(array.nbytes for array in {id(a): a for _, a in before}.values())
    arrays = list(arrays_of([list(args), dict(kwargs)]))
    mx.eval(arrays)
    inputs = sum(array.nbytes for array in arrays)
    gc.collect()
    mx.clear_cache()
    active = mx.get_active_memory()
    numbers = f"{sum(a.size for _, a in before):,} numbers × their bytes"
    parts = [
        MemoryPart("inference", "parameters", predicted, predicted, numbers, "nbytes of the arrays"),
        MemoryPart(
            "inference", "active before", active, predicted + inputs, "parameters + inputs", "mx.get_active_memory()"
        ),
    ]
    with Pending() as pending:
        mx.reset_peak_memory()
        result = model(*args, **kwargs)
        graph, operations = pending.bytes, pending.operations
        mx.eval(list(arrays_of(result)))
    peak = mx.get_peak_memory()
    parts += [
        MemoryPart(
            "inference",
            "graph before mx.eval",
            graph,
            None,
            f"{operations} operations, none calculated",
            "Σ nbytes of what was asked for",
        ),
        MemoryPart("inference", "activations at the peak", max(peak - active, 0), None, "", "peak − active before"),
        MemoryPart("inference", "peak", peak, None, "", "mx.get_peak_memory()"),
    ]
    del result
    counters = {"active": mx.get_active_memory(), "peak": peak, "cache": mx.get_cache_memory()}
    name = ""
    if training and tree_flatten(model.trainable_parameters()):
        name, made = _optimizer(optimizer)
        parts += _train(model, args, kwargs, made, name, before, predicted, numbers)
        model.update(_unflatten(before))
        counters["peak of training"] = mx.get_peak_memory()
    matrices = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Linear, nn.Embedding))}
    return MemoryReport(
        type(model).__name__,
        "mlx",
        tuple(parts),
        precisions=precisions([(tuple(a.shape), id(a) in matrices) for _, a in before]),
        counters=counters,
        optimizer=name,
        device=str(mx.default_device()),
        inputs=inputs,
        seconds=time.perf_counter() - started,
        notes=("MLX's memory is one pool for CPU and GPU; cache is what it has freed and keeps for the next arrays",),
    )


def _train(
    model: nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    optimizer: Any,
    name: str,
    before: list,
    predicted: int,
    numbers: str,
) -> list[MemoryPart]:
    def loss(model, args, kwargs):
        parts = [a for a in arrays_of(model(*args, **kwargs)) if is_float(a)]
        return sum(a.astype(mx.float32).sum() for a in parts)

    optimizer.init(model.trainable_parameters())
    mx.eval(optimizer.state)
    state = sum(a.nbytes for _, a in tree_flatten(optimizer.state) if isinstance(a, mx.array))
    count = state_count(name, getattr(optimizer, "momentum", 0.0))
    trainable = sum(a.nbytes for _, a in tree_flatten(model.trainable_parameters()))
    gc.collect()
    mx.clear_cache()
    mx.reset_peak_memory()
    value, gradients = nn.value_and_grad(model, loss)(model, args, kwargs)
    mx.eval(value, gradients)
    graded = sum(a.nbytes for _, a in tree_flatten(gradients))
    forward_backward = mx.get_peak_memory()
    optimizer.update(model, gradients)
    del gradients
    mx.eval(model.parameters(), optimizer.state)
    return [
        MemoryPart("training", "parameters", predicted, predicted, numbers, "nbytes of the arrays"),
        MemoryPart(
            "training", "gradients", graded, trainable, "trainable numbers × their bytes", "nbytes of the arrays"
        ),
        MemoryPart(
            "training",
            "optimizer state",
            state,
            count * trainable if count is not None else None,
            f"{count} × numbers × bytes" if count is not None else "",
            f"nbytes of {name}'s state",
        ),
        MemoryPart("training", "peak of forward and backward", forward_backward, None, "", "mx.get_peak_memory()"),
        MemoryPart(
            "training", "peak", mx.get_peak_memory(), None, "", "mx.get_peak_memory() with the optimizer's step"
        ),
    ]


def _optimizer(optimizer: Any) -> tuple[str, Any]:
    if isinstance(optimizer, str):
        by_name = {n.lower(): cls for n, cls in vars(optim).items() if isinstance(cls, type)}
        if optimizer.lower() not in by_name:
            raise BadExample(f"mlx.optimizers has no {optimizer!r}; there are {', '.join(sorted(by_name))}.")
        optimizer = by_name[optimizer.lower()]
    if isinstance(optimizer, type):
        return optimizer.__name__, optimizer(learning_rate=1e-3)
    return type(optimizer).__name__, type(optimizer)(learning_rate=1e-3)


def _unflatten(pairs: list) -> Any:
    from mlx.utils import tree_unflatten

    return tree_unflatten(pairs)
