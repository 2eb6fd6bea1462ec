"""Looking inside both frameworks while they run: the public functions. Each does its work in a room
of the engine and loads that when it is called."""

from __future__ import annotations

import contextlib
import importlib.util
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .inspection.starting import starts_model

if TYPE_CHECKING:
    from .capture.operation_trace import BlockRecorder
    from .capture.trace_result import Trace
    from .parity.array_trace import ArrayTracer
    from .types import TraceData
    from .types.health import HealthReport
    from .types.memory import MemoryReport

__all__ = ["clip_gradients", "health", "memory", "pending", "sanitise", "trace", "tracing", "watch"]

_open = threading.local()


def trace(model: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, values: bool = True,
          progress: Callable[[str, int, int], None] | None = None) -> Trace:
    """Run ``model`` once and show each operation: line, module, shapes, strides, memory, values.

    ``model`` is a live ``torch.nn.Module`` with ``args`` and ``kwargs`` as for :func:`analyze`, an
    ``mlx.nn.Module`` likewise, or a port, whose torch and MLX sides are then run on its example and
    aligned. Without ``values`` no mean, minimum, maximum, NaN or Inf count is taken. A forward that
    raises gives the rows up to there and ``Trace.error``. Strides and offsets are in elements.

    Raises :class:`~t2m_notebook.errors.NotAModule` and :class:`~t2m_notebook.errors.BadExample`.
    """
    from .capture.trace_result import Trace
    if _is_port(model):
        from .parity.trace_port import trace_port
        from .verdicts import judge_of
        return Trace(trace_port(model, lambda recorder: judge_of(recorder.recording), values=values))
    if _is_mlx(model):
        return _trace_mlx(model, args, kwargs, values)
    return Trace(_trace_torch(model, args, kwargs, values, progress))


def _is_port(subject: Any) -> bool:
    return hasattr(subject, "written") and hasattr(subject, "worker")


def _is_mlx(subject: Any) -> bool:
    return any(cls.__module__.startswith("mlx.nn.") for cls in type(subject).__mro__)


def _trace_torch(model: Any, args: Any, kwargs: Mapping[str, Any] | None, values: bool,
                 progress: Callable[[str, int, int], None] | None) -> TraceData:
    from .analysis import versions
    from .capture.operation_trace import TorchRows, record_operations, trace_notes
    from .types import TraceData, shape_text
    from .verdicts import judge_of
    started = time.perf_counter()
    report = (lambda done: progress("tracing", 0, 1)) if progress else None
    recorder, error = record_operations(model, args, kwargs, values=values, progress=report)
    rows = TorchRows(recorder, judge_of(recorder.recording)).rows()
    inputs = tuple(f"{v.name}: {shape_text(v.shape)} {v.dtype}" for v in recorder.recording.values
                   if v.kind == "input" and v.previous is None)
    return TraceData(type(model).__name__, tuple(rows), ("torch",), inputs, error, values,
                     tuple(trace_notes(recorder)), time.perf_counter() - started, versions())


@starts_model
def _trace_mlx(model: Any, args: Any, kwargs: Mapping[str, Any] | None, values: bool) -> Trace:
    import dataclasses

    from .capture.trace_result import Trace
    args = args if isinstance(args, tuple) and not hasattr(args, "_fields") else (args,)
    with contextlib.suppress(Exception), tracing(values=values) as traced:
        model(*args, **dict(kwargs or {}))
    return Trace(dataclasses.replace(traced.data, title=type(model).__name__))


@contextlib.contextmanager
def tracing(*, values: bool = True) -> Iterator[Trace]:
    """Trace whatever torch and MLX code this thread runs in the block.

        with t2m.tracing() as tr:
            y = net(x).transpose(1, 2).contiguous()
        tr.rows

    Modules are met when they are called; their paths start with their class. A block inside another
    shows its own part. An error goes on its way; ``tr`` has the rows up to there and ``tr.error``.
    MLX functions are wrapped while a block is open and put back after the last one; one imported by
    name earlier (``from mlx.core import add``) stays unseen, and so do the steps inside a function
    that ``mx.compile`` compiled before.
    """
    from .capture.trace_result import Trace
    outer = getattr(_open, "block", None)
    block = outer or _Block(values)
    part = _Part(block)
    traced = Trace(part.data)
    try:
        with contextlib.nullcontext() if outer is not None else block.watching():
            yield traced
    except BaseException as error:
        from .capture.operation_trace import error_text
        part.error = error_text(error)
        raise
    finally:
        part.end()
        traced.settle()


