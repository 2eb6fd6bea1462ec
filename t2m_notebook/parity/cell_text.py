"""The text of an edited class: what it defines, what it lacks, and what its errors say.

Runs in the worker; standard library only.
"""

from __future__ import annotations

import ast
import builtins
import linecache
import traceback
from typing import Any


class WrongText(Exception):
    """The text can't be used; says why and on which line."""

    def __init__(self, message: str, line: int | None = None):
        super().__init__(message)
        self.line = line


def undefined_names(source: str, tree: ast.Module, known: dict[str, Any]) -> list[tuple[str, int]]:
    """Global names that nothing defines, with the line of their first use."""
    import symtable
    missing: set[str] = set()
    top = symtable.symtable(source, "<cell>", "exec")
    defined = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    star = any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree))
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            name = symbol.get_name()
            if symbol.is_referenced() and (symbol.is_global() or table is top) and name not in defined \
                    and name not in known and not hasattr(builtins, name) and not name.startswith("__"):
                missing.add(name)
    if star or not missing:
        return []
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in missing:
            lines[node.id] = min(node.lineno, lines.get(node.id, node.lineno))
    return sorted(lines.items(), key=lambda item: item[1])


def torch_hint(word: str) -> str:
    if word in ("torch", "F"):
        return ": a torch call is left. The cell runs with mlx alone; use mx (mlx.core) or nn (mlx.nn)"
    return ""


def binds(node: ast.stmt, name: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(t, ast.Name) and t.id == name for t in targets)


def compiled(source: str, name: str) -> Any:
    filename = f"<cell {name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    return compile(source, filename, "exec")


def said(error: BaseException) -> str:
    text = str(error).strip() or "(no message)"
    if isinstance(error, SyntaxError):
        text = error.msg or text
    if isinstance(error, WrongText):
        return text[:600]
    return f"{type(error).__name__}: {text[:600]}"


def line_in(error: BaseException, name: str) -> int | None:
    """The line of the cell at which an error arose."""
    if isinstance(error, WrongText):
        return error.line
    filename = f"<cell {name}>"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    return lines[-1] if lines else None


def weights_said(bad: list[dict[str, Any]], prefix: str) -> str:
    parts = []
    for state, words in (("missing", "has no place for"), ("extra", "has no value for"), ("shape", "")):
        rows = [row for row in bad if row["state"] == state]
        if not rows:
            continue
        if state == "shape":
            row = rows[0]
            parts.append(f"{row['name'][len(prefix):]} is {tuple(row['shape'])}, its value {tuple(row['wanted'])}")
        else:
            names = ", ".join(row["name"][len(prefix):] for row in rows[:3])
            parts.append(f"the class {words} {names}" + (f" and {len(rows) - 3} more" if len(rows) > 3 else ""))
    missing = [row for row in bad if row["state"] == "missing"]
    extra = [row for row in bad if row["state"] == "extra"]
    pairs = [(m, [e for e in extra if e["shape"] == m["wanted"] and _last(e) == _last(m)]) for m in missing]
    if pairs and all(len(found) == 1 for _, found in pairs):
        renamed = {_owner(m["name"][len(prefix):]): _owner(found[0]["name"][len(prefix):]) for m, found in pairs}
        said = ", ".join(f"{new} to {old}" for old, new in renamed.items())
        parts.append(f"weights are found by name: rename {said}")
    return "; ".join(parts)


def _last(row: dict[str, Any]) -> str:
    return row["name"].rpartition(".")[2] if "." in row["name"] else ""


def _owner(name: str) -> str:
    return "self." + (name.rpartition(".")[0] or name)
