"""Clipping and cleaning torch gradients, with an account of what that changed.

``torch.nn.utils.clip_grad_norm_`` multiplies every gradient by max_norm / (total norm + 1e-6). With an Inf anywhere the
total norm is Inf and the factor 0: every finite gradient becomes 0 and every Inf 0·Inf = NaN (measured; MLX's
``clip_grad_norm`` does the same). With a NaN everything becomes NaN. Here nothing is clipped then, and it is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..errors import BadExample
from ..types.clipping import ClipReport, GradientChange


def _named(subject: Any) -> list[tuple[str, torch.Tensor]]:
    """The gradients of a model, of parameters, or the given tensors themselves, with names."""
    if isinstance(subject, torch.nn.Module):
        pairs: Iterable = [(name, p.grad) for name, p in subject.named_parameters()]
    else:
        items = [subject] if isinstance(subject, torch.Tensor) else list(subject)
        pairs = [(str(i), t.grad if t.is_leaf and t.requires_grad else t) for i, t in enumerate(items)]
    found = [(name, gradient) for name, gradient in pairs if gradient is not None]
    if not found:
        raise BadExample("there are no gradients: call backward() first, before zero_grad().")
    for name, gradient in found:
        if gradient.layout is not torch.strided:
            raise BadExample(
                f"the gradient of {name} is {gradient.layout}, which is not supported. Use .to_dense(), or "
                "an embedding with sparse=False."
            )
    return found


def _counts(gradient: torch.Tensor) -> tuple[int, int]:
    return int(gradient.isnan().sum()), int(gradient.isinf().sum())


@torch.no_grad()
def clip(subject: Any, max_norm: float, norm_type: float = 2.0) -> ClipReport:
    """Scale all gradients in place so that their total norm is at most ``max_norm``; the factor is torch's own,
    ``max_norm / (norm + 1e-6)``. With NaN or Inf nothing is changed."""
    gradients = _named(subject)
    bad = [GradientChange(name, *_counts(g)) for name, g in gradients]
    bad = [change for change in bad if change.nan or change.inf]
    norm = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(g.float(), norm_type) for _, g in gradients]), norm_type
    ).item()
    if bad:
        return ClipReport("clip", "torch", len(gradients), norm, norm, max_norm, 1.0, tuple(bad), False)
    factor = min(1.0, max_norm / (norm + 1e-6))
    if factor < 1.0:
        for _, gradient in gradients:
            gradient.mul_(factor)
    return ClipReport("clip", "torch", len(gradients), norm, norm * factor, max_norm, factor, (), factor < 1.0)


@torch.no_grad()
def sanitise(subject: Any, nan: float = 0.0, inf: float = 0.0) -> ClipReport:
    """Replace NaN by ``nan`` and ±Inf by ``±inf`` in place."""
    gradients = _named(subject)
    changes = []
    for name, gradient in gradients:
        counts = _counts(gradient)
        if any(counts):
            gradient.nan_to_num_(nan, inf, -inf)
            changes.append(GradientChange(name, *counts))
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g.float()) for _, g in gradients])).item()
    return ClipReport("sanitise", "torch", len(gradients), None, norm, None, 1.0, tuple(changes), bool(changes))
