"""Starts the worker, talks to it, notices when it hangs or dies, starts it again."""

from __future__ import annotations

import ctypes.util
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
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

    def __init__(self, timeout: float = 120.0):
        self.timeout = timeout
        self.generation = 0
        self._process: subprocess.Popen | None = None
        self._reply: int = -1
        self._buffer = b""
        self._lock = threading.Lock()

    def request(self, request: dict[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises :class:`WorkerFailed` saying what happened when the worker dies or takes
        longer than ``timeout`` seconds.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            process = self._process
            assert process is not None and process.stdin is not None
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                return self._read(timeout or self.timeout)
            except BrokenPipeError:
                raise WorkerFailed(self._obituary()) from None
            except KeyboardInterrupt:
                self.close_process()  # or its answer would be taken for the next request's
                raise

    def _start(self) -> None:
        self.close_process()
        reader, writer = os.pipe()
        environment = {**worker_environment(), "T2M_REPLY": str(writer)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "t2m_notebook.parity.worker"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, pass_fds=(writer,), env=environment, start_new_session=True)
        os.close(writer)
        self._reply, self._buffer = reader, b""
        self.generation += 1
        self._read(60.0)

    def _read(self, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._reply], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.close_process()
                raise WorkerFailed(f"the check took longer than {timeout:.0f} s and was stopped")
            piece = os.read(self._reply, 1 << 16)
            if not piece:
                raise WorkerFailed(self._obituary())
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def _obituary(self) -> str:
        process = self._process
        code = process.wait(5) if process is not None else None
        self.close_process()
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            meaning = {"SIGSEGV": "MLX read or wrote outside an array (an index out of range does that)",
                       "SIGKILL": "it was killed, most likely for using too much memory",
                       "SIGABRT": "MLX aborted"}.get(name, "it was stopped")
            return f"the worker process ended with {name}: {meaning}"
        return f"the worker process ended with code {code}"

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
