"""Names what differs between a statement of the user and the generated one in its place."""

from __future__ import annotations

import ast

from .called import called
from .source import is_own, last_name, number
from .wrong_axis import JOINS, REDUCTIONS

#: keyword -> what a wrong one is called
KEYWORDS = {"eps": "epsilon", "ddof": "degrees of freedom", "mask": "mask", "scale": "wrong scale", "dtype": "dtype",
            "keepdims": "dimension kept", "bias": "missing bias", "pytorch_compatible": "GroupNorm grouping",
            "approx": "GELU variant", "mode": "layer option", "precise": "dtype", "traditional": "rotary layout"}
AXES = ("swapaxes", "transpose", "moveaxis", "T", "mT")
CASTS = ("astype", "view")


def named(own: list[ast.stmt], generated: list[ast.stmt]) -> tuple[str, str]:
    """``(kind, message)`` of a difference; both empty when it is of no simple form."""
    own = [node for node in own if not isinstance(node, ast.Pass)]
    if not own and generated:
        value = getattr(generated[0], "value", None)
        kind = (
            _call(called(value), "missing") if isinstance(value, ast.Call) and len(generated) == 1 else "missing step"
        )
        return kind.replace(
            "missing call", "missing step"
        ), f"the generated class has the step `{_short(generated[0])}` here"
    if own and not generated:
        value = getattr(own[0], "value", None)
        kind = _call(called(value), "extra") if isinstance(value, ast.Call) and len(own) == 1 else "extra step"
        return kind.replace("extra call", "extra step"), f"the generated class has no step `{_short(own[0])}`"
    if len(own) != 1 or len(generated) != 1:
        return "", ""
    mine, theirs, context = _smallest(own[0], generated[0], [])
    kind = _kind(mine, theirs, context)
    return (kind, f"`{_short(theirs)}` in the generated class, `{_short(mine)}` here") if kind else ("", "")


def _smallest(mine: ast.AST, theirs: ast.AST, context: list[ast.AST]) -> tuple[ast.AST, ast.AST, list[ast.AST]]:
    """The smallest pair of parts in which two trees differ, and what is around the second."""
    if type(mine) is not type(theirs):
        return mine, theirs, context
    pairs: list[tuple[ast.AST, ast.AST]] = []
    for name in mine._fields:
        first, second = getattr(mine, name, None), getattr(theirs, name, None)
        if isinstance(first, list) and isinstance(second, list):
            if len(first) != len(second):
                return mine, theirs, context
            pairs += [(a, b) for a, b in zip(first, second, strict=True) if _text(a) != _text(b)]
        elif isinstance(first, ast.AST) and isinstance(second, ast.AST):
            if _text(first) != _text(second):
                pairs.append((first, second))
        elif first != second:
            return mine, theirs, context
    if len(pairs) != 1:
        return mine, theirs, context
    return _smallest(*pairs[0], [*context, theirs])


def _kind(mine: ast.AST, theirs: ast.AST, context: list[ast.AST]) -> str:
    parent = context[-1] if context else None
    inner = next((called(node) for node in reversed(context) if isinstance(node, ast.Call)), None)
    word = next((node.arg for node in reversed(context) if isinstance(node, ast.keyword)), None)
    if isinstance(theirs, ast.keyword):
        word = theirs.arg
    if word in KEYWORDS:
        return KEYWORDS[word]
    if word == "axis" or (inner and number(theirs) is not None and inner.name in REDUCTIONS):
        name = inner.name if inner else ""
        return "softmax axis" if "softmax" in name else "axis of concatenation" if name in JOINS else \
            "axis of split" if name == "split" else "reduction axis"
    if isinstance(theirs, ast.BinOp):
        found = _term(mine, theirs, "missing ")
        if found:
            return found
    if isinstance(mine, ast.BinOp):
        found = _term(theirs, mine, "extra ")
        if found:
            return found
    for outer, within, what in ((theirs, mine, "missing"), (mine, theirs, "extra")):
        if isinstance(outer, ast.Call) and any(
            _text(node) == _text(within) for node in ast.walk(outer) if node is not outer
        ):
            return _call(called(outer), what)
        if isinstance(outer, ast.UnaryOp) and _text(outer.operand) == _text(within):
            return "mask inverted" if isinstance(outer.op, ast.Invert) else "sign"
        if isinstance(outer, ast.Attribute) and outer.attr in AXES and _text(outer.value) == _text(within):
            return "weight not transposed" if "weight" in _text(outer.value) else "swapped axes"
        if isinstance(outer, ast.Subscript) and _text(outer.value) == _text(within):
            return f"{what} index"
    return _same_place(mine, theirs, parent, inner)


