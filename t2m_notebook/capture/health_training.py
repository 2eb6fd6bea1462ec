"""The part of the torch watch that sees training: the backward pass, gradients, parameters, the optimizer's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..types.health import Finding, Ranges, TensorHealth
from .health_operation import Operation
from .health_values import measure, tensors_of
from .tensors import version_of

BACKWARD = (torch.Tensor.backward, torch.autograd.backward, torch.autograd.grad)


class TrainingChecks:
    """Mixed into the watch, whose values and origins it uses."""

    # -- backward pass, optimizer ----------------------------------------------------------------

    def _run_backward(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        self.phases["backward"] = None
        roots = list(tensors_of(args[:1])) or [*tensors_of(kwargs.get("tensors")), *tensors_of(kwargs.get("outputs"))]
        for root in roots:
            self._reach(self._look(root)[1], "the loss")
            if root.grad_fn is not None:
                self.backward.attach([], [root.grad_fn], None)
        self.backward.start()
        result = function(*args, **kwargs)
        self._collect_backward()
        for tensor in tensors_of(result):  # of torch.autograd.grad
            values = measure(tensor, "gradient", whole=self.whole)
            if values is not None and not values.finite:
                self._reach(
                    next(iter(self.backward.leaf_marks.values()), None)
                    if self.backward.leaf_marks
                    else self._last_backward(),
                    "a gradient",
                )
        self.check_gradients()
        return result

    def _last_backward(self) -> int | None:
        marks = [i for i, o in enumerate(self.origins.found) if o.finding.phase == "backward"]
        return marks[-1] if marks else None

    def _collect_backward(self) -> None:
        for name, operation, values in self.backward.rows:
            fake = operation or Operation(name, "", "", None, [], self.steps)
            row = Operation(name, fake.path, fake.class_name, fake.frame, [], self.steps)
            self._row("backward", row, values, 0)
        self.backward.rows.clear()

    def _gradient(self, gradient: torch.Tensor) -> tuple[Ranges | None, int | None]:
        known = self._known.get(id(gradient))
        if known is not None and known[0]() is gradient and known[1] == version_of(gradient):
            return known[2], known[3]
        values = measure(gradient, "gradient", whole=self.whole)
        self._keep(gradient, version_of(gradient), values, None)
        return values, None

    def check_gradients(self) -> None:
        """Look at the gradient of every parameter, and of every input that has one."""
        with torch._C.DisableTorchFunction():
            for name, parameter in [*self.model.named_parameters(), *self.inputs]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                values, mark = self._gradient(gradient)
                if values is None:
                    continue
                if self.whole or not values.finite:
                    key = ("gradient", name, 0 if self.whole else self.steps)
                    self.rows[key] = TensorHealth.of_named("gradient", name, values, self.steps)
                if not values.finite:
                    own = self.backward.leaf_marks.get(id(parameter), mark)
                    if own is None:
                        own = self.origins.add(
                            Finding("gradient", f"gradient of {name}", values.kinds, outputs=(values,), step=self.steps)
                        )
                    self._keep(gradient, version_of(gradient), values, own)
                    self._reach(own, f"gradient of {name}")

    def check_parameters(self) -> None:
        """Look at every parameter; a bad one is a finding by itself."""
        self.phases["parameters"] = None
        with torch._C.DisableTorchFunction():
            for name, parameter in self.model.named_parameters():
                values, mark = self._look(parameter)
                if values is not None and (self.whole or not values.finite):
                    self.rows[("parameter", name)] = TensorHealth.of_named("parameter", name, values, self.steps)
                if values is not None and not values.finite:
                    self.origins.found[mark].intended = False  # type: ignore[index]
                    self._reach(mark, f"parameter {name}")

    def _ours(self, optimizer: torch.optim.Optimizer) -> bool:
        mine = {id(p) for p in self.model.parameters()}
        return any(id(p) in mine for group in optimizer.param_groups for p in group["params"])

    def _before_step(self, optimizer, args, kwargs) -> None:
        if self._ours(optimizer):
            self.check_gradients()
        self._quiet = 1

    def _after_step(self, optimizer, args, kwargs) -> None:
        self._quiet = 0
        if not self._ours(optimizer):
            return
        self.check_state(optimizer)
        self.check_parameters()
        self.steps += 1

    def check_state(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at the state that an optimizer keeps for each parameter."""
        self.phases["optimizer state"] = None
        names = {id(p): name for name, p in self.model.named_parameters()}
        with torch._C.DisableTorchFunction():
            for parameter, state in optimizer.state.items():
                for key, value in state.items():
                    if not isinstance(value, torch.Tensor) or not value.dim():
                        continue
                    name = f"{names.get(id(parameter), 'parameter')}: {key}"
                    self._names[id(value)] = ("optimizer state", name)
                    values, mark = self._look(value)
                    if values is not None and (self.whole or not values.finite):
                        self.rows[("optimizer state", name)] = TensorHealth(
                            "optimizer state", name, "", values, step=self.steps
                        )
                    if values is not None and not values.finite:
                        self._reach(mark, f"optimizer state {name}")
