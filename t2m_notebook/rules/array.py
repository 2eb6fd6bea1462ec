"""What a rule sees of a tensor argument: facts as torch has them, code as MLX gets it."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from .expression import VALUE_PREFIX, Expr, Size

#: The physical order of a value's logical axes: MLX axis ``j`` holds torch's dimension
#: ``order[j]``, hence ``mlx_value = torch_value.permute(order)``.
Order = tuple[int, ...]


def standard(ndim: int) -> Order:
    """Torch's own order: nothing moves."""
    return tuple(range(ndim))


def channels_last(ndim: int) -> Order:
    """``N C *spatial`` laid out as ``N *spatial C``; standard below three dimensions."""
    return (0, *range(2, ndim), 1) if ndim >= 3 else standard(ndim)


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """A result of the recorded call. Its sizes are those of one example: use them to
    decide, never to emit. ``order`` is how the MLX value must be laid out."""

    shape: tuple[int, ...]
    dtype: str
    order: Order


class Array(Expr):
    """A tensor argument. ``shape`` is torch's, each size knows its expression;
    ``dtype`` is torch's name (``"float32"``); ``order`` is MLX's axis order."""

    __slots__ = ("index", "shape", "dtype", "order", "stride", "is_parameter", "constant")

    def __init__(self, index: int | str, shape: tuple[int, ...], dtype: str, order: Order | None = None,
                 stride: tuple[int, ...] = (), is_parameter: bool = False, constant: object = None):
        super().__init__(ast.Name(f"{VALUE_PREFIX}{index}", ast.Load()))
        self.index = index
        self.shape = tuple(Size.of(int(size), index, dim) for dim, size in enumerate(shape))
        self.dtype = dtype
        self.order = standard(len(shape)) if order is None else tuple(order)
        self.stride = stride
        self.is_parameter = is_parameter
        self.constant = constant  # a Python number when the value is known to be one

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> int:
        """Number of elements; a size with its expression."""
        total: int = 1
        for size in self.shape:
            total = total * size if total != 1 else size
        return total

    @property
    def is_standard(self) -> bool:
        return self.order == standard(len(self.order))

    @property
    def is_floating(self) -> bool:
        return self.dtype.startswith(("float", "bfloat"))

    @property
    def is_complex(self) -> bool:
        return self.dtype.startswith("complex")

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers, not for bool."""
        return self.dtype.startswith(("int", "uint"))

    @property
    def is_bool(self) -> bool:
        return self.dtype == "bool"

    def axis(self, dim: int) -> int:
        """MLX's axis for torch's dimension ``dim``. Untouched where nothing moves, so
        that ``dim=-1`` stays ``axis=-1``; the last axis is always written ``-1``."""
        if self.is_standard or not self.order:
            return int(dim)
        position = self.order.index(int(dim) % self.ndim)
        return -1 if position == self.ndim - 1 else position

    def axes(self, dims) -> tuple[int, ...]:
        """:meth:`axis` for several dimensions."""
        return tuple(self.axis(dim) for dim in dims)
