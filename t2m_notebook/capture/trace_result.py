"""What :func:`t2m_notebook.trace` and :func:`t2m_notebook.tracing` give."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..types import Status, TraceData, TraceRow, to_json
from ..types.shown import ShowsItself, Views
from ..types.tables import data_frame


class Trace(ShowsItself):
    """What ran, one row an operation. Shows itself as a table in a terminal and a notebook.

    A trace of a ``with`` block that is still open has the rows so far.
    """

    def __init__(self, data: TraceData | Callable[[], TraceData]):
        self._data = data

    @property
    def data(self) -> TraceData:
        """The whole as one frozen value; what the views take."""
        return self._data() if callable(self._data) else self._data

    def settle(self) -> None:
        """Keep the rows as they are now."""
        self._data = self.data

    @property
    def rows(self) -> tuple[TraceRow, ...]:
        """The operations in the order in which they ran."""
        return self.data.rows

    @property
    def error(self) -> str:
        """What ended the run; empty when it came to its end."""
        return self.data.error

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the tensors that were met."""
        return self.data.notes

    def where(self, *, module: str | None = None, status: Status | str | Iterable[Status | str] | None = None,
              shape_change: bool = False, copies: bool = False, search: str = "") -> Trace:
        """The rows that fit all that is given, with their numbers as they were.

        ``module`` is a path; what is below it counts too. ``status`` is one or several; ``shape_change``
        keeps rows whose result has the shape of no input; ``copies`` those whose result has memory of its
        own on some side; ``search`` looks, without regard to case, in names, paths, source and MLX form.
        """
        wanted = None if status is None else {Status(str(s).upper()) for s in (
            [status] if isinstance(status, str) else status)}
        needle, data = search.lower(), self.data
        kept = tuple(row for row in data.rows if (
            (module is None or row.module == module or row.module.startswith(module + "."))
            and (wanted is None or row.status in wanted) and (not shape_change or row.changes_shape)
            and (not copies or row.is_copy) and (not needle or needle in search_text(row))))
        return Trace(dataclasses.replace(data, rows=kept))

    def to_json(self, indent: int | None = None) -> str:
        """As JSON; ``types.from_json(TraceData, text)`` reads it back."""
        return to_json(self.data, indent)

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame``, one line a row. Raises :class:`~t2m_notebook.errors.MissingPackage` where pandas is
        not installed."""
        return data_frame([_record(row) for row in self.rows], list(_record(None)))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[TraceRow]:
        return iter(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]

    def __repr__(self) -> str:
        data = self.data
        state = f", ended by {data.error.splitlines()[0]}" if data.error else ""
        return f"Trace({data.title}: {len(data.rows):,} operations in {' and '.join(data.sides)}{state})"

    def _views(self) -> Views:
        from ..render.trace import trace_html, trace_rich, trace_text
        return Views(trace_text, trace_rich, trace_html, self.data)


def search_text(row: TraceRow) -> str:
    """All that a search looks in, in small letters."""
    sides = [side for side in (row.torch, row.mlx) if side is not None]
    words = [f"{side.name} {side.path} {side.source} {side.location.text if side.location else ''}" for side in sides]
    return " ".join([*words, row.form, row.note, row.error]).lower()


_SIDE: dict[str, Callable[[Any], Any]] = {
    "op": lambda side: side.name, "source": lambda side: side.source, "memory": lambda side: side.memory,
    "shares_with": lambda side: side.shares_with}
_TENSOR = ("shape", "stride", "offset", "contiguous", "dtype", "bytes", "storage")
_VALUES = ("mean", "minimum", "maximum", "nan", "inf")


def _record(row: TraceRow | None) -> Mapping[str, Any]:
    """One line of the data frame; of nothing: its columns."""
    line: dict[str, Any] = {
        "index": row and row.index, "line": row and row.line, "module": row and row.module,
        "status": row and row.status.value, "form": row and row.form,
        "input_shapes": row and row.input_shapes}
    for name in ("torch", "mlx"):
        side = getattr(row, name) if row is not None else None
        output = side.outputs[0] if side is not None and side.outputs else None
        line |= {f"{name}_{key}": side and get(side) for key, get in _SIDE.items()}
        line |= {f"{name}_{key}": output and getattr(output, key) for key in _TENSOR}
        line |= {f"{name}_{key}": output and output.summary and getattr(output.summary, key) for key in _VALUES}
    return line | {"axes": row and row.axes, "difference": row and row.difference, "allowed": row and row.allowed,
                   "note": row and row.note, "error": row and row.error}
