"""Says which samples of a database neither matched nor were excused."""

from __future__ import annotations

import warnings

import torch

from tests.rules.samples import Tally, run_module, run_op

ORDERS = ("standard", "channels last")


def unexcused(tally: Tally, excused: tuple[str, ...] = ()) -> list[str]:
    """A line per sample that did not match and whose label or outcome contains none of ``excused``."""
    lines = [f"{label[:200]}: {outcome.kind} {outcome.detail}" for label, outcome in tally.failures]
    return [line for line in lines if not any(part in line for part in excused)]


def failing_op(name: str, orders: str, excused: tuple[str, ...] = (), seconds: float = 1.5,
               dtype: torch.dtype = torch.float32, gradients: bool = True) -> list[str]:
    """Unexcused samples of an operation. A name without any sample is one too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says about its own samples
        tally = run_op(name, dtype, seconds=seconds, orders=orders, gradients=gradients)
    return unexcused(tally, excused) if tally.counts else [f"{name}: no sample"]


def failing_module(name: str, orders: str, excused: tuple[str, ...] = ()) -> list[str]:
    """Unexcused samples of a layer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tally = run_module(name, orders=orders)
    return unexcused(tally, excused) if tally.counts else [f"{name}: no sample"]
