"""Arguments and results of recorded module calls, by name and as literals."""

from __future__ import annotations

import ast
from typing import Any

from ..capture.examples import argument_names
from ..capture.recording import ModuleCall, Ref
from ..rules import to_node


def structure_node(value: Any) -> ast.expr:
    """Recorded arguments or results as a literal over ``$index`` names."""
    if isinstance(value, Ref):
        return ast.Name(f"${value.index}", ast.Load())
    if isinstance(value, tuple):
        return ast.Tuple([structure_node(item) for item in value], ast.Load())
    if isinstance(value, list):
        return ast.List([structure_node(item) for item in value], ast.Load())
    if isinstance(value, dict):
        return ast.Dict([ast.Constant(key) for key in value], [structure_node(item) for item in value.values()])
    try:
        return to_node(value)
    except (TypeError, KeyError):
        return ast.Constant(None)  # an object that holds no tensor means nothing to MLX


def bound_arguments(call: ModuleCall) -> list[tuple[str, Any]]:
    """The call's recorded arguments by the forward's parameter names; the root's with the
    defaults of those that were left out."""
    return argument_names(call.module, call.args, call.kwargs, defaults=call.parent is None)
