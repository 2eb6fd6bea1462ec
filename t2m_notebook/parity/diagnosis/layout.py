"""Channels first read as channels last: axes, flattening, broadcasting and sizes of an image in the other order."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls, layer_calls
from .source import Rewrite, Source, number, numbers
from .wrong_axis import AXIS, LIKE_TORCH

KIND = "NCHW read as NHWC"
TO_LAST, TO_FIRST = ".transpose(0, 2, 3, 1)", ".transpose(0, 3, 1, 2)"
SPATIAL = {(2, 3): (1, 2), (-2, -1): (1, 2), (0, 2, 3): (0, 1, 2), (1, 2): (2, 3), (2,): (1,), (3,): (2,)}


def axis_of_nchw(source: Source) -> Iterator[Rewrite]:
    """``axis=1`` for channels, ``axis=(2, 3)`` for height and width, as torch counts them."""
    if not source.channels_last:
        return
    for call in calls(source):
        given = call.argument(AXIS.get(call.name, -1), "axis")
        if given is None or source.in_init(call.node):
            continue
        now, several = number(given), numbers(given)
        if isinstance(now, int) and now in LIKE_TORCH:
            yield Rewrite(KIND, f"axis {now} counts as in torch's NCHW; in MLX's NHWC it is {LIKE_TORCH[now]}",
                          (source.put(given, str(LIKE_TORCH[now])),), 0.2)
        if several in SPATIAL:
            yield Rewrite(KIND, f"axes {several} count as in torch's NCHW; in MLX's NHWC they are {SPATIAL[several]}",
                          (source.put(given, str(SPATIAL[several])),), 0.2)


def broadcast_of_nchw(source: Source) -> Iterator[Rewrite]:
    """A value per channel, broadcast over the last axes as NCHW wants it."""
    for call in calls(source, "reshape"):
        sizes = [number(a) for a in call.args[1:]]
        if len(sizes) in (3, 4, 5) and sizes.count(1) >= len(sizes) - 1:
            shape = [source.read(a) for a in call.args[1:] if number(a) != 1] or ["-1"]
            for place in (len(sizes) - 1, 1):
                text = ["1"] * len(sizes)
                text[place] = shape[0]
                if text != [source.read(a) for a in call.args[1:]]:
                    yield Rewrite(
                        KIND,
                        f"the channels are axis {'-1' if place > 1 else '1'} here: reshape({', '.join(text)})",
                        tuple(source.put(a, t) for a, t in zip(call.args[1:], text, strict=True)),
                        0.3,
                    )
    for node in source.of(ast.Subscript):
        index = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        texts = [source.read(item) for item in index]
        if "None" in texts and set(texts) <= {":", "None", "..."}:
            for other in (
                ["None", "None", ":"],
                [":", "None", "None", ":"],
                [":", "None", "None"],
                ["None", ":", "None", "None"],
                [":", ":", "None", "None"],
                ["None", "None", "None", ":"],
                ["None"],
                [":", "None"],
                ["...", "None"],
                [":", "None", "None", ":"],
                [":", ":", "None"],
                ["None", ":"],
                ["None", "None"],
                [":", "None", ":", "None"],
                [":", "None", "None", "None"],
            ):
                if other != texts:
                    cost = 0.7 if len(other) == len(texts) else 1.5
                    yield Rewrite("broadcast along another axis", f"a new axis in another place: [{', '.join(other)}]",
                                  (source.put(node.slice, ", ".join(other)),), cost)
    for call in calls(source, "expand_dims"):
        given = call.argument(1, "axis")
        for place, axis in enumerate((-1, 1, 0, 2, -2)):
            if number(given) != axis and given is not None:
                yield Rewrite("broadcast along another axis", f"the new axis belongs at {axis}",
                              (source.put(given, str(axis)),), 0.8 + 0.1 * place)


def flatten_of_nchw(source: Source) -> Iterator[Rewrite]:
    """An image that torch flattens channels first."""
    if not source.channels_last:
        return
    for call in calls(source, "flatten", "reshape"):
        if call.args and not source.in_init(call.node):
            value = source.operand(call.args[0])
            yield Rewrite(KIND, f"torch flattens NCHW: move the channels first before this {call.name}",
                          (source.put(call.args[0], value + TO_FIRST),), 0.4)
            yield Rewrite(KIND, f"the value is NCHW before this {call.name}, torch's order needs it moved",
                          (source.put(call.args[0], value + TO_LAST),), 0.8)
            yield Rewrite(KIND, "the sequence runs over height and width, the channels stay last",
                          (source.put(call.node, f"{value}.flatten(1, 2)"),), 0.8)


def image_in_nchw(source: Source) -> Iterator[Rewrite]:
    """A value handed on in the other order."""
    if not source.channels_last:
        return
    for call in layer_calls(source):
        for argument in call.args[:1]:
            for text, cost in ((TO_LAST, 0.6), (TO_FIRST, 0.9), (".swapaxes(1, 2)", 0.9)):
                yield Rewrite(KIND, f"self.{call.name} is handed its image in the other order",
                              (source.put(argument, source.operand(argument) + text),), cost)
    for value in source.values():
        for text in (TO_LAST, TO_FIRST):
            yield Rewrite(KIND, f"the image is in the other order here: {text[1:]}",
                          (source.put(value, source.operand(value) + text),), 1)
    for call in calls(source, "transpose"):
        if tuple(number(a) for a in call.args[1:]) in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1)):
            yield Rewrite(KIND, "the value is in the wanted order already; the transpose should go",
                          (source.put(call.node, source.operand(call.args[0])),), 0.3)


def size_of_nchw(source: Source) -> Iterator[Rewrite]:
    """``shape[1]`` for the channels, or ``B, C, H, W = x.shape``."""
    for node in source.of(ast.Subscript):
        place = number(node.slice)
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape" and isinstance(place, int):
            for other in (-1, 1, 2, 3, 0, -2):
                if other != place and not source.in_init(node):
                    cost = 0.8 if source.channels_last else 1.6
                    yield Rewrite(
                        KIND if source.channels_last else "wrong size",
                        f"shape[{place}] should be shape[{other}]",
                        (source.put(node.slice, str(other)),),
                        cost,
                    )
    for node in source.of(ast.Assign):
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Attribute) and value.attr == "shape":
            names = [source.read(item) for item in target.elts]
            if len(names) == 4:
                for order in ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3)):
                    yield Rewrite(KIND, f"the sizes are {', '.join(names[i] for i in order)} in MLX's order",
                                  (source.put(target, ", ".join(names[i] for i in order)),), 0.4)
