"""GELU has an exact form and two approximations; a port must use torch's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls, constructors
from .source import Rewrite, Source

FORMS = {
    "nn.gelu": "exact (erf)",
    "nn.gelu_approx": "the tanh approximation",
    "nn.gelu_fast_approx": "x·sigmoid(1.702·x)",
}
LAYERS = {"none": "exact (erf)", "precise": "the tanh approximation", "fast": "x·sigmoid(1.702·x)"}


def gelu_variant(source: Source) -> Iterator[Rewrite]:
    """Another GELU of the three."""
    for node in source.of(ast.Attribute, ast.Name):
        name = source.read(node)
        if name in FORMS or name in ("gelu", "gelu_approx", "gelu_fast_approx"):
            for form, what in FORMS.items():
                if form.removeprefix("nn.") != name.removeprefix("nn."):
                    yield Rewrite("GELU variant", f"torch's GELU is {what} here: {form}", (source.put(node, form),), 0)
    for _, call in constructors(source, "GELU"):
        given = call.argument(0, "approx")
        now = given.value if isinstance(given, ast.Constant) else "none"
        for form, what in LAYERS.items():
            if form != ("precise" if now == "tanh" else now):
                yield Rewrite("GELU variant", f"torch's GELU is {what} here: approx={form!r}",
                              (source.put_arguments(call.node, [] if form == "none" else [f'approx="{form}"']),), 0)


def gelu_by_hand(source: Source) -> Iterator[Rewrite]:
    """A GELU written out, in another form than torch's."""
    for value in source.values():
        names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} - {"mx", "nn", "math", "np", "self"}
        inner = {call.name for call in calls(source, "tanh", "erf", "sigmoid") if any(
            n is call.node for n in ast.walk(value))}
        if len(names) == 1 and inner:
            for form, what in FORMS.items():
                yield Rewrite("GELU variant", f"torch's GELU is {what} here: {form}",
                              (source.put(value, f"{form}({names.copy().pop()})"),), 1)
