"""Triangles, diagonals and other constructions on matrices; distances."""

from __future__ import annotations

from .expression import blocks, math_module, mlx_dtype, mx
from .registry import op, refuse
from .view_layouts import flat_ints


@op("torch.tril")
def tril(x, diagonal=0):
    return mx.tril(x, diagonal) if diagonal != 0 else mx.tril(x)


@op("torch.triu")
def triu(x, diagonal=0):
    return mx.triu(x, diagonal) if diagonal != 0 else mx.triu(x)


@op("torch.diag")
def diag(x, diagonal=0):
    return mx.diag(x, diagonal) if diagonal != 0 else mx.diag(x)


@op("torch.diagflat")
def diagflat(x, offset=0):
    flat = x if x.ndim == 1 else x.reshape(-1)
    return mx.diag(flat, offset) if offset != 0 else mx.diag(flat)


@op("torch.diag_embed")
def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    """Vectors along the last dimension become diagonals of matrices."""
    places = {} if (dim1, dim2) == (-2, -1) else {"axis1": dim1, "axis2": dim2}
    return blocks.diagonal_matrices(x, **({"offset": offset} if offset != 0 else {}), **places)


@op("torch.trace")
def trace(x, *, call):
    if x.is_integer or x.is_bool:
        return mx.trace(x, dtype=mlx_dtype(call.dtype))
    return mx.trace(x)


@op("torch.block_diag")
def block_diag(*tensors):
    return blocks.block_diagonal(list(flat_ints(tensors)))


@op("torch.cartesian_prod")
def cartesian_prod(*tensors):
    given = list(flat_ints(tensors))
    return given[0] if len(given) == 1 else blocks.cartesian_product(*given)


@op("torch.combinations")
def combinations(x, r=2, with_replacement=False):
    if r == 0:
        refuse("r", r, "an empty tensor: create it with torch.empty(0)")
    return blocks.element_combinations(x, r, *([True] if with_replacement else []))


@op("torch.vander", "torch.linalg.vander")
def vander(x, N=None, increasing=None, *, call):
    """``torch.vander`` has the highest power first, ``torch.linalg.vander`` the lowest."""
    count = x.shape[-1] if N is None and x.ndim else N
    if x.ndim == 0:
        count, x = N or 1, x[None]
    elif x.is_integer or x.is_bool:
        x = x.astype(mx.int64)
    if "linalg" in call.name or increasing:
        return blocks.vandermonde(x, count)
    return mx.flip(blocks.vandermonde(x, count), -1)


@op("torch.cdist")
def cdist(x1, x2, p=2.0, compute_mode=None):
    return blocks.pairwise_distances(x1, x2) if p == 2 else blocks.pairwise_distances(x1, x2, p=_order(p))


@op("torch.pdist", "torch.nn.functional.pdist")
def pdist(x, p=2.0):
    return blocks.row_distances(x) if p == 2 else blocks.row_distances(x, p=_order(p))


def _order(p: float):
    return math_module.inf if p == float("inf") else int(p) if p == int(p) else p


@op("torch.renorm")
def renorm(x, p, dim, maxnorm):
    """Slices along ``dim`` whose p-norm is above ``maxnorm`` are scaled down to it."""
    return blocks.limit_norms(x, _order(p), dim, maxnorm)
