"""Functions of torch's lower level that a few libraries call: norms with their statistics, slices, safe softmax."""

from .array import Array
from .expression import blocks, mx
from .registry import caveat, op, refuse


def _affine(weight: Array | None, bias: Array | None) -> dict:
    return {key: value for key, value in (("weight", weight), ("bias", bias)) if value is not None}


@op("torch.native_layer_norm")
def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """Layer normalisation with the mean and the reciprocal deviation."""
    found = blocks.layer_norm_with_statistics(input, len(normalized_shape), **_affine(weight, bias), eps=eps)
    return found[0], found[1], found[2]


@op("torch.native_group_norm")
def native_group_norm(input, weight, bias, N, C, HxW, group, eps):
    """Group normalisation with the mean and the reciprocal deviation of each group."""
    if input.numel == 0:
        refuse("input", tuple(map(int, input.shape)), "MLX loses an empty axis here; guard the call for an empty batch")
    found = blocks.group_norm_with_statistics(input, group, **_affine(weight, bias), eps=eps)
    return found[0], found[1], found[2]


@op("torch.native_batch_norm")
def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps):
    """Batch normalisation with the statistics it used (none in evaluation)."""
    if not training:
        found = blocks.batch_norm_by_statistics(input.swapaxes(1, -1), running_mean, running_var, weight, bias, eps)
        return found.swapaxes(1, -1), mx.zeros((0,)), mx.zeros((0,))
    if running_mean is not None:
        caveat("the running statistics that native_batch_norm updates in training mode stay as they are")
    found = blocks.batch_norm_with_statistics(input, **_affine(weight, bias), eps=eps)
    return found[0], found[1], found[2]


@op("aten.slice.Tensor")
def slice_along(x, dim=0, start=None, end=None, step=1):
    """`x[..., start:end:step]`."""
    end = None if type(end) is int and end >= 2 ** 62 else end
    part = slice(start or None, end, None if step == 1 else step)
    return x[(slice(None),) * (dim % x.ndim) + (part,)]


@op("aten._safe_softmax")
def safe_softmax(x, dim, dtype=None):
    """Softmax that gives 0, not NaN, where everything is masked by -inf."""
    if dtype is not None:
        x = x.astype(dtype)
    return blocks.safe_softmax(x, axis=dim)


@op("torch._unsafe_masked_index")
def masked_index(x, mask, indices, fill):
    """`x[indices]` where the mask holds."""
    places = tuple(slice(None) if index is None else index for index in indices)
    return mx.where(mask, x[places], fill)
