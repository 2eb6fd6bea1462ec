"""Reading and writing through brackets: ``x[...]`` and ``x[...] = v``.

Basic indices (ints, slices, None, Ellipsis) keep any axis order, the index is permuted
with the axes. A single index along one dimension becomes ``mx.take``. Everything else is
emitted in torch's order, where MLX's semantics are numpy's.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .array import Array, Order, standard
from .expression import Expr, Size, SizeFloat, blocks, mlx_dtype, mx
from .layouts import Call, Layout, Plan, drop, insert
from .registry import caveat, op
from .view_layouts import with_ones

FULL = slice(None)


def is_full(item: Any) -> bool:
    """True for ``:``. (A bound may be an expression, which has no truth value.)"""
    return isinstance(item, slice) and item.start is None and item.stop is None and item.step in (None, 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One part of an index. ``dims`` are the dimensions of the tensor that it uses up."""

    kind: str  # "new" | "int" | "slice" | "indices" | "mask"
    item: Any
    dims: tuple[int, ...]

    @property
    def is_full(self) -> bool:
        return is_full(self.item)


def _is_bool_list(item: Any) -> bool:
    return isinstance(item, list) and bool(item) and all(isinstance(each, bool) for each in item)


def _kind(item: Any) -> tuple[str, int]:
    """The kind of an index part and how many dimensions it uses up."""
    if item is None or isinstance(item, bool):
        return "new", 0
    if isinstance(item, slice):
        return "slice", 1
    if isinstance(item, Array):
        if item.dtype in ("bool", "uint8"):
            return "mask", item.ndim
        return ("int", 1) if item.ndim == 0 else ("indices", 1)
    if isinstance(item, (list, tuple, range)):
        return ("mask" if _is_bool_list(item) else "indices"), 1
    return "int", 1


def entries(x: Array, index: Any) -> list[Entry]:
    """The parts of an index, Ellipsis and missing trailing parts written as full slices."""
    parts = list(index) if isinstance(index, tuple) else [index]
    used = sum(_kind(part)[1] for part in parts if part is not Ellipsis)
    filling = [FULL] * (x.ndim - used)
    ellipses = [position for position, part in enumerate(parts) if part is Ellipsis]
    for position in reversed(ellipses[1:]):
        del parts[position]
    at = ellipses[0] if ellipses else len(parts)
    parts[at:at + bool(ellipses)] = filling
    found, dim = [], 0
    for part in parts:
        kind, count = _kind(part)
        found.append(Entry(kind, part, tuple(range(dim, dim + count))))
        dim += count
    return found


def is_basic(parts: Sequence[Entry]) -> bool:
    return all(part.kind in ("new", "int", "slice") and part.item is not False for part in parts)


def single_take(parts: Sequence[Entry]) -> Entry | None:
    """The one part that selects along one dimension where all others are full slices."""
    chosen = [part for part in parts if not part.is_full]
    if len(chosen) == 1 and chosen[0].kind in ("indices", "mask") and len(chosen[0].dims) == 1:
        item = chosen[0].item
        if isinstance(item, range) or getattr(item, "ndim", 1) == 1 and not _nested(item):
            return chosen[0]
    return None


def _nested(item: Any) -> bool:
    return isinstance(item, (list, tuple)) and any(isinstance(each, (list, tuple)) for each in item)


def basic_order(order: Order, parts: Sequence[Entry], wanted: Order | None = None) -> Order:
    """The order of ``x[index]`` for a basic index, when ``x`` is laid out in ``order``."""
    removed = {part.dims[0] for part in parts if part.kind == "int"}
    new = [position for position, part in enumerate(p for p in parts if p.kind != "int") if part.kind == "new"]
    return with_ones(drop(order, removed), new, wanted)


# -- layout -----------------------------------------------------------------------------

