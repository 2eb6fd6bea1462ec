"""Why an operation made a NaN or Inf: a sentence from the ranges of what went in."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..types.health import Ranges
from .limits import LIMITS

_EXP_LIMIT = {"float16": 11.09, "bfloat16": 88.7, "float32": 88.72, "float64": 709.78}


#: They move numbers: what comes out was there before, or was given in the call.
_NO_ARITHMETIC = (
    "embedding",
    "masked_fill",
    "full",
    "full_like",
    "fill",
    "where",
    "setitem",
    "tensor",
    "array",
    "new_full",
    "apply",
    "getitem",
    "astype",
    "to",
    "half",
    "type",
)


def sentence(text: str) -> str:
    """``text`` with a capital and a full stop."""
    return text[:1].upper() + text[1:] + "." if text else ""


def _largest(inputs: Sequence[Ranges]) -> float:
    return max((max(abs(r.minimum or 0.0), abs(r.maximum or 0.0)) for r in inputs), default=0.0)


def reason(operation: str, inputs: Sequence[Ranges], outputs: Sequence[Ranges]) -> str:
    """A sentence for a forward operation; empty when the ranges don't tell."""
    word = re.sub(r"^__[ir]?|_*$", "", operation.rpartition(".")[2]).lower()
    first = inputs[0] if inputs else Ranges()
    dtype = next((r.dtype for r in outputs), first.dtype)
    low, limit = first.minimum, LIMITS.get(dtype, (0.0, 0.0))[0]
    nan = any(r.nan for r in outputs)
    masked = [r for r in inputs if r.negative_inf]
    if word in ("log", "log2", "log10", "log1p", "logsumexp") and low is not None:
        edge = -1 if word == "log1p" else 0
        if low < edge:
            return f"{word} of a number below {edge} is NaN; its input goes down to {low:.4g}"
        if low == edge:
            return f"{word} of {edge} is −Inf; its input holds {edge}"
    if word in ("sqrt", "rsqrt") and low is not None and low <= 0:
        return (
            f"the square root of a negative number is NaN; its input goes down to {low:.4g}"
            if low < 0
            else f"1/sqrt(0) is Inf; {_zeros(first)}"
        )
    if word in ("exp", "expm1", "exp2", "cosh", "sinh", "softplus") and first.maximum is not None:
        return (
            f"exp overflows {dtype} above {_EXP_LIMIT.get(dtype, 88.7):.4g}; its input reaches {_largest([first]):.4g}"
        )
    if word in ("acos", "asin", "arccos", "arcsin", "acosh", "atanh", "arctanh", "arccosh", "erfinv", "logit"):
        return (
            f"{word} is not defined, or Inf, outside its range; its input goes from {low:.4g} to {first.maximum:.4g}"
            if low is not None and first.maximum is not None
            else ""
        )
    if word in ("div", "truediv", "divide", "true_divide", "remainder", "fmod", "reciprocal", "floordiv"):
        divisor = inputs[-1] if len(inputs) > 1 or word == "reciprocal" else None
        if divisor is not None and _holds_zero(divisor):
            both = len(inputs) > 1 and _holds_zero(first)
            return f"it divides by 0{', and 0/0 is NaN' if both and nan else ''}: {divisor.text}"
        if len(inputs) > 1 or divisor is not None:
            return f"the quotient is beyond {dtype}'s {limit:.4g}" if limit and not nan else ""
        return "it divides by 0, or a quotient overflows"
    if word in ("softmax", "log_softmax", "scaled_dot_product_attention", "multi_head_attention_forward") and nan:
        return (
            "a row that is −Inf throughout has no softmax: it is 0/0"
            if masked or not inputs
            else "a row that is masked throughout has no softmax: it is 0/0"
            if word.startswith("scaled")
            else ""
        )
    if word in ("sub", "subtract", "add", "sum", "mean") and nan and (masked or any(r.positive_inf for r in inputs)):
        return "Inf − Inf is NaN"
    if word in ("pow", "power", "float_power") and low is not None:
        if low < 0 and nan:
            return f"a power of a negative number with a fractional exponent is NaN; the base goes down to {low:.4g}"
        if _holds_zero(first):
            return "a negative power of 0 is Inf"
    if word in ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"):
        return (
            f"the norm divides by a standard deviation of 0 or overflows {dtype}; its input goes from "
            f"{low:.4g} to {first.maximum:.4g}"
            if low is not None and first.maximum is not None
            else ""
        )
    if word in ("std", "var") and nan:
        return "the unbiased variance of one value is 0/0"
    if word == "mean" and nan and not first.count:
        return "the mean of no value is 0/0"
    if word in ("astype", "to", "half", "type", "float") and limit and not nan:
        return f"{_largest(inputs):.5g} does not fit into {dtype}, whose largest number is {limit:.5g}"
    if limit and not nan and _largest(inputs) and word not in _NO_ARITHMETIC:
        return f"the result is beyond {dtype}'s largest number, {limit:.5g}; its inputs reach {_largest(inputs):.4g}"
    return ""


def _zeros(values: Ranges) -> str:
    return f"its input holds {values.zeros:,} zeros" if values.zeros else "its input goes down to 0"


def _holds_zero(values: Ranges) -> bool:
    if values.zeros:
        return True
    return values.minimum is not None and values.maximum is not None and values.minimum == 0 or values.maximum == 0


_BACKWARD = (
    ("rsqrt", "the derivative of 1/sqrt(x) at 0 is Inf"),
    ("sqrt", "the derivative of sqrt(x), 1/(2·sqrt(x)), is Inf at 0; add a small number under the root"),
    ("logsumexp", "a slice that is −Inf throughout has no derivative"),
    ("log", "the derivative of log(x), 1/x, is Inf at 0; a 0 that comes back through `where` makes it 0·Inf = NaN"),
    ("norm", "the derivative of a norm, x/‖x‖, is 0/0 at 0"),
    ("cdist", "the derivative of a distance at 0 is 0/0"),
    ("std", "the derivative of a standard deviation is 0/0 where all values are equal"),
    ("pow", "the derivative of xᵖ at 0 is Inf for p < 1"),
    ("div", "the derivative of a quotient at a divisor of 0 is Inf"),
    ("reciprocal", "the derivative of 1/x at 0 is Inf"),
    ("acos", "the derivative of acos is Inf at −1 and 1; clamp its input a little inside"),
    ("asin", "the derivative of asin is Inf at −1 and 1; clamp its input a little inside"),
    ("atan2", "the derivative of atan2(y, x) at (0, 0) is 0/0"),
    ("atanh", "the derivative of atanh at −1 and 1 is Inf"),
    ("prod", "the derivative of a product divides by an element that is 0"),
    ("exp", "the gradient is multiplied by exp(x), which is very large here"),
    ("softmax", "a row that is −Inf throughout has no softmax"),
    ("mul", "the product of two large numbers, or 0·Inf"),
    ("mm", "a product of large gradients and values overflows"),
    ("addmm", "a product of large gradients overflows"),
    ("linalg", "the derivative of a decomposition is not defined where singular or eigenvalues are equal or 0"),
)


def backward_reason(node: str) -> str:
    """A sentence for a node of the backward graph, from the name of what it differentiates."""
    word = node.lower().rpartition(".")[2]
    return next((text for start, text in _BACKWARD if word.lstrip("_").startswith(start) or f"_{start}" in word), "")
