"""What an optimizer keeps for each parameter: measured on copies, beside the arithmetic."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from ..errors import BadExample
from ..inspection.arithmetic import state_count


def optimizer_state(model: torch.nn.Module, optimizer: Any) -> tuple[str, int, int | None]:
    """``(name, measured bytes, predicted bytes)`` of the state after one step, measured on one copy at a time.

    ``optimizer`` is a name, a class or an instance of ``torch.optim``. Raises :class:`BadExample` for another.
    """
    cls, options = _optimizer_class(optimizer)
    measured = predicted = 0
    count = state_count(cls.__name__, options.get("momentum", 0.0))
    for parameter in {id(p): p for p in model.parameters() if p.requires_grad}.values():
        copy = torch.zeros_like(parameter, requires_grad=True)
        copy.grad = torch.zeros_like(parameter)
        try:
            made = cls([copy], **options)
            made.step()
        except Exception as error:
            raise BadExample(f"optimizer {cls.__name__} can't be tried out on one parameter: {error}") from error
        measured += sum(v.untyped_storage().nbytes() for v in made.state[copy].values() if isinstance(v, torch.Tensor))
        predicted += (count or 0) * parameter.numel() * parameter.element_size()
    return cls.__name__, measured, predicted if count is not None else None


def _optimizer_class(optimizer: Any) -> tuple[type, dict[str, Any]]:
    if isinstance(optimizer, torch.optim.Optimizer):
        known = inspect.signature(type(optimizer).__init__).parameters
        return type(optimizer), {k: v for k, v in optimizer.defaults.items() if k in known}
    if isinstance(optimizer, str):
        by_name = {name.lower(): cls for name, cls in vars(torch.optim).items() if isinstance(cls, type)}
        if optimizer.lower() not in by_name:
            raise BadExample(
                f"torch.optim has no optimizer {optimizer!r}; there are "
                f"{', '.join(sorted(n for n, c in by_name.items() if n != 'optimizer'))}."
            )
        optimizer = by_name[optimizer.lower()]
    if not (isinstance(optimizer, type) and issubclass(optimizer, torch.optim.Optimizer)):
        raise BadExample(f"optimizer: a name, a class or an instance of torch.optim, got {type(optimizer).__name__}.")
    needs_rate = inspect.signature(optimizer.__init__).parameters.get("lr")
    return optimizer, {"lr": 1e-3} if needs_rate is not None else {}


def optimizer_state_name(optimizer: Any) -> str:
    """``AdamW``."""
    return _optimizer_class(optimizer)[0].__name__