def _read_forward(call, arrays, wanted) -> Plan:
    x, ndim = arrays[0], len(call.outputs[0].shape)
    parts = entries(x, call.arguments["index"])
    others = tuple(standard(array.ndim) for array in arrays[1:])
    if is_basic(parts):
        return Plan((x.order, *others), (basic_order(x.order, parts, wanted[0] if wanted else None),))
    if single_take(parts) is not None:
        return Plan((x.order, *others), (x.order,))
    return Plan((standard(x.ndim), *others), (standard(ndim),))


def _read_backward(call, arrays, wanted):
    nothing: list[Order | None] = [None] * len(arrays)
    x, want = arrays[0], wanted[0] if wanted else None
    parts = entries(x, call.arguments["index"])
    if want is None:
        return nothing
    if single_take(parts) is not None and len(want) == x.ndim:
        return [want, *nothing[1:]]
    kept = [part for part in parts if part.kind != "int"]
    if not is_basic(parts) or len(want) != len(kept):
        return nothing
    order = drop(want, {position for position, part in enumerate(kept) if part.kind == "new"})
    for dim in sorted(part.dims[0] for part in parts if part.kind == "int"):
        order = insert(order, dim)
    return [order, *nothing[1:]]


READ = Layout("index", _read_forward, _read_backward)


def _write_forward(call, arrays, wanted) -> Plan:
    x, parts = arrays[0], entries(arrays[0], call.arguments["index"])
    value = call.arguments["value"]
    inputs = [standard(array.ndim) for array in arrays]
    if is_basic(parts):
        region = basic_order(x.order, parts)
        if not isinstance(value, Array) or value.ndim in (0, len(region)):
            inputs[0] = x.order
            if isinstance(value, Array) and value.ndim:
                inputs[-1] = region
    elif len(parts) == 1 and parts[0].kind == "mask" and len(parts[0].dims) == x.ndim and is_scalar(value):
        inputs[:2] = [x.order, x.order]
    # a value that is a view of the same memory counts as written too
    outputs = [inputs[0], *[standard(len(facts.shape)) for facts in call.outputs[1:]]]
    return Plan(tuple(inputs), tuple(outputs[:len(call.outputs)]))


def _write_backward(call, arrays, wanted):
    want = wanted[0] if wanted else None
    basic = is_basic(entries(arrays[0], call.arguments["index"]))
    return [want if basic else None, *[None] * (len(arrays) - 1)]


WRITE = Layout("write", _write_forward, _write_backward)


# -- emission ---------------------------------------------------------------------------

def starred(expression: Expr) -> Expr:
    """``*expression``, inside brackets or a call."""
    return Expr(ast.Starred(expression.node, ast.Load()))  # type: ignore[arg-type]


def _bound(value: Any) -> Any:
    if isinstance(value, Array):
        caveat("evaluates the bound of a slice: not inside mx.compile")
        return value.item()
    return value


def cleaned(item: Any) -> Any:
    """One part of an index in a form that MLX takes."""
    if isinstance(item, slice):
        return slice(_bound(item.start), _bound(item.stop), None if item.step == 1 else _bound(item.step))
    if item is True:
        return None
    if isinstance(item, (list, tuple, range)):
        values = list(item)
        if _nested(values):
            return mx.array([list(each) for each in values])
        return mx.stack(values) if any(isinstance(each, Array) for each in values) else values
    return item


def positions_of(mask: Any) -> Expr:
    """Index arrays of a mask's true elements, one per axis."""
    caveat("evaluates the mask to know how many elements it selects: not inside mx.compile")
    return blocks.where_true(mask if isinstance(mask, Expr) else mx.array(mask))


def _parts_in_order(x: Array, parts: Sequence[Entry], result: Order) -> list[Any]:
    """The parts of a basic index as they follow one another in MLX's axis order."""
    by_dim = {part.dims[0]: part for part in parts if part.dims}
    kept = [part for part in parts if part.kind != "int"]
    new = {position for position, part in enumerate(kept) if part.kind == "new"}
    listed = [by_dim[dim] for dim in x.order]
    items: list[Any] = []
    pending = list(result)
    for part in listed:
        if part.kind == "slice":
            while pending and pending[0] in new:
                items.append(None)
                pending.pop(0)
            pending.pop(0)
        items.append(cleaned(part.item))
    return items + [None] * len(pending)


