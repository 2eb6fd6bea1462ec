"""Clipping and cleaning MLX gradients, with an account of what that changed. MLX arrays are values: the new gradients
are in ``report.gradients``. ``mlx.optimizers.clip_grad_norm`` with an Inf gives zeros and NaN, as torch's does."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from ..errors import BadExample
from ..types.clipping import ClipReport, GradientChange


def _named(subject: Any) -> list[tuple[str, mx.array]]:
    if isinstance(subject, mx.array):
        return [("0", subject)]
    found = [(name, array) for name, array in tree_flatten(subject) if isinstance(array, mx.array)]
    if not found or callable(subject):
        raise BadExample("pass the gradients that nn.value_and_grad gave: MLX modules hold none.")
    return found


def _counted(gradients: list[tuple[str, mx.array]]) -> tuple[GradientChange, ...]:
    counts = [(mx.isnan(g).sum(), mx.isinf(g).sum()) for _, g in gradients]
    mx.eval(counts)
    return tuple(
        GradientChange(name, nan.item(), inf.item())
        for (name, _), (nan, inf) in zip(gradients, counts, strict=True)
        if nan.item() or inf.item()
    )


def _norm(gradients: list[tuple[str, mx.array]], norm_type: float) -> float:
    sizes = [mx.abs(g.astype(mx.float32)) for _, g in gradients]
    if norm_type == float("inf"):
        return mx.stack([s.max() for s in sizes]).max().item()
    return (mx.stack([(s**norm_type).sum() for s in sizes]).sum() ** (1 / norm_type)).item()


def _nested(subject: Any, gradients: list[tuple[str, mx.array]]) -> Any:
    return gradients[0][1] if isinstance(subject, mx.array) else tree_unflatten(gradients)


def clip(subject: Any, max_norm: float, norm_type: float = 2.0) -> ClipReport:
    """Gradients whose total norm is at most ``max_norm``, in ``report.gradients``; unchanged when one is bad."""
    gradients = _named(subject)
    bad, norm = _counted(gradients), _norm(gradients, norm_type)
    factor = 1.0 if bad else min(1.0, max_norm / (norm + 1e-6))
    made = _nested(subject, [(name, g * factor) for name, g in gradients]) if factor < 1.0 else subject
    return ClipReport(
        "clip", "mlx", len(gradients), norm, norm if bad else norm * factor, max_norm, factor, bad, factor < 1.0, made
    )


def sanitise(subject: Any, nan: float = 0.0, inf: float = 0.0) -> ClipReport:
    """Gradients with NaN replaced by ``nan`` and ±Inf by ``±inf``, in ``report.gradients``."""
    gradients = _named(subject)
    changes = _counted(gradients)
    made = [(name, mx.nan_to_num(g, nan=nan, posinf=inf, neginf=-inf)) for name, g in gradients]
    return ClipReport(
        "sanitise",
        "mlx",
        len(gradients),
        None,
        _norm(made, 2.0),
        None,
        1.0,
        changes,
        bool(changes),
        _nested(subject, made),
    )
