"""Operations that change the shape or the order of dimensions and keep the elements."""

from __future__ import annotations

from collections.abc import Sequence

from .array import Array, standard
from .expression import Expr, Size, blocks, dtype_text, mlx_dtype, mx
from .layouts import STANDARD, Call
from .registry import caveat, op, refuse
from .view_layouts import (
    AXIS_OR_FLAT,
    RAISING,
    RESHAPE,
    SQUEEZE,
    UNBIND,
    UNSQUEEZE,
    flat_ints,
    permuting,
    squeezed_dims,
)


def shape_of(x: Array) -> Expr:
    """``x.shape`` as MLX has it: in MLX's axis order."""
    return Expr.__getattr__(x, "shape")


# -- permutations -----------------------------------------------------------------------

def permuted(x: Array, dims: Sequence[int], call: Call, named: tuple[int, int] | None = None) -> Expr:
    """``x`` with torch dimension ``k`` taken from ``dims[k]``, emitted for the order chosen
    for the result: nothing at all where the memory only gets another name. ``named`` are the
    two dimensions that the author swapped, as written."""
    axes = [x.order.index(dims[dim]) for dim in call.order]
    moved = [axis for axis, source in enumerate(axes) if axis != source]
    if not moved:
        return x
    if len(moved) == 2:
        if x.ndim == 2:
            return x.T
        first, second = named if named and x.is_standard and call.order == x.order else moved
        if {first, second} in ({-1, -2}, {x.ndim - 1, -2}, {x.ndim - 2, -1}):
            first, second = -1, -2
        return x.swapaxes(first, second)
    return x.transpose(*axes)


def _permutation(arguments: Sequence, ndim: int) -> list[int]:
    return [int(dim) % ndim for dim in flat_ints(arguments)] if ndim else []


@op("torch.permute", "torch.permute_copy", layout=permuting(
    lambda call, x: _permutation(call.arguments["dims"], x.ndim)))
def permute(x, *dims, call):
    """Nothing is emitted where the value is laid out that way already."""
    return permuted(x, _permutation(dims, x.ndim), call)


def swapped(ndim: int, first: int, second: int) -> list[int]:
    dims = list(range(ndim))
    if ndim:
        dims[first], dims[second] = dims[second], dims[first]
    return dims


_transposition = permuting(lambda call, x: swapped(x.ndim, call.arguments["dim0"], call.arguments["dim1"]))


@op("torch.transpose", "torch.transpose_copy", "torch.swapdims", layout=_transposition)
def transpose(x, dim0, dim1, *, call):
    """MLX's ``transpose`` takes a full permutation; two axes are swapped by ``swapaxes``."""
    return permuted(x, swapped(x.ndim, dim0, dim1), call, (dim0, dim1))


@op("torch.swapaxes", layout=permuting(
    lambda call, x: swapped(x.ndim, call.arguments["axis0"], call.arguments["axis1"])))
def swapaxes(x, axis0, axis1, *, call):
    return permuted(x, swapped(x.ndim, axis0, axis1), call, (axis0, axis1))


def _moved(source, destination, ndim: int) -> list[int]:
    if not ndim:
        return []
    sources = [int(dim) % ndim for dim in (source if isinstance(source, (tuple, list)) else [source])]
    targets = [int(dim) % ndim for dim in (destination if isinstance(destination, (tuple, list)) else [destination])]
    rest = iter(dim for dim in range(ndim) if dim not in sources)
    at = dict(zip(targets, sources, strict=True))
    return [at[dim] if dim in at else next(rest) for dim in range(ndim)]


@op("torch.movedim", "torch.moveaxis", layout=permuting(
    lambda call, x: _moved(call.arguments["source"], call.arguments["destination"], x.ndim)))
def movedim(x, source, destination, *, call):
    dims = _moved(source, destination, x.ndim)
    axes = [x.order.index(dims[dim]) for dim in call.order]
    plain = x.is_standard and call.order == x.order and not isinstance(source, (tuple, list))
    if plain and sum(axis != position for position, axis in enumerate(axes)) > 2:
        return mx.moveaxis(x, source, destination)
    return permuted(x, dims, call)


def _reversed(ndim: int) -> list[int]:
    return list(range(ndim))[::-1]


def _last_two(ndim: int) -> list[int]:
    return swapped(ndim, -2, -1) if ndim >= 2 else list(range(ndim))


