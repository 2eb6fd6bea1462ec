"""One forward, and on request one backward pass, of a torch model under the watch; the model stays as it was."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from ..errors import BadExample, ForwardFailed
from ..inspection.starting import starts_model
from ..types.health import HealthReport
from .examples import _hint, argument_names, check_example, check_model
from .health_checks import TorchWatch
from .health_values import tensors_of
from .tensors import deep_tensors


@contextlib.contextmanager
def undisturbed(model: torch.nn.Module) -> Iterator[None]:
    """Puts back, at the end, what a forward and a backward pass change: buffers (running statistics), gradients, the
    random state of Python, NumPy and torch."""
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    python_state, numpy = random.getstate(), sys.modules.get("numpy")
    numpy_state = numpy.random.get_state() if numpy is not None else None
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            for parameter, _ in gradients:
                parameter.grad = None
            yield
        finally:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            for parameter, before in gradients:
                parameter.grad = before
            for module, training in modes:
                module.training = training
            random.setstate(python_state)
            if numpy is not None:
                numpy.random.set_state(numpy_state)


@starts_model
def torch_health(
    model: torch.nn.Module,
    args: tuple,
    kwargs: Mapping[str, Any],
    *,
    backward: bool = False,
    loss: Callable[[Any], torch.Tensor] | None = None,
) -> HealthReport:
    """The report of one forward on an example that nobody else needs (it may be written into).

    Raises a :class:`~t2m_notebook.errors.T2MError`: the example doesn't fit, the forward or the backward pass raised,
    there is nothing to differentiate, the loss is not a scalar.
    """
    check_model(model)
    check_example(model, args, kwargs)
    watch = TorchWatch(model, stop=False, whole=True)
    grad = backward and any(p.requires_grad for p in model.parameters())
    with undisturbed(model):
        try:
            with torch.set_grad_enabled(backward), watch:
                for name, value in argument_names(model, args, kwargs):
                    for path, tensor in deep_tensors(value, name):
                        watch.name(tensor, "input", path)
                        if backward and tensor.requires_grad and tensor.is_leaf:
                            grad = True
                            watch.inputs.append((f"input {path}", tensor))
                result = model(*args, **kwargs)
                if backward:
                    _backward(watch, result, loss, grad)
        except ForwardFailed:
            raise
        except RuntimeError as error:
            if "backward" in watch.phases:
                raise ForwardFailed(backward_failed(error, watch)) from error
            raise ForwardFailed(forward_failed(error, watch)) from error
        except BadExample:
            raise
        except Exception as error:
            raise ForwardFailed(forward_failed(error, watch)) from error
        if model.training:
            watch.notes.append("the model is in train mode: dropout is active and norms use the batch's statistics")
        return watch.report


def _backward(watch: TorchWatch, result: Any, loss: Callable[[Any], torch.Tensor] | None, grad: bool) -> None:
    if not grad:
        raise BadExample(
            "backward: no parameter of the model and no input requires a gradient, so there is no backward "
            "pass to look at. Call requires_grad_() on what should have one."
        )
    if loss is not None:
        value = loss(result)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise BadExample(f"loss has to give a tensor with one number, got {shape}. Reduce it: .mean() or .sum().")
        watch.notes.append("backward from the loss that was given")
    else:
        value = _loss_of(result, watch.notes)
    if not value.requires_grad:
        raise BadExample(
            "backward: the result does not depend on anything that requires a gradient (detached, "
            "torch.no_grad inside the forward, or an integer result), so there is no backward pass."
        )
    value.reshape(()).backward()


def _loss_of(result: Any, notes: list[str]) -> torch.Tensor:
    """The model's own loss, its only number, or the sum of what it gives."""
    own = result.get("loss") if isinstance(result, Mapping) else getattr(result, "loss", None)
    if isinstance(own, torch.Tensor) and own.numel() == 1:
        notes.append("backward from the loss that the model gives")
        return own
    tensors = [t for t in tensors_of(result) if t.is_floating_point() or t.is_complex()]
    tensors = [t for t in tensors if t.requires_grad] or tensors
    if not tensors:
        raise BadExample(
            "backward: the model's result holds no floating-point tensor to differentiate. Pass loss=, a "
            "function of the result."
        )
    if len(tensors) == 1 and tensors[0].numel() == 1 and tensors[0].is_floating_point():
        notes.append("backward from the number that the model gives")
        return tensors[0]
    notes.append("backward from the sum of all results; pass loss= for your own")
    parts = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
    return torch.stack([(t.to_dense() if t.layout is not torch.strided else t).float().sum() for t in parts]).sum()


def forward_failed(error: Exception, watch: TorchWatch) -> str:
    """What raised, in which module, and what was bad before."""
    module = watch.failed_in
    path = watch.path_of(module)
    where = f"in {path or 'the model itself'}" + (f" ({type(module).__name__})" if module is not None else "")
    first = next((f for f in watch.origins.settled() if f.verdict != "intended"), None)
    before = f"\nBefore that, {first.text}" if first is not None else ""
    return (
        f"the model's forward raised {where}\n{type(error).__name__}: {str(error).strip() or '(no message)'}"
        f"{_hint(error)}{before}"
    )


def backward_failed(error: Exception, watch: TorchWatch) -> str:
    """What raised in the backward pass; for a value that was overwritten, where that may have been."""
    text = f"the backward pass raised\n{type(error).__name__}: {str(error).strip()}"
    if "inplace operation" in str(error):
        shape = next((s for s in {s for _, s in watch.writes} if f"{list(s)}" in str(error)), None)
        places = [op.text for op, written in watch.writes if shape is None or written == shape]
        text += (
            "\nA value that the backward pass needs was written to in place"
            + (": " + "; ".join(dict.fromkeys(places)) if places else "")
            + ". Use the form without the underscore there."
        )
    return text
