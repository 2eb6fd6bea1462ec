"""Layouts of the operations that only look at memory in another way.

Where a value is channels last, most views cost nothing: a permutation renames the
dimensions, a reshape that keeps whole blocks together moves no data. These layouts find
those cases, so that no transpose is emitted for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .array import Array, Order, channels_last, standard
from .layouts import Call, Layout, Plan, dims_of, drop, fit, insert, majority


def flat_ints(values: Sequence) -> tuple:
    """``(2, 3)`` from ``f(2, 3)`` as well as from ``f((2, 3))``."""
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        return tuple(values[0])
    return tuple(values)


def first_array(call: Call) -> Array:
    return next(value for value in call.arguments.values() if isinstance(value, Array))


def _rest(arrays: Sequence[Array]) -> tuple[Order, ...]:
    return tuple(standard(array.ndim) for array in arrays[1:])


def _kept(arrays: Sequence[Array]) -> tuple[Order, ...]:
    """Orders of further arguments of which only the shape is read."""
    return tuple(array.order for array in arrays[1:])


def _nothing(arrays: Sequence[Array]) -> list[Order | None]:
    return [None] * len(arrays)


# -- permutations -----------------------------------------------------------------------

def relabelled(order: Order, dims: Sequence[int]) -> Order:
    """The order of the same memory after torch's dimension ``k`` became the old ``dims[k]``."""
    return tuple(list(dims).index(dim) for dim in order)


def permuting(dims_of_call: Callable[[Call, Array], Sequence[int]]) -> Layout:
    """The layout of an operation whose result's dimension ``k`` is the input's
    ``dims_of_call(call, x)[k]``. Renaming is free where the input is not in torch's order
    already; from torch's order the author's own transpose stands, unless what follows
    wants exactly the memory as it is."""

    def forward(call, arrays, wanted):
        x = arrays[0]
        renamed = relabelled(x.order, dims_of_call(call, x))
        keep = not x.is_standard or (bool(wanted) and wanted[0] == renamed)
        return Plan((x.order,), (renamed if keep else standard(x.ndim),))

    def backward(call, arrays, wanted):
        want = wanted[0] if wanted else None
        if want is None or len(want) != arrays[0].ndim:
            return [None]
        dims = dims_of_call(call, arrays[0])
        return [tuple(dims[dim] for dim in want)]

    return Layout("permutation", forward, backward)


# -- reshapes ---------------------------------------------------------------------------

Block = tuple[list[int], list[int]]  # dimensions before, dimensions after; equal products


def matching_blocks(before: Sequence[int], after: Sequence[int]) -> list[Block] | None:
    """The finest split of both shapes into blocks of equal products; None without one."""
    blocks: list[Block] = []
    i = j = 0
    while i < len(before) or j < len(after):
        left, right, product_left, product_right = [], [], 1, 1
        if i < len(before) and j < len(after) and before[i] != after[j] and 1 in (before[i], after[j]):
            # a one on either side stands alone where the other side goes on evenly
            if before[i] == 1 and i > 0:
                blocks.append(([i], []))
                i += 1
                continue
            if after[j] == 1:
                blocks.append(([], [j]))
                j += 1
                continue
        if i < len(before):
            left.append(i)
            product_left *= before[i]
            i += 1
        if j < len(after):
            right.append(j)
            product_right *= after[j]
            j += 1
        while product_left != product_right:
            if product_left < product_right and i < len(before):
                left.append(i)
                product_left *= before[i]
                i += 1
            elif j < len(after):
                right.append(j)
                product_right *= after[j]
                j += 1
            else:
                return None
        blocks.append((left, right))
    return blocks


def reshaped_order(order: Order, before: Sequence[int], after: Sequence[int],
                   wanted: Order | None = None) -> Order | None:
    """The order of the result when a value of shape ``before`` laid out in ``order`` is
    reshaped to ``after`` without moving data; None where data would have to move."""
    before, after = [int(size) for size in before], [int(size) for size in after]
    if order == standard(len(before)) and wanted in (None, standard(len(after))):
        return standard(len(after))
    if math.prod(before) == 0:
        return None
    blocks = matching_blocks(before, after)
    if blocks is None:
        return None
    # A one moves freely, except the batch of a single example: it may be any number.
    def fixed_one(dim):
        return before[dim] == 1 and dim != 0
    physical = [dim for dim in order if not fixed_one(dim)]
    placed: list[tuple[float, list[int]]] = []
    free: set[int] = set()
    for left, right in blocks:
        wide = [dim for dim in left if not fixed_one(dim)]
        if wide:
            start = physical.index(wide[0])
            if physical[start:start + len(wide)] != wide:
                return None
            placed.append((start, right))
        else:
            free.update(right)
    raw = [dim for _, dims in sorted(placed, key=lambda item: item[0]) for dim in dims]
    for candidate in (wanted, standard(len(after)), channels_last(len(after))):
        if candidate is not None and len(candidate) == len(after) and [d for d in candidate if d not in free] == raw:
            return tuple(candidate)
    for dim in sorted(free):  # otherwise a one follows the dimension before it
        raw.insert(raw.index(dim - 1) + 1 if dim - 1 in raw else 0, dim)
    return tuple(raw)


def _reshape_forward(call, arrays, wanted) -> Plan:
    x, after = arrays[0], call.outputs[0].shape
    order = reshaped_order(x.order, x.shape, after, wanted[0] if wanted else None)
    if order is None:
        return Plan((standard(x.ndim), *_kept(arrays)), (standard(len(after)),))
    return Plan((x.order, *_kept(arrays)), (order,))


def _reshape_backward(call, arrays, wanted):
    want, x = wanted[0] if wanted else None, arrays[0]
    if want is None or len(want) != len(call.outputs[0].shape):
        return _nothing(arrays)
    return [reshaped_order(want, call.outputs[0].shape, x.shape), *[None] * (len(arrays) - 1)]


