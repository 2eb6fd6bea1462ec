"""Runs cells in the ``shell`` of ``conftest.py`` as a user would, and says what came of them."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from IPython.core.completer import provisionalcompleter
from IPython.utils.capture import capture_output


def run(ip, cell: str, succeeds: bool = True):
    """Runs a cell as a user would; gives what was displayed (with Out[n]), the text, and the result."""
    with capture_output() as captured:
        result = ip.run_cell(cell, store_history=True)
    assert result.success is succeeds, captured.stdout + captured.stderr
    return captured, result


def text_of(ip, cell: str, succeeds: bool = True) -> str:
    """Runs a cell as a user would; gives its text, and that of what was displayed."""
    captured, _ = run(ip, cell, succeeds)
    return captured.stdout + "".join(output.data.get("text/plain", "") for output in captured.outputs)


def completions(ip, line: str) -> list[str]:
    """What the line becomes with each completion at its end."""
    with provisionalcompleter(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return [line[:c.start] + c.text for c in ip.Completer.completions(line, len(line))]
