"""Joining tensors into one and splitting one into several."""

from __future__ import annotations

from collections.abc import Sequence

from .array import Array
from .expression import Expr, Namespace, Size, blocks, mx
from .layouts import AXIS
from .registry import caveat, op, refuse
from .view_layouts import STACK, flat_ints

_range = Namespace("range")


class Pieces(Expr):
    """A split whose number of pieces follows from the size when the code runs.
    ``unpacked`` is the plainer form for a call whose result the author unpacks into a
    fixed number of names: there the number of pieces is part of the source."""

    __slots__ = ("unpacked",)

    def __init__(self, general: Expr, unpacked: Expr | None = None):
        super().__init__(general.node)
        self.unpacked = unpacked


# -- joining ----------------------------------------------------------------------------

@op("torch.cat", "torch.concat", "torch.concatenate", layout=AXIS)
def cat(tensors, dim=0):
    """``mx.concatenate``; torch skips empty one-dimensional tensors, so they are left out."""
    given = list(tensors)
    kept = [t for t in given if t.shape != (0,) or t.ndim == max(each.ndim for each in given) == 1] or given
    dtypes = {t.dtype for t in given}
    if len(kept) < len(given) and len(dtypes) > 1:
        refuse("tensors", sorted(dtypes), "leave the empty tensor of another dtype out of torch.cat")
    if len(kept) == 1:
        return kept[0]
    axis = kept[0].axis(dim)
    return mx.concatenate(kept, axis=axis) if axis != 0 else mx.concatenate(kept)


@op("torch.stack", layout=STACK)
def stack(tensors, dim=0, *, call):
    ndim = tensors[0].ndim + 1
    axis = call.order.index(int(dim) % ndim)
    axis = int(dim) if axis == int(dim) % ndim else axis
    return mx.stack(list(tensors), axis=axis) if axis != 0 else mx.stack(list(tensors))


def _all(function: Expr, tensors: Sequence[Array], ndim: int) -> list[Expr]:
    return [function(t) if t.ndim < ndim else t for t in tensors]


@op("torch.hstack")
def hstack(tensors):
    return mx.concatenate(_all(mx.atleast_1d, tensors, 1), axis=1 if tensors[0].ndim > 1 else 0)


@op("torch.vstack", "torch.row_stack")
def vstack(tensors):
    return mx.concatenate(_all(mx.atleast_2d, tensors, 2), axis=0)


@op("torch.dstack")
def dstack(tensors):
    return mx.concatenate(_all(mx.atleast_3d, tensors, 3), axis=2)


@op("torch.column_stack")
def column_stack(tensors):
    return mx.concatenate([t if t.ndim > 1 else t.reshape(-1, 1) for t in tensors], axis=1)


# -- splitting --------------------------------------------------------------------------

def split_points(sizes: Sequence[int]) -> list[int]:
    """Where MLX cuts for pieces of these sizes."""
    points: list[int] = []
    for size in sizes[:-1]:
        points.append(points[-1] + size if points else size)
    return points


@op("torch.split", "torch.Tensor.split_with_sizes", "torch.split_with_sizes", "torch.Tensor.split",
    "torch.unsafe_split", "torch.unsafe_split_with_sizes", "torch.split_copy", "torch.split_with_sizes_copy",
    layout=AXIS)
def split(x, split_size, dim=0, *, call):
    """Torch takes the size of the pieces, MLX their number or the points to cut at."""
    axis = x.axis(dim)
    if isinstance(split_size, (tuple, list)):
        if len(split_size) == 1:
            return [x]
        sizes = [int(s) if not isinstance(s, Size) else s for s in split_size]
        plain = not any(isinstance(s, Size) for s in sizes)
        if plain and len(set(sizes)) == 1 and sizes[0] > 0:
            return mx.split(x, len(sizes), axis=axis)
        return mx.split(x, split_points(sizes), axis=axis)
    size, length = split_size, x.shape[int(dim) % x.ndim]
    if int(size) == 0:
        return [x]
    general = mx.split(x, _range(size, length, size), axis=axis)
    even = int(length) % int(size) == 0
    return Pieces(general, mx.split(x, len(call.outputs), axis=axis) if even else None)


@op("torch.chunk", "torch.unsafe_chunk", layout=AXIS)
def chunk(x, chunks, dim=0, *, call):
    """``mx.split`` where the pieces are even (it raises where they are not)."""
    axis, length = x.axis(dim), x.shape[int(dim) % x.ndim]
    if int(length) % int(chunks) == 0 and int(length):
        return mx.split(x, chunks, axis=axis)
    return blocks.uneven_chunks(x, chunks, axis)


def _points_split(x: Array, cuts, dim: int) -> Expr:
    axis, length = x.axis(dim), x.shape[int(dim) % x.ndim]
    if isinstance(cuts, Array):
        caveat("evaluates the split points: not inside mx.compile")
        return blocks.uneven_sections(x, cuts.item(), axis) if cuts.ndim == 0 else mx.split(x, cuts.tolist(), axis=axis)
    if isinstance(cuts, (tuple, list)):
        points = [cut if isinstance(cut, Size) or cut >= 0 else length + cut for cut in cuts]
        if any(int(b) < int(a) for a, b in zip(points, points[1:], strict=False)):
            refuse("indices", list(cuts), "split at ascending points")
        return mx.split(x, points, axis=axis)
    if int(length) % int(cuts) == 0 and int(length):
        return mx.split(x, cuts, axis=axis)
    return blocks.uneven_sections(x, cuts, axis)


@op("torch.tensor_split", layout=AXIS)
def tensor_split(x, indices_or_sections=None, dim=0, indices=None, sections=None):
    return _points_split(x, next(c for c in (indices_or_sections, indices, sections) if c is not None), dim)


@op("torch.hsplit", layout=AXIS)
def hsplit(x, *indices_or_sections):
    return _points_split(x, _cuts(indices_or_sections), 1 if x.ndim > 1 else 0)


@op("torch.vsplit", layout=AXIS)
def vsplit(x, *indices_or_sections):
    return _points_split(x, _cuts(indices_or_sections), 0)


@op("torch.dsplit", layout=AXIS)
def dsplit(x, *indices_or_sections):
    return _points_split(x, _cuts(indices_or_sections), 2)


def _cuts(given: tuple):
    if len(given) == 1 and isinstance(given[0], Array):
        return given[0]
    return given[0] if len(given) == 1 else flat_ints(given)
