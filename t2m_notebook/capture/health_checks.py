"""Watches torch code for NaN and Inf: every operation of the forward, every node of the backward pass, gradients,
parameters, the optimizer's state.

A ``TorchFunctionMode`` sees the operations, ``nn.Module.__call__`` is wrapped to know the module, hooks on ``grad_fn``
see the backward pass, torch's own hooks around ``Optimizer.step`` see gradients and state. No module gets a hook, no
result changes, and everything is put back at the end, also when something raises.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode

from ..errors import NonFinite
from ..inspection.checkpoints import LISTENERS
from ..inspection.limits import not_finite_in, numbers_in
from ..inspection.origins import Origins
from ..inspection.reasons import reason as cause
from ..inspection.reasons import sentence
from ..types.health import Finding, Ranges, TensorHealth, kinds_of
from .frames import function_name
from .health_backward import BackwardHooks
from .health_operation import Operation, storage_of, user_frame
from .health_rows import MeasuredRows
from .health_training import BACKWARD, TrainingChecks
from .health_values import measure, tensors_of
from .recording import Frame, locate, source_text
from .tensors import version_of
from .tree import places

#: Calls that make no numbers, or only read them.
_SKIPPED = frozenset(
    """size dim numel nelement ndimension stride is_contiguous data_ptr is_floating_point is_complex
    element_size storage_offset untyped_storage storage __len__ __hash__ __repr__ __format__ result_type
    is_same_size _is_view __set__ __delete__ requires_grad_ register_hook retain_grad item tolist
    __bool__ numpy empty empty_like new_empty empty_strided resize_ set_ __float__ __int__ __iter__
    isnan isinf isfinite""".split()
)


class TorchWatch(TrainingChecks, MeasuredRows, TorchFunctionMode):
    """Watches what runs while it is entered. ``stop`` raises :class:`NonFinite` once a NaN or Inf has come out of the
    model, into the loss, a gradient, a parameter or the optimizer's state; it names the operation that made it.
    ``whole`` measures everything about every tensor (:func:`health`); without it one pass over each."""

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        stop: bool = True,
        whole: bool = False,
        optimizer: torch.optim.Optimizer | None = None,
    ):
        super().__init__()
        self.model, self.stop, self.whole, self.optimizer = model, stop, whole, optimizer
        self.origins, self.steps, self.operations = Origins(), 0, 0
        self.inputs: list[tuple[str, torch.Tensor]] = []  # those of the example that are differentiated
        self.notes: list[str] = []
        self.rows: dict[tuple, TensorHealth] = {}
        self.dead: dict[tuple, TensorHealth] = {}
        self.checkpoints: dict[tuple, TensorHealth] = {}
        self.backward = BackwardHooks(self.origins, self._finding, whole)
        self.phases: dict[str, None] = {}
        self._known: dict[int, tuple[weakref.ref, int, Ranges | None, int | None]] = {}
        self._storages: dict[int, int] = {}  # address of memory that was written to -> mark
        self.writes: deque[tuple[Operation, tuple[int, ...]]] = deque(maxlen=1000)
        self._names: dict[int, tuple[str, str]] = {}  # id of a tensor -> (kind, name)
        self._stack: list[torch.nn.Module] = []
        self._paths = {id(module): path for path, module in reversed(list(places(model)))}
        self._quiet = 0
        self._exits = contextlib.ExitStack()
        self._started = time.perf_counter()
        self.failed_in: torch.nn.Module | None = None

    # -- entering and leaving -----------------------------------------------------------------

    def __enter__(self) -> TorchWatch:
        previous = torch.nn.Module.__call__
        watch = self

        def __call__(module, *args, **kwargs):
            return watch._call(previous, module, args, kwargs)

        # A parameter or buffer that is bad already is the cause, not the first operation that reads it.
        for path, module in places(self.model):
            for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        self._names.setdefault(id(tensor), (kind, f"{path}.{name}" if path else name))
        self._exits.callback(self.backward.remove)
        # What torch.compile compiled runs as it was written: only there are operations to be seen.
        self._exits.enter_context(torch.compiler.set_stance("force_eager"))
        for register, hook in (
            (register_optimizer_step_pre_hook, self._before_step),
            (register_optimizer_step_post_hook, self._after_step),
        ):
            self._exits.callback(register(hook).remove)
        torch.nn.Module.__call__ = __call__
        self._exits.callback(setattr, torch.nn.Module, "__call__", previous)
        apply = torch.autograd.Function.__dict__["apply"]
        torch.autograd.Function.apply = classmethod(
            lambda cls, *given, **named: watch._apply(apply.__get__(None, cls), cls, given, named)
        )
        self._exits.callback(setattr, torch.autograd.Function, "apply", apply)
        LISTENERS.append(self._checkpoint)
        self._exits.callback(LISTENERS.remove, self._checkpoint)
        super().__enter__()
        return self

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        self._exits.close()
        if error[1] is not None and not isinstance(error[1], NonFinite):
            first = next((o.finding for o in self.origins.found if not o.intended), None)
            if first is not None:
                error[1].add_note(f"Before that, {first.text}")

    def _call(self, previous: Callable, module: torch.nn.Module, args: tuple, kwargs: dict) -> Any:
        if not self._stack:
            self._quiet = 0  # an optimizer's step that raised has not ended it
        self._stack.append(module)
        try:
            result = previous(module, *args, **kwargs)
        except BaseException:
            self.failed_in = self.failed_in or module
            raise
        finally:
            self._stack.pop()
        if module is self.model and not any(one is module for one in self._stack):
            self.phases["forward"] = None
            with torch._C.DisableTorchFunction():
                for tensor in tensors_of(result):
                    values, mark = self._look(tensor)
                    self._reach(mark, "the model's result", values)
            self.check_parameters()
        return result

    # -- values ---------------------------------------------------------------------------------

    def name(self, tensor: torch.Tensor, kind: str, name: str) -> None:
        """From now on ``tensor`` is called ``name``; ``kind`` is "input", "parameter" or "buffer"."""
        self._names[id(tensor)] = (kind, name)

    def path_of(self, module: torch.nn.Module | None) -> str:
        """The module's place in the watched model; empty for the model itself and for what is not in it."""
        return self._paths.get(id(module), "")

    def _look(self, tensor: torch.Tensor) -> tuple[Ranges | None, int | None]:
        """The ranges of a tensor as it is now and its mark. One never seen before is given from outside."""
        known, version = self._known.get(id(tensor)), version_of(tensor)
        if known is not None and known[0]() is tensor and known[1] == version:
            return known[2], known[3]
        kind, name = self._names.get(id(tensor), ("", ""))
        values = measure(tensor, name, whole=self.whole)
        mark = None
        if values is not None and not values.finite:
            mark = self._given(tensor, kind, name, values, known)
        self._keep(tensor, version, values, mark)
        return values, mark

    def _given(self, tensor: torch.Tensor, kind: str, name: str, values: Ranges, known: Any) -> int:
        """The mark of a bad value that no operation was seen to make."""
        written = self._storages.get(storage_of(tensor))
        if written is not None:
            return written  # through another view of its memory
        if known is not None and known[0]() is tensor and known[3] is not None:
            return known[3]  # written through a view; it was bad before
        mask_like = (
            not values.nan
            and kind in ("buffer", "")
            or (not values.nan and not values.positive_inf and kind == "input")
        )
        place = {} if kind != "parameter" else {"path": name.rpartition(".")[0]}
        return self.origins.add(
            Finding(
                kind or "input",
                name or "a tensor from outside",
                values.kinds,
                outputs=(values,),
                step=self.steps,
                reason="It is so before anything ran."
                if not self.steps
                else "It is so since the last step of the optimizer."
                if kind == "parameter"
                else "",
                **place,
            ),
            intended=mask_like,
        )

    def _keep(self, tensor: torch.Tensor, version: int, values: Ranges | None, mark: int | None) -> None:
        key = id(tensor)
        self._known[key] = (
            weakref.ref(tensor, lambda _, known=self._known: known.pop(key, None)),
            version,
            values,
            mark,
        )

    def _reach(self, mark: int | None, where: str, values: Ranges | None = None) -> None:
        origin = self.origins.reach(mark, where, values)
        if origin is not None and self.stop:
            raise NonFinite(origin.settled)

    # -- operations -----------------------------------------------------------------------------

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self._quiet:
            return function(*args, **kwargs)
        if function in BACKWARD:
            return self._run_backward(function, args, kwargs)
        name = function_name(function)
        last = name.rpartition(".")[2]
        if last == "__get__":
            name, last = name.rpartition(".")[0], name.split(".")[-2]
            if last in ("grad", "grad_fn", "shape", "dtype", "device", "data", "requires_grad", "is_leaf"):
                return function(*args, **kwargs)
        if last in _SKIPPED:
            return function(*args, **kwargs)
        given = [*tensors_of(args), *tensors_of(kwargs)]
        inputs = [(values, mark) for values, mark in map(self._look, given) if values is not None]
        before = [tensor.grad_fn for tensor in given] if torch.is_grad_enabled() else []
        versions = {id(tensor): version_of(tensor) for tensor in given}
        result = function(*args, **kwargs)
        results = [
            t for t in tensors_of(args[0] if last == "__setitem__" else result) if versions.get(id(t)) != version_of(t)
        ]
        if not results:
            return result
        operation = self._operation(name, inputs, user_frame(2))
        mark = None
        for number, tensor in enumerate(results):
            mark = self._result(operation, tensor, number, args, kwargs, id(tensor) in versions, mark)
        if torch.is_grad_enabled() and any(t.requires_grad for t in results):
            self.backward.attach([t for t in results if t.requires_grad], before, operation)
        operation.inputs = [values for values, _ in inputs]
        return result

    def _apply(self, apply: Callable, function: type, args: tuple, kwargs: dict) -> Any:
        """A custom ``autograd.Function``: what its forward runs is seen by itself, its node gets its name here."""
        if self._quiet:
            return apply(*args, **kwargs)
        given = [*tensors_of(args), *tensors_of(kwargs)]
        with torch._C.DisableTorchFunction():
            inputs = [(values, mark) for values, mark in map(self._look, given) if values is not None]
            before = [tensor.grad_fn for tensor in given]
        result = apply(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            operation = self._operation(f"{function.__qualname__}.apply", inputs, user_frame(2))
            for number, tensor in enumerate(tensors_of(result)):
                if id(tensor) not in self._known:
                    self._result(operation, tensor, number, (), {}, False)
            operation.inputs = [values for values, _ in inputs]
            if torch.is_grad_enabled():
                self.backward.attach([t for t in tensors_of(result) if t.requires_grad], before, operation)
        return result

    def _operation(self, name: str, inputs: list, frame: Frame | None) -> Operation:
        owner = self._stack[-1] if self._stack else None
        self.operations += 1
        return Operation(
            name,
            self._paths.get(id(owner), ""),
            type(owner).__name__ if owner is not None else "",
            frame,
            inputs,
            self.steps,
        )

    def _result(
        self,
        operation: Operation,
        tensor: torch.Tensor,
        number: int,
        args: tuple,
        kwargs: dict,
        writes: bool,
        same: int | None = None,
    ) -> int | None:
        """Measure and judge a result; ``same`` is the mark of an earlier result of the same call."""
        values = measure(tensor, "result", whole=self.whole)
        mark = None
        if values is not None:
            if not values.finite:
                constants = not_finite_in(values.dtype, (*numbers_in(args), *numbers_in(kwargs)))
                mark = (
                    same
                    if same is not None
                    else self.origins.judge(
                        operation.name,
                        operation.inputs,
                        values,
                        constants,
                        lambda: self._finding(operation, inputs=[v for v, _ in operation.inputs], outputs=[values]),
                    )
                )
            if self.whole or self.steps == 0:
                self._row("forward", operation, values, number, tensor)
            if mark is not None and writes:
                self._storages[storage_of(tensor)] = mark
        if writes:
            self.writes.append((operation, tuple(tensor.shape)))
        self._keep(tensor, version_of(tensor), values, mark)
        operation.marks.append(mark)
        return mark if mark is not None else same

    def _finding(
        self,
        operation: Operation | None,
        *,
        inputs: list[Ranges],
        outputs: list[Ranges],
        phase: str = "forward",
        name: str = "",
        reason: str | None = None,
    ) -> Finding:
        """The description of an origin. ``operation`` is the forward's; None when it was not seen."""
        made = kinds_of(outputs)
        if operation is None:
            return Finding(
                phase, name, made, reason=reason or "", inputs=tuple(inputs), outputs=tuple(outputs), step=self.steps
            )
        place = locate(operation.frame) if operation.frame else None
        why = sentence(cause(operation.name, inputs, outputs)) if reason is None else reason
        return Finding(
            phase,
            name or operation.name,
            made,
            path=operation.path,
            class_name=operation.class_name,
            source=source_text(place),
            location=place,
            reason=why,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            step=self.steps,
            forward_operation=operation.name if phase == "backward" else "",
        )
