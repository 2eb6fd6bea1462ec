"""torch's lower level: norms with their statistics, slices, safe softmax, and what is refused there."""

import pytest
import torch

from t2m_notebook.rules.without_counterpart import _INSTEAD
from tests.rules.op_checks import check
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ["native_layer_norm", "native_group_norm", "native_batch_norm", "slice", "torch.ops.aten._safe_softmax.default",
         "_unsafe_masked_index"]
REFUSED = ["histogram", "histogramdd", "hash_tensor", "_segment_reduce", "_chunk_cat", "as_strided_scatter",
           "to_sparse", "resize_", "resize_as_", "sparse.mm", "sparse.sampled_addmm", "_upsample_bilinear2d_aa",
           "_softmax_backward_data", "_batch_norm_with_update", "_native_batch_norm_legit",
           "_unsafe_masked_index_put_accumulate", "native_dropout_backward", "max_pool2d_with_indices_backward"]


@pytest.mark.parametrize("name", NAMES)
def test_samples(name):
    check(name, exceptions={"native_group_norm": "guard the call for an empty batch"})


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    check(name, exceptions={name: "refused"}, limit=2)


def test_each_refusal_says_what_to_do():
    assert all(len(instead) > 20 for instead in _INSTEAD.values())


def test_conv_tbc():
    numbers = [torch.randn(*sizes, requires_grad=True) for sizes in ((7, 2, 3), (3, 3, 4), (4,))]
    other = [torch.randn(*sizes) for sizes in ((5, 1, 3), (3, 3, 4), (4,))]
    outcome = replay(lambda x, w, b: torch.nn.functional.conv_tbc(x, w, b, 1), tuple(numbers), also=(tuple(other),))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome
