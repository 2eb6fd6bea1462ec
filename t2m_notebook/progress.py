"""Progress of long work, in a terminal and on a notebook page: ``progress(stage, done, total)`` in both."""

from __future__ import annotations

import contextlib
import html
import time
from collections.abc import Callable, Iterator
from typing import Any

Progress = Callable[[str, int, int], None]
SHOW_AFTER = 0.4  # seconds; on a page, work that is done by then shows no bar
REFRESH_EVERY = 0.1


@contextlib.contextmanager
def terminal_progress(first_stage: str) -> Iterator[Progress]:
    """A bar on stderr while the block runs, when stderr is a terminal; gone afterwards."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal,
             redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(first_stage, total=None)

        def progress(stage: str, done: int, total: int) -> None:
            bar.update(task, description=_sentence(stage), completed=done, total=max(total, 1))

        yield progress


class PageProgress:
    """A bar on a notebook page, in the place where the result will stand.

    Inside ``with``, call it as ``progress(stage, done, total)``; then :meth:`show` puts the result where the
    bar was, or on a place of its own when the work was too quick for a bar. ``at_once`` is for
    work that is never quick.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self._handle: Any = None
        self._show_after = 0.0 if at_once else SHOW_AFTER
        self._started = time.monotonic()
        self._refreshed = 0.0
        self._stage = ""

    def __enter__(self) -> PageProgress:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if error is not None and self._handle is not None:
            self._handle.update({"text/plain": "", "text/html": ""}, raw=True)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        is_new = stage != self._stage
        if now - self._started < self._show_after or (now - self._refreshed < REFRESH_EVERY and not is_new):
            return
        self._refreshed, self._stage = now, stage
        stage = _sentence(stage)
        # What comes in one step has no middle to show: the bar just moves.
        count, value = (f" {done}/{total}", f' value="{done}" max="{total}"') if total > 1 else ("", "")
        self._put({"text/plain": f"{stage}{count}",
                   "text/html": f"<label>{html.escape(stage)} <progress{value}></progress>{count}</label>"}, raw=True)

    def show(self, outputs: list[tuple[dict, dict]]) -> None:
        """Displays ``outputs``, ``(data, metadata)`` each; the first in the bar's place."""
        from IPython.display import publish_display_data

        for number, (data, metadata) in enumerate(outputs):
            if number == 0:
                self._put(data, raw=True, metadata=metadata)
            else:
                publish_display_data(data, metadata)

    def _put(self, content: Any, **options: Any) -> None:
        if self._handle is None:
            from IPython.display import DisplayHandle

            self._handle = DisplayHandle()
            self._handle.display(content, **options)
        else:
            self._handle.update(content, **options)


def _sentence(stage: str) -> str:
    return stage[:1].upper() + stage[1:]
