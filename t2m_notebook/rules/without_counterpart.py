"""Operations that have no MLX form, each with what to do instead."""

from .registry import op, refuse

_GRADIENT = "it is a step of torch's backward pass: write the forward, mx.grad gives the gradient"
_SPARSE = "MLX has no sparse arrays: use the dense tensor, .to_dense()"
_MEMORY = "it depends on how torch holds memory: use reshape, slicing or indexing"
_INSTEAD = {
    "torch.hash_tensor": "MLX has no such hash: compare with torch.equal or a sum",
    "torch.histogram": "torch.histc gives the counts of equal bins, torch.linspace their edges",
    "torch.histogramdd": "count with torch.bincount over flat bin numbers",
    "torch.segment_reduce": "number the rows by segment and use torch.scatter_reduce or index_add",
    "torch._chunk_cat": "it is private to FSDP: use torch.chunk and torch.cat",
    "torch._unsafe_masked_index_put_accumulate": "use torch.where and index_put_(accumulate=True)",
    "torch.nn.functional.scaled_mm": "MLX has no float8 matrices: dequantise, or quantise with mlx.nn.quantize",
    "torch._scaled_mm": "MLX has no float8 matrices: dequantise, or quantise with mlx.nn.quantize",
    "torch._scaled_mm_v2": "MLX has no float8 matrices: dequantise, or quantise with mlx.nn.quantize",
    "aten._scaled_mm_v2": "MLX has no float8 matrices: dequantise, or quantise with mlx.nn.quantize",
    "aten._batch_norm_with_update": "call torch.nn.functional.batch_norm",
    "torch._native_batch_norm_legit": "call torch.nn.functional.batch_norm",
    "aten._upsample_bilinear2d_aa": "call torch.nn.functional.interpolate(antialias=True)",
    "aten._flash_attention_forward": "call torch.nn.functional.scaled_dot_product_attention",
    "aten._efficient_attention_forward": "call torch.nn.functional.scaled_dot_product_attention",
    **dict.fromkeys(("aten._softmax_backward_data", "aten.max_pool2d_with_indices_backward",
                     "aten.native_dropout_backward"), _GRADIENT),
    **dict.fromkeys(("torch.Tensor.to_sparse", "torch.Tensor.to_sparse_csr", "torch.Tensor.to_sparse_csc",
                     "torch.Tensor.to_sparse_bsr", "torch.Tensor.to_sparse_bsc", "torch.Tensor.to_sparse_coo",
                     "torch.sparse.mm", "torch.sparse.addmm", "torch.sparse.sampled_addmm",
                     "torch.sparse_coo_tensor", "torch.sparse_csr_tensor", "torch.Tensor.indices",
                     "torch.Tensor.sparse_mask"), _SPARSE),
    **dict.fromkeys(("torch.Tensor.resize_", "torch.resize_as_", "torch.Tensor.resize_as_", "torch.Tensor.set_",
                     "torch.as_strided_scatter", "torch.Tensor.storage", "torch.Tensor.data_ptr",
                     "torch.Tensor.untyped_storage"), _MEMORY),
}


def _without_counterpart(name: str, instead: str) -> None:
    @op(name, summary=f"Refused: {instead}.")
    def rule(*arguments, call, **keywords):
        refuse("function", name, instead)


for _name, _instead in _INSTEAD.items():
    _without_counterpart(_name, _instead)
