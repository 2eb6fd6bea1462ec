"""Another operator or function than torch's, operands in the other order, a sign."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number

SYMBOLS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.MatMult: "@", ast.Pow: "**",
           ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.FloorDiv: "//", ast.Mod: "%"}
OTHERS = {"+": "-*", "-": "+*", "*": "/+", "/": "*", "@": "*", "&": "|", "|": "&"}
COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
#: functions of equal arguments that are taken for each other
FAMILIES = (
    ("max", "min", "mean", "sum", "logsumexp", "prod", "median"),
    ("argmax", "argmin"),
    ("maximum", "minimum"),
    ("cos", "sin", "tan"),
    ("exp", "expm1", "exp2"),
    ("log", "log1p", "log2", "log10"),
    ("sqrt", "rsqrt", "square", "reciprocal"),
    ("floor", "ceil", "round"),
    ("var", "std"),
    ("softmax", "log_softmax"),
    ("all", "any"),
    ("add", "subtract", "multiply", "divide"),
    ("logical_and", "logical_or"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("cumsum", "cumprod", "cummax"),
    ("concatenate", "stack"),
    ("abs", "negative", "sign"),
    ("greater", "less", "greater_equal", "less_equal"),
    ("equal", "not_equal"),
    ("sinh", "cosh"),
)


def other_operator(source: Source) -> Iterator[Rewrite]:
    """``-`` for ``+``, ``*`` for ``/`` and so on; operands exchanged; another grouping."""
    for node in source.of(ast.BinOp):
        symbol = SYMBOLS.get(type(node.op))
        if symbol is None or (source.in_init(node) and not isinstance(source.parents.get(node), ast.Assign)):
            continue
        left, right = source.operand(node.left), source.operand(node.right)
        sized = ".shape" in source.read(node) and symbol in "+-*"
        for place, other in enumerate(OTHERS.get(symbol, "")):
            yield Rewrite("operator", f"torch has `{other}` here, not `{symbol}`",
                          (source.put(node, f"{left} {other} {right}"),), 0.9 + 0.4 * place + sized)
        if symbol in ("-", "/", "@", "**", "//"):
            yield Rewrite("order of operands", f"the operands of `{symbol}` stand the other way round",
                          (source.put(node, f"{right} {symbol} {left}"),), 0.5)
        for inner, outer in ((node.left, node.right), (node.right, node.left)):
            below = SYMBOLS.get(type(inner.op)) if isinstance(inner, ast.BinOp) else None
            if below is None or below == symbol or {below, symbol} - set("+-*/@"):
                continue
            a, b = source.operand(inner.left), source.operand(inner.right)  # type: ignore[attr-defined]
            c = source.operand(outer)
            text = f"{a} {below} ({b} {symbol} {c})" if inner is node.left else f"({c} {symbol} {a}) {below} {b}"
            yield Rewrite("order of operations", f"torch computes {text}", (source.put(node, text),), 0.9)
    for node in source.of(ast.AugAssign):
        symbol = SYMBOLS.get(type(node.op), "")
        for other in OTHERS.get(symbol, ""):
            yield Rewrite(
                "operator",
                f"torch has `{other}=` here, not `{symbol}=`",
                ((*source.span(node), f"{source.read(node.target)} {other}= {source.read(node.value)}"),),
                0.9,
            )
        yield Rewrite("operator", f"torch assigns here, without `{symbol}`",
                      ((*source.span(node), f"{source.read(node.target)} = {source.read(node.value)}"),), 1.2)


def other_comparison(source: Source) -> Iterator[Rewrite]:
    """Another comparison."""
    for node in source.of(ast.Compare):
        symbol = COMPARISONS.get(type(node.ops[0]))
        if symbol is None or len(node.ops) > 1 or source.in_init(node):
            continue
        for other in {"<": ("<=", ">", ">="), "<=": ("<", ">=", ">"), ">": (">=", "<", "<="), ">=": (">", "<=", "<"),
                      "==": ("!=", ">", "<"), "!=": ("==", ">")}[symbol]:
            text = f"{source.operand(node.left)} {other} {source.operand(node.comparators[0])}"
            mask = symbol in ("==", "!=")
            yield Rewrite("mask inverted" if mask and other in ("==", "!=") else "comparison",
                          f"torch compares with `{other}`, not `{symbol}`", (source.put(node, text),), 0.6)


def wrong_sign(source: Source) -> Iterator[Rewrite]:
    """A minus too many or too few."""
    for node in source.of(ast.UnaryOp):
        if isinstance(node.op, ast.USub) and number(node) is None:
            yield Rewrite("sign", f"torch has no minus before {source.read(node.operand)}",
                          (source.put(node, source.operand(node.operand)),), 0.6)
    for node in source.of(ast.Name, ast.Subscript, ast.Call):
        parent = source.parents.get(node)
        if isinstance(parent, (ast.BinOp, ast.Call, ast.List, ast.Tuple)) and not source.in_init(node) and \
                isinstance(getattr(node, "ctx", ast.Load()), ast.Load) and not (
                    isinstance(parent, ast.Call) and parent.func is node):
            yield Rewrite(
                "sign",
                f"torch has a minus before {source.read(node)}",
                (source.put(node, "-" + source.operand(node)),),
                1.4 if isinstance(parent, (ast.List, ast.BinOp)) else 2.2,
            )
    for value in source.values():
        yield Rewrite(
            "sign", "torch's value has the other sign", (source.put(value, "-" + source.operand(value)),), 1.5
        )


def other_function(source: Source) -> Iterator[Rewrite]:
    """A sister function: max for mean, sin for cos, sqrt for rsqrt."""
    for call in calls(source):
        if call.owner in ("self", "nn") or source.in_init(call.node):
            continue
        for family in FAMILIES:
            for other in family if call.name in family else ():
                if other != call.name:
                    text = source.read(call.node.func)[: -len(call.name)] + other
                    if call.owner == "." and other in ("logsumexp", "sqrt", "rsqrt", "median"):
                        continue
                    yield Rewrite("another function", f"torch calls {other} here, not {call.name}",
                                  (source.put(call.node.func, text),), 0.8)


def exchanged_arguments(source: Source) -> Iterator[Rewrite]:
    """Arguments of a call, or members of a list, in another order."""
    for node in source.of(ast.Call):
        values = [a for a in node.args if not isinstance(a, ast.Starred)]
        if len(values) != len(node.args):
            continue
        if source.in_init(node):
            if len(values) >= 2 and source.read(values[0]) != source.read(values[1]):
                a, b = source.read(values[0]), source.read(values[1])
                yield Rewrite("layer sizes exchanged", f"torch's {source.read(node.func)} has {b} before {a}",
                              (source.put(values[0], b), source.put(values[1], a)), 0.5)
            continue
        for first in range(len(values)):
            for second in range(first + 1, min(len(values), 6)):
                a, b = source.read(values[first]), source.read(values[second])
                if a != b and number(values[first]) is None and number(values[second]) is None:
                    yield Rewrite("exchanged arguments", f"torch has {b} where {a} stands, and {a} where {b} stands",
                                  (source.put(values[first], b), source.put(values[second], a)), 0.6 + 0.1 * first)
    for node in source.of(ast.List, ast.Tuple):
        if isinstance(node.ctx, ast.Load) and 2 <= len(node.elts) <= 8 and (
                not source.in_init(node) or isinstance(node, ast.List)):
            texts = [source.read(item) for item in node.elts]
            joined = isinstance(node, ast.List)
            kind = (
                "order of layers"
                if source.in_init(node)
                else "order of concatenation"
                if joined
                else "order of results"
            )
            for first in range(len(texts)):
                for second in range(first + 1, len(texts)):
                    if texts[first] != texts[second] and not (number(node.elts[first]) is not None
                                                              and number(node.elts[second]) is not None):
                        yield Rewrite(
                            kind,
                            f"torch has {texts[second]} before {texts[first]}",
                            (source.put(node.elts[first], texts[second]), source.put(node.elts[second], texts[first])),
                            0.6 + 0.1 * (second - first),
                        )
            if joined and len(texts) == 2:
                a, b = (t.removeprefix("-") for t in texts)
                for pair in ((f"-{b}", a), (f"-{a}", b), (a, f"-{b}"), (b, f"-{a}"), (a, b), (b, a)):
                    if list(pair) != texts:
                        yield Rewrite("sign or order of the halves", f"torch joins [{', '.join(pair)}]",
                                      (source.put(node.elts[0], pair[0]), source.put(node.elts[1], pair[1])), 0.4)
