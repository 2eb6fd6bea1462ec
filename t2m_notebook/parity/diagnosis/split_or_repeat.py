"""Functions of one name and two meanings: split, repeat, topk, sort, pad, meshgrid."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number, numbers


def split_count(source: Source) -> Iterator[Rewrite]:
    """torch.split(x, 2) makes pieces of size 2, mx.split(x, 2) makes 2 pieces; a list is sizes
    for torch and split points for MLX."""
    kind = "split count against size"
    for call in calls(source, "split"):
        given, axis = call.argument(1, "indices_or_sections"), call.argument(2, "axis")
        if given is None:
            continue
        text, along = source.operand(given), source.read(axis) if axis is not None else "0"
        length = f"{source.operand(call.args[0])}.shape[{along}]"
        sizes = numbers(given)
        if sizes is None and not isinstance(given, (ast.List, ast.Tuple)):
            yield Rewrite(kind, f"{text} is the size of a piece; mx.split wants the number of pieces",
                          (source.put(given, f"{length} // {text}"),), 0)
            yield Rewrite(
                kind,
                f"torch takes pieces of size {text}",
                (source.put(given, f"range({text}, {length}, {text})"),),
                0.2,
            )
            for node in ast.walk(given):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.FloorDiv):
                    yield Rewrite(kind, f"torch makes {source.read(node.right)} pieces",
                                  (source.put(given, source.read(node.right)),), 0.1)
            if isinstance(given, ast.Call) and source.read(given.func) == "range":
                yield Rewrite(kind, "mx.split wants the number of pieces",
                              (source.put(given, f"{length} // {source.operand(given.args[-1])}"),), 0.5)
            count = _unpacked(source, call.node)
            if count:
                yield Rewrite(kind, f"{count} pieces are wanted: mx.split takes their number",
                              (source.put(given, str(count)),), 0)
        elif sizes is not None:
            points = list(itertools.accumulate(sizes))
            for found in (points[:-1], points):
                yield Rewrite(kind, f"{source.read(given)} are sizes; mx.split wants the points {found}",
                              (source.put(given, str(found)),), 0)
            for count in (len(sizes), len(sizes) + 1):
                yield Rewrite(kind, f"torch makes {count} equal pieces", (source.put(given, str(count)),), 0.3)
            total = source.baseline_numbers
            for place, value in enumerate(sizes):
                for other in (value - 1, value + 1, *(int(n) for n in total if n == int(n) and n > 0)):
                    changed = [*sizes[:place], other, *sizes[place + 1:]]
                    yield Rewrite(
                        "split points", f"the pieces part at {changed}", (source.put(given, str(changed)),), 1
                    )
        else:
            texts = [source.read(item) for item in given.elts]  # type: ignore[attr-defined]
            points = ", ".join(" + ".join(texts[:n + 1]) for n in range(len(texts) - 1))
            yield Rewrite(kind, "these are sizes; mx.split wants the points between the pieces",
                          (source.put(given, f"[{points}]"),), 0.1)


def order_of_parts(source: Source) -> Iterator[Rewrite]:
    """The pieces of a split, or the results of a layer, unpacked in another order."""
    for node in source.of(ast.Assign):
        target = node.targets[0]
        if isinstance(target, (ast.Tuple, ast.List)) and 2 <= len(target.elts) <= 4 and not source.in_init(node) \
                and not (isinstance(node.value, ast.Attribute) and node.value.attr == "shape"):
            names = [source.read(item) for item in target.elts]
            for order in itertools.permutations(range(len(names))):
                found = [names[i] for i in order]
                moved = sum(a != b for a, b in zip(found, names, strict=True))
                if moved and not any(isinstance(item, ast.Starred) for item in target.elts):
                    edits = tuple(source.put(item, name) for item, name in zip(target.elts, found, strict=True))
                    yield Rewrite("order of parts", f"torch's order is {', '.join(found)}", edits, 0.1 + 0.3 * moved)


def repeat_or_tile(source: Source) -> Iterator[Rewrite]:
    """Tensor.repeat is mx.tile; mx.repeat repeats each element, as repeat_interleave does."""
    kind = "repeat against tile"
    for call in calls(source, "repeat"):
        count, axis = call.argument(1, "repeats"), call.argument(2, "axis")
        if count is None:
            continue
        array, times = source.read(call.args[0]), source.read(count)
        place = number(axis)
        shapes = {-1: [(-1, 1), (-1, 2), (-1, 3), (-1, 4)], None: [(0, 1)]}.get(
            place, [(place, 4), (place, 3), (place, 5), (place, 2)])
        for position, rank in shapes:
            sizes = ["1"] * rank
            if position is not None and -rank <= position < rank:
                sizes[position] = times
                yield Rewrite(
                    kind,
                    "torch's repeat repeats the whole, as mx.tile; mx.repeat repeats each element",
                    (source.put(call.node, f"mx.tile({array}, ({', '.join(sizes)}{',' * (rank == 1)}))"),),
                    0.1,
                )
        if isinstance(count, (ast.Tuple, ast.List)):
            yield Rewrite(kind, "torch's repeat is mx.tile", (source.put(call.node, f"mx.tile({array}, {times})"),), 0)
    for call in calls(source, "tile"):
        sizes = call.argument(1, "reps")
        texts = [source.read(item) for item in sizes.elts] if isinstance(sizes, (ast.Tuple, ast.List)) else [
            source.read(sizes)] if sizes is not None else []
        places = [n for n, text in enumerate(texts) if text != "1"]
        if len(places) == 1:
            axis = places[0] - len(texts) if len(texts) < 3 else places[0]
            text = f"mx.repeat({source.read(call.args[0])}, {texts[places[0]]}, axis={axis})"
            yield Rewrite(kind, "torch repeats each element here, as mx.repeat; mx.tile repeats the whole",
                          (source.put(call.node, text),), 0.1)


def order_of_sorting(source: Source) -> Iterator[Rewrite]:
    """topk and sort give ascending values in MLX; torch's topk descending."""
    kind = "ascending or descending"
    for call in calls(source, "topk"):
        size = call.argument(1, "k")
        if size is not None:
            array, k = source.read(call.args[0]), source.operand(size)
            for text in (
                f"-mx.sort(-{source.operand(call.args[0])}, axis=-1)[..., :{k}]",
                f"mx.sort({source.read(call.node)}, axis=-1)[..., ::-1]",
                f"mx.sort({array}, axis=-1)[..., -{k}:]",
            ):
                yield Rewrite(kind, "mx.topk gives the values ascending; torch's gives the largest first",
                              (source.put(call.node, text),), 0)
    for call in calls(source, "argsort", "argpartition", "sort"):
        if not call.args:
            continue
        first = call.args[0]
        turned = source.operand(first.operand) if isinstance(first, ast.UnaryOp) else f"-{source.operand(first)}"
        yield Rewrite(kind, f"torch's order is the other one: {call.name} of {turned}",
                      (source.put(first, turned),), 0.2)
        yield Rewrite(kind, "torch's order is the reverse",
                      (source.put(call.node, f"{source.read(call.node)}[..., ::-1]"),), 0.3)
        if call.name == "sort":
            yield Rewrite(kind, "torch's order is descending",
                          (source.put(call.node, f"-mx.sort(-{source.operand(first)})"),), 0.3)


