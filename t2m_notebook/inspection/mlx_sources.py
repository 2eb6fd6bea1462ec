"""The source expression at which a frame stood."""

from __future__ import annotations

import linecache
from typing import Any

from ..types import SourceLocation


def locate(frame: tuple[Any, int] | None) -> SourceLocation | None:
    """The span of source of ``(code, instruction)``."""
    if frame is None:
        return None
    code, instruction = frame
    at = next((p for i, p in enumerate(code.co_positions()) if i == instruction // 2), None)
    if at is None or at[0] is None:
        return None
    line, end_line, column, end_column = at
    return SourceLocation(code.co_filename, line, end_line or line, column or 0, end_column or 0, code.co_qualname)


def source_text(place: SourceLocation | None, limit: int = 160) -> str:
    """The source expression of a span on one line."""
    if place is None:
        return ""
    lines = [linecache.getline(place.file, number).encode() for number in range(place.line, place.end_line + 1)]
    if not lines or not lines[0]:
        return ""
    lines[-1] = lines[-1][: place.end_column] if place.end_column else lines[-1]
    lines[0] = lines[0][place.column :]
    text = " ".join(line.decode(errors="replace").strip() for line in lines)
    return text if len(text) <= limit else text[: limit - 1] + "…"
