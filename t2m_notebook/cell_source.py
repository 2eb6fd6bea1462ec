"""The text of a notebook cell that holds one MLX class: its first line, and what can be wrong with it."""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import T2MError

MAGIC = "%%t2m_cell"
_PLAIN_NAME = re.compile(r"[\w.-]+$")


class WrongCell(T2MError):
    """The text of a cell is not the class that its first line names. ``line`` counts from 1 below that line."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class CellText:
    """The whole text of the cell of one class, and the mark of that text."""

    class_name: str
    text: str
    generated: str  # fingerprint of the text as it was generated


def quoted(name: str) -> str:
    """A port's name as a magic's line takes it."""
    return name if _PLAIN_NAME.match(name) else repr(name)


def cell_text(class_name: str, source: str, port_name: str = "") -> str:
    """A whole cell: the magic line, with ``--name`` when ``port_name`` is given, and the class below it."""
    name = f" --name {quoted(port_name)}" if port_name else ""
    return f"{MAGIC} {class_name}{name}\n{source.rstrip()}"


def cells_of(cells: Mapping[str, Any], port_name: str = "") -> list[CellText]:
    """A notebook cell for each generated class of ``Port.cells``, in dependency order, the root last;
    ``port_name`` is written into each where it is given."""
    texts = [(name, cell_text(name, cell.generated, port_name)) for name, cell in cells.items()]
    return [CellText(name, text, fingerprint(text)) for name, text in texts]


def fingerprint(text: str) -> str:
    """SHA-256 of a text without the white space at its end, which an editor may add or take away."""
    return hashlib.sha256(text.rstrip().encode("utf-8", "surrogatepass")).hexdigest()


def class_of_cell(text: str) -> str | None:
    """The class that a cell's first line names; None for a cell of another kind."""
    words = text.lstrip("\n").split("\n", 1)[0].split()
    return words[1] if len(words) > 1 and words[0] == MAGIC else None


def assembly_text(port_name: str) -> str:
    """The cell below the classes: compares the whole model made of them, and says how to save it."""
    name = quoted(port_name)
    folder = re.sub(r"\W+", "_", port_name).strip("_").lower() or "model"
    return ("# The whole model, made of the cells above and compared with torch from end to end.\n"
            f"report = %t2m_parity {name}\n"
            f"# %t2m_save {name} {folder}_mlx   # writes model.py, the weights and check.py: they need MLX alone")


def unknown_class(class_name: str, port_name: str, known: Iterable[str]) -> WrongCell:
    """The error for a class that the port doesn't have."""
    known = list(known)
    near = difflib.get_close_matches(class_name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"It has {_listed(known)}."
    return WrongCell(f"The port {port_name} has no class {class_name}. {hint}")


def check_class_text(class_name: str, source: str, known: Iterable[str]) -> None:
    """Raises :class:`WrongCell` when ``source`` is not the one class ``class_name``: removed, renamed, defined
    twice, or merged with the cell of another class of ``known``. Text that can't be parsed is left to the check,
    which names the line.
    """
    for number, line in enumerate(source.splitlines(), 1):
        if line.startswith(MAGIC):
            other = (line.split() + ["", ""])[1]
            raise WrongCell(f"Two cells are merged here: class {other or '?'} begins inside. Split the cell "
                            "above it.", number)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    own = [node for node in classes if node.name == class_name]
    again = f"%t2m_cell {class_name} --generated prints the generated text."
    if len(own) > 1:
        lines = " and ".join(str(node.lineno) for node in own)
        raise WrongCell(f"Class {class_name} is defined twice in this cell, on lines {lines}. Keep one.",
                        own[-1].lineno)
    if not own and not classes:
        raise WrongCell(f"Class {class_name} is not in this cell any more. {again}")
    others = set(known) - {class_name}
    stranger = next((node for node in classes if node.name != class_name and (not own or node.name in others)), None)
    if stranger is None:
        return
    if own or stranger.name in others:
        raise WrongCell(f"This cell is for class {class_name}; class {stranger.name} has a cell of its own.",
                        stranger.lineno)
    raise WrongCell(f"This cell is for class {class_name}, but its text defines {stranger.name}. The other classes "
                    f"call it {class_name}: change the name back.", stranger.lineno)


def _listed(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "") if names else "no classes"
