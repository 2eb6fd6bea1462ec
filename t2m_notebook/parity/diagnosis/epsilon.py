"""The epsilon of a norm, of a root or of a division."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls, constructors
from .source import Rewrite, Source, number

#: torch's defaults and what well-known models are configured with; the fifth is torch's RMSNorm in float32.
COMMON = (1e-5, 1e-6, 1e-12, 1e-8, 1.1920928955078125e-07, 1e-3, 1e-7, 1e-4, 1e-2, 1e-9, 1e-10, 0.0)
NORMS = ("LayerNorm", "RMSNorm", "BatchNorm", "GroupNorm", "InstanceNorm")


def wrong_epsilon(source: Source) -> Iterator[Rewrite]:
    """Another epsilon, torch's own first."""
    for node, attribute in _sites(source):
        now = number(node)
        for cost, value in _values(source, attribute):
            if value != now:
                yield Rewrite("epsilon", f"the epsilon is {now}; with {value}, as in torch, the values agree",
                              (source.put(node, repr(value)),), cost)
    for attribute, call in constructors(source, *NORMS):
        if call.argument(1 if "Group" not in call.name else 2, "eps") is None:
            for cost, value in _values(source, attribute):
                yield Rewrite("epsilon", f"{call.name} has MLX's default epsilon here; torch's has {value}",
                              (source.add_argument(call.node, f"eps={value!r}"),), cost)


def misplaced_epsilon(source: Source) -> Iterator[Rewrite]:
    """An epsilon that was left out, or that stands outside of the root."""
    for call in calls(source, "sqrt", "rsqrt"):
        if len(call.args) != 1:
            continue
        inner, parent = call.args[0], source.parents.get(call.node)
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add):
            other = parent.right if parent.left is call.node else parent.left
            if number(other) is not None:
                inside = f"mx.sqrt({source.read(inner)} + {source.read(other)})"
                yield Rewrite("epsilon", "the epsilon is added after the root; torch adds it to the variance",
                              (source.put(parent, inside),), 0.5)
        above = source.parents.get(parent) if isinstance(parent, ast.BinOp) else None
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add) and number(above.right) is not None \
                and above.left is parent and parent.right is call.node:  # type: ignore[union-attr]
            symbol = "/" if isinstance(parent.op, ast.Div) else "*"  # type: ignore[union-attr]
            inside = f"mx.{call.name}({source.read(inner)} + {source.read(above.right)})"
            yield Rewrite(
                "epsilon",
                "the epsilon is added to the quotient; torch adds it to the variance",
                (source.put(above, f"{source.operand(parent.left)} {symbol} {inside}"),),
                0.5,
            )  # type: ignore[union-attr]
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add) and number(inner.right) is not None:
            if call.name == "sqrt":
                outside = f"mx.sqrt({source.read(inner.left)}) + {source.read(inner.right)}"
                yield Rewrite("epsilon", "the epsilon is added to the variance; torch adds it after the root",
                              (source.put(call.node, outside),), 1.5)
            continue
        for cost, value in _values(source, ""):
            yield Rewrite("epsilon", f"no epsilon under the root; torch adds {value}",
                          (source.put(inner, f"{source.read(inner)} + {value!r}"),), cost + 1)
    for node in source.of(ast.BinOp):
        if isinstance(node.op, ast.Div) and number(node.right) is None and not source.in_init(node):
            for cost, value in _values(source, ""):
                yield Rewrite("epsilon", f"no epsilon in the division; torch adds {value}",
                              (source.put(node.right, f"{source.read(node.right)} + {value!r}"),), cost + 2)


def _sites(source: Source) -> Iterator[tuple[ast.expr, str]]:
    """Literal epsilons: ``eps=``, the last argument of mx.fast's norms, and small numbers that are added."""
    for attribute, call in constructors(source):
        value = call.keyword("eps") or (call.args[1] if call.name in NORMS and len(call.args) > 1
                                        and call.name != "GroupNorm" else None)
        if number(value) is not None:
            yield value, attribute  # type: ignore[misc]
    for call in calls(source):
        if call.owner in ("nn", "") and call.name[:1].isupper():
            continue
        value = call.keyword("eps") or (
            call.args[-1] if call.name in ("layer_norm", "rms_norm") and call.args else None
        )
        if number(value) is not None:
            yield value, ""  # type: ignore[misc]
        for argument in call.args if call.name in ("maximum", "clip") else ():
            if 0 < (number(argument) or 0) <= 1e-2:
                yield argument, ""
    for node in source.of(ast.BinOp):
        if isinstance(node.op, ast.Add):
            for side in (node.left, node.right):
                if 0 < (number(side) or 0) <= 1e-2:
                    yield side, ""
    for node in ast.walk(source.cls):
        if isinstance(node, ast.arguments):
            for argument, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
                if "eps" in argument.arg and number(default) is not None:
                    yield default, ""
    for name, made in source.layers.items():
        if "eps" in name and number(made) is not None:
            yield made, name


def _values(source: Source, attribute: str) -> Iterator[tuple[float, float]]:
    """``(cost, epsilon)``: torch's layer's own, those of its other layers, then the common ones."""
    seen = set()
    own = [facts for path, facts in source.facts.items() if path.split(".")[0] == attribute]
    for cost, facts in [(0.0, f) for f in own] + [(0.4, f) for f in source.facts.values()]:
        for name, value in facts.items():
            if "eps" in name and isinstance(value, float) and value not in seen:
                seen.add(value)
                yield cost, value
    for place, value in enumerate([v for v in source.baseline_numbers if 0 < v <= 1e-2] + list(COMMON)):
        if value not in seen:
            seen.add(value)
            yield 0.6 + 0.1 * place, value