class _Block:
    """What the outermost open block of a thread records."""

    def __init__(self, values: bool):
        from .capture.operation_trace import BlockRecorder
        self.values = values
        self.torch: BlockRecorder = BlockRecorder(values)
        self.mlx: ArrayTracer | None = None
        if importlib.util.find_spec("mlx") is not None:
            from .parity.array_trace import ArrayTracer
            self.mlx = ArrayTracer(values_wanted=values, clock=lambda: self.torch.recording.event_count)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Both sides watch; whatever happens, all is put back."""
        with contextlib.ExitStack() as stack:
            _open.block = self
            stack.callback(setattr, _open, "block", None)
            stack.enter_context(self.torch.watching())
            if self.mlx is not None:
                stack.enter_context(self.mlx.watching())
            yield


class _Part:
    """The part of a block's recording between two moments."""

    def __init__(self, block: _Block):
        self.block, self.error, self.started = block, "", time.perf_counter()
        self.first = self._now()
        self.last: tuple[int, int] | None = None
        self.seconds = 0.0

    def _now(self) -> tuple[int, int]:
        mlx = self.block.mlx
        return self.block.torch.recording.event_count, len(mlx.events) if mlx is not None else 0

    def end(self) -> None:
        """What comes later belongs to the block around."""
        self.last, self.seconds = self._now(), time.perf_counter() - self.started

    def data(self) -> TraceData:
        """The rows of the part, both frameworks in the order in which they ran."""
        from .analysis import versions
        from .capture.operation_trace import TorchRows, trace_notes, unseen
        from .types import TraceData, TraceRow
        from .verdicts import judge_of
        recorder, mlx = self.block.torch, self.block.mlx
        last = self.last or self._now()
        if mlx is not None:
            mlx.flush()
        rows = TorchRows(recorder, judge_of(recorder.recording))
        ours = [event for event in rows.events if self.first[0] <= event.index < last[0]]
        arrays = mlx.events[self.first[1]:last[1]] if mlx is not None else []
        order = sorted([(event.index, 1, n) for n, event in enumerate(ours)] + [
            (event.order, 0, n) for n, event in enumerate(arrays)])
        number = {(kind, n): position for position, (_, kind, n) in enumerate(order)}
        of_torch = {event.index: number[1, n] for n, event in enumerate(ours)}
        of_mlx = {event.index: number[0, n] for n, event in enumerate(arrays)}
        with unseen():  # the rules try things out: an open block should not show that
            made = {row.index: row for row in rows.rows(lambda event: of_torch.get(event.index, -1))}
        for event in arrays:
            assert mlx is not None
            side = mlx.traced(event, lambda index: of_mlx.get(index, -1))
            made[of_mlx[event.index]] = TraceRow(of_mlx[event.index], mlx=side, error=event.error)
        sides = tuple(name for name, some in (("torch", ours), ("mlx", arrays)) if some) or ("torch",)
        return TraceData("tracing", tuple(made[n] for n in range(len(order))), sides, (), self.error,
                         self.block.values, tuple(trace_notes(recorder)),
                         self.seconds or time.perf_counter() - self.started, versions())


def health(model: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, backward: bool = False,
           loss: Callable[[Any], Any] | None = None) -> HealthReport:
    """Run ``model`` once and say which operation made the first NaN or Inf, and how close every tensor is to the
    limits of its dtype: headroom, denormals, dead and saturated activations.

    ``model`` is a live ``torch.nn.Module`` with ``args`` and ``kwargs`` as for :func:`analyze`, an ``mlx.nn.Module``
    likewise, or a port, whose two sides are both checked (``report.mlx``). With ``backward`` the backward pass is
    looked at, too: from ``loss(result)``, from the loss that the model gives, or from the sum of its results. The
    model, its gradients, running statistics and the random state stay as they were. The rule is in
    ``inspection/origins.py``.

    Raises :class:`~t2m_notebook.errors.NotAModule`, :class:`~t2m_notebook.errors.BadExample`,
    :class:`~t2m_notebook.errors.ForwardFailed`.
    """
    import dataclasses

    from .analysis import versions
    if _is_mlx(model):
        from .inspection.mlx_run import mlx_health
        report = mlx_health(model, _as_tuple(args), dict(kwargs or {}), backward=backward, loss=loss)
        return dataclasses.replace(report, versions=versions())
    from .capture import normalise
    from .capture.health_run import torch_health
    from .parity.examples import fresh
    other = None
    if _is_port(model):
        from .parity.inspect_port import port_health
        other = port_health(model, backward=backward)
        subject, args, kwargs = model.model, model.args, model.kwargs
    else:
        subject, (args, kwargs) = model, normalise(args, kwargs)
    args, kwargs = fresh(args, kwargs)
    report = torch_health(subject, args, kwargs, backward=backward, loss=loss)
    return dataclasses.replace(report, mlx=other, versions=versions())