@op("torch.t", "torch.t_copy", "torch.Tensor.T", layout=permuting(lambda call, x: _reversed(x.ndim)))
def t(x, *, call):
    """All dimensions reversed."""
    return permuted(x, _reversed(x.ndim), call)


@op("torch.Tensor.mT", layout=permuting(lambda call, x: _last_two(x.ndim)))
def matrix_transpose(x, *, call):
    return permuted(x, _last_two(x.ndim), call)


@op("torch.adjoint", "torch.Tensor.mH", "torch.Tensor.H", layout=permuting(lambda call, x: _last_two(x.ndim)))
def adjoint(x, *, call):
    """The last two dimensions swapped, and the conjugate of complex values."""
    swapped_value = permuted(x, _last_two(x.ndim), call)
    return mx.conjugate(swapped_value) if x.is_complex else swapped_value


# -- reshapes ---------------------------------------------------------------------------

def reshaped(x: Array, sizes: Sequence[int], call: Call) -> Expr:
    """``x.reshape`` to torch's ``sizes`` (one may be -1), emitted in the result's order."""
    physical = [sizes[dim] for dim in call.order]
    if not physical:
        return x.reshape(())
    if any(not isinstance(size, Size) and size == -1 for size in physical) and 0 in call.outputs[0].shape:
        # nothing can be inferred from an empty array
        known = [int(size) for size in call.outputs[0].shape]
        physical = [known[dim] if sizes[dim] == -1 else sizes[dim] for dim in call.order]
    return x.reshape(*physical)


@op("torch.reshape", "torch.Tensor.view", "torch.Tensor._unsafe_view", "torch.view_copy", layout=RESHAPE)
def reshape(x, *shape, dtype=None, call):
    """Free in channels-last order where whole blocks stay together; else from torch's order."""
    if shape and not isinstance(shape[0], (int, tuple, list)):
        dtype = shape[0]
    if dtype is not None:
        if x.ndim == 0 or not x.is_standard:
            refuse("dtype", dtype, "view the bytes of an array in torch's axis order with at least one dimension")
        return x.view(mlx_dtype(dtype)) if dtype_text(dtype) != x.dtype else x
    return reshaped(x, flat_ints(shape), call)


@op("torch.Tensor.reshape_as", "torch.Tensor.view_as", layout=RESHAPE)
def reshape_as(x, other, *, call):
    return x.reshape(shape_of(other)) if other.order == call.order else reshaped(x, other.shape, call)


@op("torch.flatten", "torch.ravel", layout=RESHAPE)
def flatten(x, start_dim=0, end_dim=-1, *, call):
    """``mx.flatten``; in channels-last order where the flattened axes lie together."""
    if x.ndim < 2:
        return x.reshape(-1) if x.ndim == 0 else x
    start, end = int(start_dim) % x.ndim, int(end_dim) % x.ndim
    if start == end:
        return x
    if x.is_standard and call.order == standard(len(call.order)):
        if start == 0 and end == x.ndim - 1:
            return x.flatten()
        return x.flatten(start_dim) if int(end_dim) == -1 or end == x.ndim - 1 else x.flatten(start_dim, end_dim)
    axes = sorted(x.order.index(dim) for dim in range(start, end + 1))
    merged = [dim for dim in call.order if dim != start]
    untouched = [dim - (dim > end) * (end - start) for dim in x.order if not start <= dim <= end]
    if axes == list(range(axes[0], axes[-1] + 1)) and merged == untouched and call.order.index(start) == axes[0]:
        return x.flatten(axes[0]) if axes[-1] == x.ndim - 1 else x.flatten(axes[0], axes[-1])
    rest = [dim for dim in range(x.ndim) if not start < dim <= end]
    return reshaped(x, [-1 if dim == start else x.shape[dim] for dim in rest], call)


@op("torch.unflatten", layout=RESHAPE)
def unflatten(x, dim, sizes, *, call):
    sizes = [int(s) if not isinstance(s, Size) else s for s in (sizes if isinstance(sizes, (tuple, list)) else [sizes])]
    position = int(dim) % x.ndim
    axis = x.order.index(position)
    split = tuple(range(position, position + len(sizes)))
    expected = [d + (d > position) * (len(sizes) - 1) for d in x.order]
    expected[axis:axis + 1] = split
    if tuple(expected) == call.order:
        return mx.unflatten(x, x.axis(dim), tuple(sizes))
    return reshaped(x, [*x.shape[:position], *sizes, *x.shape[position + 1:]], call)


