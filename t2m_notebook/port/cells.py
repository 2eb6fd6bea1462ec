"""The generated classes as texts that a person edits, with what they were before."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping


class Cell:
    """The source of one class. ``on_change(cell)`` is told of every new text."""

    def __init__(self, name: str, generated: str, paths: tuple[str, ...], *, kind: str = "from the recording",
                 problem: str = "", on_change: Callable[[Cell], None] | None = None):
        self.name, self.generated, self.paths = name, generated, paths
        self.kind, self.problem = kind, problem
        self._on_change = on_change
        self._texts, self._position = [generated], 0

    @property
    def source(self) -> str:
        """The present text."""
        return self._texts[self._position]

    @property
    def edited(self) -> bool:
        """True when the present text is not the generated one."""
        return self.source.strip() != self.generated.strip()

    def set(self, source: str) -> bool:
        """Take over a text; what was undone is forgotten. Returns whether anything changed."""
        if not source.endswith("\n"):
            source += "\n"
        if source == self.source:
            return False
        del self._texts[self._position + 1:]
        self._texts.append(source)
        self._position += 1
        self._tell()
        return True

    def reset(self) -> str:
        """Back to the generated text, which is returned; :meth:`undo` takes it back."""
        self.set(self.generated)
        return self.source

    def undo(self) -> str:
        """The text before the present one, which is returned; the first one stays."""
        return self._go(-1)

    def redo(self) -> str:
        """What :meth:`undo` took back."""
        return self._go(1)

    @property
    def history(self) -> tuple[str, ...]:
        """Every text from the generated one to the newest."""
        return tuple(self._texts)

    def diff(self) -> str:
        """Generated against present text as a unified diff; empty where nothing was edited."""
        return "".join(difflib.unified_diff(
            self.generated.splitlines(keepends=True), self.source.splitlines(keepends=True),
            f"{self.name} (generated)", f"{self.name} (edited)"))

    def _go(self, step: int) -> str:
        position = min(max(self._position + step, 0), len(self._texts) - 1)
        if position != self._position:
            self._position = position
            self._tell()
        return self.source

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change(self)

    def __repr__(self) -> str:
        state = "edited" if self.edited else "as generated"
        return f"Cell({self.name}: {len(self.source.splitlines())} lines, {len(self.paths)} modules, {state})"

    def __str__(self) -> str:
        return self.source


class Cells(Mapping[str, Cell]):
    """Every class of a port by name, in dependency order."""

    def __init__(self, cells: list[Cell]):
        self._cells = {cell.name: cell for cell in cells}

    def __getitem__(self, name: str) -> Cell:
        try:
            return self._cells[name]
        except KeyError:
            near = difflib.get_close_matches(str(name), self._cells, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise KeyError(f"{name}: the port has the classes {', '.join(self._cells)}.{hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def edits(self) -> dict[str, str]:
        """The texts that are not the generated ones."""
        return {cell.name: cell.source for cell in self._cells.values() if cell.edited}

    def __repr__(self) -> str:
        return "\n".join(repr(cell) for cell in self._cells.values())