def padding_widths(source: Source) -> Iterator[Rewrite]:
    """F.pad counts from the last axis; mx.pad has a (before, after) pair for every axis from the first."""
    kind = "padding"
    for call in calls(source, "pad"):
        width = call.argument(1, "pad_width")
        if width is None:
            continue
        pairs = [source.read(item) for item in width.elts] if isinstance(width, (ast.List, ast.Tuple)) else []
        nested = bool(pairs) and all(isinstance(item, (ast.Tuple, ast.List)) for item in width.elts)  # type: ignore[attr-defined]
        if not nested and len(pairs) in (2, 4, 6):
            two = [f"({pairs[i]}, {pairs[i + 1]})" for i in range(0, len(pairs), 2)]
            for rank in (2, 3, 4):
                for last in (0, 1):
                    empty = rank - len(two) - last
                    if empty >= 0:
                        text = ", ".join(["(0, 0)"] * empty + two[::-1] + ["(0, 0)"] * last)
                        yield Rewrite(
                            kind,
                            "mx.pad pads every axis by a flat pair; torch's pairs start at the last axis",
                            (source.put(width, f"[{text}]"),),
                            0.3 + 0.1 * last,
                        )
        if nested:
            for order in itertools.islice(itertools.permutations(range(len(pairs))), 24):
                text = f"[{', '.join(pairs[i] for i in order)}]"
                yield Rewrite(kind, f"torch's padding is {text}, axis by axis", (source.put(width, text),), 0.8)
            for item in width.elts:  # type: ignore[attr-defined]
                if len(item.elts) == 2:
                    a, b = (source.read(e) for e in item.elts)
                    for cost, pair in ((0.3, f"({b}, {a})"), (0.9, f"({a}, {a})"), (0.9, f"({b}, {b})")):
                        if pair != f"({a}, {b})":
                            yield Rewrite(kind, f"torch pads by {pair} here", (source.put(item, pair),), cost)
        mode = call.argument(2, "mode")
        for word in ("constant", "edge", "reflect", "symmetric"):
            if mode is None and word != "constant":
                yield Rewrite(kind, f"torch pads with mode {word!r} here",
                              (source.add_argument(call.node, f'mode="{word}"'),), 0.8)
            elif isinstance(mode, ast.Constant) and mode.value != word:
                yield Rewrite(kind, f"torch pads with mode {word!r} here", (source.put(mode, f'"{word}"'),), 0.5)


def _unpacked(source: Source, node: ast.expr) -> int:
    """Into how many names a value is unpacked."""
    parent = source.parents.get(node)
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Tuple):
        return len(parent.targets[0].elts)
    return 0
