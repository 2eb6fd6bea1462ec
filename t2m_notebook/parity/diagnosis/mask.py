"""Masks: inverted, added where they select, left out, aligned at the other corner."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import Called, calls
from .source import Rewrite, Source, number

ATTENTION = ("scaled_dot_product_attention", "masked_attention", "causal_attention", "attention")
TRIANGLES = ("tril", "triu")


def inverted_mask(source: Source) -> Iterator[Rewrite]:
    """True means "attend" in MLX; torch's nn.MultiheadAttention means "block"."""
    for node in _masks(source):
        text = source.operand(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
            yield Rewrite("mask inverted", "the mask must not be inverted: True means attend here",
                          (source.put(node, source.operand(node.operand)),), 0)
        else:
            yield Rewrite(
                "mask inverted", f"the mask means the opposite here: ~{text}", (source.put(node, f"~{text}"),), 0.1
            )
            yield Rewrite("mask inverted", f"the mask means the opposite here: 1 - {text}",
                          (source.put(node, f"1 - {text}"),), 0.6)
    for node in source.of(ast.UnaryOp):
        if isinstance(node.op, (ast.Invert, ast.Not)):
            yield Rewrite("mask inverted", f"{source.read(node)} should not be inverted",
                          (source.put(node, source.operand(node.operand)),), 0.2)
    for call in calls(source, "logical_not"):
        yield Rewrite(
            "mask inverted",
            "the mask must not be inverted",
            (source.put(call.node, source.operand(call.args[0])),),
            0.2,
        )
    for call in calls(source, "where"):
        if len(call.args) == 3:
            test, yes, no = (source.read(a) for a in call.args)
            yield Rewrite("mask inverted", f"where({test}, …) selects the wrong one of the two",
                          (source.put_arguments(call.node, [test, no, yes]),), 0.2)


def boolean_or_additive(source: Source) -> Iterator[Rewrite]:
    """A boolean mask that was added, or an additive one that selects."""
    for node in _masks(source):
        text = source.operand(node)
        made = [(f"mx.where({text}, 0.0, -mx.inf)", 0.3), (f"mx.where({text}, -mx.inf, 0.0)", 0.4),
                (f"{text}.astype(mx.bool_)", 0.3), (f"{text} == 0", 0.5), (f"{text} != 0", 0.6), (f"{text} > 0", 0.8),
                (f"mx.where({text}, 0.0, -1e9)", 1.0), (f"(1.0 - {text}) * -1e9", 0.9),
                (f"(1.0 - {text}) * mx.finfo(mx.float32).min", 1.0)]
        for new, cost in made:
            yield Rewrite("boolean and additive mask mixed up", f"the mask is of the other sort: {new}",
                          (source.put(node, new),), cost)
        inner = _cast(node)
        if inner is not None:
            for new, cost in ((source.operand(inner), 0.2), (f"mx.where({source.read(inner)}, 0.0, -mx.inf)", 0.3)):
                yield Rewrite(
                    "boolean and additive mask mixed up",
                    "a boolean mask that is cast becomes an additive one",
                    (source.put(node, new),),
                    cost,
                )
    for call in calls(source, "full", "full_like", "ones", "zeros", "tril", "triu"):
        if "mx.bool_" in source.read(call.node) or call.name in ("full", "full_like", *TRIANGLES):
            yield Rewrite("boolean and additive mask mixed up", f"mx.{call.name} is not boolean here: cast its result",
                          (source.put(call.node, f"{source.read(call.node)}.astype(mx.bool_)"),), 0.5)
    for node in source.of(ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Mult)) and not source.in_init(node):
            for scores, given in ((node.left, node.right), (node.right, node.left)):
                if isinstance(given, (ast.Name, ast.Attribute, ast.Subscript)) and "mask" in source.read(given):
                    for text in (f"mx.where({source.read(given)}, {source.read(scores)}, -mx.inf)",
                                 f"mx.where({source.read(given)}, -mx.inf, {source.read(scores)})",
                                 f"mx.where({source.read(given)} == 0, -mx.inf, {source.read(scores)})",
                                 f"{source.operand(scores)} + {source.operand(given)}"):
                        yield Rewrite("boolean and additive mask mixed up", "a boolean mask selects, it is not added",
                                      (source.put(node, text),), 0.4)
    for call in calls(source, "where"):
        if len(call.args) == 3:
            test, _, no = (source.operand(a) for a in call.args)
            yield Rewrite("boolean and additive mask mixed up", "the mask is additive: add it",
                          (source.put(call.node, f"{no} + {test}"),), 1)


def wrong_fill(source: Source) -> Iterator[Rewrite]:
    """What blocked scores are filled with."""
    for call in calls(source, "where", "full", "full_like"):
        for argument in call.args[1:]:
            text = source.read(argument)
            large = "inf" in text or abs(number(argument) or 0) >= 1e3 or "min" in text or number(argument) == 0
            for fill in ("-mx.inf", "-1e9", "0.0", "mx.finfo(mx.float32).min", "-1e4", "-100.0") if large else ():
                if fill != text:
                    yield Rewrite("mask fill", f"torch fills with {fill}", (source.put(argument, fill),), 1)


