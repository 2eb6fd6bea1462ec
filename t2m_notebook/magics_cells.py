"""``%%t2m_cell`` and ``%t2m_save``: the classes of a port as cells that a person edits and runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from IPython.display import publish_display_data

from . import bridge
from .cell_source import WrongCell, cell_text
from .errors import BadExample, T2MError
from .live_cells import NOT_THIS_CLASS, checked
from .magic_line import DEBUG, HELP, Option, separate_options
from .magics import T2MMagics, help_text, without_traceback
from .open_ports import OpenPorts
from .render.cell_check import check_html, check_text, counted_from_magic, line_in_cell
from .target import saving_place, writing

_NAME = Option("the port that the class belongs to; the last one without it", "PORT")
_CELL = {"name": _NAME, "debug": DEBUG, "help": HELP}
_LINE = {"diff": Option("show what was edited (the default)"), "generated": Option("print the generated text"),
         "torch": Option("print torch's text of the class"), "reset": Option("take the generated text back"), **_CELL}
_SAVE = {"debug": DEBUG, "help": HELP}


@magics_class
class T2MCellMagics(Magics):
    """The magics of a port's cells."""

    def __init__(self, shell: Any, ports: OpenPorts):
        super().__init__(shell)
        self.ports = ports

    @line_cell_magic
    @no_var_expand
    def t2m_cell(self, line: str, cell: str | None = None) -> None:
        """The text of one MLX class of a port: checked against torch when the cell runs.

        %%t2m_cell BasicBlock                    the class below is compared with torch's BasicBlock
        %%t2m_cell BasicBlock --name resnet      of this port, where a notebook has several
        %t2m_cell BasicBlock                     what was edited
        %t2m_cell BasicBlock --generated         its text as it was generated

        Nothing of it runs in this kernel: the check has a process of its own.
        """
        with brief_errors(line):
            words, options = self._words("t2m_cell", line, _LINE if cell is None else _CELL)
            if "help" in options:
                print(help_text("t2m_cell", "CLASS", self.t2m_cell, _LINE))
            elif len(words) != 1:
                what = f"{' '.join(words)} is more than one name" if words else "the name is missing"
                raise BadExample(f"Name one class: %%t2m_cell BasicBlock ({what}).")
            elif cell is None:
                self._tell_of(words[0], options)
            else:
                self._check(words[0], options.get("name", ""), cell)

    def _words(self, name: str, line: str, options: dict[str, Option]) -> tuple[list[str], dict[str, Any]]:
        return separate_options(name, line, options, {**self.shell.user_global_ns, **self.shell.user_ns})

    def _check(self, class_name: str, port_name: str, source: str) -> None:
        port = self.ports.with_class(class_name, port_name)
        with self.ports.exclusive(port):
            check = checked(port, class_name, source)
        self.ports.tell("checked", port, check)
        if check.text == NOT_THIS_CLASS:
            where = f" See line {check.line + 1}." if check.line and " line" not in check.message else ""
            raise WrongCell(line_in_cell(check.message) + where)
        text = f"\n{source}"  # lines count from the magic's own, as the editor shows them
        check = counted_from_magic(check)
        publish_display_data({"text/plain": check_text(check, text), "text/html": check_html(check, text)})

    def _tell_of(self, class_name: str, options: dict[str, Any]) -> None:
        port = self.ports.with_class(class_name, options.get("name", ""))
        cell = port.cells[class_name]
        if "reset" in options:
            cell.reset()
            print(f"{class_name} is as it was generated. The text for its cell:\n")
            print(cell_text(class_name, cell.generated, options.get("name", "")))
        elif "generated" in options:
            print(cell.generated, end="")
        elif "torch" in options:
            print(port.torch_source(class_name) or f"Python has no source of the torch class of {class_name}.", end="")
        else:
            print(cell.diff() or f"{class_name} is as it was generated.")

    @line_magic
    @no_var_expand
    def t2m_save(self, line: str) -> None:
        """Save a port with its cells as they are now; parity is measured first if it was not yet.

        %t2m_save out                            the last port, into this folder
        %t2m_save resnet out                     the port of this name

        The folder needs neither torch nor t2m: model.py, weights.safetensors, check.py and an example.
        """
        with brief_errors(line):
            words, options = self._words("t2m_save", line, _SAVE)
            words = [word[1:-1] if word[0] in "'\"" and word[-1] == word[0] else word for word in words]
            if "help" in options:
                print(help_text("t2m_save", "[PORT] DIR", self.t2m_save, _SAVE))
                return
            if len(words) not in (1, 2):
                raise BadExample("Name a folder: %t2m_save out, or %t2m_save PORT out.")
            port = self.ports.find(words[0] if len(words) == 2 else "")
            folder = saving_place(words[-1])
            with self.ports.exclusive(port), writing(folder):
                saved = port.save(str(folder))
            self.ports.tell("measured", port)
            report = port.last_report
            print(f"{port.name} is saved in {saved}"
                  + ("" if report is None or report.ok else ". It differs from torch: %t2m_parity shows where") + ".")


@contextlib.contextmanager
def brief_errors(line: str) -> Iterator[None]:
    """What the user got wrong is told without a traceback, unless ``--debug`` stands in ``line``."""
    try:
        yield
    except T2MError as error:
        if "--debug" not in line.split():
            without_traceback(error)
        raise


def register(shell: Any) -> None:
    """Adds the magics of the cells, and opens the bridge to the front-end. Calling it again changes nothing."""
    if isinstance(shell.magics_manager.registry.get("T2MCellMagics"), T2MCellMagics):
        return
    magics = shell.magics_manager.registry["T2MMagics"]
    assert isinstance(magics, T2MMagics)
    shell.register_magics(T2MCellMagics(shell, magics.ports))
    bridge.start(magics.ports, shell)
