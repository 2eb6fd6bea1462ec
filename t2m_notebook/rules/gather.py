"""Reading from and writing to places that index tensors name."""

from __future__ import annotations

from typing import Any

from .array import Array, standard
from .expression import Expr, blocks, mlx_dtype, mx
from .indexing import FULL, SetItem, as_element, positions_of, tidy
from .layouts import AXIS, Layout, Plan
from .registry import caveat, op, refuse

# -- gather -----------------------------------------------------------------------------

@op("torch.gather")
def gather(x, dim, index, sparse_grad=False):
    """``mx.take_along_axis``; where the index is shorter, torch reads that corner of the input."""
    if x.ndim == 0 or index.ndim == 0:
        return mx.take(x, index)
    if index.ndim != x.ndim:  # torch allows this for an empty index only
        return mx.zeros(Expr.__getattr__(index, "shape"), dtype=mlx_dtype(x.dtype))
    return mx.take_along_axis(_corner(x, index, dim), index, axis=dim)


def _corner(x: Array, index: Array, dim: int) -> Expr:
    """The part of ``x`` that ``index`` covers in all dimensions but ``dim``."""
    dim %= x.ndim
    parts: list[Any] = [FULL if d == dim or int(x.shape[d]) == int(index.shape[d]) else slice(index.shape[d])
                        for d in range(x.ndim)]
    return x if all(part == FULL for part in parts) else x[tidy(parts, x.ndim)]


@op("torch.take_along_dim")
def take_along_dim(x, indices, dim=None):
    if dim is None:
        return mx.take(x, indices.reshape(-1))
    return mx.take_along_axis(x, indices, axis=dim)


@op("torch.take")
def take(x, index):
    return mx.take(x, index)


def _select_forward(call, arrays, wanted) -> Plan:
    x, *rest = arrays
    order = x.order if len(call.outputs[0].shape) == x.ndim else standard(x.ndim)
    return Plan((order, *(standard(a.ndim) for a in rest)), (order,) * len(call.outputs))


#: The first argument keeps its order, as the work is along one named dimension.
FIRST = Layout("first", _select_forward, AXIS.backward)


@op("torch.index_select", layout=FIRST)
def index_select(x, dim, index):
    if x.ndim == 0:
        return x
    return mx.take(x, index if index.ndim else index.reshape(1), axis=x.axis(dim))


@op("torch.masked_select")
def masked_select(x, mask, *, call):
    x, mask = _broadcast(x, mask)
    if len(call.outputs[0].shape) == 1 and isinstance(x, Array) and x.ndim == 0:
        return x[None][positions_of(mask[None])]
    return x[positions_of(mask)]


def _broadcast(x: Array, mask: Array) -> tuple[Expr, Expr]:
    """Both at their common shape; sizes that agree already are left alone."""
    shape = tuple(max(int(a), int(b)) for a, b in zip(_padded(x, mask), _padded(mask, x), strict=True))
    def same(array):
        return tuple(map(int, array.shape)) == shape
    if same(x) and same(mask):
        return x, mask
    if same(x):
        return x, mx.broadcast_to(mask, Expr.__getattr__(x, "shape"))
    if same(mask):
        return mx.broadcast_to(x, Expr.__getattr__(mask, "shape")), mask
    both = mx.broadcast_arrays(x, mask)
    return both[0], both[1]


def _padded(a: Array, b: Array) -> tuple[int, ...]:
    return (1,) * (b.ndim - a.ndim) + tuple(a.shape)


# -- scatter ----------------------------------------------------------------------------

def _source(source: Any, index: Array) -> Any:
    """The part of the source that the index covers."""
    if not isinstance(source, Array) or source.ndim != index.ndim or source.ndim == 0:
        return source
    parts = [FULL if int(a) == int(b) else slice(b) for a, b in zip(source.shape, index.shape, strict=True)]
    return source if all(part == FULL for part in parts) else source[tidy(parts, source.ndim)]


_REDUCTIONS = {"add": "add", "sum": "add", "multiply": "multiply", "prod": "multiply", "amax": "maximum",
               "amin": "minimum"}


@op("torch.scatter")
def scatter(x, dim, index, src=None, value=None, reduce=None):
    """``mx.put_along_axis`` where the index covers the input, else a block."""
    src = value if src is None else src
    if reduce is not None:
        return blocks.scatter_reduce(x, dim, index, _filled(src, x, index), reduce=_REDUCTIONS[reduce])
    if x.ndim == 0:
        return SetItem(x, Ellipsis, as_element(src, x))
    covers = index.ndim == x.ndim and all(int(a) == int(b) for d, (a, b) in enumerate(zip(
        x.shape, index.shape, strict=True)) if d != dim % x.ndim)
    if covers and 0 not in index.shape:
        return mx.put_along_axis(x, index, _as_values(_source(src, index), x), axis=dim)
    return blocks.scatter(x, dim, index, _source(src, index))


def _as_values(source: Any, x: Array) -> Expr:
    source = as_element(source, x)
    return source if isinstance(source, Expr) else mx.array(source, dtype=mlx_dtype(x.dtype))


def _filled(source: Any, x: Array, index: Array) -> Any:
    return _source(source, index) if isinstance(source, Expr) else as_element(source, x)


@op("torch.scatter_add")
def scatter_add(x, dim, index, src):
    return blocks.scatter_reduce(x, dim, index, _source(src, index))


