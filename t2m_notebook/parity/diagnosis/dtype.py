"""Another dtype than torch's: promotion by a float32 constant, unsigned indices, a cast too many or too few."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number

KIND = "dtype"
DTYPES = ("mx.float32", "mx.int32", "mx.int64", "mx.bool_", "mx.bfloat16", "mx.float16")


def scalar_array(source: Source) -> Iterator[Rewrite]:
    """``mx.array(2.5)`` is a float32 array that promotes bfloat16; a Python number does not."""
    for call in calls(source, "array"):
        if call.args and number(call.args[0]) is not None and not source.in_init(call.node):
            yield Rewrite(
                "dtype promotion",
                "mx.array of a number is float32 and promotes half precision: use the number",
                (source.put(call.node, source.read(call.args[0])),),
                0,
            )
        elif not source.in_init(call.node):
            for name in source.names_before(call.node)[-2:]:
                yield Rewrite("dtype promotion", f"the array is float32: cast it to {name}'s dtype",
                              (source.put(call.node, f"{source.read(call.node)}.astype({name}.dtype)"),), 0.7)


def unsigned_indices(source: Source) -> Iterator[Rewrite]:
    """argmax, argsort and argpartition give uint32, which wraps below zero."""
    for call in calls(source, "argmax", "argmin", "argsort", "argpartition"):
        yield Rewrite(KIND, f"mx.{call.name} gives uint32, which wraps below zero; torch's is signed",
                      (source.put(call.node, f"{source.read(call.node)}.astype(mx.int32)"),), 0.3)
    for node in source.of(ast.BinOp):
        if isinstance(node.op, (ast.Sub, ast.Mult, ast.Add)) and isinstance(node.left, ast.Name):
            yield Rewrite(KIND, f"{node.left.id} may be unsigned, which wraps below zero; torch's is signed",
                          (source.put(node.left, f"{node.left.id}.astype(mx.int32)"),), 2.2)


def integer_division(source: Source) -> Iterator[Rewrite]:
    """``/`` against ``//``."""
    for node in source.of(ast.BinOp):
        if isinstance(node.op, (ast.Div, ast.FloorDiv)) and not source.in_init(node):
            symbol, other = ("/", "//") if isinstance(node.op, ast.Div) else ("//", "/")
            yield Rewrite("operator", f"torch divides with {other} here, not {symbol}",
                          (source.put(node, f"{source.operand(node.left)} {other} {source.operand(node.right)}"),), 1.2)


def other_cast(source: Source) -> Iterator[Rewrite]:
    """A cast to another dtype, or one that torch does not do."""
    for call in calls(source, "astype"):
        if len(call.args) != 2:
            continue
        yield Rewrite(KIND, f"torch does not cast to {source.read(call.args[1])} here",
                      (source.put(call.node, source.operand(call.args[0])),), 0.7)
        for place, name in enumerate([*DTYPES, *(f"{n}.dtype" for n in source.names_before(call.node)[-2:])]):
            if name != source.read(call.args[1]):
                yield Rewrite(KIND, f"torch casts to {name} here", (source.put(call.args[1], name),), 0.9 + 0.1 * place)
    for call in calls(source):
        given = call.keyword("dtype")
        if given is None and call.name in ("zeros", "ones", "arange", "full", "eye") and not source.in_init(call.node):
            for name in (*DTYPES[:4], *(f"{n}.dtype" for n in source.names_before(call.node)[-2:])):
                yield Rewrite(KIND, f"torch's {call.name} has dtype {name} here",
                              (source.add_argument(call.node, f"dtype={name}"),), 1.2)
        for place, name in enumerate([*DTYPES, *(f"{n}.dtype" for n in source.names_before(call.node)[-2:])]
                                     if given is not None and not source.in_init(call.node) else []):
            if name != source.read(given):
                yield Rewrite(
                    KIND, f"torch's {call.name} has dtype {name} here", (source.put(given, name),), 0.9 + 0.1 * place
                )


def missing_cast(source: Source) -> Iterator[Rewrite]:
    """A result that comes out wider or of another kind than torch's; a computation that torch does in float32."""
    for value in source.values():
        for place, name in enumerate([f"{n}.dtype" for n in source.names_before(value)[-2:]] + list(DTYPES[:4])):
            yield Rewrite("dtype promotion" if place < 2 else KIND, f"torch's value has dtype {name} here",
                          (source.put(value, f"{source.operand(value)}.astype({name})"),), 1.4 + 0.1 * place)
    for name in {n for v in source.values() for n in source.names_before(v)[-3:]}:
        for node in source.of(ast.Name):
            if node.id == name and isinstance(node.ctx, ast.Load) and not source.in_init(node):
                yield Rewrite(KIND, f"torch computes this in float32: {name}.astype(mx.float32)",
                              (source.put(node, f"{name}.astype(mx.float32)"),), 1.8)