# -- dimensions of size one ---------------------------------------------------------------

@op("torch.squeeze", "torch.squeeze_copy", layout=SQUEEZE)
def squeeze(x, dim=None):
    """Torch leaves a dimension alone whose size is not one, MLX raises: those are left out."""
    if dim is None:
        return x.squeeze() if x.ndim else x
    dims = squeezed_dims(Call("squeeze", {"dim": dim}), x)
    if not dims:
        return x
    if not isinstance(dim, (tuple, list)):
        return x.squeeze(x.axis(dim))
    return x.squeeze(tuple(sorted(x.axes(dims)))) if len(dims) > 1 else x.squeeze(x.axis(dims[0]))


def with_axis(x: Expr, axis: int, ndim: int) -> Expr:
    """A new axis at position ``axis`` of the result, which has ``ndim + 1`` axes."""
    if axis in (-1, ndim):
        return x[..., None] if ndim != 0 else x[None]
    if axis == 0:
        return x[None]
    return x[:, None] if axis == 1 else mx.expand_dims(x, axis)


@op("torch.unsqueeze", "torch.unsqueeze_copy", layout=UNSQUEEZE)
def unsqueeze(x, dim, *, call):
    position = call.order.index(int(dim) % (x.ndim + 1))
    return with_axis(x, int(dim) if position == int(dim) % (x.ndim + 1) else position, x.ndim)


def slice_at(x: Array, axis: int, item: object) -> Expr:
    """``x[:, :, item]`` for MLX's axis ``axis``; ``x[..., item]`` at the last of many."""
    axis = axis % x.ndim
    if axis == x.ndim - 1 and x.ndim > 2:
        return x[..., item]
    return x[(*[slice(None)] * axis, item)] if axis else x[item]


@op("torch.select", "torch.select_copy", layout=UNBIND)
def select(x, dim, index):
    return slice_at(x, x.axis(dim), index)


@op("torch.narrow", "torch.narrow_copy", layout=AXIS_OR_FLAT)
def narrow(x, dim, start, length):
    if isinstance(start, Array):
        return mx.take(x, start + mx.arange(length), axis=x.axis(dim))
    if not isinstance(start, Size) and start < 0:
        start = x.shape[int(dim) % x.ndim] + start
    return slice_at(x, x.axis(dim), slice(start if start != 0 or isinstance(start, Size) else None, start + length))


@op("torch.unbind", "torch.unbind_copy", layout=UNBIND)
def unbind(x, dim=0):
    """``mx.unstack``, a tuple as in torch."""
    return mx.unstack(x, axis=x.axis(dim))


# -- repetition -----------------------------------------------------------------------------

def broadcast(x: Array, sizes: Sequence[int], call: Call) -> Expr:
    """``mx.broadcast_to`` torch's ``sizes``, where -1 keeps a size."""
    new = len(sizes) - x.ndim
    kept = [x.shape[dim - new] if not isinstance(size, Size) and size == -1 else size for dim, size in enumerate(sizes)]
    return mx.broadcast_to(x, tuple(kept[dim] for dim in call.order))


@op("torch.Tensor.expand", "torch.broadcast_to", "torch.Tensor.expand_copy", "torch.expand_copy", layout=RAISING)
def expand(x, *size, call):
    """A size of -1 becomes the size of the input, as MLX takes no negative sizes."""
    return broadcast(x, flat_ints(size), call)


@op("torch.Tensor.expand_as", layout=RAISING)
def expand_as(x, other, *, call):
    return mx.broadcast_to(x, shape_of(other)) if other.order == call.order else broadcast(x, other.shape, call)


@op("torch.Tensor.repeat", layout=RAISING)
def repeat(x, *repeats, call):
    """``mx.tile``; MLX's own ``repeat`` repeats single elements."""
    times = flat_ints(repeats)
    return mx.tile(x, tuple(times[dim] for dim in call.order)) if times else x


@op("torch.tile", layout=RAISING)
def tile(x, *dims, call):
    times = flat_ints(dims)
    times = (1,) * (x.ndim - len(times)) + times
    return mx.tile(x, tuple(times[dim] for dim in call.order)) if times else x


@op("torch.Tensor.sum_to_size")
def sum_to_size(x, *size, call):
    """The inverse of a broadcast: what was repeated is summed."""
    sizes = flat_ints(size)
    new = x.ndim - len(sizes)
    ones = [new + dim for dim, wanted in enumerate(sizes) if int(wanted) == 1 and int(x.shape[new + dim]) != 1]
    total = x.sum(tuple(ones), keepdims=True) if ones else x
    total = total.sum(tuple(range(new))) if new else total
    return total if x.dtype == call.dtype else total.astype(mlx_dtype(call.dtype))


