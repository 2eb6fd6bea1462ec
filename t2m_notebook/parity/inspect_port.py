"""The MLX side of a port under the health watch, or measured for memory, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import NotPortable, WorkerFailed
from ..types import from_data
from ..types.health import HealthReport

if TYPE_CHECKING:
    from ..session import Port
    from ..types.memory import MemoryReport

TIMEOUT = 300.0  # seconds


def port_health(port: Port, *, backward: bool = False) -> HealthReport:
    """The report of the port's own forward on its example, run in a fresh process.

    Raises :class:`WorkerFailed` when that process crashes or hangs, :class:`NotPortable` for a port with gaps.
    """
    found = from_data(HealthReport, _inspect(port, {"do": "health", "backward": backward,
                                                    "source": port.source_with_checkpoints}))
    port.take_checkpoints(found)
    return found


def port_memory(port: Port, **options: Any) -> MemoryReport:
    """Active, peak and cache memory of the port, measured in a fresh process."""
    from ..types.memory import MemoryReport

    return from_data(MemoryReport, _inspect(port, {"do": "memory", "options": options}))


def _inspect(port: Port, request: dict[str, Any]) -> dict[str, Any]:
    from ..port.artefact import call_text, write_files

    if port.problems:
        raise NotPortable(f"the MLX side can't run: {port.problems[0]}")
    with tempfile.TemporaryDirectory(prefix="t2m_") as folder:
        write_files(port, Path(folder))
        request = {"source": port.source, **request, "folder": folder,
                   "arguments": call_text(port, 'example["input.{}"]')}
        answer = run_alone("t2m_notebook.parity.inspect_mlx", request)
    if not answer["ok"]:
        raise WorkerFailed(f"the MLX side raised {answer['error']}")
    return answer["report"]


def run_alone(module: str, request: dict[str, Any], timeout: float = TIMEOUT) -> dict[str, Any]:
    """Run ``python -m module`` with one request and give its answer."""
    from .process import worker_environment

    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(writer,),
            start_new_session=True,
            env={**worker_environment(), "T2M_REPLY": str(writer)},
        )
    finally:
        os.close(writer)
    with os.fdopen(reader) as replies:
        try:
            process.communicate(json.dumps(request).encode() + b"\n", timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise WorkerFailed(f"the MLX side took longer than {timeout:.0f} s and was stopped") from None
        except BaseException:
            process.kill()
            process.wait()
            raise
        text = replies.read()
    if not text:
        code = process.returncode
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise WorkerFailed(f"the process of the MLX side ended with {name}; the session is unharmed")
    return json.loads(text)
