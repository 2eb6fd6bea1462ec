"""A scale, a bias or a residual that was left out, or one too many."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls, constructors
from .source import Rewrite, Source


def missing_residual(source: Source) -> Iterator[Rewrite]:
    """Torch adds what came in before."""
    for value in source.values():
        function = source.function(value)
        if function is None or isinstance(value, (ast.Tuple, ast.Dict, ast.Constant)) and source.read(value) != "x":
            continue
        names = source.names_before(value)
        parameters = {a.arg for a in function.args.args}
        holder = source.statement(value)
        target = source.read(holder.targets[0]) if isinstance(holder, ast.Assign) else ""
        for place, name in enumerate(names[:8]):
            cost = 0.7 + 0.1 * place - (0.3 if name in parameters else 0) - (0.2 if name == target else 0)
            yield Rewrite("missing residual", f"torch adds {name} here",
                          (source.put(value, f"{source.read(value)} + {name}"),), cost)
    for node in source.of(ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Sub)) and not source.in_init(node):
            for side in (node.left, node.right):
                for place, name in enumerate(source.names_before(node)[:6]):
                    yield Rewrite("missing scale", f"torch multiplies {source.read(side)} by {name}",
                                  (source.put(side, f"{source.operand(side)} * {name}"),), 1.6 + 0.1 * place)
    for call in calls(source):
        if call.owner not in ("self", "nn", "mx") or source.in_init(call.node) or len(call.args) != 1:
            continue
        for argument in call.args:
            for place, name in enumerate(source.names_before(argument)[:5]):
                if source.read(argument) != name:
                    yield Rewrite(
                        "missing residual",
                        f"torch adds {name} to what {source.read(call.node.func)} is given",
                        (source.put(argument, f"{source.read(argument)} + {name}"),),
                        1.3 + 0.1 * place,
                    )


def missing_parameter(source: Source) -> Iterator[Rewrite]:
    """A parameter of the class that no line uses: a bias to add or a scale to multiply by."""
    for name in source.layers:
        if not source.is_array(name) or (name in source.uses and len(source.uses) > 3):
            continue
        early = 0 if name not in source.uses else 2.5
        bias = "bias" in name or "pos" in name or "beta" in name or "shift" in name
        for value in source.values():
            for operator, kind in (("+", "missing bias"), ("*", "missing scale")):
                cost = early + (0.1 if (operator == "+") == bias else 0.6)
                text = f"{source.operand(value)} {operator} self.{name}" if operator == "*" else \
                    f"{source.read(value)} + self.{name}"
                what = "adds" if operator == "+" else "multiplies by"
                yield Rewrite(kind, f"torch {what} self.{name}, which no line uses", (source.put(value, text),), cost)
    for node in source.of(ast.Call):
        for name in source.unused if not source.in_init(node) else ():
            if source.is_array(name):
                yield Rewrite("missing bias", f"torch adds self.{name} here",
                              (source.put(node, f"{source.operand(node)} + self.{name}"),), 1.2)
                yield Rewrite("missing scale", f"torch multiplies by self.{name} here",
                              (source.put(node, f"{source.operand(node)} * self.{name}"),), 1.2)


def missing_bias(source: Source) -> Iterator[Rewrite]:
    """``bias=False`` where torch's layer has one, a layer's weight used without its bias, and the reverse."""
    for attribute, call in constructors(source):
        given = call.keyword("bias") or (call.args[2] if call.name == "Linear" and len(call.args) > 2 else None)
        if isinstance(given, ast.Constant):
            word = "missing bias" if given.value is False else "bias that torch has not"
            yield Rewrite(word, f"torch's {attribute or call.name} has {'a' if given.value is False else 'no'} bias",
                          (source.put(given, str(not given.value)),), 0.2)
        elif call.name in ("Linear", "MultiHeadAttention", "LayerNorm") or call.name.startswith("Conv"):
            has = call.name == "MultiHeadAttention"
            yield Rewrite("missing bias" if has else "bias that torch has not",
                          f"torch's {attribute or call.name} has {'a' if has else 'no'} bias: bias={has}",
                          (source.add_argument(call.node, f"bias={has}"),), 0.8)
        for name in ("affine", "elementwise_affine"):
            given = call.keyword(name)
            if isinstance(given, ast.Constant):
                yield Rewrite("missing scale", f"torch's {attribute or call.name} has {name}={not given.value}",
                              (source.put(given, str(not given.value)),), 0.5)
    for node in source.of(ast.BinOp):
        if isinstance(node.op, ast.MatMult):
            for inner in ast.walk(node.right):
                if isinstance(inner, ast.Attribute) and inner.attr == "weight":
                    owner = source.read(inner.value)
                    yield Rewrite("missing bias", f"torch adds {owner}.bias after this product",
                                  (source.put(node, f"{source.read(node)} + {owner}.bias"),), 0.5)


def missing_scale(source: Source) -> Iterator[Rewrite]:
    """Scores that torch divides by the root of the head size, embeddings that it multiplies by the root of theirs."""
    for node in [n for n in source.of(ast.BinOp) if isinstance(n.op, ast.MatMult)] + [
            call.node for call in calls(source, "matmul", "einsum")]:
        left = node.left if isinstance(node, ast.BinOp) else node.args[-2] if len(node.args) > 1 else None
        if left is not None and not source.in_init(node):
            size = f"{source.operand(left)}.shape[-1]"
            for cost, factor in ((0.4, f"{size} ** -0.5"), (1.5, f"{size} ** 0.5")):
                text = f"({source.read(node)}) * {factor}"
                yield Rewrite(
                    "missing scale", f"torch scales this product by {factor}", (source.put(node, text),), cost
                )
    for value in source.values():
        for factor, operator in ((repr(v), o) for v in source.baseline_numbers for o in "*/+"):
            if operator != "+" or not 0 < float(factor) <= 1e-2:  # an epsilon has its own hypothesis
                yield Rewrite("missing scale", f"torch has `{operator} {factor}` here",
                              (source.put(value, f"{source.operand(value)} {operator} {factor}"),), 1.2)
        text = source.operand(value)
        for place, factor in enumerate((f"{text}.shape[-1] ** 0.5", f"{text}.shape[-1] ** -0.5", "0.5", "2.0")):
            yield Rewrite("missing scale", f"torch multiplies by {factor} here",
                          (source.put(value, f"{text} * {factor}"),), 1.8 + 0.2 * place)


def extra_term(source: Source) -> Iterator[Rewrite]:
    """A term or a factor that torch has not."""
    for node in source.of(ast.BinOp):
        if source.in_init(node) or not isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)):
            continue
        scale = isinstance(node.op, (ast.Mult, ast.Div, ast.Pow))
        kind = "extra scale" if scale else "extra term"
        for kept, gone, cost in ((node.left, node.right, 0.9), (node.right, node.left, 1.3)):
            if kept is node.right and isinstance(node.op, (ast.Sub, ast.Div, ast.Pow)):
                continue
            yield Rewrite(
                kind, f"torch has no `{source.read(gone)}` here", (source.put(node, source.operand(kept)),), cost
            )
