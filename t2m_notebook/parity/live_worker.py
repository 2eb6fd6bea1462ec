"""The worker of live checks: limited in time and memory, with a warm spare behind it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from ..errors import WorkerFailed
from .process import Worker

#: How long one check may take before it counts as hung, in seconds.
CHECK_SECONDS = 10.0


def memory_limit() -> int:
    """Bytes that a check may take: half of what the machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError):
        return 8 << 30


class LiveWorker:
    """Answers requests in a child process; another one stands ready, with MLX imported, to take its place.

    ``setup()`` gives the request that makes a new process know the port.
    """

    def __init__(self, setup: Callable[[], dict[str, Any]], seconds: float = CHECK_SECONDS):
        self.setup, self.seconds = setup, seconds
        self.restarts = 0
        self.folder = tempfile.mkdtemp(prefix="t2m_live_")  # the code's working directory
        self._lock = threading.RLock()
        self._guard = threading.Lock()
        self._asked: Worker | None = None  # has a question that it did not answer yet
        self._interrupted = False
        self._ready: Worker | None = None  # knows the port
        self._spare: Worker | None = None
        self._warming: threading.Thread | None = None

    def request(self, request: dict[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """Send a request. Raises :class:`WorkerFailed` when the process ended or hung; the next
        request finds another one that knows the port."""
        with self._lock:
            if self._ready is None:
                taken = self._take_spare()
                answer = taken.request(self.setup())
                if not answer["ok"]:
                    taken.close()
                    raise WorkerFailed(f"the generated classes could not be loaded: {answer['error']}")
                self._ready = taken
                self._warm()
            with self._guard:
                self._asked, self._interrupted = self._ready, False
            try:
                answer = self._ready.request(request, seconds or self.seconds)
            except (WorkerFailed, KeyboardInterrupt):
                self.replace()
                raise
            finally:
                with self._guard:
                    self._asked = None
            if answer.get("dirty") or self._interrupted:
                self.replace()
            return answer

    def interrupt(self) -> None:
        """From another thread: nobody waits for the present answer any more. Its request raises
        :class:`WorkerFailed`."""
        with self._guard:
            if self._asked is not None:
                self._interrupted = True
                self._asked.kill()

    def replace(self) -> None:
        """Leave the present process: what it holds is gone."""
        if self._ready is not None:
            self._ready.close()
            self._ready = None
            self.restarts += 1

    def _new(self) -> Worker:
        return Worker(folder=self.folder, memory_limit=memory_limit())

    def _take_spare(self) -> Worker:
        if self._warming is not None:
            self._warming.join()
        spare, self._spare = self._spare, None
        return spare or self._new()

    def _warm(self) -> None:
        """Start the next process in the background."""
        def start() -> None:
            worker = self._new()
            with contextlib.suppress(WorkerFailed):  # then the next request starts one and says why
                worker.request({"do": "live"})
                self._spare = worker

        if self._spare is None:
            self._warming = threading.Thread(target=start, daemon=True)
            self._warming.start()

    def close(self) -> None:
        """End both processes."""
        with self._lock:
            if self._warming is not None:
                self._warming.join()
            for worker in (self._ready, self._spare):
                if worker is not None:
                    worker.close()
            self._ready = self._spare = None
            shutil.rmtree(self.folder, ignore_errors=True)


def line_of(failure: WorkerFailed) -> int | None:
    """The line that a message of the worker names."""
    found = re.search(r"\(line (\d+)\)", str(failure))
    return int(found[1]) if found else None
