"""A port as a notebook file: the cells that JupyterLab with the t2m extension would show, for any front-end."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from nbformat import NotebookNode

from .cell_source import CellText, assembly_text, cells_of, class_of_cell, fingerprint, quoted
from .errors import CannotSave
from .session import Port

FILL_IN = ("# FILL IN: make the torch model and an example input here. The cell below ports model(x).\n"
           "import torch\n\nmodel = ...\nx = ...")


def write_notebook(port: Port, path: str | os.PathLike, setup: Sequence[str] = (), call: str = "") -> Path:
    """Writes ``port`` as a notebook that runs from top to bottom, and returns its path.

    ``setup`` are cells that make the model, ``call`` is how ``%t2m_port`` names it and its inputs
    (``model x``); without them the first cell is left to fill in. A notebook that was written here before is
    brought up to date: cells that were edited, and cells of one's own, stay as they are.

    Raises :class:`CannotSave` when ``path`` is another file or can't be written.
    """
    place = Path(path).expanduser()
    if place.suffix != ".ipynb":
        raise CannotSave(f"{place} should end in .ipynb.")
    if not setup:
        setup, call = from_shell(port)
    cells = cells_of(port.cells)
    if place.exists():
        book = _opened(place, port)
        update(book, port.name, cells)
    else:
        book = _new_notebook(port, setup, call)
        update(book, port.name, cells)
    _write(book, place)
    return place


def from_shell(port: Port) -> tuple[list[str], str]:
    """The cells of the running IPython shell that make the port's model and inputs, and how ``%t2m_port`` names
    them; nothing where there is no shell, or its history doesn't tell."""
    if "IPython" not in sys.modules:
        return [], ""
    from IPython import get_ipython

    from .magic_line import split_words
    from .setup_history import cells_that_make, free_names

    shell = get_ipython()
    if shell is None or shell.history_manager is None:
        return [], ""
    magics = shell.magics_manager.registry.get("T2MMagics")
    call = magics.ports.call_of(port) if magics is not None else ""
    call = call or _named_call(port, shell.user_ns)
    if not call:
        return [], ""
    expressions = [word.lstrip("*") if "=" not in word else word.partition("=")[2] for word in split_words(call)]
    names = set().union(*map(free_names, expressions))
    setup, missing = cells_that_make(names, shell.history_manager.input_hist_raw)
    imports = _imports(missing, shell.user_ns)
    unknown = sorted(missing - {name for name in missing if name in imports})
    first = list(imports.values())
    if unknown:
        first.append(f"# FILL IN: these names came from elsewhere: {', '.join(unknown)}")
    return ["\n".join(first)] * bool(first) + setup, call


def _imports(missing: Iterable[str], names: Mapping[str, Any]) -> dict[str, str]:
    """For names that no cell made (a startup file, ``%run``): how to import what they stand for."""
    found = {}
    for name in sorted(missing):
        value = names.get(name)
        home = sys.modules.get(getattr(value, "__module__", None) or "")
        own = getattr(value, "__name__", "")
        if isinstance(value, ModuleType):
            found[name] = f"import {own}" if own == name else f"import {own} as {name}"
        elif own.isidentifier() and home is not None and home.__name__ != "__main__" \
                and getattr(home, own, None) is value:
            found[name] = f"from {home.__name__} import {own}" + (f" as {name}" if own != name else "")
    return found


def _named_call(port: Port, names: Mapping[str, Any]) -> str:
    """``model x mask=m`` when the port's model and inputs have names in the shell."""
    by_value = {id(value): name for name, value in names.items() if not name.startswith("_")}
    values = [by_value.get(id(value)) for value in (port.model, *port.args, *port.kwargs.values())]
    if any(name is None for name in values):
        return ""
    keywords = [f"{key}={name}" for key, name in zip(port.kwargs, values[1 + len(port.args):], strict=True)]
    return " ".join([*map(str, values[:1 + len(port.args)]), *keywords])