@op("torch.broadcast_tensors")
def broadcast_tensors(*tensors):
    return mx.broadcast_arrays(*flat_ints(tensors))


# -- order of elements along an axis ----------------------------------------------------------

@op("torch.roll", layout=AXIS_OR_FLAT)
def roll(x, shifts, dims=None):
    many = isinstance(shifts, (tuple, list)) and len(shifts) > 1
    if not many and isinstance(shifts, (tuple, list)):
        shifts = shifts[0]
    if x.ndim == 0 or dims is None or dims in ((), []):
        return mx.roll(x, shifts) if x.ndim else x
    dims = dims if isinstance(dims, (tuple, list)) else (dims,)
    return mx.roll(x, tuple(shifts), x.axes(dims)) if many else mx.roll(x, shifts, x.axis(dims[0]))


@op("torch.flip", layout=AXIS_OR_FLAT)
def flip(x, *dims):
    dims = flat_ints(dims)
    if not dims or x.ndim == 0:
        return x
    return mx.flip(x, x.axis(dims[0]) if len(dims) == 1 else x.axes(dims))


@op("torch.fliplr")
def fliplr(x):
    return mx.flip(x, 1)


@op("torch.flipud")
def flipud(x):
    return mx.flip(x, 0)


@op("torch.rot90")
def rot90(x, k=1, dims=(0, 1)):
    first, second = dims
    turns = int(k) % 4
    if turns == 0:
        return x
    if turns == 2:
        return mx.flip(x, (first, second))
    return mx.flip(x, second).swapaxes(first, second) if turns == 1 else mx.flip(x.swapaxes(first, second), second)


# -- parts with overlap -----------------------------------------------------------------------

@op("torch.diagonal", "torch.diagonal_copy", "torch.linalg.diagonal")
def diagonal(x, offset=0, dim1=0, dim2=1):
    return mx.diagonal(x, offset, dim1, dim2)


@op("torch.Tensor.unfold", "torch.unfold_copy")
def unfold(x, dimension, size, step):
    return blocks.sliding_windows(x, dimension, size, step)


@op("torch.as_strided", "torch.as_strided_copy")
def as_strided(x, size, stride, storage_offset=None):
    """MLX counts strides in the array's own elements, as torch does for a contiguous tensor: the array is put into
    the order that torch's tensor has in memory."""
    wide = [axis for axis, length in enumerate(x.shape) if int(length) != 1]
    in_memory = sorted(wide, key=lambda axis: -x.stride[axis])
    expected, dense = 1, True
    for axis in reversed(in_memory):
        dense &= x.stride[axis] == expected
        expected *= max(int(x.shape[axis]), 1)
    if not dense:
        refuse("input", x.stride, "as_strided of a tensor that has gaps in its memory reads what MLX does not see: "
                                  "call .contiguous() before it")
    if in_memory != wide:
        order = [axis for axis in range(x.ndim) if axis not in wide] + in_memory
        return _strided(x, x.transpose(*order), size, stride, storage_offset)
    return _strided(x, x, size, stride, storage_offset)


def _strided(x, memory, size, stride, storage_offset):
    start = storage_offset or 0
    if any(int(n) == 0 for n in size) or start + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) >= x.numel:
        refuse("storage_offset", storage_offset, "it reads memory outside of the tensor itself")
    if storage_offset is not None:
        caveat("the offset counts from this array's first element, torch's from the start of the memory that it views")
    return mx.as_strided(memory, tuple(size), tuple(stride), *([storage_offset] if storage_offset else []))


@op("torch.atleast_1d", "torch.atleast_2d", "torch.atleast_3d", layout=STANDARD)
def atleast(x, *more, call):
    function = getattr(mx, call.name.rpartition(".")[2])
    given = (x, *more)
    if len(given) == 1 and isinstance(x, Array):
        return function(x)
    return [function(item) for item in flat_ints(given)]


@op("torch.view_as_real", "torch.view_as_real_copy")
def view_as_real(x):
    return mx.stack([mx.real(x), mx.imag(x)], axis=-1)


@op("torch.view_as_complex", "torch.view_as_complex_copy")
def view_as_complex(x):
    return x[..., 0] + 1j * x[..., 1]
