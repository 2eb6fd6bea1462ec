"""Checks a model and its example before the forward, and says what went wrong after it."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..errors import BadExample, ForwardFailed, ModelNotReady, NotAModule
from ..types import SourceLocation
from .frames import USER, frame_kind
from .recorder import Recorder, run
from .recording import ModuleCall, Recording, place_in, source_text
from .tree import places


def normalise(args: Any, kwargs: Mapping[str, Any] | None) -> tuple[tuple, dict[str, Any]]:
    """``args`` as a tuple (a bare tensor or dict becomes one argument) and ``kwargs`` as a dict.

    Raises :class:`BadExample` when ``kwargs`` is not a mapping with string keys.
    """
    if kwargs is not None and not (isinstance(kwargs, Mapping) and all(isinstance(k, str) for k in kwargs)):
        raise BadExample(f"kwargs: expected a dict with the forward's argument names, got {type(kwargs).__name__}")
    if args is None:
        args = ()
    # A named tuple is one structured argument, a plain tuple the list of arguments.
    if not isinstance(args, tuple) or hasattr(args, "_fields"):
        args = (args,)
    return args, dict(kwargs or {})


def check_model(model: Any) -> None:
    """Raise when ``model`` can't be run or recorded here."""
    if isinstance(model, type) and issubclass(model, torch.nn.Module):
        raise NotAModule(f"{model.__name__} is a class. Pass an instance: {model.__name__}(...)")
    if not isinstance(model, torch.nn.Module):
        raise NotAModule(f"expected a live torch.nn.Module, got {type(model).__module__}.{type(model).__qualname__}. "
                         "Wrap a function in an nn.Module, or pass the module that it uses.")
    for path, module in places(model):
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                _check_tensor(f"{path}.{name}" if path else name, tensor)


def _check_tensor(name: str, tensor: torch.Tensor) -> None:
    if type(tensor) is not torch.nn.Parameter and isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise ModelNotReady(f"{name} is a lazy parameter without a shape. Run one forward, "
                            "model(example), and try again.")
    if tensor.is_meta:
        raise ModelNotReady(f"{name} is on the meta device and has no values. Load real weights, or "
                            "model.to_empty(device='cpu') and initialise it.")
    if tensor.layout is not torch.strided:
        raise ModelNotReady(f"{name} is {tensor.layout}; sparse weights are not supported. Use .to_dense().")


def argument_names(model: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any],
                   defaults: bool = False) -> list[tuple[str, Any]]:
    """The arguments of a call under the forward's parameter names, in the forward's order;
    with ``defaults`` also those that were left out."""
    try:
        signature = inspect.signature(model.forward)
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return [(f"argument{i}", value) for i, value in enumerate(args)] + list(kwargs.items())
    if defaults:
        bound.apply_defaults()
    named: list[tuple[str, Any]] = []
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            named += [(f"{name}{i}", item) for i, item in enumerate(value)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named += list(value.items())
        else:
            named.append((name, value))
    return named


def check_example(model: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> None:
    """Raise :class:`BadExample` when the forward's signature does not take the example."""
    try:
        signature = inspect.signature(model.forward)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise BadExample(f"{type(model).__name__}.forward{signature} does not take this example: {error}. "
                         "Pass its arguments in order, or by name.") from None


def record(model: torch.nn.Module, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, keep: str = "none",
           grad: bool = False, progress: Callable[[int], None] | None = None) -> tuple[Recording, Any]:
    """Run ``model`` once and record it. Returns the recording and the model's result.

    ``keep`` says which tensors stay: ``"none"``, ``"boundaries"`` (what goes into and comes
    out of modules) or ``"all"``. Without ``grad`` the forward runs under ``torch.no_grad``.
    Raises a :class:`~t2m_notebook.errors.T2MError` for each thing that can be wrong; nothing
    stays hooked or changed.
    """
    check_model(model)
    args, kwargs = normalise(args, kwargs)
    check_example(model, args, kwargs)
    recorder = Recorder(model, keep=keep, progress=progress)
    recorder.name_inputs(argument_names(model, args, kwargs))
    try:
        with torch.set_grad_enabled(grad):
            result = run(recorder, args, kwargs)
    except Exception as error:
        raise forward_failed(error, recorder.recording) from error
    if model.training:
        recorder.recording.notes.append("recorded in train mode: dropout is active and norms use batch "
                                        "statistics; model.eval() records inference")
    return recorder.recording, result


def forward_failed(error: Exception, recording: Recording) -> ForwardFailed:
    """The error of a forward as one message: what, in which module, on which line."""
    failed: ModuleCall | None = None
    for call in recording.root.walk() if recording.root else ():
        if call.failed:
            failed = call  # the deepest one comes last
    place: SourceLocation | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame_kind(frame.f_code) == USER:
            place = place_in(frame.f_code, frame.f_lasti) or place
    path = failed.path if failed else ""
    where = f"in {path or 'the model itself'}" + (f" ({type(failed.module).__name__})" if failed else "")
    line = f", {place.text}: {source_text(place)}" if place else ""
    return ForwardFailed(f"the model's forward raised {where}{line}\n"
                         f"{type(error).__name__}: {str(error).strip() or '(no message)'}{_hint(error)}",
                         path, place, recording)


def _hint(error: Exception) -> str:
    text = str(error)
    hints = (
        ("not compiled with CUDA", "The forward asks for CUDA. Move the model and the example to the CPU, and look "
                                   "for a hard-coded .cuda() on the line above."),
        ("Expected all tensors to be on the same device",
         "Model and example are on different devices: .to('cpu') both."),
        ("expected scalar type",
         "The example's dtype does not fit the weights: token ids are torch.long, images float."),
        ("mat1 and mat2 shapes", "The example's shape does not fit the model."),
        ("Expected 3D", "The example's shape does not fit the model."),
        ("Given groups", "The example's channels do not fit the model (images are N×C×H×W)."),
        ("index out of range", "An id in the example is larger than the embedding table."),
        ("must have same dtype", "The example's dtype does not fit the weights."),
    )
    found = next((hint for needle, hint in hints if needle in text), "")
    return f"\n{found}" if found else ""