def update(book: NotebookNode, port_name: str, cells: Sequence[CellText]) -> list[str]:
    """Puts ``cells`` into ``book``: those that were not edited get the new text, missing ones come behind the one
    they follow. Gives the classes whose edited cells were left alone."""
    kept, position = [], _after_port_cell(book)
    for cell in cells:
        found = next((index for index, one in enumerate(book.cells) if one.cell_type == "code"
                      and class_of_cell(one.source) == cell.class_name and _port_of(one) in (port_name, "")), None)
        if found is None:
            book.cells.insert(position, _class_cell(cell, port_name))
            position += 1
            continue
        old, position = book.cells[found], found + 1
        if fingerprint(old.source) == fingerprint(cell.text):
            old.metadata["t2m"] = _class_cell(cell, port_name).metadata["t2m"]
        elif fingerprint(old.source) == old.metadata.get("t2m", {}).get("generated"):
            new = _class_cell(cell, port_name)
            old.source, old.outputs, old.execution_count = new.source, [], None
            old.metadata["t2m"] = new.metadata["t2m"]
        else:
            kept.append(cell.class_name)
    assembly = next((one for one in book.cells if one.metadata.get("t2m", {}).get("assembly")
                     and _port_of(one) == port_name), None)
    text = assembly_text(port_name)
    if assembly is None:
        assembly = nbformat.v4.new_code_cell(text)
        book.cells.insert(position, assembly)
    elif fingerprint(assembly.source) == assembly.metadata["t2m"].get("generated"):
        assembly.source = text
    assembly.metadata["t2m"] = {"port": port_name, "assembly": True, "generated": fingerprint(text)}
    return kept


def _class_cell(cell: CellText, port_name: str) -> NotebookNode:
    made = nbformat.v4.new_code_cell(cell.text)
    made.metadata["t2m"] = {"port": port_name, "class": cell.class_name, "generated": cell.generated}
    return made


def _port_of(cell: NotebookNode) -> str:
    return cell.metadata.get("t2m", {}).get("port", "")


def _after_port_cell(book: NotebookNode) -> int:
    """Behind the cell that makes the port, else at the end."""
    at = [index for index, cell in enumerate(book.cells) if cell.cell_type == "code" and "%t2m_port" in cell.source]
    return at[0] + 1 if at else len(book.cells)


def _new_notebook(port: Port, setup: Sequence[str], call: str) -> NotebookNode:
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    book = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    new = nbformat.v4
    book.cells = [new.new_markdown_cell(
        f"# {port.name} in MLX\n\nOne cell for each MLX class, ported from `{port.origin}`. Edit a cell and run it: "
        "below it stands whether the class still equals torch, and if not, on which line it parts.")]
    first = new.new_code_cell("%load_ext t2m_notebook")
    book.cells.append(first)
    for text in setup or [FILL_IN]:
        book.cells.append(new.new_code_cell(text))
    if not setup:
        book.cells[-1].metadata["tags"] = ["fill-in"]
    name = "" if port.name == type(port.model).__name__ else f" --name {quoted(port.name)}"
    book.cells.append(new.new_code_cell(f"p = %t2m_port {call or 'model x'}{name}"))
    return book


def _opened(place: Path, port: Port) -> NotebookNode:
    try:
        book = nbformat.read(place, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError) as error:
        raise CannotSave(f"{place} is there already and no notebook: name another file. ({error})"[:300]) from error
    if not any(_port_of(cell) == port.name for cell in book.cells):
        raise CannotSave(f"{place} is there already and is no notebook of the port {port.name}: name another file.")
    return book


def _write(book: NotebookNode, place: Path) -> None:
    """All of it or nothing: a notebook is never left half written."""
    try:
        text = nbformat.writes(book, version=4)
        descriptor, temporary = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.", suffix=".tmp")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.chmod(temporary, 0o666 & ~_umask() if not place.exists() else place.stat().st_mode)
            os.replace(temporary, place)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CannotSave(f"{place} can't be written: {error.strerror or error}.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
