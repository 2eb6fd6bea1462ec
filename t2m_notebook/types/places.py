"""What a file of source is called where code was typed into a notebook instead.

IPython compiles a cell under a file name that says nothing to a person: ``<ipython-input-5-0c3d…>`` in a terminal,
``/tmp/ipykernel_71/2629616371.py`` in a kernel. Only the shell knows which cell the second one was: it tells it here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_NUMBERED = re.compile(r"<ipython-input-(\d+)-[0-9a-f]+>")
_KERNEL = re.compile(r"(?:^|/)ipykernel_\d+/\d+\.py$")
_shell: Callable[[str], int | None] | None = None


def follow_cells(number_of: Callable[[str], int | None] | None) -> None:
    """From now on ask ``number_of(file)`` for the execution count of the cell compiled as ``file``; it gives None for
    what is no cell. None ends that."""
    global _shell
    _shell = number_of


def cell_name(file: str) -> str:
    """``cell [5]``, or ``cell`` where its execution count is not known; empty for a file."""
    number = _shell(file) if _shell is not None else None
    if number is None:
        named = _NUMBERED.fullmatch(file)
        if named is None:
            return "cell" if _KERNEL.search(file.replace("\\", "/")) else ""
        number = int(named[1])
    return f"cell [{number}]"
