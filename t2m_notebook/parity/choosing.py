"""Which of several ports of one model, written from recordings at different sizes, is right at most of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..capture import Recording
from ..types import Status
from .recordings import Recordings

if TYPE_CHECKING:
    from ..session import Port


def right_at_most_sizes(made: Port, recordings: Recordings, port_of: Callable[[Recording], Port]) -> Port:
    """A port that is right at every recorded size, where the model took another path at some:
    both paths as branches, or one path for all. A model may leave out a step at one size (no
    resampling when the size is the weights' own) that is harmless there, so that what it runs at
    another is right for both; and a loop that ran more often is no branch.

    ``port_of`` writes a port from another recording than ``made``'s. Those that are not chosen are closed.
    """
    def candidates() -> Iterator[Port]:
        merged = recordings.merged()
        branches_first = merged is not None and recordings.different and not merged.repeats
        if merged is not None and branches_first:
            yield port_of(merged.recording)
        yield made
        if merged is not None and not branches_first:
            yield port_of(merged.recording)
        for other in recordings.others:
            yield port_of(other)

    best, most = made, (False, False, -1)
    for candidate in candidates():
        report = candidate.parity(isolate=False) if not candidate.problems else None
        proven = [result for result in report.results if result.status is Status.PROVEN] if report is not None else []
        # what the user gave first, then what every port is held to, then the most of all
        right = (any(result.check == "end to end" for result in proven), report is not None and report.ok,
                 len(proven) if report is not None else -1)
        whole = report is not None and report.ok and len(proven) == len(report.results)
        if whole or right > most:
            if best is not candidate:
                best.close()
            best, most = candidate, right
        elif candidate is not best:
            candidate.close()
        if whole:
            break
    return best