def _same_place(mine: ast.AST, theirs: ast.AST, parent: ast.AST | None, inner) -> str:
    if (
        isinstance(theirs, (ast.Slice, ast.Tuple))
        and isinstance(parent, ast.Subscript)
        or isinstance(parent, ast.Slice)
    ):
        return "off-by-one slice"
    if isinstance(parent, ast.Subscript) and number(theirs) is not None:
        return "wrong index"
    if isinstance(theirs, ast.Subscript) and isinstance(mine, ast.Subscript):
        return "wrong index"
    if number(theirs) is not None and number(mine) is not None:
        return "swapped axes" if inner and inner.name in AXES else "wrong number"
    if is_own(theirs) and is_own(mine):
        return "wrong layer"
    if isinstance(theirs, ast.Attribute) and isinstance(mine, ast.Attribute):
        return "GELU variant" if "gelu" in theirs.attr and "gelu" in mine.attr else "another function"
    if isinstance(theirs, ast.Name) and isinstance(mine, ast.Name):
        return "wrong variable"
    if isinstance(theirs, ast.BinOp) and isinstance(mine, ast.BinOp):
        sides = {_text(mine.left), _text(mine.right)} == {_text(theirs.left), _text(theirs.right)}
        return "order of operands" if sides and type(mine.op) is type(theirs.op) else "operator" if sides else ""
    if isinstance(theirs, ast.Compare) and isinstance(mine, ast.Compare):
        return "comparison"
    if isinstance(theirs, ast.Call) and isinstance(mine, ast.Call):
        return _arguments(called(mine), called(theirs))
    if isinstance(theirs, (ast.List, ast.Tuple)) and isinstance(mine, type(theirs)):
        return "order of parts" if sorted(map(_text, mine.elts)) == sorted(map(_text, theirs.elts)) else ""
    if isinstance(theirs, ast.Constant) and isinstance(mine, ast.Constant):
        return "einsum letters" if inner and inner.name == "einsum" else "layer option"
    return ""


def _term(part: ast.AST, whole: ast.BinOp, what: str) -> str:
    """A sum or product of which one side is left over."""
    other = (
        whole.right if _text(whole.left) == _text(part) else whole.left if _text(whole.right) == _text(part) else None
    )
    if other is None:
        return ""
    if isinstance(whole.op, (ast.Mult, ast.Div, ast.Pow)):
        return what + "scale"
    if isinstance(whole.op, ast.MatMult):
        return what + "product"
    if what == "extra ":
        return "extra term"
    small = number(other)
    if small is not None and 0 < small <= 1e-2:
        return "epsilon"
    return what + ("bias" if "bias" in _text(other) else "residual" if isinstance(other, ast.Name) else "term")


def _call(call, what: str) -> str:
    if call.name in AXES:
        return "swapped axes"
    if call.name in CASTS:
        return "dtype"
    if call.owner == "self":
        return f"{what} layer"
    if call.owner == "nn" or call.name in ("tanh", "sigmoid", "softmax"):
        return f"{what} activation"
    return f"{what} call"


def _arguments(mine, theirs) -> str:
    """Two calls of one function with other arguments, or of two functions."""
    if _text(mine.node.func) != _text(theirs.node.func):
        return "another function" if list(map(_text, mine.args)) == list(map(_text, theirs.args)) else ""
    words = [{k.arg: _text(k.value) for k in call.node.keywords} for call in (mine, theirs)]
    changed = [name for name in {**words[0], **words[1]} if words[0].get(name) != words[1].get(name)]
    first, second = list(map(_text, mine.args)), list(map(_text, theirs.args))
    if first == second and len(changed) == 1:
        if changed[0] == "mask":
            return "mask left out" if "mask" not in words[0] else "mask"
        axis = "softmax axis" if "softmax" in theirs.name else "reduction axis"
        return axis if changed[0] == "axis" else KEYWORDS.get(changed[0] or "", "layer option")
    if not changed and sorted(first) == sorted(second):
        return {"reshape": "reshape sizes exchanged"}.get(theirs.name, "swapped axes" if theirs.name in AXES
                                                          else "exchanged arguments")
    if not changed and theirs.name in AXES:
        return "swapped axes"
    if not changed and len(first) == len(second) and last_name(theirs.node.func) == "split":
        return "split count against size"
    return ""


def _text(node: ast.AST) -> str:
    return ast.unparse(node) if not isinstance(node, ast.expr_context) else ""


def _short(node: ast.AST) -> str:
    text = _text(node).split("\n")[0]
    return text if len(text) <= 90 else text[:87] + "…"
