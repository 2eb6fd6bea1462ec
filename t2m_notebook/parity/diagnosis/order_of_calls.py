"""Layers in another order, one left out, one too many; activations likewise."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import Called, calls, layer_calls
from .source import Rewrite, Source

ACTIVATIONS = (
    "nn.relu",
    "nn.gelu",
    "nn.silu",
    "mx.tanh",
    "mx.sigmoid",
    "nn.gelu_approx",
    "nn.leaky_relu",
    "nn.elu",
    "nn.softplus",
    "nn.mish",
    "nn.hardswish",
    "nn.relu6",
    "nn.selu",
    "nn.softsign",
    "nn.log_sigmoid",
    "nn.celu",
    "nn.gelu_fast_approx",
)
LAYERS = (
    "ReLU",
    "GELU",
    "SiLU",
    "Tanh",
    "Sigmoid",
    "ELU",
    "LeakyReLU",
    "Mish",
    "Hardswish",
    "ReLU6",
    "SELU",
    "Softplus",
    "Identity",
)
NAMES = {a.split(".")[1] for a in ACTIVATIONS} | {"swish"}


def other_activation(source: Source) -> Iterator[Rewrite]:
    """Another activation function."""
    for call in calls(source):
        if call.name in NAMES and call.owner in ("mx", "nn", "") and len(call.args) == 1:
            for place, other in enumerate(ACTIVATIONS):
                if not other.endswith("." + call.name):
                    yield Rewrite("wrong activation", f"torch's activation is {other}, not {call.name}",
                                  (source.put(call.node.func, other),), 0.4 + 0.1 * place)
        elif call.owner == "nn" and call.name in LAYERS and not call.args:
            for place, other in enumerate(LAYERS):
                if other != call.name:
                    yield Rewrite("wrong activation", f"torch's activation is {other}, not {call.name}",
                                  (source.put(call.node.func, f"nn.{other}"),), 0.4 + 0.1 * place)


def missing_call(source: Source) -> Iterator[Rewrite]:
    """A layer that no line uses, or an activation that was left out."""
    spots: list[tuple[ast.expr, float]] = [(value, 0.0) for value in source.values()]
    for call in calls(source):
        if not source.in_init(call.node) and call.owner in ("self", "nn", "mx", ""):
            spots += [
                (argument, 0.2) for argument in call.args[:3] if not isinstance(argument, (ast.Constant, ast.Starred))
            ]
            spots.append((call.node, 0.3))
        elif call.owner == "." and not source.in_init(call.node):
            spots.append((call.args[0], 0.2))
    for node in source.of(ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Mult, ast.MatMult)) and not source.in_init(node):
            spots += [(node.left, 0.4), (node.right, 0.4)]
    for node, late in {id(n): (n, c) for n, c in reversed(spots)}.values():
        text = source.read(node)
        for name in source.unused:
            if not source.is_array(name) and not isinstance(source.layers[name], (ast.List, ast.ListComp)):
                yield Rewrite("missing layer", f"no line uses self.{name}; torch applies it here",
                              (source.put(node, f"self.{name}({text})"),), 0.2 + late)
                for value in source.names_before(node)[:4]:
                    yield Rewrite("missing residual", f"no line uses self.{name}; torch adds self.{name}({value}) here",
                                  (source.put(node, f"{text} + self.{name}({value})"),), 0.6 + late)
        for name in source.layers:
            if name in source.uses and source.constructor(name)[:1].isupper() and f"self.{name}(" not in text and \
                    source.constructor(name) not in ("Linear", "Embedding", "PaddedEmbedding") and \
                    not isinstance(source.layers[name], (ast.List, ast.ListComp)):
                yield Rewrite("missing layer", f"torch applies self.{name} here",
                              (source.put(node, f"self.{name}({text})"),), 1.6 + late)
        for place, function in enumerate(ACTIVATIONS[:7]):
            yield Rewrite("missing activation", f"torch applies {function} here",
                          (source.put(node, f"{function}({text})"),), 1.3 + 0.15 * place + late)
    yield from _missing_steps(source)
    for name in source.unused:
        if isinstance(source.layers[name], (ast.List, ast.ListComp)):
            for statement in source.of(ast.Assign, ast.For):
                target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.body[-1]
                if isinstance(target, ast.Assign):
                    target = target.targets[0]
                if isinstance(target, ast.Name) and not source.in_init(statement):
                    lines = (
                        f"for layer in self.{name}:\n{' ' * (statement.col_offset + 4)}{target.id} = layer({target.id})"
                    )
                    yield Rewrite("missing layer", f"no line uses the layers of self.{name}",
                                  (source.insert_after(statement, lines),), 0.8)


def _missing_steps(source: Source) -> Iterator[Rewrite]:
    """A line ``y = self.layer(x)`` that was left out."""
    for name in source.unused:
        if source.is_array(name) or isinstance(source.layers[name], (ast.List, ast.ListComp)):
            continue
        for statement in source.of(ast.Assign):
            given = statement.targets[0]
            if not isinstance(given, ast.Name) or source.in_init(statement):
                continue
            known = [given.id, *source.names_before(statement)]
            alike = [n for n in dict.fromkeys(known) if n.rstrip("_0123456789") == given.id.rstrip("_0123456789")]
            for target in alike[:4]:
                for value in alike[:4]:
                    line = f"{target} = self.{name}({value})"
                    yield Rewrite("missing layer", f"no line uses self.{name}; torch has the step `{line}`",
                                  (source.insert_after(statement, line),), 0.4 + 0.1 * (target != given.id))


def needless_call(source: Source) -> Iterator[Rewrite]:
    """A function that torch doesn't apply, or applies once."""
    for call in calls(source):
        if source.in_init(call.node) or not call.args:
            continue
        inner = call.args[0]
        if isinstance(inner, ast.Constant):
            continue
        double = isinstance(inner, ast.Call) and source.read(inner.func) == source.read(call.node.func)
        activation = call.name in NAMES or "act" in call.name
        kind = "extra activation" if activation else "extra layer" if call.owner == "self" else "extra call"
        cost = 0.2 if double else 0.8 if activation or call.owner == "self" else 1.1
        yield Rewrite(kind, f"torch does not apply {source.read(call.node.func)} here",
                      (source.put(call.node, source.operand(inner)),), cost)


