"""Matrix products of rows that are sorted by expert (mixture of experts)."""

from .expression import blocks
from .registry import op, refuse


@op("torch.nn.functional.grouped_mm", "torch._grouped_mm")
def grouped_mm(x, mat2, offs=None, bias=None, out_dtype=None):
    """Rows up to ``offs[0]`` meet the first matrix, up to ``offs[1]`` the second, …"""
    if x.ndim != 2 or mat2.ndim != 3 or offs is None:
        refuse("self", None, "only rows (S, K) against matrices (E, K, N) with offs; use a batched matmul otherwise")
    if bias is not None:
        refuse("bias", bias, "add it to the rows afterwards")
    return blocks.grouped_matmul(x, mat2, offs)
