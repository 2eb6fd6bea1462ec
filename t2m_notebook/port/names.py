"""Variable and attribute names that a reader of the torch source recognises."""

from __future__ import annotations

import ast
import builtins
import keyword
import unicodedata
from functools import cache

from ..capture.recording import Frame, locate
from ..types import SourceLocation

#: Names that an mlx.nn.Module (a dict) answers to itself: an attribute of that name would be
#: hidden or break the module. Probed on mlx 0.32.
MODULE_NAMES = frozenset({
    "apply", "apply_to_modules", "children", "clear", "copy", "eval", "filter_and_map", "freeze", "fromkeys", "get",
    "is_module", "items", "keys", "leaf_modules", "load_weights", "modules", "named_modules", "parameters", "pop",
    "popitem", "save_weights", "set_dtype", "setdefault", "state", "train", "trainable_parameter_filter",
    "trainable_parameters", "training", "unfreeze", "update", "update_modules", "valid_child_filter",
    "valid_parameter_filter", "values"})
RESERVED = frozenset({"mx", "nn", "math", "self", "Path", "load", "partial"})


def _word(name: str) -> str:
    """``name`` with what can't stand in an identifier replaced, spelled as Python reads it."""
    return "".join(c if f"a{c}".isidentifier() else "_" for c in unicodedata.normalize("NFKC", name))


def attribute_name(name: str) -> str:
    """A torch attribute name as an MLX one: an underscore in front would hide it from
    ``parameters()``, some names belong to ``nn.Module`` itself, and digits need a letter."""
    clean = _word(name).lstrip("_") or "layer"
    if not clean.isidentifier():
        clean = f"layer_{clean}"
    if clean in MODULE_NAMES or keyword.iskeyword(clean):
        clean += "_"
    return clean


def variable_name(name: str) -> str:
    """``name`` as a local variable that shadows nothing the generated code needs."""
    clean = _word(name).strip("_") or "x"
    if not clean.isidentifier():
        clean = f"x{clean}"
    if keyword.iskeyword(clean) or clean in RESERVED or (clean in vars(builtins) and clean not in _HARMLESS):
        clean += "_"
    return clean


_HARMLESS = frozenset({"input", "id", "sum", "type", "filter", "hash", "vars"})


@cache
def _statements(file: str) -> tuple[ast.stmt, ...]:
    try:
        with open(file, encoding="utf-8") as handle:
            tree = ast.parse(handle.read())
    except (OSError, SyntaxError, ValueError):
        return _from_linecache(file)
    return _simple(tree)


def _from_linecache(file: str) -> tuple[ast.stmt, ...]:
    import linecache
    try:  # a notebook cell lives in linecache only
        return _simple(ast.parse("".join(linecache.getlines(file))))
    except SyntaxError:
        return ()


def _simple(tree: ast.AST) -> tuple[ast.stmt, ...]:
    return tuple(node for node in ast.walk(tree)
                 if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return)))


@cache
def _by_line(file: str) -> dict[int, list[ast.stmt]]:
    lines: dict[int, list[ast.stmt]] = {}
    for statement in _statements(file):
        for line in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
            lines.setdefault(line, []).append(statement)
    return lines


@cache
def assigned_names(place: SourceLocation | None) -> tuple[str, ...]:
    """The names that the source assigns the expression at ``place`` to: one for
    ``x = f(y)``, several for ``q, k = f(y)``, none when it stands inside a larger one."""
    if place is None:
        return ()
    for statement in _by_line(place.file).get(place.line, ()):
        value = statement.value
        if isinstance(statement, ast.Return):
            continue
        if value is None or (value.lineno, value.col_offset, value.end_lineno, value.end_col_offset) != (
                place.line, place.column, place.end_line, place.end_column):
            if not (isinstance(statement, ast.AugAssign) and (statement.lineno, statement.col_offset) == (
                    place.line, place.column)):
                continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        target = targets[0]
        if isinstance(target, ast.Name):
            return (target.id,)
        if isinstance(target, (ast.Tuple, ast.List)) and all(isinstance(e, ast.Name) for e in target.elts):
            return tuple(element.id for element in target.elts)  # type: ignore[attr-defined]
        if isinstance(target, ast.Attribute):
            return (target.attr,)
    return ()


@cache
def _is_returned(place: SourceLocation | None) -> bool:
    """True when the expression at ``place`` is all that a ``return`` gives back."""
    if place is None:
        return False
    return any(isinstance(s, ast.Return) and s.value is not None and (
        s.value.lineno, s.value.col_offset, s.value.end_lineno, s.value.end_col_offset) == (
        place.line, place.column, place.end_line, place.end_column) for s in _by_line(place.file).get(place.line, ()))


def names_through_returns(frames: tuple[Frame, ...]) -> tuple[str, ...]:
    """The names of a value that a helper function just hands back: the caller's."""
    for frame in frames:
        place = locate(frame)
        names = assigned_names(place)
        if names or not _is_returned(place):
            return names
    return ()