@op("torch.scatter_reduce")
def scatter_reduce(x, dim, index, src, reduce, include_self=True, *, call):
    values = _source(src, index)
    if reduce == "mean":
        mean = blocks.scatter_mean(x, dim, index, values, *([] if include_self else [False]))
        return mean
    keywords = {} if include_self else {"include_self": False}
    if _REDUCTIONS[reduce] != "add":
        keywords = {"reduce": _REDUCTIONS[reduce], **keywords}
        caveat(f"MLX has no gradient for {reduce} into repeated places")
    return blocks.scatter_reduce(x, dim, index, values, **keywords)


# -- writes along one dimension -----------------------------------------------------------

def _along(x: Array, dim: int, index: Any) -> Any:
    axis = x.axis(dim) % x.ndim
    return tidy([FULL] * axis + [index] + [FULL] * (x.ndim - axis - 1), x.ndim)


def _flat_index(index: Array) -> Expr:
    return index if index.ndim else index.reshape(1)


@op("torch.index_add")
def index_add(x, dim, index, source, alpha=1):
    """``x.at[index].add``: repeated places accumulate, as in torch."""
    source = source if not isinstance(alpha, Array) and alpha == 1 else alpha * source
    if x.ndim == 0:
        return x + source.reshape(()) if isinstance(source, Array) else x + source
    return x.at[_along(x, dim, index)].add(source)


@op("torch.index_copy")
def index_copy(x, dim, index, source):
    return SetItem(x, _along(x, dim, _flat_index(index)), source) if x.ndim else source.reshape(())


@op("torch.index_fill")
def index_fill(x, dim, index, value):
    if isinstance(value, Array) and value.is_floating and x.ndim:  # a place named twice counts once in its gradient
        return blocks.fill_at(x, dim, _flat_index(index), as_element(value, x))
    return SetItem(x, _along(x, dim, index) if x.ndim else Ellipsis, as_element(value, x))


@op("torch.index_reduce")
def index_reduce(x, dim, index, source, reduce, include_self=True):
    if reduce == "mean":
        return blocks.index_mean(x, dim, _flat_index(index), source, *([] if include_self else [False]))
    caveat(f"MLX has no gradient for {reduce} into repeated places")
    keywords = {} if include_self else {"include_self": False}
    return blocks.index_reduce(x, dim, _flat_index(index), source, reduce=_REDUCTIONS[reduce], **keywords)


@op("torch.Tensor.put_", "torch.put")
def put(x, index, source, accumulate=False):
    """Places count in the flattened tensor."""
    return blocks.put_flat(x, index, source, *([True] if accumulate else []))


@op("torch.masked_scatter")
def masked_scatter(x, mask, source):
    """The source's first elements go to the true places in order."""
    x, mask = _broadcast(x, mask)
    return SetItem(x, mx.stop_gradient(mask), source.reshape(-1) if source.ndim != 1 else source)


@op("torch.select_scatter")
def select_scatter(x, src, dim, index):
    return SetItem(x, _along(x, dim, index), src)


@op("torch.slice_scatter")
def slice_scatter(x, src, dim=0, start=None, end=None, step=1):
    return SetItem(x, _along(x, dim, slice(start, end, None if step == 1 else step)), src)


@op("torch.diagonal_scatter")
def diagonal_scatter(x, src, offset=0, dim1=0, dim2=1):
    return blocks.set_diagonal(x, src, offset, dim1, dim2)


# -- positions of true elements, counts ------------------------------------------------------

@op("torch.nonzero", "torch.argwhere")
def nonzero(x, as_tuple=False):
    """The result's length depends on the data, so the input is evaluated."""
    if as_tuple:
        return [position.astype(mx.int64) for position in _positions(x)]
    if x.ndim == 0:
        refuse("input", None, "positions in a tensor without dimensions: use bool(x)")
    return mx.stack(positions_of(x), axis=1).astype(mx.int64)


def _positions(x: Array) -> list[Expr]:
    found = positions_of(x if x.ndim else x[None])
    return [found[axis] for axis in range(max(x.ndim, 1))]


@op("torch.nonzero_static")
def nonzero_static(x, size, fill_value=-1):
    return blocks.first_nonzero(x, size, fill_value)


@op("torch.nn.functional.one_hot")
def one_hot(x, num_classes=-1):
    """Without a number of classes the largest one is read from the data."""
    if num_classes == -1:
        caveat("evaluates the largest class: not inside mx.compile; pass num_classes")
        num_classes = x.max().item() + 1
    return (x[..., None] == mx.arange(num_classes)).astype(mx.int64)


@op("torch.bincount")
def bincount(x, weights=None, minlength=0, *, call):
    caveat("evaluates the largest value: not inside mx.compile")
    keywords = ({"weights": weights} if weights is not None else {}) | ({"minlength": minlength} if minlength else {})
    counts = blocks.bincount(x, **keywords)
    return counts if weights is None or call.dtype == weights.dtype else counts.astype(mlx_dtype(call.dtype))


@op("torch.histc")
def histc(x, bins=100, min=0, max=0):
    limits = () if min == 0 and max == 0 else (min, max)
    return blocks.histogram_counts(x, bins, *limits)


@op("torch.unravel_index")
def unravel_index(x, shape):
    sizes = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    found, behind = [], 1
    for size in reversed(sizes):
        found.append((x // behind if behind != 1 else x) % size)
        behind = behind * size
    return found[::-1]
