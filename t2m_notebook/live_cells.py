"""What the bridge keeps of each page, cell and port; and the check of a cell's text."""

from __future__ import annotations

import contextvars
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from .cell_source import WrongCell, check_class_text
from .session import Port
from .types import CellCheck, Mark

log = logging.getLogger(__name__)

NOT_THIS_CLASS = "not this class"


@dataclass
class FrontEnd:
    """One page that shows a notebook of this kernel."""

    comm: Any
    said_hello: bool = False
    session: str = ""  # of its messages' headers; the same as in its execute requests
    tolerance: float = 1.0
    context: contextvars.Context = field(default_factory=contextvars.copy_context)  # of the last message from it

    def __post_init__(self) -> None:
        # ipykernel delivers what comes over a comm to the subshell in whose context the kernel sent last. Ours sends
        # from the thread of the checks, at any time: each message of the page shall go where its header says.
        self.comm._reply_subshell_for = lambda data, subshell_id: subshell_id

    def send(self, message: dict[str, Any]) -> None:
        """Sends in the context of the page's last message, and lives with a page that is gone."""
        try:
            self.context.copy().run(self.comm.send, message)
        except Exception:
            log.warning("a message of type %s could not be sent", message.get("type"), exc_info=True)


@dataclass
class LiveCell:
    """The newest that a front-end said of one cell."""

    front_end: FrontEnd
    sequence: int
    port: str
    class_name: str
    source: str
    tolerance: float = 1.0
    checked: bool = False
    order: int = 0


@dataclass
class LivePort:
    """What the bridge knows of a port on top of the port itself."""

    checks: dict[str, CellCheck] = field(default_factory=dict)  # since the whole model was measured
    seen: dict[str, str] = field(default_factory=dict)  # the text of each class that was checked last
    unsent_cells: dict[str, Any] | None = None
    state_sent: float = 0.0


def checked(port: Port, class_name: str, source: str, tolerance: float = 1.0, explain: bool = True) -> CellCheck:
    """Checks ``source`` as the text of a class; a text that is not that class is an error whatever it computes."""
    try:
        check_class_text(class_name, source, port.cells)
    except WrongCell as error:
        # the port takes the text over all the same: from now on the whole model lacks the class
        check = port.check(class_name, source, tolerance=tolerance, explain=False)
        marks = (Mark(error.line, str(error)),) if error.line else ()
        return replace(check, state="error", text=NOT_THIS_CLASS, message=str(error), line=error.line, marks=marks,
                       fixes=())
    return port.check(class_name, source, tolerance=tolerance, explain=explain)


def data_of(message: dict[str, Any] | None) -> dict[str, Any]:
    """What a comm message carries."""
    data = ((message or {}).get("content") or {}).get("data")
    return data if isinstance(data, dict) else {}


def session_of(message: dict[str, Any] | None) -> str:
    """The client that a message came from: a page has the same in its comm messages and its execute requests."""
    return str(((message or {}).get("header") or {}).get("session") or "")
