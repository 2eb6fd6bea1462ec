"""What torch gives in float64: where torch's own rounding is as large as the difference, nothing is wrong."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import torch
from torch.utils._pytree import tree_map

from t2m_notebook.capture.recording import flatten
from tests.rules.values import to_numpy


def widened(value: Any) -> Any:
    """Arguments with each floating tensor as a fresh float64 leaf."""
    def wide(item):
        if not isinstance(item, torch.Tensor) or not item.is_floating_point():
            return item
        return item.detach().double().requires_grad_(item.requires_grad)
    return tree_map(wide, value)


def exact_results(function, args, kwargs) -> list[torch.Tensor]:
    """The results in float64; empty when torch can't."""
    try:
        args, kwargs = widened((args, kwargs))
        with torch.no_grad():
            return [tensor for _, tensor in flatten(function(*args, **kwargs))]
    except Exception:  # an argument says another dtype, or torch has no float64 there
        return []


def exact_gradients(function, args, kwargs, use, weights, paths) -> list[torch.Tensor | None]:
    """The gradients of ``sum(weights * results)`` in float64; empty when torch can't."""
    try:
        args, kwargs = widened((args, kwargs))
        leaves = dict(flatten([args, kwargs]))
        results = [tensor for _, tensor in flatten(function(*args, **kwargs))]
        found = torch.autograd.grad([results[i] for i in use], [leaves[path] for path in paths],
                                    [weight.double() for weight in weights], allow_unused=True)
        return list(found)
    except Exception:
        return []


def as_close_as_torch(got: mx.array, want: torch.Tensor, exact: torch.Tensor | None) -> bool:
    """True when MLX's value is no further from the exact one than twice torch's own."""
    if exact is None or not exact.is_floating_point() or tuple(got.shape) != tuple(exact.shape):
        return False
    reference = exact.detach().numpy()
    torch_error = np.abs(want.detach().double().numpy() - reference)
    error = np.abs(to_numpy(got).astype(np.float64) - reference)
    return bool(np.isfinite(error).all() and error.max(initial=0) <= 2 * torch_error.max(initial=0))