def order_of_layers(source: Source) -> Iterator[Rewrite]:
    """Two steps exchanged, such as a norm and an activation; a norm before or after the residual."""
    for call in calls(source):
        if source.in_init(call.node) or not call.args:
            continue
        inner = call.args[0]
        if isinstance(inner, ast.Call) and inner.args:
            edits = (
                source.put(call.node.func, source.read(inner.func)),
                source.put(inner.func, source.read(call.node.func)),
            )
            yield Rewrite(
                "order of layers",
                f"torch applies {source.read(call.node.func)} before {source.read(inner.func)}",
                edits,
                0.5,
            )
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, (ast.Add, ast.Mult)):
            function, symbol = source.read(call.node.func), "+" if isinstance(inner.op, ast.Add) else "*"
            left, right = source.read(inner.left), source.read(inner.right)
            if len(call.args) == 1 and not call.node.keywords:
                for text in (f"{function}({left}) {symbol} {right}", f"{left} {symbol} {function}({right})"):
                    yield Rewrite("order of layers", f"torch applies {function} to one operand, not to both",
                                  (source.put(call.node, text),), 0.7)
    for node in source.of(ast.BinOp):
        if not isinstance(node.op, (ast.Add, ast.Mult, ast.MatMult)) or source.in_init(node):
            continue
        symbol = {"Add": "+", "Mult": "*", "MatMult": "@"}[type(node.op).__name__]
        for side, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(side, ast.Call) and len(side.args) == 1 and not side.keywords:
                inside = f"{source.operand(side.args[0])} {symbol} {source.operand(other)}" if side is node.left else \
                    f"{source.operand(other)} {symbol} {source.operand(side.args[0])}"
                yield Rewrite(
                    "order of layers",
                    f"torch applies {source.read(side.func)} to the whole, not to one operand",
                    (source.put(node, f"{source.read(side.func)}({inside})"),),
                    0.8,
                )
    yield from _exchanged_statements(source)


def _exchanged_statements(source: Source) -> Iterator[Rewrite]:
    for first in source.of(ast.Assign, ast.For, ast.If, ast.AugAssign):
        block = source.block(first)
        place = next((n for n, s in enumerate(block) if s is first), len(block))
        second = block[place + 1] if place + 1 < len(block) else None
        if isinstance(second, (ast.Assign, ast.For, ast.If, ast.AugAssign)) and not source.in_init(first):
            edits = ((*source.span(first), source.read(second)), (*source.span(second), source.read(first)))
            yield Rewrite("order of layers", "torch does these two steps the other way round", edits, 0.7)
        if isinstance(second, ast.Assign) and isinstance(first, ast.Assign) and not source.in_init(first):
            a, b = _single_call(first), _single_call(second)
            if a is not None and b is not None:
                edits = (
                    source.put(a.node.func, source.read(b.node.func)),
                    source.put(b.node.func, source.read(a.node.func)),
                )
                yield Rewrite(
                    "order of layers",
                    f"torch calls {source.read(b.node.func)} before {source.read(a.node.func)}",
                    edits,
                    0.5,
                )


def _single_call(statement: ast.Assign) -> Called | None:
    from .called import called
    return called(statement.value) if isinstance(statement.value, ast.Call) else None


def steps(source: Source) -> Iterator[Rewrite]:
    """A step that torch has not, or that it has twice."""
    for statement in source.of(ast.Assign, ast.AugAssign):
        if source.in_init(statement) or not isinstance(
            source.parents.get(statement), (ast.FunctionDef, ast.For, ast.If)
        ):
            continue
        gone = source.remove_statement(statement)
        if gone:
            yield Rewrite("extra step", f"torch has no step `{_first_line(source.read(statement))}`", (gone,), 0.9)
    for call in layer_calls(source):
        text = source.read(call.node)
        if len(call.args) == 1 and not call.node.keywords:
            yield Rewrite("missing layer", f"torch applies self.{call.name} twice",
                          (source.put(call.node, f"self.{call.name}({text})"),), 2.5)
    for statement in source.of(ast.If):
        if not source.in_init(statement) and not any(isinstance(n, ast.Raise) for n in ast.walk(statement)):
            yield Rewrite("branch", "torch takes the other branch here",
                          (source.put(statement.test, f"not ({source.read(statement.test)})"),), 0.8)


def _first_line(text: str) -> str:
    return text.split("\n")[0]