#: view, reshape, flatten, unflatten: free where whole blocks stay together.
RESHAPE = Layout("reshape", _reshape_forward, _reshape_backward)


# -- one dimension more or less -----------------------------------------------------------

def with_ones(order: Order, dims: Sequence[int], wanted: Order | None = None) -> Order:
    """``order`` with new dimensions of size one at the torch positions ``dims`` (of the
    result, ascending). Ones may stand anywhere: where ``wanted`` puts them, if it fits."""
    if wanted is not None and len(wanted) == len(order) + len(dims) and drop(wanted, set(dims)) == order:
        return tuple(wanted)
    for dim in sorted(dims):
        order = insert(order, dim)
    return order


def squeezed_dims(call: Call, x: Array) -> tuple[int, ...]:
    """The dimensions that ``squeeze`` removes from ``x``."""
    dim = call.arguments.get("dim")
    if x.ndim == 0:
        return ()
    chosen = range(x.ndim) if dim is None else dims_of(dim, x.ndim) if dim not in ((), []) else ()
    return tuple(d for d in chosen if int(x.shape[d]) == 1)


def _squeeze_forward(call, arrays, wanted) -> Plan:
    x = arrays[0]
    return Plan((x.order,), (drop(x.order, set(squeezed_dims(call, x))),))


def _squeeze_backward(call, arrays, wanted):
    want, x = wanted[0] if wanted else None, arrays[0]
    return [with_ones(want, squeezed_dims(call, x)) if want is not None else None]


SQUEEZE = Layout("squeeze", _squeeze_forward, _squeeze_backward)


def _unsqueeze_forward(call, arrays, wanted) -> Plan:
    x = arrays[0]
    dim = int(call.arguments["dim"]) % (x.ndim + 1)
    return Plan((x.order,), (with_ones(x.order, [dim], wanted[0] if wanted else None),))


def _unsqueeze_backward(call, arrays, wanted):
    want, x = wanted[0] if wanted else None, arrays[0]
    dim = int(call.arguments["dim"]) % (x.ndim + 1)
    return [drop(want, {dim}) if want is not None and len(want) == x.ndim + 1 else None]


UNSQUEEZE = Layout("unsqueeze", _unsqueeze_forward, _unsqueeze_backward)


def _unbind_forward(call, arrays, wanted) -> Plan:
    x = arrays[0]
    order = drop(x.order, {int(call.arguments.get("dim", 0)) % x.ndim})
    return Plan((x.order, *_rest(arrays)), (order,) * len(call.outputs))


def _unbind_backward(call, arrays, wanted):
    want, x = next((w for w in wanted if w is not None), None), arrays[0]
    if want is None or len(want) != x.ndim - 1:
        return _nothing(arrays)
    return [insert(want, int(call.arguments.get("dim", 0)) % x.ndim), *[None] * (len(arrays) - 1)]


#: unbind, select: the dimension ``dim`` goes away.
UNBIND = Layout("unbind", _unbind_forward, _unbind_backward)


def _stack_forward(call, arrays, wanted) -> Plan:
    ndim = arrays[0].ndim
    want, dim = wanted[0] if wanted else None, int(call.arguments.get("dim", 0)) % (ndim + 1)
    order = majority(arrays, ndim)
    if want is not None and len(want) == ndim + 1 and drop(want, {dim}) == order:
        return Plan((order,) * len(arrays), (want,))
    return Plan((order,) * len(arrays), (insert(order, dim),))


def _stack_backward(call, arrays, wanted):
    want, ndim = wanted[0] if wanted else None, arrays[0].ndim
    if want is None or len(want) != ndim + 1:
        return _nothing(arrays)
    return [drop(want, {int(call.arguments.get("dim", 0)) % (ndim + 1)})] * len(arrays)


#: stack: the new dimension ``dim`` stands before the one that it precedes.
STACK = Layout("stack", _stack_forward, _stack_backward)


# -- more elements, by repetition -----------------------------------------------------------

def _raising_forward(call, arrays, wanted) -> Plan:
    x, ndim = arrays[0], len(call.outputs[0].shape)
    new = ndim - x.ndim
    order = (*range(new), *(dim + new for dim in x.order))
    return Plan((x.order, *_kept(arrays)), (order,))


def _raising_backward(call, arrays, wanted):
    want, x = wanted[0] if wanted else None, arrays[0]
    usable = want is not None and want[:len(want) - x.ndim] == standard(len(want) - x.ndim)
    return [fit(want, x.ndim) if usable else None, *[None] * (len(arrays) - 1)]


#: expand, repeat, tile: new dimensions stand in front, the others keep their order.
RAISING = Layout("raising", _raising_forward, _raising_backward)


# -- along given dimensions, or over all elements in torch's order ----------------------------

def _flat_forward(call, arrays, wanted) -> Plan:
    x = arrays[0]
    named = call.arguments.get("dims", call.arguments.get("dim"))
    order = standard(x.ndim) if named is None or named in ((), []) else x.order
    return Plan((order, *_rest(arrays)),
                tuple(order if len(o.shape) == x.ndim else standard(len(o.shape)) for o in call.outputs))


def _flat_backward(call, arrays, wanted):
    want = wanted[0] if wanted else None
    return [want if want is not None and len(want) == arrays[0].ndim else None, *[None] * (len(arrays) - 1)]


#: Rank kept along the dimensions named by ``dims`` or ``dim``; torch's order when none is
#: named, as all elements are then taken in that order (roll, repeat_interleave, index of the flat).
AXIS_OR_FLAT = Layout("axis or flat", _flat_forward, _flat_backward)
