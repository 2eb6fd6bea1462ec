"""Sorting, searching and counting distinct values."""

from __future__ import annotations

from .array import Array, standard
from .expression import Expr, blocks, mx
from .layouts import AXIS, Layout, Plan
from .promotion import steady
from .registry import caveat, op


def _indices(expression: Expr) -> Expr:
    """MLX counts in uint32, torch in int64."""
    return expression.astype(mx.int64)


@op("torch.sort", layout=AXIS)
def sort(x, *arguments, dim=-1, descending=False, stable=False):
    """MLX sorts stably and in ascending order, and gives values and indices separately."""
    dim, descending = _sort_arguments(arguments, dim, descending)
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mx.int64)
    if descending:
        sorted_pair = blocks.sort_descending(x, axis=x.axis(dim))
        return sorted_pair[0], _indices(sorted_pair[1])
    axis = {} if x.axis(dim) == -1 else {"axis": x.axis(dim)}
    return mx.sort(x, **axis), _indices(_argsort(x, **axis))


def _argsort(x: Array, **axis: int) -> Expr:
    """Places as constants: MLX refuses to differentiate through an index found from values."""
    return steady(mx.argsort(x, **axis), x)


def _sort_arguments(arguments, dim, descending):
    if arguments and isinstance(arguments[0], bool):
        arguments = arguments[1:]  # torch.sort(x, stable, dim, descending)
    return (arguments[0] if arguments else dim), (arguments[1] if len(arguments) > 1 else descending)


@op("torch.argsort", layout=AXIS)
def argsort(x, *arguments, dim=-1, descending=False, stable=False):
    dim, descending = _sort_arguments(arguments, dim, descending)
    if x.ndim == 0:
        return mx.zeros((), dtype=mx.int64)
    if descending:
        return _indices(blocks.sort_descending(x, axis=x.axis(dim))[1])
    return _indices(_argsort(x, **({} if x.axis(dim) == -1 else {"axis": x.axis(dim)})))


@op("torch.msort")
def msort(x):
    return mx.sort(x, axis=0) if x.ndim else x


@op("torch.topk", layout=AXIS)
def topk(x, k, dim=-1, largest=True, sorted=True):
    """MLX's ``topk`` gives values only, in no particular order; the block gives torch's pair."""
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mx.int64)
    keywords = {} if largest else {"largest": False}
    pair = blocks.top_values(x, k, axis=x.axis(dim), **keywords)
    return pair[0], _indices(pair[1])


@op("torch.kthvalue")
def kthvalue(x, k, dim=-1, keepdim=False):
    """The k-th smallest value and where it stands."""
    if x.ndim == 0:
        return x, mx.zeros((), dtype=mx.int64)
    keywords = {"keepdims": True} if keepdim else {}
    pair = blocks.kth_smallest(x, k, axis=dim, **keywords)
    return pair[0], _indices(pair[1])


# -- searching --------------------------------------------------------------------------

def _fixed(values) -> Expr:
    """Values to look up as constants: the places found depend on them in steps only."""
    if not isinstance(values, Expr):
        return mx.array(values)
    return steady(values, values) if isinstance(values, Array) else values


def _search(sequence: Array, values, right: bool, int32: bool) -> Expr:
    keywords = {"side": "right"} if right else {}
    values = _fixed(values)
    function = mx.searchsorted if sequence.ndim == 1 else blocks.search_rows
    found = function(sequence, values, **keywords)
    return found.astype(mx.int32 if int32 else mx.int64)


@op("torch.searchsorted")
def searchsorted(sorted_sequence, x, *, out_int32=False, right=False, side=None, sorter=None):
    if sorter is not None:
        sorted_sequence_sorted = mx.take_along_axis(sorted_sequence, sorter, axis=-1)
        keywords = {"side": "right"} if right or side == "right" else {}
        found = (mx.searchsorted if sorted_sequence.ndim == 1 else blocks.search_rows)(
            sorted_sequence_sorted, _fixed(x), **keywords)
        return found.astype(mx.int32 if out_int32 else mx.int64)
    return _search(sorted_sequence, x, right or side == "right", out_int32)


@op("torch.bucketize")
def bucketize(x, boundaries, *, out_int32=False, right=False):
    return _search(boundaries, x, right, out_int32)


# -- distinct values ----------------------------------------------------------------------

_EVALUATES = "evaluates the values to know how many are distinct: not inside mx.compile"


@op("torch.unique", "torch._unique2", "torch._return_output", "torch._tensor.unique")
def unique(x, sorted=True, return_inverse=False, return_counts=False, dim=None, *, call):
    """Always in ascending order; the number of distinct values is read from the data."""
    caveat(_EVALUATES)
    if dim is not None:
        keywords = {"axis": dim} if dim else {}
        return _chosen(blocks.unique_slices(x, **keywords), return_inverse, return_counts)
    if not return_inverse and not return_counts:
        return blocks.unique_values(x)[0]
    return _chosen(blocks.unique_values(x), return_inverse, return_counts)


def _chosen(found: Expr, inverse: bool, counts: bool):
    parts = [found[0]]
    if inverse:
        parts.append(_indices(found[1]))
    if counts:
        parts.append(_indices(found[2]))
    return tuple(parts) if len(parts) > 1 else parts[0]


@op("torch.unique_consecutive", "torch._unique_consecutive")
def unique_consecutive(x, return_inverse=False, return_counts=False, dim=None):
    caveat(_EVALUATES)
    if dim is None:
        return _chosen(blocks.unique_runs(x), return_inverse, return_counts)
    return _chosen(blocks.unique_runs(x, axis=dim), return_inverse, return_counts)


# -- repetition of elements -----------------------------------------------------------------

def _repeat_forward(call, arrays, wanted) -> Plan:
    x = arrays[0]
    keeps = call.arguments.get("dim") is not None and len(call.outputs[0].shape) == x.ndim
    order = x.order if keeps else standard(x.ndim)
    outputs = tuple(order if keeps else standard(len(o.shape)) for o in call.outputs)
    return Plan((order, *(standard(a.ndim) for a in arrays[1:])), outputs)


@op("torch.repeat_interleave", layout=Layout("repeat", _repeat_forward, AXIS.backward))
def repeat_interleave(x, repeats=None, dim=None, output_size=None):
    """MLX's ``repeat`` takes one number for all elements; for several, places are looked up."""
    if repeats is None:
        caveat("evaluates the counts to know the size of the result: not inside mx.compile")
        return _indices(blocks.repeat_positions(x))
    axis = {} if dim is None else {"axis": x.axis(dim)}
    if not isinstance(repeats, Array):
        return mx.repeat(x, repeats, **axis)
    if output_size is None:
        caveat("evaluates the counts to know the size of the result: not inside mx.compile; pass output_size")
    size = () if output_size is None else (output_size,)
    source = x if dim is not None else x.reshape(-1)
    length = x.shape[int(dim) % x.ndim] if dim is not None else x.numel
    if repeats.ndim == 0 or repeats.numel == 1 and int(length) != 1:
        repeats = mx.broadcast_to(repeats, (length,))
    positions = blocks.repeat_positions(repeats, *size)
    return mx.take(source, positions, axis=x.axis(dim) if dim is not None else 0)
