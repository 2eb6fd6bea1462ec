"""Arguments and results of recorded module calls, by name and as literals."""

from __future__ import annotations

import ast
import inspect
from typing import Any

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
    """The call's recorded arguments by the forward's parameter names, defaults included."""
    try:
        signature = inspect.signature(call.module.forward)
        bound = signature.bind(*call.args, **call.kwargs)
    except (TypeError, ValueError):
        return [(f"x{i}", value) for i, value in enumerate(call.args)] + list(call.kwargs.items())
    root = call.parent is None
    if root:
        bound.apply_defaults()
    named: list[tuple[str, Any]] = []
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            named += [(f"{name}{i}", item) for i, item in enumerate(value)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named += list(value.items())
        else:
            named.append((name, value))
    return named
