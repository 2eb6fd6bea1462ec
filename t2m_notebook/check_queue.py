"""The thread in which live checks run: the newest text of each cell, then the whole model when nobody types."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

log = logging.getLogger(__name__)

Job = Callable[[], Any]
IDLE_BEFORE_SETTLING = 0.25  # seconds without a new check before the whole model is measured


class CheckQueue:
    """Runs jobs one at a time in a thread of its own, started when first needed.

    A job that comes under the same key as one that still waits takes its place in the line. ``later`` jobs wait
    until no other job is left, ``settle`` jobs also until :data:`IDLE_BEFORE_SETTLING` has passed; whoever runs one
    of these asks :meth:`must_give_way` from time to time.
    """

    def __init__(self, idle: float = IDLE_BEFORE_SETTLING):
        self._jobs: dict[Hashable, Job] = {}
        self._later: dict[Hashable, Job] = {}
        self._settling: dict[Hashable, Job] = {}
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._busy: Hashable | None = None  # the key of the job that runs
        self._since = 0.0
        self._last_put = 0.0
        self._idle = idle

    def put(self, key: Hashable, job: Job, *, front: bool = False) -> None:
        """Runs ``job`` soon, in place of a job under ``key`` that has not begun; ``front`` before all others."""
        with self._condition:
            if front:
                self._jobs = {key: job, **{k: j for k, j in self._jobs.items() if k != key}}
            else:
                self._jobs[key] = job
            self._start()

    def later(self, key: Hashable, job: Job) -> None:
        """Runs ``job`` when no other waits."""
        with self._condition:
            self._later[key] = job
            self._start()

    def settle(self, key: Hashable, job: Job) -> None:
        """Runs ``job`` when nothing else is to do, once for every ``key`` however often it was asked for."""
        with self._condition:
            self._settling[key] = job
            self._start()

    def drop(self, key: Hashable) -> None:
        """Forgets a job that has not begun."""
        with self._condition:
            for jobs in (self._jobs, self._later, self._settling):
                jobs.pop(key, None)

    def must_give_way(self) -> bool:
        """True when a check waits: a measurement of the whole model should stop."""
        return bool(self._jobs or self._later) or self._closed

    def __len__(self) -> int:
        return len(self._jobs) + len(self._later) + len(self._settling) + (self._busy is not None)

    def waits(self, key: Hashable) -> bool:
        """True while a job under ``key`` has not begun."""
        return key in self._jobs

    def running(self) -> tuple[Hashable, float]:
        """The key of the job that runs, None when there is none, and the seconds for which it has been running."""
        with self._condition:
            return self._busy, time.monotonic() - self._since

    def wait_until_idle(self, seconds: float = 60.0) -> bool:
        """Waits until everything is done; False when that took longer than ``seconds``."""
        with self._condition:
            return self._condition.wait_for(lambda: not len(self), seconds)

    def close(self) -> None:
        """Drops what waits and ends the thread after the job that runs."""
        with self._condition:
            self._closed = True
            for jobs in (self._jobs, self._later, self._settling):
                jobs.clear()
            self._condition.notify_all()

    def _start(self) -> None:
        self._last_put = time.monotonic()
        self._condition.notify_all()
        if self._thread is None or not self._thread.is_alive():
            self._closed = False
            self._thread = threading.Thread(target=self._run, name="t2m live checks", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:  # the job's own duty is to answer; this keeps the thread alive and the reason
                log.exception("a live check failed")
            finally:
                with self._condition:
                    self._busy = None
                    self._condition.notify_all()

    def _next(self) -> Job | None:
        with self._condition:
            while not self._closed:
                waiting = self._jobs or self._later
                rest = self._last_put + self._idle - time.monotonic()
                if not waiting and self._settling and rest <= 0:
                    waiting = self._settling
                if waiting:
                    self._busy, self._since = next(iter(waiting)), time.monotonic()
                    return waiting.pop(self._busy)
                self._condition.wait(rest if self._settling else None)
            return None
