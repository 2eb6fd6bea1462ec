"""What tracing costs over the plain forward, with and without the summaries of values."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import t2m_notebook as t2m

from .models import MODELS
from .timing import Line, milliseconds, ratio, side_by_side

GOAL, VALUES_GOAL = 1.5, 3.0


def lines(rounds: int = 15) -> Iterator[Line]:
    """``trace`` over the forward, for each model; the table of rows is part of it."""
    for name, make in MODELS.items():
        model, args, _ = make()

        def forward(model=model, args=args):
            with torch.no_grad():
                return model(*args)

        seconds = side_by_side({
            "forward": forward, "plain": lambda m=model, a=args: t2m.trace(m, a, values=False).rows,
            "values": lambda m=model, a=args: t2m.trace(m, a).rows}, rounds)
        shown = {key: milliseconds(value) for key, value in seconds.items()}
        yield Line(f"{name}: tracing without values / forward", ratio(seconds, "plain", "forward"), GOAL,
                   f"{shown['plain']} / {shown['forward']}")
        yield Line(f"{name}: tracing with values / forward", ratio(seconds, "values", "forward"), VALUES_GOAL,
                   f"{shown['values']} / {shown['forward']}")
