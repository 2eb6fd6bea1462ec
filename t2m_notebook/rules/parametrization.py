"""Weights that are computed in every forward (weight_norm), and helpers of torch.nn.utils.

A layer with a parametrization or a hook is opened: what runs is recorded as operations.
spectral_norm and orthogonal consist of operations that other files have rules for.
"""

from .expression import blocks
from .layouts import AXIS
from .registry import op, refuse


@op("torch._weight_norm", layout=AXIS)
def weight_norm(v, g, dim=0):
    """`g * v / |v|`, a block; -1 is torch's word for one norm over the whole weight."""
    if dim == -1:
        return blocks.weight_norm(v, g)
    return blocks.weight_norm(v, g, axis=v.axis(dim))


@op("torch.norm_except_dim")
def norm_except_dim(v, pow=2, dim=0):
    options = {} if pow == 2 else {"power": pow}
    return blocks.norm_except_axis(v, **options) if dim == -1 else blocks.norm_except_axis(v, axis=dim, **options)


@op("torch.linalg.householder_product", "torch.orgqr")
def householder_product(input, tau):
    """A block: one reflection after the other."""
    if input.is_complex:
        refuse("input", input.dtype, "use torch.linalg.qr for complex matrices")
    return blocks.householder_product(input, tau)


@op("torch.nn.utils.rnn.pad_sequence", "torch._C._nn.pad_sequence", "torch.nn.functional.pad_sequence")
def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """A block: MLX stacks arrays of one shape only."""
    options = {"batch_first": True} if batch_first else {}
    if padding_value != 0:
        options["padding_value"] = padding_value
    if padding_side != "right":
        options["padding_side"] = padding_side
    return blocks.pad_sequence(list(sequences), **options)
