"""Views, permutations and repetitions, in both axis orders and at other sizes than recorded."""

import pytest
import torch

from tests.rules.op_checks import ORDERS, check, supported
from tests.rules.replay import replay

NAMES = ["permute", "transpose", "movedim", "t", "T", "mT", "H", "mH", "view", "reshape", "flatten", "ravel",
         "unflatten", "view_as", "reshape_as", "squeeze", "unsqueeze", "select", "narrow", "unbind", "expand",
         "expand_as", "broadcast_to", "repeat", "tile", "roll", "flip", "fliplr", "flipud", "rot90", "diagonal",
         "unfold", "as_strided", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors", "view_as_complex",
         "permute_copy", "transpose_copy", "squeeze_copy", "unsqueeze_copy", "unbind_copy", "expand_copy", "t_copy",
         "diagonal_copy", "unfold_copy", "narrow_copy", "as_strided_copy", "view_copy"]
EXCEPTIONS = {"as_strided": "", "as_strided_copy": ""}  # samples 1 and 2: a slice of a larger tensor


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("name", NAMES)
def test_samples(name, orders):
    if name.startswith("as_strided") and orders != "standard":
        pytest.skip("torch's own sample reads beyond the reordered memory")
    check(name, orders=orders, exceptions=EXCEPTIONS)


@pytest.mark.parametrize("name, dtype", supported(
    ["permute", "reshape", "expand", "repeat", "roll", "flip", "unfold", "squeeze"], ("bfloat16", "int64", "bool")))
def test_other_dtypes(name, dtype):
    check(name, dtype, seconds=0.5)


def image(*sizes, seed=0):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed), requires_grad=True)


CASES = {
    "tokens": lambda x: x.flatten(2).transpose(1, 2),
    "patches": lambda x: x.reshape(x.shape[0], x.shape[1], -1).permute(0, 2, 1),
    "pooled": lambda x: x.mean((2, 3)).view(x.shape[0], x.shape[1], 1, 1),
    "shuffle": lambda x: x.view(x.shape[0], 2, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
    "grouped": lambda x: x.view(x.shape[0], 2, x.shape[1] // 2, x.shape[2], x.shape[3]).sum(2),
    "into the batch": lambda x: x.view(x.shape[0] * x.shape[1], 1, x.shape[2], x.shape[3]),
    "windows": lambda x: x.view(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).permute(0, 2, 4, 3, 5, 1),
    "channels last": lambda x: x.permute(0, 2, 3, 1),
    "there and back": lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    "moved": lambda x: x.movedim(1, -1),
    "expanded": lambda x: x[:1].expand(x.shape[0], -1, -1, -1),
    "raised": lambda x: x.expand(3, *x.shape),
    "tiled": lambda x: x.repeat(2, 1, 1, 3),
    "flipped": lambda x: x.flip(2, -1),
    "rolled": lambda x: torch.roll(x, shifts=(1, -2), dims=(2, 3)),
    "squeezed": lambda x: x[:, :1].squeeze(1),
    "one in the middle": lambda x: x.unsqueeze(2),
    "one at the end": lambda x: x.unsqueeze(-1),
    "unfolded": lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2),
    "folded": lambda x: x.unflatten(1, (2, -1)),
    "everything": lambda x: x.flatten(),
    "all but one": lambda x: x.reshape(-1, x.shape[-1]),
    "like another": lambda x: x.flatten(1).view_as(x),
}


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("case", CASES)
def test_case(case, orders):
    outcome = replay(CASES[case], (image(2, 4, 6, 8),), also=((image(3, 4, 4, 2),),), orders=orders)
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("case", ["tokens", "patches", "into the batch", "all but one"])
def test_one_image_says_nothing_about_the_batch(case):
    outcome = replay(CASES[case], (image(1, 4, 6, 8),), also=((image(3, 4, 4, 2),),), orders="channels last")
    assert outcome.kind == "matched", outcome


def emitted(function, *sizes, orders="standard"):
    outcome = replay(function, (image(*sizes),), orders=orders)
    assert outcome.kind == "matched", outcome
    return outcome.source


def test_a_permutation_to_channels_last_moves_nothing_in_that_order():
    source = emitted(CASES["channels last"], 2, 3, 4, 5, orders="channels last")
    assert "v1 = v0" in source and "transpose" not in source


def test_tokens_of_a_channels_last_image_are_one_flatten():
    source = emitted(CASES["tokens"], 2, 3, 4, 5, orders="channels last")
    assert "v0.flatten(1, 2)" in source and "transpose" not in source and "swapaxes" not in source


@pytest.mark.parametrize("function, text", [
    (lambda x: x.transpose(1, 2), "v0.swapaxes(1, 2)"), (lambda x: x.transpose(-2, -1), "v0.swapaxes(-1, -2)"),
    (lambda x: x.permute(0, 2, 1, 3), "v0.swapaxes(1, 2)"),
    (lambda x: x.permute(0, 2, 3, 1), "v0.transpose(0, 2, 3, 1)"),
    (lambda x: x.view(x.size(0), -1), "v0.reshape(v0.shape[0], -1)"), (lambda x: x.flatten(1), "v0.flatten(1)"),
    (lambda x: x.unsqueeze(1), "v0[:, None]"), (lambda x: x.unbind(0), "mx.unstack(v0, axis=0)")])
def test_emitted_text(function, text):
    assert text in emitted(function, 2, 3, 4, 5)


@pytest.mark.parametrize("permutation", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)])
def test_overlapping_chunks_of_memory_in_any_order(permutation):
    def chunks(x):
        x = x.permute(permutation)
        return x.as_strided((3, x.shape[1], 2), (x.stride(0), x.stride(1), x.stride(2)))

    outcome = replay(chunks, (torch.randn(4, 5, 6, requires_grad=True),))
    assert outcome.kind == "matched", outcome


def test_memory_with_gaps_is_refused():
    outcome = replay(lambda x: x[:, ::2].as_strided((2, 2), (1, 2)), (torch.randn(4, 6),))
    assert outcome.kind == "refused" and "gaps in its memory" in str(outcome), outcome
