"""Times several functions side by side, so that what else runs on the machine slows all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One measured ratio and its goal. ``ratio`` above ``goal`` is a failure."""

    what: str
    ratio: float
    goal: float | None
    detail: str
    unit: str = "×"

    @property
    def ok(self) -> bool:
        return self.goal is None or self.ratio <= self.goal

    @property
    def text(self) -> str:
        goal = "" if self.goal is None else f"goal ≤ {self.goal:g}{self.unit}  {'ok' if self.ok else 'ABOVE THE GOAL'}"
        return f"{self.what:58s} {self.ratio:8.2f}{self.unit:3s} {goal:32s} {self.detail}"


def side_by_side(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each function in each round; every round runs all of them, in turning order."""
    for function in functions.values():
        function()  # the first run pays for lazy imports and caches
    names, seconds = list(functions), {name: [] for name in functions}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            gc.collect()
            started = time.perf_counter()
            functions[name]()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(seconds: dict[str, list[float]], over: str, under: str) -> float:
    """The median of the rounds' ratios: what disturbs a round disturbs both sides of it."""
    return statistics.median(a / b for a, b in zip(seconds[over], seconds[under], strict=True))


def milliseconds(seconds: list[float]) -> str:
    """The median as text."""
    return f"{1e3 * statistics.median(seconds):.1f} ms"