def watch(model: Any, *, stop: bool = True, optimizer: Any = None) -> Any:
    """Watch a training loop, of torch or MLX, for NaN and Inf: activations, gradients, parameters, optimizer state.

        with t2m.watch(model, optimizer=optimizer) as w:
            for x, y in batches:
                ...
        w.report

    With ``stop`` a :class:`~t2m_notebook.errors.NonFinite` is raised as soon as a NaN or Inf has come out (of the
    model, into the loss, a gradient, a parameter or the optimizer's state); it names the operation that made it.
    Without, all is collected. In MLX the checks are evaluated with the code's own ``mx.eval``, so the error comes
    from there; what runs inside ``mx.compile`` counts as one operation. Nothing of the model is changed.
    """
    if _is_mlx(model):
        from .inspection.mlx_health import MLXWatch
        return MLXWatch(model, stop=stop, optimizer=optimizer)
    from .capture import check_model
    from .capture.health_checks import TorchWatch
    check_model(model)
    return TorchWatch(model, stop=stop, optimizer=optimizer)


def memory(model: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, optimizer: Any = "adamw",
           training: bool = True, scale: bool = True) -> MemoryReport:
    """Measure where memory goes: parameters, gradients, optimizer state, activations by module and dtype, for inference
    and for a training step, beside the arithmetic that predicts it. All numbers are bytes.

    ``model`` is a live ``torch.nn.Module`` with ``args`` and ``kwargs`` as for :func:`analyze`, an ``mlx.nn.Module``
    likewise, or a port, whose MLX side is measured in a process of its own (``report.mlx``). ``optimizer`` is a name, a
    class or an instance. With ``scale`` the peaks are measured at other batch sizes and lengths, too, and a line or
    parabola is put through them (``report.scalings``). The model stays as it was.

    Raises a :class:`~t2m_notebook.errors.T2MError`.
    """
    import dataclasses

    from .analysis import versions
    if _is_mlx(model):
        from .inspection.mlx_memory import mlx_memory
        report = mlx_memory(model, _as_tuple(args), dict(kwargs or {}), optimizer=optimizer, training=training)
        return dataclasses.replace(report, versions=versions())
    from .capture import normalise
    from .capture.memory_use import torch_memory
    from .capture.optimizer_memory import optimizer_state_name
    from .parity.examples import fresh
    from .parity.sizes import batch_and_length, other_sizes
    other = None
    if _is_port(model):
        from .parity.inspect_port import port_memory
        other = port_memory(model, training=training, optimizer=optimizer_state_name(optimizer))
        subject, args, kwargs = model.model, model.args, model.kwargs
    else:
        subject, (args, kwargs) = model, normalise(args, kwargs)
    batch, length = batch_and_length(args, kwargs)
    report = torch_memory(subject, *fresh(args, kwargs), optimizer=optimizer, training=training, batch=batch,
                          length=length, variants=other_sizes(args, kwargs) if scale else ())
    return dataclasses.replace(report, mlx=other, versions=versions())


def pending(on_change: Callable[[Any], Any] | None = None) -> Any:
    """Watch MLX's lazy graph grow: operations asked for and not calculated, the bytes that they will take, and where an
    ``mx.eval`` belongs.

        with t2m.pending() as p:
            for x in batches: ...
        print(p)
    """
    from .inspection.mlx_memory import Pending
    return Pending(on_change)


def clip_gradients(model_or_gradients: Any, max_norm: float, *, norm_type: float = 2.0) -> Any:
    """Clip gradients to a total norm of ``max_norm`` and say what that changed. See ``inspection/clipping.py``."""
    return _clipping(model_or_gradients).clip(model_or_gradients, max_norm, norm_type)


def sanitise(model_or_gradients: Any, *, nan: float = 0.0, inf: float = 0.0) -> Any:
    """Replace NaN and ±Inf in gradients and say how many there were and where. See ``inspection/clipping.py``."""
    return _clipping(model_or_gradients).sanitise(model_or_gradients, nan, inf)


def _clipping(subject: Any) -> Any:
    import importlib
    torch_like = hasattr(subject, "named_parameters") or hasattr(subject, "is_leaf") or (
        isinstance(subject, (list, tuple)) and all(hasattr(item, "is_leaf") for item in subject))
    return importlib.import_module(".capture.clipping" if torch_like else ".inspection.mlx_clipping", __package__)


def _as_tuple(args: Any) -> tuple:
    return args if isinstance(args, tuple) and not hasattr(args, "_fields") else (args,)
