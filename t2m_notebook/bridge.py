"""The kernel's side of the live notebook: JSON over comms to every front-end that shows it.

A handler never waits: it may run in a thread of the kernel that other messages need. What takes time goes through
one :class:`~t2m_notebook.check_queue.CheckQueue`. Nothing here runs before ``%load_ext t2m_notebook``, and nothing
is executed before a port was made in this kernel.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .cell_source import WrongCell, assembly_text, cells_of
from .check_queue import CheckQueue
from .errors import NotAPort, T2MError
from .live_cells import FrontEnd, LiveCell, LivePort, checked, data_of, session_of
from .live_state import result_of, state_of
from .open_ports import OpenPorts
from .render.cell_check import counted_from_magic
from .session import Port
from .types import CellCheck, Mark

log = logging.getLogger(__name__)

TARGET, VERSION = "t2m_notebook", 1
MOST_FRONT_ENDS = 8  # a page that was closed without a word is forgotten when so many newer ones came
PATIENCE = 1.5  # seconds that a check may take when a newer text of its cell waits
STATE_EVERY = 0.15  # seconds between two states of one port while checks come in


class Bridge:
    """Connects the ports of one kernel with the front-ends. ``parent`` gives the request that is being executed."""

    def __init__(self, ports: OpenPorts, queue: CheckQueue | None = None,
                 parent: Callable[[], dict[str, Any]] = dict):
        self.ports, self.queue, self.parent = ports, queue or CheckQueue(), parent
        self.front_ends: OrderedDict[str, FrontEnd] = OrderedDict()  # by comm id, the last heard last
        self.cells: dict[str, LiveCell] = {}
        self._live: dict[int, LivePort] = {}
        self._lock = threading.RLock()
        self._order = 0
        self._being_checked: Port | None = None
        ports.listen(self._changed)

    # ------------------------------------------------------------------------------- comms

    def opened(self, comm: Any, message: dict[str, Any] | None = None) -> None:
        """Takes a comm, whichever side opened it."""
        front_end = FrontEnd(comm, session=session_of(message))
        with self._lock:
            self.front_ends[comm.comm_id] = front_end
            while len(self.front_ends) > MOST_FRONT_ENDS:
                self.front_ends.popitem(last=False)
        comm.on_msg(lambda received: self.received(front_end, received))
        comm.on_close(lambda _: self.closed(comm.comm_id))
        data = data_of(message)
        if data.get("type"):
            self.received(front_end, message or {})

    def closed(self, comm_id: str) -> None:
        """A page is gone; its cells' last texts stay, as another page may show them."""
        with self._lock:
            self.front_ends.pop(comm_id, None)

    def received(self, front_end: FrontEnd, message: dict[str, Any]) -> None:
        """Handles one message. Never raises, never waits, never prints."""
        try:
            data = data_of(message)
            front_end.session = session_of(message) or front_end.session
            front_end.context = contextvars.copy_context()
            with self._lock:
                self.front_ends[front_end.comm.comm_id] = front_end
                self.front_ends.move_to_end(front_end.comm.comm_id)
            handler = getattr(self, f"on_{data.get('type')}", None)
            if handler is not None:
                handler(front_end, data)
        except Exception as error:
            log.warning("a message from the front-end could not be handled", exc_info=True)
            self._answer_failure(front_end, message, error)

    def _answer_failure(self, front_end: FrontEnd, message: dict[str, Any], error: Exception) -> None:
        data = data_of(message)
        if data.get("type") == "check":
            self._send_failure(front_end, data, f"{type(error).__name__}: {error}")

    def _send_failure(self, front_end: FrontEnd, data: dict[str, Any], text: str, state: str = "error",
                      line: int | None = None, message: str = "") -> None:
        name = str(data.get("class", ""))
        marks = (Mark(line, message or text),) if line else ()
        check = CellCheck(name, state, text, message=message, line=line, marks=marks)
        front_end.send(result_of(check, str(data.get("port", "")), data.get("cell", ""), data.get("seq", 0),
                                 str(data.get("source", ""))))

    # ------------------------------------------------------------------------------- from the front-end

    def on_hello(self, front_end: FrontEnd, data: dict[str, Any]) -> None:
        front_end.said_hello = True
        last = self.ports.last
        front_end.send({"type": "hello", "version": VERSION, "ports": self.ports.names(),
                        "last": last.name if last is not None else ""})
        for name in self.ports.names():
            port = self.ports[name]
            live = self._of(port)
            unsent, live.unsent_cells = live.unsent_cells, None
            if unsent is not None:
                front_end.send(unsent)
            self.queue.put(("state", name), lambda port=port: self._send_state(port))

    def on_settings(self, front_end: FrontEnd, data: dict[str, Any]) -> None:
        tolerance = data.get("tolerance")
        front_end.tolerance = float(tolerance) if isinstance(tolerance, (int, float)) and tolerance > 0 else 1.0

    def on_check(self, front_end: FrontEnd, data: dict[str, Any]) -> None:
        key, sequence = str(data["cell"]), int(data["seq"])
        with self._lock:
            known = self.cells.get(key)
            if known is not None and known.front_end is front_end and sequence < known.sequence:
                return  # an older one that came late
            self._order += 1
            self.cells[key] = LiveCell(front_end, sequence, str(data.get("port") or ""), str(data["class"]),
                                       str(data["source"]), front_end.tolerance, order=self._order)
        self.queue.drop(("explain", key))
        self.queue.put(("check", key), lambda: self._check_cell(key))
        self._hurry(key)

    def _hurry(self, key: str) -> None:
        """Neither an older text of this cell that loops for ever nor an explanation keeps a check waiting."""
        running, seconds = self.queue.running()
        in_the_way = running == ("check", key) or isinstance(running, tuple) and running[0] == "explain"
        if not in_the_way or not self.queue.waits(("check", key)):
            return
        if seconds >= PATIENCE:
            if self._being_checked is not None:
                self._being_checked.live.worker.interrupt()
            return
        timer = threading.Timer(PATIENCE - seconds, self._hurry, (key,))
        timer.daemon = True
        timer.start()

    def on_forget(self, front_end: FrontEnd, data: dict[str, Any]) -> None:
        key = str(data["cell"])
        with self._lock:
            gone = self.cells.pop(key, None)
        self.queue.drop(("check", key))
        self.queue.drop(("explain", key))
        if gone is not None and gone.checked:
            self.queue.put(("forget", key), lambda: self._take_back(gone))

    def on_torch_source(self, front_end: FrontEnd, data: dict[str, Any]) -> None:
        self._answer_text(front_end, data, lambda port, name: port.torch_source(name))

    def on_generated(self, front_end: FrontEnd, data: dict[str, Any]) -> None:
        self._answer_text(front_end, data, lambda port, name: port.cells[name].generated)

    def _answer_text(self, front_end: FrontEnd, data: dict[str, Any], text_of: Callable[[Port, str], str]) -> None:
        name = str(data.get("class", ""))

        def answer() -> None:
            try:
                text = text_of(self.ports.with_class(name, str(data.get("port") or "")), name)
            except T2MError as error:
                text = "".join(f"# {line}\n" for line in str(error).splitlines())
            front_end.send({"type": data["type"], "request": data.get("request"), "text": text})

        self.queue.put(("text", id(front_end), data.get("request")), answer, front=True)

    # ------------------------------------------------------------------------------- checks

    def _check_cell(self, key: str) -> None:
        """Checks the newest text of a cell and answers. Runs in the queue's thread."""
        with self._lock:
            cell = self.cells.get(key)
        if cell is None:
            return
        asked = {"cell": key, "seq": cell.sequence, "port": cell.port, "class": cell.class_name,
                 "source": cell.source}
        try:
            port = self.ports.with_class(cell.class_name, cell.port)
        except NotAPort as error:
            text = "no port: run %t2m_port" if self.ports.last is None else f"no port {cell.port or cell.class_name}"
            self._send_failure(cell.front_end, asked, text, "unknown", message=str(error))
            return
        except WrongCell as error:
            self._send_failure(cell.front_end, asked, "unknown class", line=1, message=str(error))
            return
        cell.front_end.send({"type": "checking", "cell": key, "seq": cell.sequence})
        self._being_checked = port
        try:
            with self.ports.exclusive(port):
                check = checked(port, cell.class_name, cell.source, cell.tolerance, explain=False)
                self._answer(key, cell, port, check)
                if check.state == "stopped" and self._is_newest(key, cell):
                    cell.front_end.send({"type": "worker", "event": "restarted",
                                         "text": f"Checking {check.class_name}: {check.message}. "
                                                 "Another process has taken its place."})
            # the verdict is out; where it parts and what would mend it takes longer, and other cells come first
            if check.state in ("diverges", "error"):
                self.queue.later(("explain", key), lambda: self._explain(key, cell, port, check))
        except Exception as error:  # the badge has to say something whatever happened
            log.warning("checking class %s failed", cell.class_name, exc_info=True)
            self._send_failure(cell.front_end, asked, f"{type(error).__name__}: {error}")
        finally:
            self._being_checked = None

    def _explain(self, key: str, cell: LiveCell, port: Port, check: CellCheck) -> None:
        """Adds to a verdict on which line the values part and what would mend it. Runs in the queue's thread."""
        self._being_checked = port
        try:
            with self.ports.exclusive(port):
                if self._is_newest(key, cell) and check is port.live.last.get(cell.class_name):
                    self._answer(key, cell, port, port.live.explain(cell.class_name, cell.source, cell.tolerance))
        finally:
            self._being_checked = None

    def _is_newest(self, key: str, cell: LiveCell) -> bool:
        with self._lock:
            return self.cells.get(key) is cell

    def _answer(self, key: str, cell: LiveCell, port: Port, check: CellCheck) -> None:
        """Sends a verdict, unless a newer text of the cell waits."""
        cell.checked = True
        check = self._with_twins(key, cell, port, check)
        if self._is_newest(key, cell):
            said = counted_from_magic(check, texts_only=True)
            cell.front_end.send(result_of(said, port.name, key, cell.sequence, cell.source))
        self.checked(port, check)

    def checked(self, port: Port, check: CellCheck) -> None:
        """Notes what a check found, tells the front-ends, and has the whole model measured when it passed."""
        live = self._of(port)
        live.checks[check.class_name] = check
        live.seen[check.class_name] = port.cells[check.class_name].source
        self.queue.put(("state", port.name), lambda: self._send_state(port, soon=True))
        if all(one.ok for one in live.checks.values()):
            self.queue.settle(port.name, lambda: self._settle(port))
        else:
            self.queue.drop(port.name)

    def _with_twins(self, key: str, cell: LiveCell, port: Port, check: CellCheck) -> CellCheck:
        """A warning when another cell holds the same class with another text."""
        with self._lock:
            twins = [other for name, other in self.cells.items()
                     if name != key and other.class_name == cell.class_name and other.port in (cell.port, port.name, "")
                     and other.source.rstrip() != cell.source.rstrip()]
        if not twins:
            return check
        lines = cell.source.splitlines()
        line = next((n for n, text in enumerate(lines, 1) if text.startswith(f"class {cell.class_name}")), 1)
        said = f"Class {cell.class_name} stands in {len(twins) + 1} cells; this one was checked last, and counts."
        return replace(check, marks=(*check.marks, Mark(line, said, "warning")),
                       message=f"{check.message} {said}".strip())

    def _take_back(self, gone: LiveCell) -> None:
        """A cell was deleted: its class is what another cell says, else what was generated."""
        try:
            port = self.ports.with_class(gone.class_name, gone.port)
        except T2MError:
            return
        with self._lock:
            others = [(cell.order, key) for key, cell in self.cells.items()
                      if cell.class_name == gone.class_name and cell.port in (gone.port, port.name, "")]
        if others:
            key = max(others)[1]
            self.queue.put(("check", key), lambda: self._check_cell(key))
            return
        with self.ports.exclusive(port):
            check = checked(port, gone.class_name, port.cells[gone.class_name].generated)
        self.checked(port, check)

    def _settle(self, port: Port) -> None:
        """Measures what the edits may have changed, and the whole model."""
        try:
            with self.ports.exclusive(port):
                port.settle(tolerance=self._tolerance())
                self._of(port).checks.clear()
        except T2MError:
            log.warning("the whole model %s could not be measured", port.name, exc_info=True)
        self._send_state(port)

    def _tolerance(self) -> float:
        """The setting of the page that was heard last."""
        with self._lock:
            return next((page.tolerance for page in reversed(self.front_ends.values())), 1.0)

    # ------------------------------------------------------------------------------- to the front-end

    def lay_out(self, port: Port) -> None:
        """Sends the classes of ``port`` as cells to the front-end that asks for them by running a cell."""
        request = self.parent()
        is_named = len(self.ports.names()) > 1 or port.name != type(port.model).__name__
        cells = [{"class": cell.class_name, "source": cell.text, "generated": cell.generated}
                 for cell in cells_of(port.cells, port.name if is_named else "")]
        message = {"type": "cells", "port": port.name, "cells": cells, "assembly": assembly_text(port.name),
                   "execution": {"cell_id": (request.get("metadata") or {}).get("cellId") or ""}}
        session = session_of(request)
        with self._lock:
            heard = [front_end for front_end in self.front_ends.values() if front_end.said_hello]
        asked = [front_end for front_end in heard if front_end.session == session] or heard
        if asked:
            asked[-1].send(message)
        else:
            self._of(port).unsent_cells = message

    def _changed(self, what: str, port: Port, check: CellCheck | None = None) -> None:
        """Listener of the ports: the main thread made one, checked a class of one, or measured one as a whole."""
        if what == "added":
            self._forget_old_ports()
            self._of(port)
            port.listen(self._told)
            self._recheck(port)
        elif what == "measured":
            self._of(port).checks.clear()
        elif what == "laid out":
            self.lay_out(port)
        elif check is not None:
            self.checked(port, check)
        self.queue.put(("state", port.name), lambda: self._send_state(port))

    def _told(self, port: Port) -> None:
        """Listener of a port: somebody edited, checked or measured it."""
        self.queue.put(("state", port.name), lambda: self._send_state(port, soon=True))
        self.queue.settle(("changed", port.name), lambda: self._check_changed(port))

    def _check_changed(self, port: Port) -> None:
        """Checks what was edited from Python: ``port.cells["Block"].reset()``."""
        live = self._of(port)
        for name in port.unsettled:
            if live.seen.get(name) != port.cells[name].source:
                with self.ports.exclusive(port):
                    check = port.check(name, explain=False)
                self.checked(port, check)

    def _recheck(self, port: Port) -> None:
        """A port of this name was made again: the edited texts in its cells still count."""
        with self._lock:
            waiting = [key for key, cell in self.cells.items() if cell.port in (port.name, "")]
        for key in waiting:
            self.queue.put(("check", key), lambda key=key: self._check_cell(key))

    def _of(self, port: Port) -> LivePort:
        with self._lock:
            return self._live.setdefault(id(port), LivePort())

    def _forget_old_ports(self) -> None:
        with self._lock:
            known = {id(self.ports[name]) for name in self.ports.names()}
            self._live = {key: live for key, live in self._live.items() if key in known}

    def _send_state(self, port: Port, soon: bool = False) -> None:
        """Tells every page; ``soon``: not more often than all :data:`STATE_EVERY` seconds while checks wait."""
        live, now = self._of(port), time.monotonic()
        if port.name not in self.ports or self.ports[port.name] is not port:
            return
        with self._lock:
            heard = [front_end for front_end in self.front_ends.values() if front_end.said_hello]
            waiting = {cell.class_name for key, cell in self.cells.items() if not cell.checked}
        if soon and self.queue.must_give_way() and now - live.state_sent < STATE_EVERY:
            self.queue.put(("state", port.name), lambda: self._send_state(port, soon=True))
            return
        if heard:
            live.state_sent = now
            stale = waiting & set(port.cells)
            with self.ports.exclusive(port):
                message = state_of(port, dict(live.checks), stale)
            for front_end in heard:
                front_end.send(message)


def start(ports: OpenPorts, shell: Any) -> Bridge | None:
    """``%load_ext``: takes comms that front-ends open, and opens one to those that wait. None outside a kernel."""
    if not hasattr(shell, "kernel"):
        return None
    from comm import create_comm, get_comm_manager

    bridge = Bridge(ports, parent=lambda: shell.get_parent() or {})
    get_comm_manager().register_target(TARGET, bridge.opened)
    bridge.opened(create_comm(target_name=TARGET, data={"version": VERSION}))
    return bridge