def tidy(items: list[Any], ndim: int) -> Any:
    """An index without trailing full slices; leading ones of many become an Ellipsis."""
    items = list(items)
    uses = sum(item is not None for item in items)
    while items and is_full(items[-1]):
        items.pop()
    leading = 0
    while leading < len(items) and is_full(items[leading]):
        leading += 1
    if leading > 1 and uses == ndim and sum(item is not None for item in items) == ndim:
        items[:leading] = [Ellipsis]
    if not items:
        return Ellipsis
    return items[0] if len(items) == 1 else tuple(items)


def _written(index: Any) -> Any:
    """The author's own index, each part in a form that MLX takes."""
    if isinstance(index, tuple):
        return tuple(cleaned(part) for part in index) if len(index) != 1 else cleaned(index[0])
    return cleaned(index)


def numpy_differs(parts: Sequence[Entry]) -> bool:
    """Torch applies ints before index arrays. Numpy and MLX count them as index arrays,
    which moves the result's axes when a slice stands between."""
    kinds = [part.kind for part in parts]
    if "int" not in kinds or not {"indices", "mask"} & set(kinds):
        return False
    selecting = [position for position, kind in enumerate(kinds) if kind in ("int", "indices", "mask")]
    return selecting != list(range(selecting[0], selecting[-1] + 1))


def advanced_index(parts: Sequence[Entry]) -> list[Any]:
    """Index parts with masks replaced by the positions of their true elements."""
    items: list[Any] = []
    for part in parts:
        if part.kind != "mask":
            items.append(cleaned(part.item))
        elif len(part.dims) == 1:
            items.append(positions_of(part.item)[0])
        else:
            items.append(starred(positions_of(part.item)))
    return items


def _without_scalars(x: Expr, parts: Sequence[Entry]) -> tuple[Expr, list[Entry]]:
    """``x[True]`` and ``x[mask]`` for a mask without dimensions add a dimension in front."""
    kept: list[Entry] = []
    for part in parts:
        if part.item is False:
            x, kept = x[None][:0], [Entry("slice", FULL, (0,)), *kept]
        elif part.kind == "mask" and not part.dims:
            x = x[None][positions_of(part.item[None])[0]]
            kept = [Entry("slice", FULL, (0,)), *kept]
        else:
            kept.append(part)
    return x, kept


@op("torch.Tensor.__getitem__", layout=READ)
def getitem(x, index, *, call):
    """Masks become the positions of their true elements; MLX does not read through masks."""
    parts = entries(x, index)
    if is_basic(parts):
        if x.is_standard and call.order == standard(len(call.order)):
            return x[_written(index)] if any(not part.is_full for part in parts) else x
        return x[tidy(_parts_in_order(x, parts, call.order), x.ndim)]
    taken = single_take(parts)
    if taken is not None and not x.is_standard:
        item = positions_of(taken.item)[0] if taken.kind == "mask" else cleaned(taken.item)
        return mx.take(x, mx.array(item) if isinstance(item, list) else item, axis=x.axis(taken.dims[0]))
    if not any(part.kind == "mask" or part.item is False for part in parts) and not numpy_differs(parts):
        return x[_written(index)]
    if parts[0].kind == "mask" and parts[0].dims and all(part.is_full for part in parts[1:]):
        return x[positions_of(parts[0].item)]
    source, parts = _without_scalars(x, parts)
    if numpy_differs(parts):
        first = [part.item if part.kind == "int" else FULL for part in parts if part.kind != "new" for _ in part.dims]
        source = source[tidy([cleaned(item) for item in first], len(first))]
        parts = [part for part in parts if part.kind != "int"]
    if all(part.is_full for part in parts):
        return source
    return source[tidy(advanced_index(parts), -1)]


class SetItem(Expr):
    """The whole new value of ``target`` after ``target[index] = value``. Printed as the call
    of a block; where the target is a plain variable the port may print the assignment."""

    __slots__ = ("target", "index", "value")

    def __init__(self, target: Expr, index: Any, value: Any):
        super().__init__(blocks.set_item(target, index, value).node)
        self.target, self.index, self.value = target, index, value


