"""Starts the worker, talks to it, notices when it hangs or dies, starts it again."""

from __future__ import annotations

import ctypes.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import WorkerFailed

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]


@cache
def fast_blas() -> str | None:
    """An OpenBLAS to preload: MLX's Linux CPU build carries a BLAS that is 20 times slower."""
    if not sys.platform.startswith("linux"):
        return None
    return ctypes.util.find_library("openblas")


def worker_environment() -> dict[str, str]:
    """The environment in which MLX runs exactly and fast."""
    environment = {**os.environ, "MLX_ENABLE_TF32": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(_PACKAGE_ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    library = fast_blas()
    if library and library not in environment.get("LD_PRELOAD", ""):
        environment["LD_PRELOAD"] = " ".join(filter(None, [environment.get("LD_PRELOAD", ""), library]))
    return environment


class Worker:
    """One worker process. A crash, a hang or an out-of-memory ends only it; the next
    request starts another and ``generation`` says that what was loaded is gone."""

    def __init__(self, timeout: float = 120.0, *, folder: str | None = None, memory_limit: int | None = None):
        """``folder`` is the working directory of the code; ``memory_limit`` (bytes) is what it may take."""
        self.timeout = timeout
        self.folder, self.memory_limit = folder, memory_limit
        self.generation = 0
        self._process: subprocess.Popen | None = None
        self._reply: int = -1
        self._buffer = b""
        self._greeted = False  # the process has said that it is ready
        self._asked_memory = 0.0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, if none runs, without waiting for it: it imports MLX by itself."""
        with self._lock:
            if self._process is None:
                self._start()

    def request(self, request: dict[str, Any], timeout: float | None = None, *,
                meanwhile: Callable[[], None] | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer; ``meanwhile`` is called while the worker works.

        Raises :class:`WorkerFailed` saying what happened when the worker dies or takes
        longer than ``timeout`` seconds.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                if not self._greeted:
                    self._read(60.0)
                    self._greeted = True
                process = self._process
                assert process is not None and process.stdin is not None
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                if meanwhile is not None:
                    meanwhile()
                return self._read(timeout or self.timeout)
            except BrokenPipeError:
                raise WorkerFailed(self._obituary()) from None
            except BaseException:
                self.close_process()  # or its answer would be taken for the next request's
                raise

    def _start(self) -> None:
        self.close_process()
        reader, writer = os.pipe()
        environment = {**worker_environment(), "T2M_REPLY": str(writer)}
        if self.folder is not None:
            environment["T2M_TRACEBACKS"] = str(self._tracebacks)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "t2m_notebook.parity.worker"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=(writer,), env=environment, start_new_session=True,
            cwd=self.folder)
        os.close(writer)
        self._reply, self._buffer = reader, b""
        self.generation += 1
        self._greeted = False

    def _read(self, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            wait = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self._reply], [], [], min(wait, 0.05) if self.memory_limit else wait)
            if not ready and self.memory_limit and self._resident() > self.memory_limit:
                place = self._place()
                self.close_process()
                raise WorkerFailed(f"the check took more than {self.memory_limit / 1e9:.1f} GB of memory and was "
                                   f"stopped{place}")
            if not ready and time.monotonic() >= deadline:
                place = self._place()
                self.close_process()
                raise WorkerFailed(f"the check took longer than {timeout:.0f} s and was stopped{place}")
            if not ready:
                continue
            piece = os.read(self._reply, 1 << 16)
            if not piece:
                raise WorkerFailed(self._obituary())
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    @property
    def _tracebacks(self) -> Path:
        """Where the process leaves the lines that it stood at when it crashed or was asked."""
        return Path(self.folder or ".", f".tracebacks-{id(self)}")

    def _place(self, ask: bool = True) -> str:
        """`` (line 7)`` of the cell that the process is at, where that can be known."""
        process = self._process
        if self.folder is None or process is None:
            return ""
        if ask and process.poll() is None:
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.05)
        try:
            text = self._tracebacks.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        # the innermost frame comes first
        found = re.search(r'File "<cell [^"]*>", line (\d+)', text)
        return f" (line {found[1]})" if found else ""

    def _resident(self) -> int:
        """Bytes of memory that the process holds; 0 where that can't be known."""
        process = self._process
        if process is None:
            return 0
        try:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            pass  # no /proc on a Mac
        if time.monotonic() < self._asked_memory + 0.5:
            return 0
        self._asked_memory = time.monotonic()
        said = subprocess.run(["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True).stdout
        return int(said.strip() or 0) * 1024

    def _obituary(self) -> str:
        process = self._process
        code = process.wait(5) if process is not None else None
        place = self._place(ask=False)
        self.close_process()
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            meaning = {"SIGSEGV": "MLX read or wrote outside an array (an index out of range does that)",
                       "SIGKILL": "it was killed, most likely for using too much memory",
                       "SIGABRT": "MLX aborted"}.get(name, "it was stopped")
            return f"the worker process ended with {name}{place}: {meaning}"
        return f"the worker process ended with code {code}{place}"

    def kill(self) -> None:
        """End the process from another thread than the one that waits for its answer."""
        process = self._process
        if process is not None:
            process.kill()

    def close_process(self) -> None:
        """End the process; the next request starts a new one."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(5)
            if self._process.stdin:
                self._process.stdin.close()
            os.close(self._reply)
            self._process = None

    close = close_process

    def __del__(self):
        try:
            self.close_process()
        except Exception:  # interpreter shutdown: nothing left to tell
            return
