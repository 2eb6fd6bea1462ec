"""Samples of torch's databases that are known to differ, and why. Everything else must match or be refused."""

from __future__ import annotations

_WHERE = ("a row that is masked entirely: MLX's mx.where multiplies the gradient by the mask, and 0 * inf is NaN; "
          "torch has 0")

#: Name in op_db -> why a float32 sample of it may differ in value or gradient.
OPERATIONS: dict[str, str] = {
    "masked.log_softmax": _WHERE, "masked.logaddexp": _WHERE, "masked.logsumexp": _WHERE, "masked.mean": _WHERE,
    "masked.softmax": _WHERE, "masked.softmin": _WHERE,
    "as_strided": "an explicit storage_offset of a view counts from the memory's start; the caveat says so",
    "linalg.eig": "the sequence and the signs of a general matrix's eigenvectors are LAPACK's; the caveat says so",
    "linalg.pinv": "hermitian=True of a matrix that is not symmetric: other gradient; the caveat says so",
}

#: What differs in float16 and bfloat16 alone.
HALF: dict[str, str] = {
    "topk": "which of several equal values is chosen", "msort": "which of several equal values gets the gradient",
    "sort": "torch's order of equal values where it does not sort stably", "argsort": "as sort", "kthvalue": "as topk",
    "mode": "which of several equal values the index names",
    "nn.functional.adaptive_max_pool2d": "which of several equal values gets the gradient",
    "nn.functional.adaptive_max_pool3d": "which of several equal values gets the gradient",
    "nn.functional.scaled_dot_product_attention": "MLX's attention on the CPU rounds between its steps",
}

#: What differs in integers and bool alone.
INTEGERS: dict[str, str] = {
    "topk": "which of several equal values is chosen", "kthvalue": "as topk", "sort": "as in float16",
    "argsort": "as sort", "mode": "which of several equal values the index names",
    "linspace": "a last bit before the truncation to an integer",
}

#: Name in module_db -> why.
MODULES: dict[str, str] = {}