def is_scalar(value: Any) -> bool:
    return not isinstance(value, Expr) or isinstance(value, Array) and value.ndim == 0


def as_element(value: Any, x: Array) -> Any:
    """A value in the dtype of ``x``: torch converts what it writes."""
    if isinstance(value, Array):
        if value.is_floating and (x.is_integer or x.is_bool):
            return mx.stop_gradient(value).astype(mlx_dtype(x.dtype))  # torch's gradient ends at integers
        return value if value.dtype == x.dtype else value.astype(mlx_dtype(x.dtype))
    if isinstance(value, (bool, int, float)) and not isinstance(value, (Size, SizeFloat)):
        return bool(value) if x.is_bool else int(value) if x.is_integer else value
    return value


def _shown(mask: Entry, ndim: int) -> Expr:
    """A mask with axes of size one for the dimensions behind it, so that it broadcasts."""
    item = mask.item if isinstance(mask.item, Expr) else mx.array(mask.item)
    behind = ndim - mask.dims[-1] - 1 if mask.dims else 0
    if isinstance(mask.item, Array) and mask.item.dtype != "bool":
        item = item != 0
    return item[(..., *[None] * behind)] if behind else item


def written(x: Array, index: Any, value: Any, call: Call) -> Expr:
    """``x`` after ``x[index] = value``."""
    parts = entries(x, index)
    if any(part.item is False for part in parts):
        return x
    if is_basic(parts):
        shown = _written(index)
        if not x.is_standard:
            shown = tidy(_parts_in_order(x, parts, basic_order(x.order, parts)), x.ndim)
        if all(part.kind == "new" or part.is_full for part in parts):  # MLX's x[...] = v takes over v's dtype
            value = as_element(value, x)
            shown = FULL if x.ndim and shown in (Ellipsis, ()) else Ellipsis if shown == () else shown
        return SetItem(x, shown, _written_value(value, x))
    masks = [part for part in parts if part.kind == "mask"]
    if len(masks) == 1 and all(part.is_full for part in parts if part.kind != "mask"):
        mask, rest = masks[0], x.ndim - len(masks[0].dims)
        if is_scalar(value):
            return mx.where(_shown(mask, x.ndim), as_element(value, x), x)
        if mask.dims and parts[0] is mask and isinstance(mask.item, Array) and mask.item.dtype == "bool":
            if rest and value.ndim == rest + 1 and value.shape[0] == 1:
                value = value.squeeze(0)
            return SetItem(x, mx.stop_gradient(mask.item), value)
    if numpy_differs(parts):
        # the ints first: write into that part, then put the part back
        ints = [cleaned(part.item) if part.kind == "int" else FULL for part in parts if part.kind != "new"]
        outer = tidy(ints, x.ndim)
        inner = tidy(advanced_index([part for part in parts if part.kind != "int"]), -1)
        return SetItem(x, outer, blocks.set_item(x[outer], inner, value))
    if masks:
        return SetItem(x, tidy(advanced_index(parts), -1), value)
    return SetItem(x, _written(index), _written_value(value, x))


def _written_value(value: Any, x: Array) -> Any:
    """MLX converts what it writes; torch's gradient ends where that makes integers of it."""
    ends = isinstance(value, Array) and value.is_floating and (x.is_integer or x.is_bool)
    return mx.stop_gradient(value) if ends else value


@op("torch.Tensor.__setitem__", layout=WRITE, mutates=True)
def setitem(x, index, value, *, call):
    """Gives the whole new array; as a statement it is MLX's own ``x[index] = value``."""
    return written(x, index, value, call)


@op("torch.index_put", "torch.Tensor.index_put", "torch._unsafe_index_put")
def index_put(x, indices, values, accumulate=False, *, call):
    if not accumulate:
        return written(x, tuple(indices), values, call)
    index = tidy(advanced_index(entries(x, tuple(indices))), -1)
    return x.at[index].add(values)
