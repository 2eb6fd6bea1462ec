"""Reading and writing parts of arrays."""

import mlx.core as mx

__all__ = ["set_item", "where_true"]


def set_item(x: mx.array, index, value) -> mx.array:
    """A copy of ``x`` with ``x[index] = value`` done in it."""
    if isinstance(value, mx.array) and value.size == 0:
        return x  # nothing to write; MLX would divide by the number of values
    y = mx.array(x)
    y[index] = value
    return y


def where_true(mask: mx.array) -> tuple[mx.array, ...]:
    """Positions of the true (or nonzero) elements in row-major order, one index array per
    axis, as ``torch.where(mask)``. Their number depends on the data, so the mask is evaluated."""
    flat = mx.stop_gradient(mask != 0).reshape(-1)
    count = flat.sum().item()
    places = mx.sort(mx.where(flat, mx.arange(flat.size), flat.size))[:count]
    indices = []
    for size in reversed(mask.shape):
        indices.append(places % size)
        places = places // size
    return tuple(reversed(indices))
