"""Initial values that MLX lacks, for an array laid out as MLX's layers have it (a convolution ``O *k I``)."""

import math

import mlx.core as mx

__all__ = ["dirac", "orthogonal_rows", "sparse_columns", "truncated_normal"]


def truncated_normal(x, mean=0.0, std=1.0, a=-2.0, b=2.0):
    """A normal distribution, redrawn outside ``a`` to ``b``."""
    lower, upper = mx.array((a - mean) / std), mx.array((b - mean) / std)
    return (mean + std * mx.random.truncated_normal(lower, upper, x.shape)).astype(x.dtype)


def orthogonal_rows(x, gain=1.0):
    """Orthogonal rows or columns of the matrix ``(first size, the rest)``."""
    rows, columns = x.shape[0], math.prod(x.shape[1:])
    q, r = mx.linalg.qr(mx.random.normal((max(rows, columns), min(rows, columns))), stream=mx.cpu)
    q = q * mx.sign(mx.diag(r))
    return (gain * (q.T if rows < columns else q)).reshape(x.shape).astype(x.dtype)


def dirac(x, groups=1):
    """A convolution ``O *k I`` that hands its inputs through, in each of its groups."""
    outputs, inputs = x.shape[0] // groups, x.shape[-1]
    centre = [size // 2 for size in x.shape[1:-1]]
    values = mx.zeros(x.shape, x.dtype)
    for group in range(groups):
        for channel in range(min(outputs, inputs)):
            values[(group * outputs + channel, *centre, channel)] = 1
    return values


def sparse_columns(x, sparsity, std=0.01):
    """A normal matrix with the share ``sparsity`` of every column zero."""
    zeros = math.ceil(sparsity * x.shape[0])
    ranks = mx.argsort(mx.argsort(mx.random.uniform(shape=x.shape), axis=0), axis=0)
    return mx.where(ranks < zeros, 0, mx.random.normal(x.shape, scale=std)).astype(x.dtype)
