"""An operation that runs over another axis than torch's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import Called, calls
from .source import Rewrite, Source, number, numbers

#: function -> position of its axis, the array being argument 0
REDUCTIONS = dict.fromkeys(
    (
        "mean",
        "sum",
        "max",
        "min",
        "var",
        "std",
        "prod",
        "argmax",
        "argmin",
        "all",
        "any",
        "median",
        "cumsum",
        "cumprod",
        "cummax",
        "cummin",
        "sort",
        "argsort",
        "squeeze",
        "unstack",
    ),
    1,
)
JOINS = {"concatenate": 1, "stack": 1}
AXIS = {**REDUCTIONS, **JOINS, "split": 2, "repeat": 2, "topk": 2, "roll": 2, "expand_dims": 1, "flip": 1}
#: an index along a longer axis would be read past the end of a shorter one
INDEXED = ("take", "take_along_axis", "put_along_axis", "gather", "scatter")
SINGLE = (-1, 1, 2, 0, -2, 3, -3)
SEVERAL = (
    (1, 2),
    (2, 3),
    (-2, -1),
    (0, 1),
    (1,),
    (1, 3),
    (0, 1, 2),
    (0, 2, 3),
    (1, 2, 3),
    (-1,),
    (2,),
    (0, 2),
    (0, 1, 2, 3),
)
LIKE_TORCH = {1: -1, 2: 1, 3: 2, -3: -1, -2: 1, -1: 2}  # NCHW axis -> NHWC axis


def wrong_axis(source: Source) -> Iterator[Rewrite]:
    """Another axis, or other axes, for a reduction or a join."""
    for call, given in _given(source):
        kind = kind_of(call)
        risky = call.name in INDEXED
        now, several = number(given), numbers(given)
        if now is not None:
            for place, axis in enumerate(SINGLE):
                if axis != now:
                    yield Rewrite(kind, f"{call.name} works on axis {now}; torch's on axis {axis}",
                                  (source.put(given, str(axis)),), 1 + 0.1 * place, risky)
        elif several is None:
            continue
        if call.name in REDUCTIONS or several is not None:
            for place, axes in enumerate(SEVERAL):
                if axes != several and (len(axes) > 1 or several is not None):
                    yield Rewrite(kind, f"{call.name} works on axes {source.read(given)}; torch's on {axes}",
                                  (source.put(given, str(axes) if len(axes) > 1 else str(axes[0])),),
                                  1.3 + 0.1 * place + (now is not None), risky)


def missing_axis(source: Source) -> Iterator[Rewrite]:
    """An axis that was left out: MLX then works on all elements, flattened."""
    for call in calls(source, *REDUCTIONS, *JOINS, "repeat"):
        if call.argument(AXIS[call.name], "axis") is None and call.name not in ("squeeze", "unstack"):
            if call.owner == "" or (call.owner == "." and not isinstance(call.node.func, ast.Attribute)):
                continue
            for place, axis in enumerate(("-1", "1", "0", "2", "(1, 2)")):
                if axis == "(1, 2)" and call.name in JOINS:
                    continue
                yield Rewrite(
                    kind_of(call),
                    f"{call.name} without an axis works on its default; torch's on axis {axis}",
                    (source.add_argument(call.node, f"axis={axis}"),),
                    1 + 0.1 * place,
                )
        elif call.name in REDUCTIONS and call.name in ("mean", "sum", "max", "min"):
            axis = call.argument(1, "axis")
            if axis is not None and not call.keyword("keepdims"):
                yield Rewrite("dimension kept", f"torch's {call.name} keeps the axis here: keepdims=True",
                              (source.add_argument(call.node, "keepdims=True"),), 1)


def wrong_keepdims(source: Source) -> Iterator[Rewrite]:
    """``keepdims`` the other way round."""
    for call in calls(source):
        kept = call.keyword("keepdims")
        if isinstance(kept, ast.Constant):
            yield Rewrite("dimension kept", f"{call.name} has keepdims={kept.value}; torch does the opposite",
                          (source.put(kept, str(not kept.value)),), 1)


def _given(source: Source) -> Iterator[tuple[Called, ast.expr]]:
    for call in calls(source):
        if call.name in ("softmax", "log_softmax", "softmin", "logsumexp") or source.in_init(call.node):
            continue
        given = call.argument(AXIS.get(call.name, -1), "axis")
        if given is not None:
            yield call, given


def kind_of(call: Called) -> str:
    """What a wrong axis of this call is called."""
    return "axis of concatenation" if call.name in JOINS else "axis of split" if call.name == "split" \
        else "reduction axis" if call.name in REDUCTIONS else "wrong axis"
