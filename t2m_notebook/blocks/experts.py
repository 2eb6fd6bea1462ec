"""Products of rows sorted by group, one matrix a group."""

import mlx.core as mx

__all__ = ["grouped_matmul"]


def grouped_matmul(x, weights, ends):
    """``x`` ``(S, K)`` holds its rows group by group, group ``i`` ending before row ``ends[i]``;
    each row is multiplied with its group's matrix of ``weights`` ``(E, K, N)``. Gives ``(S, N)``."""
    group = mx.sum(mx.arange(x.shape[0])[:, None] >= ends, axis=-1)
    group = mx.minimum(group, weights.shape[0] - 1)
    if mx.default_device() == mx.cpu:  # there gather_mm takes float32 alone
        wide = mx.gather_mm(x[:, None].astype(mx.float32), weights.astype(mx.float32), rhs_indices=group,
                            sorted_indices=True)
        return wide[:, 0].astype(x.dtype)
    return mx.gather_mm(x[:, None], weights, rhs_indices=group, sorted_indices=True)[:, 0]
