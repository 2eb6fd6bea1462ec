"""Finds torch's words in a class that should know MLX alone. Standard library only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

#: torch's keyword -> MLX's
KEYWORDS = {"dim": "axis", "keepdim": "keepdims", "unbiased": "ddof", "correction": "ddof"}
MODULES = {"torch", "F"}


def torch_calls(tree: ast.AST, known: dict[str, str], array: set[str], names: set[str]) -> Iterator[dict[str, Any]]:
    """A mark for each torch call or keyword left in ``tree``.

    ``known`` says what a torch function or method is in MLX, ``array`` are the attributes of an
    ``mx.array``, ``names`` what is defined (a user's own ``F`` is not torch's).
    """
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute):
            base, word = ast.unparse(node.func.value), node.func.attr
            root = base.partition(".")[0]
            if root in MODULES and root not in names:
                yield _mark(node.func, f"{base}.{word} is torch's{_instead(word, known)}", "error")
                continue
            method = word not in array and word in known and root not in ("mx", "nn", "self", "super()") \
                and word not in own
            if method and not base.startswith(("mx.", "nn.", "self.")):
                yield _mark(node.func, f".{word}() is a method of torch's tensors{_instead(word, known)}", "warning")
        for keyword in node.keywords:
            if keyword.arg in KEYWORDS and ast.unparse(node.func).startswith(("mx.", "nn.")):
                yield _mark(keyword, f"{keyword.arg}= is torch's word; MLX's is {KEYWORDS[keyword.arg]}=", "warning")


def instead(message: str, word: str | None, known: dict[str, str]) -> str:
    """``message`` of an AttributeError or NameError with what MLX has in the place of ``word``."""
    return message + _instead(word, known) if word else message


def _instead(word: str, known: dict[str, str]) -> str:
    return f". In MLX: {known[word]}" if known.get(word) else ""


def _mark(node: Any, message: str, severity: str) -> dict[str, Any]:
    return {"line": node.lineno, "end_line": node.end_lineno or node.lineno, "column": node.col_offset,
            "end_column": node.end_col_offset or 0, "message": message, "severity": severity}
