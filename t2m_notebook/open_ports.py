"""The ports of one kernel by name, and who may use one of them just now."""

from __future__ import annotations

import contextlib
import difflib
import threading
import weakref
from collections.abc import Callable, Iterator

from .cell_source import unknown_class
from .errors import NotAPort
from .session import Port
from .types import CellCheck

NO_PORT = "There is no port in this kernel: run %t2m_port model x first."


class OpenPorts:
    """The ports that the magics made. A port whose classes stand in cells is kept, as its cells need it; another
    one lives as long as somebody holds it, and the last one always.

    A port answers one question at a time: see :meth:`exclusive`.
    """

    def __init__(self):
        self.last: Port | None = None
        self._kept: dict[str, Port] = {}
        self._known: weakref.WeakValueDictionary[str, Port] = weakref.WeakValueDictionary()
        self._locks: weakref.WeakKeyDictionary[Port, threading.RLock] = weakref.WeakKeyDictionary()
        self._calls: weakref.WeakKeyDictionary[Port, str] = weakref.WeakKeyDictionary()
        self._listeners: list[Callable[..., None]] = []

    def add(self, port: Port, call: str = "") -> None:
        """``port`` is the last one now, and the one of its name. ``call`` is how the user named the model and its
        inputs: ``model x``."""
        self.last = self._known[port.name] = port
        self._calls[port] = call
        self._kept.pop(port.name, None)

    def keep(self, port: Port) -> None:
        """Holds ``port`` until another of its name comes."""
        self._kept[port.name] = port

    def call_of(self, port: Port) -> str:
        """How the user named the model and its inputs; empty when it isn't known."""
        return self._calls.get(port, "")

    def names(self) -> list[str]:
        """The names in the order in which the ports were made."""
        return list(self._known)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def __getitem__(self, name: str) -> Port:
        return self._known[name]

    def find(self, name: str = "") -> Port:
        """The port called ``name``, the last one without a name. Raises :class:`NotAPort`."""
        if self.last is None:
            raise NotAPort(NO_PORT)
        if not name:
            return self.last
        try:
            return self._known[name]
        except KeyError:
            near = difflib.get_close_matches(name, self.names(), n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There is {', '.join(self.names())}."
            raise NotAPort(f"There is no port called {name} in this kernel. {hint}") from None

    def with_class(self, class_name: str, name: str = "") -> Port:
        """The port ``name`` (else the last, else the only one that has the class) if it has ``class_name``.

        Raises :class:`NotAPort`, or :class:`~t2m_notebook.cell_source.WrongCell` for an unknown class.
        """
        port = self.find(name)
        if class_name in port.cells:
            return port
        others = [other for other in self._known.values() if class_name in other.cells]
        if not name and len(others) == 1:
            return others[0]
        if others:
            raise NotAPort(f"The port {port.name} has no class {class_name}; {' and '.join(o.name for o in others)} "
                           f"{'has' if len(others) == 1 else 'have'}: write --name {others[0].name}.")
        raise unknown_class(class_name, port.name, port.cells)

    # ------------------------------------------------------------------------------- listeners

    def listen(self, listener: Callable[..., None]) -> None:
        """From now on ``listener(what, port)`` is called for ``"added"``, ``"laid out"`` and ``"measured"``, and
        ``listener("checked", port, check)``."""
        self._listeners.append(listener)

    def tell(self, what: str, port: Port, *more: CellCheck) -> None:
        """Calls the listeners."""
        for listener in self._listeners:
            listener(what, port, *more)

    # ------------------------------------------------------------------------------- one at a time

    @contextlib.contextmanager
    def exclusive(self, port: Port) -> Iterator[Port]:
        """While the block runs, no other thread uses ``port``."""
        with self._locks.setdefault(port, threading.RLock()):
            yield port
