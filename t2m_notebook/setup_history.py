"""Which of the cells that ran in a shell made the names that an expression reads."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections.abc import Iterable, Sequence

from IPython.core.inputtransformer2 import TransformerManager

_OUR_LINE = re.compile(r"^[^#\n]*%(?:t2m_|(?:re)?load_ext\s+t2m_notebook).*$", re.MULTILINE)
_LOOKS = {"print", "display", "help", "repr", "type", "len", "dir", "id"}  # calls that change nothing


def cells_that_make(names: Iterable[str], history: Sequence[str]) -> tuple[list[str], set[str]]:
    """The cells of ``history``, in their order, that bind ``names`` or change them, and what these cells read in
    turn; and the names that no cell makes.

    A cell counts as a whole. Of two equal cells the later one is taken. What a cell does to a name counts when it
    calls a method of it as a statement (``model.eval()``), passes it to a call as a statement, or assigns to its
    attributes. Lines with magics of ours are left out.
    """
    missing = set(names) - set(dir(builtins))
    wanted, taken, seen = set(missing), [], set()
    for cell in reversed(history):
        text = "" if cell.lstrip().startswith("%%t2m_") else _OUR_LINE.sub("", cell)
        if text.strip() in seen or (tree := _parsed(text)) is None:
            continue
        made, changed = _names(tree)
        read = _reads(tree)
        if not (made | changed) & wanted:
            continue
        seen.add(text.strip())
        taken.append(text.strip("\n"))
        missing -= made
        wanted |= read - made - set(dir(builtins))
        missing |= read - made - set(dir(builtins))
    return taken[::-1], missing


def free_names(expression: str) -> set[str]:
    """The names that an expression reads; none when it can't be parsed."""
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return set()
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - bound


def _parsed(text: str) -> ast.Module | None:
    """A cell as Python, its magics translated; None for a cell that can't have run."""
    try:
        return ast.parse(TransformerManager().transform_cell(text))
    except (SyntaxError, ValueError, RecursionError):
        return None


def _reads(tree: ast.Module) -> set[str]:
    """The global names that a cell reads, also inside its functions."""
    found: set[str] = set()
    tables = [symtable.symtable(ast.unparse(tree), "<cell>", "exec")]
    while tables:
        table = tables.pop()
        found |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()
                  and (table.get_type() == "module" or symbol.is_global())}
        tables += table.get_children()
    return found - {"get_ipython"}


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """What a cell binds at its top level, and what it changes."""
    made: set[str] = set()
    changed: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            made.add(statement.name)
            continue
        if isinstance(statement, ast.Expr):
            for call in ast.walk(statement):
                if isinstance(call, ast.Call) and not (isinstance(call.func, ast.Name) and call.func.id in _LOOKS):
                    changed |= {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
        for node in ast.walk(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                made |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
            elif isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
                made.add(node.id)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                made.add(node.name)
            elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, (ast.Store, ast.Del)):
                changed |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    return made, changed
