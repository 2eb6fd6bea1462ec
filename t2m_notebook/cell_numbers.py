"""Tells the engine which cell of the shell a line of source stands in: ``cell [5], line 8``."""

from __future__ import annotations

import re
import sys
import weakref
from typing import Any

from .types.places import follow_cells

_LABEL = re.compile(r"In\[(\d+)\]")


def number_cells(shell: Any) -> None:
    """From now on source that ``shell`` compiled is named by its cell, as in IPython's own tracebacks."""
    known = weakref.ref(shell)

    def number_of(file: str) -> int | None:
        running = known()
        label = running.compile.format_code_name(file) if running is not None else None
        found = _LABEL.fullmatch(label[1]) if label else None
        return int(found[1]) if found else None

    follow_cells(number_of)


def number_cells_of_this_process() -> None:
    """The same for the shell that this process runs, where it runs one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        number_cells(shell)