def mask_left_out(source: Source) -> Iterator[Rewrite]:
    """A mask that no line uses, or one that torch has not."""
    for call in calls(source, *ATTENTION):
        given = call.keyword("mask")
        names = [n for n in source.names_before(call.node) if "mask" in n or "bias" in n]
        names += [f"self.{n}" for n in source.layers if "mask" in n]
        if given is None or isinstance(given, ast.Constant):
            for name in dict.fromkeys(names):
                edit = source.add_argument(call.node, f"mask={name}") if given is None else source.put(given, name)
                yield Rewrite("mask left out", f"torch's attention is given {name}", (edit,), 0.1)
        elif call.name != "masked_attention":
            yield Rewrite("mask that torch has not", "torch's attention has no mask here",
                          (source.remove_argument(call.node, _keyword(call, "mask")),), 1)
    for call in calls(source, "softmax"):
        scores = call.args[0] if call.args else None
        for name in source.names_before(call.node) if scores is not None else ():
            if "mask" in name or "bias" in name:
                text = source.read(scores)
                for new in (
                    f"{text} + {name}",
                    f"mx.where({name}, {text}, -mx.inf)",
                    f"mx.where({name}, -mx.inf, {text})",
                ):
                    yield Rewrite(
                        "mask left out", f"torch masks the scores with {name}", (source.put(scores, new),), 0.5
                    )


def causal_alignment(source: Source) -> Iterator[Rewrite]:
    """``mask="causal"`` lets the last query see the last key; torch lets the first see just the first."""
    for call in calls(source, *ATTENTION):
        if len(call.args) < 3:
            continue
        q, k = (source.operand(a) for a in call.args[:2])
        ones = f"mx.ones(({q}.shape[-2], {k}.shape[-2]), dtype=mx.bool_)"
        masks = [('"causal"', "no query may see later keys: mask=\"causal\"", "causal mask left out", 0.2),
                 (f"mx.tril({ones})", "torch aligns a causal mask at the first query and key", "causal alignment", 0.3),
                 (f"mx.tril({ones}, k={k}.shape[-2] - {q}.shape[-2])",
                  "torch aligns this mask at the last query and key", "causal alignment", 0.5)]
        given = call.keyword("mask")
        positional = call.args[3] if call.name == "masked_attention" and len(call.args) > 3 else None
        for text, message, kind, cost in masks:
            if call.name == "causal_attention":
                others = [t for t in source.arguments(call.node) if not t.startswith("mask=")]
                edit = (
                    *source.span(call.node),
                    f"mx.fast.scaled_dot_product_attention({', '.join([*others, 'mask=' + text])})",
                )
            elif given is not None or positional is not None:
                edit = source.put(given or positional, text)
            else:
                edit = source.add_argument(call.node, f"mask={text}")
            yield Rewrite(kind, message, (edit,), cost)
        if call.name == "causal_attention" or (given is not None and source.read(given) in ('"causal"', "'causal'")):
            kept = [t for t in source.arguments(call.node) if not t.startswith("mask=")]
            yield Rewrite("causal mask that torch has not", "torch's attention is not causal here", (
                (*source.span(call.node), f"mx.fast.scaled_dot_product_attention({', '.join(kept)})"),), 0.4)
    for call in calls(source, *TRIANGLES):
        offset = call.argument(1, "k")
        other = "triu" if call.name == "tril" else "tril"
        function = source.read(call.node.func)
        renamed = source.put(call.node.func, function[: -len(call.name)] + other)
        yield Rewrite("causal alignment", f"torch keeps the other triangle: {other}", (renamed,), 0.4)
        for k in (0, 1, -1):
            if k != (number(offset) or 0):
                edit = source.put(offset, str(k)) if offset is not None else source.add_argument(call.node, f"k={k}")
                yield Rewrite("causal alignment", f"the triangle starts at diagonal {k} in torch", (edit,), 0.3)
                yield Rewrite(
                    "causal alignment", f"torch keeps the other triangle, from diagonal {k}", (renamed, edit), 0.8
                )


def _masks(source: Source) -> Iterator[ast.expr]:
    """Expressions that are used as masks."""
    for call in calls(source):
        for word in call.node.keywords:
            if word.arg and "mask" in word.arg and not isinstance(word.value, ast.Constant):
                yield word.value
        if call.name in ATTENTION and len(call.args) > 3:
            yield call.args[3]
        if call.name == "where" and len(call.args) == 3:
            yield call.args[0]
        if call.owner == "self" and not source.in_init(call.node):
            yield from (a for a in call.args if isinstance(a, ast.Name) and "mask" in a.id)
    for node in source.of(ast.Assign):
        if any("mask" in source.read(target) for target in node.targets) and not source.in_init(node):
            yield node.value
    for node in source.of(ast.BinOp):
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.BitAnd, ast.BitOr)):
            yield from (side for side in (node.left, node.right)
                        if isinstance(side, (ast.Name, ast.Attribute)) and "mask" in source.read(side))


def _cast(node: ast.expr) -> ast.expr | None:
    """What is cast by ``.astype``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
        return node.func.value
    return None


def _keyword(call: Called, name: str) -> ast.keyword:
    return next(k for k in call.node.keywords if k.arg == name)
