"""The standalone ``model.py``: header, imports, blocks, classes in dependency order, ``load``."""

from __future__ import annotations

import ast
import contextlib
import subprocess
import symtable
import sys
from collections.abc import Mapping

from ..rules.substitute import copied
from .block_source import used_blocks
from .classes import Group
from .folding import Unfold

_LOAD = '''
def load(folder=Path(__file__).parent):
    """The model with its weights, in eval mode. ``folder`` holds ``weights.safetensors``."""
    model = {root}()
    model.load_weights(str(Path(folder) / "weights.safetensors"), strict=True)
    model.eval()
    return model
'''


def class_sources(groups: list[Group]) -> list[str]:
    """The text of each generated class, formatted in one go."""
    mark = "# -- next class --"
    text = format_source(f"\n\n\n{mark}\n".join(_unparse(group) for group in groups))
    return [part.strip() + "\n" for part in text.split(mark)]


def _unparse(group: Group) -> str:
    node = Unfold().visit(copied(group.node))
    lines = ast.unparse(ast.fix_missing_locations(node)).splitlines()
    title = f"Ported from {group.cls.__module__}.{group.cls.__qualname__}." if group.cls.__module__ != "__main__" \
        else f"Ported from {group.cls.__qualname__}."
    return "\n".join([lines[0], f'    """{title}"""', "", *lines[1:]])


def _function(node: ast.FunctionDef) -> str:
    return ast.unparse(ast.fix_missing_locations(Unfold().visit(copied(node))))


def names_in(source: str) -> set[str]:
    """Every name that a text takes from outside: neither its own arguments nor its variables."""
    found: set[str] = set()
    tables = [symtable.symtable(source, "<classes>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        outermost = table.get_type() == "module"
        found |= {symbol.get_name() for symbol in table.get_symbols()
                  if symbol.is_referenced() and (outermost or symbol.is_global())}
    return found


def split_source(source: str, classes: list[str]) -> tuple[str, str]:
    """A generated file without its classes: what stands before them, and ``load``."""
    tree, lines = ast.parse(source), source.splitlines()
    prelude, load = [], ""
    for node in tree.body:
        text = "\n".join(lines[node.lineno - 1 - _decorators(node): node.end_lineno])
        if isinstance(node, ast.FunctionDef) and node.name == "load":
            load = text
        elif not (isinstance(node, ast.ClassDef) and node.name in classes):
            prelude.append(text)
    return "\n".join(prelude) + "\n", load + "\n"


def _decorators(node: ast.stmt) -> int:
    """How many lines of decorators stand above a definition."""
    return node.lineno - min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def file_source(groups: list[Group], header: str, edits: Mapping[str, str] | None = None) -> str:
    """The whole file, with the texts of ``edits`` in the place of the classes of their names. A
    generated class never has the name of a block that the file needs."""
    edits = edits or {}
    classes = [text for group in groups
               for text in (*map(_function, group.functions), edits.get(group.name) or _unparse(group))]
    text = "\n\n\n".join(classes)
    used: set[str] = set()
    for one in classes:
        with contextlib.suppress(SyntaxError):  # a half-typed text is told when the file is loaded
            used |= names_in(one)
    used -= {node.name for group in groups for node in (group, *group.functions)}
    blocks, imports = used_blocks(used)
    lines = [f'"""{header}"""', ""]
    standard = set(imports)
    everything = text + "".join(block.source for block in blocks)
    if "math." in everything:
        standard.add("import math")
    standard.add("from pathlib import Path")
    lines += sorted(standard, key=lambda line: (line.startswith("from"), line))
    lines += ["", "import mlx.core as mx", "import mlx.nn as nn", ""]
    if "partial(" in everything and not any("partial" in line for line in standard):
        lines.insert(2, "from functools import partial")
    load = _LOAD.format(root=groups[-1].name).strip()
    parts = ["\n".join(lines), *[block.source for block in blocks], *classes, load]
    return format_source("\n\n\n".join(parts) + "\n")


def format_source(source: str) -> str:
    """The text as ruff formats it; unformatted where ruff can't be run."""
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "110", "--stdin-filename", "model.py",
               "--isolated", "-"]
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return source
    return done.stdout
