"""Which module and which source line made a node of the autograd graph, and what the user calls it.

Torch numbers the nodes of a thread as they are made. While :class:`SourceTracer` watches a
forward, it notes that number before and after every torch call, so that each node gets the
innermost module and the user's line, whatever torch does in between.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch.nn.modules import module as module_hooks
from torch.overrides import TorchFunctionMode

from ..errors import BadExample
from ..types import SourceLocation
from .frames import USER, frame_kind
from .recording import place_in, source_text
from .tensors import writes
from .tree import places

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node came from."""

    module: str | None = None
    location: SourceLocation | None = None
    source: str = ""


class SourceTracer(TorchFunctionMode):
    """Notes the origin of every node made while it is active; ``model`` names the modules."""

    def __init__(self, model: torch.nn.Module | None = None):
        super().__init__()
        self.origins: dict[int, Origin] = {}  # by sequence number
        self.writes: dict[int, Origin] = {}  # by the address of the memory that was written in place
        self.values: dict[tuple[int, int], torch.Tensor] = {}  # by (sequence number, output): small results
        self._has_model = model is not None
        self._paths: dict[int, str] = {}
        for path, module in places(model) if model is not None else ():
            self._paths.setdefault(id(module), path)
        self._stack: list[str] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[SourceTracer]:
        """While the block runs, calls are noted."""
        handles = [module_hooks.register_module_forward_pre_hook(self._enter),
                   module_hooks.register_module_forward_hook(self._leave, always_call=True)]
        try:
            with self:
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        self._stack.append(self._paths.get(id(module), self._stack[-1] if self._stack else ""))

    def _leave(self, module: torch.nn.Module, args: Any, result: Any) -> None:
        self._stack.pop()

    def __torch_function__(self, function: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = torch._C._autograd._get_sequence_nr()
        result = function(*args, **(kwargs or {}))
        after = torch._C._autograd._get_sequence_nr()
        writing = writes(getattr(function, "__name__", ""))
        if after > before or writing:
            origin = self._origin()
            for number in range(before, after):
                self.origins[number] = origin
            if writing and isinstance(args[0], torch.Tensor):
                with contextlib.suppress(RuntimeError, NotImplementedError):
                    self.writes[args[0].untyped_storage().data_ptr()] = origin
            for tensor in result if isinstance(result, (tuple, list)) else (result,):
                if isinstance(tensor, torch.Tensor) and tensor.numel() <= 16 and tensor.grad_fn is not None:
                    with torch._C.DisableTorchFunction():
                        kept = tensor.detach().clone()
                    self.values[tensor.grad_fn._sequence_nr(), tensor.output_nr] = kept
        return result

    def _origin(self) -> Origin:
        place = place_of(sys._getframe(2))
        module = self._stack[-1] if self._stack else "" if self._has_model else None
        return Origin(module, place, source_text(place))


def place_of(frame: FrameType | None) -> SourceLocation | None:
    """The span of the innermost frame outside torch; None when this package called torch itself."""
    while frame is not None:
        if frame_kind(frame.f_code) == USER:
            return None if frame.f_code.co_filename.startswith(_PACKAGE) else place_in(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return None


def tensor_names(names: Any) -> dict[str, torch.Tensor]:
    """``{name: tensor}`` from what a caller may give as ``names``: a mapping, a module, or nothing.

    Raises :class:`BadExample` for anything else.
    """
    if names is None:
        return {}
    if isinstance(names, torch.nn.Module):
        return dict(names.named_parameters())
    if isinstance(names, Mapping):
        for name, value in names.items():
            if not isinstance(name, str) or not isinstance(value, torch.Tensor):
                raise BadExample(f"names: expected {{name: tensor}}, got {name!r}: {type(value).__name__}. "
                                 "For instance names={'a': a, 'b': b}, or the model itself.")
        return dict(names)
    raise BadExample(f"names: expected a dict of tensors or a model, got {type(names).__name__}")


def names_in(scopes: Sequence[Mapping[str, Any]], leaves: set[int],
             ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What a user's scopes call tensors that take part in autograd, and the parameters, by path, of the
    models in them that have one of ``leaves`` (``id`` of tensors). Earlier scopes win."""
    found: dict[str, torch.Tensor] = {}
    modules: dict[str, torch.nn.Module] = {}
    for scope in scopes:
        for name, value in list(scope.items()):
            if name.startswith("_"):
                continue
            if isinstance(value, torch.Tensor) and value.requires_grad:
                found.setdefault(name, value)
            elif isinstance(value, torch.nn.Module):
                modules.setdefault(name, value)
    inside = {id(inner) for module in modules.values() for inner in module.modules() if inner is not module}
    used = {id(module): (name, module) for name, module in modules.items() if id(module) not in inside
            and any(id(parameter) in leaves for parameter in module.parameters())}
    parameters = {path if len(used) == 1 else f"{name}.{path}": parameter for name, module in used.values()
                  for path, parameter in module.named_parameters()}
    return found, parameters


def anomaly_origin(node: Any) -> Origin | None:
    """The line that ``torch.autograd.detect_anomaly`` noted for a node, when it was on."""
    lines = (getattr(node, "metadata", None) or {}).get("traceback_")
    for entry in reversed(lines or []):
        head, _, text = entry.strip().partition("\n")
        parts = head.split('"')
        if len(parts) >= 3 and "/torch/" not in parts[1].replace("\\", "/"):
            number = parts[2].partition("line ")[2].partition(",")[0]
            if number.isdigit():
                source = text.strip().partition("\n")[0]
                function = parts[2].rpartition(" in ")[2].strip()
                return Origin(None, SourceLocation(parts[1], int(number), int(number), 0, 0, function), source)
    return None
