"""New arrays, windows, and random draws."""

import mlx.core as mx
import numpy as np
import pytest
import torch

from t2m_notebook import blocks
from tests.rules.op_checks import check, supported
from tests.rules.replay import replay

NAMES = ["zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "fill",
         "zero_", "arange", "linspace", "logspace", "eye", "scalar_tensor", "meshgrid", "tril_indices", "triu_indices"]
EMPTY = ["empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "empty_permuted"]
RANDOM = ["rand_like", "randn", "randn_like", "randint", "randint_like", "normal", "uniform", "bernoulli",
          "exponential", "cauchy", "geometric", "log_normal", "multinomial"]
WINDOWS = ["bartlett", "blackman", "cosine", "exponential", "gaussian", "general_cosine", "general_hamming",
           "hamming", "hann", "kaiser", "nuttall"]
EXCEPTIONS = {f"{name} {dtype}": "integers differ" for name in ("linspace", "logspace") for dtype in ("int64", "uint8")}
GARBAGE = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # in torch's memory


@pytest.mark.parametrize("name", NAMES[:-2])
def test_operation(name):
    check(name)


@pytest.mark.parametrize("name, dtype", supported(NAMES, ("bfloat16", "int64", "uint8", "bool")))
def test_dtype(name, dtype):
    check(name, dtype, exceptions=EXCEPTIONS, limit=5)


@pytest.mark.parametrize("name", WINDOWS)
def test_window_built_from_operations(name):
    check(f"signal.windows.{name}")


@GARBAGE
@pytest.mark.parametrize("name", EMPTY)
def test_uninitialised_memory_is_zeros(name):
    check(name, exceptions={name: "max|Δ|"})


@pytest.mark.parametrize("name", RANDOM)
def test_random_draw_in_shape_and_dtype(name):
    # one integer drawn twice may be the same, which looks like a function without chance
    check(name, exceptions={name: "differ" if "int" in name or name in ("multinomial", "bernoulli") else "none"},
          limit=5)


@pytest.mark.parametrize("function", [
    lambda x: torch.zeros(x.shape[0], 3), lambda x: torch.zeros((2, x.size(1)), dtype=torch.long),
    lambda x: torch.ones(()), lambda x: torch.full((2, 3), 1), lambda x: torch.full((2,), True),
    lambda x: torch.full((2,), float("-inf")), lambda x: torch.full((2, 2), torch.finfo(torch.float16).min,
                                                                    dtype=torch.float16),
                                                                    lambda x: x.new_zeros(x.shape),
    lambda x: x.new_ones(2, x.shape[1], dtype=torch.bool), lambda x: x.new_full((2,), 3), lambda x: torch.full_like(x,
                                                                                                                    2),
    lambda x: torch.arange(x.shape[1]), lambda x: torch.arange(0, x.shape[1], 2), lambda x: torch.arange(5, 0, -1),
    lambda x: torch.arange(0, 1, 0.25), lambda x: torch.arange(x.shape[1], dtype=torch.float32),
    lambda x: torch.tensor(3), lambda x: torch.tensor([1.5, 2]), lambda x: torch.tensor([[1, 2], [3, 4]]),
    lambda x: torch.tensor(True), lambda x: torch.tensor(x.shape[1]), lambda x: torch.tensor(2.0,
                                                                                             dtype=torch.bfloat16),
                                                                                             lambda x: torch.tensor([]),
    lambda x: torch.as_tensor(x), lambda x: torch.eye(x.shape[1]), lambda x: torch.linspace(-1, 1, x.shape[1]),
    lambda x: torch.tril_indices(x.shape[0], 4, offset=1), lambda x: torch.triu_indices(3, x.shape[1]),
    lambda x: torch.meshgrid(torch.arange(x.shape[0]), torch.arange(x.shape[1]), indexing="ij"),
    lambda x: torch.meshgrid([torch.arange(2), torch.arange(3)], indexing="xy"), lambda x: torch.zeros(2).fill_(4),
    lambda x: torch.ones_like(x, dtype=torch.int64), lambda x: torch.empty(2, 3).copy_(torch.ones(3)),
])
def test_forms(function):
    outcome = replay(lambda x: (x + 0, function(x)), (torch.rand(2, 3),), also=((torch.rand(4,
                                                                                            5),),) if "x.shape" in str(
        function.__code__.co_names) else ())
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("window", [torch.hann_window, torch.hamming_window, torch.blackman_window,
                                    torch.bartlett_window, torch.kaiser_window])
@pytest.mark.parametrize("length", [1, 2, 9, 400])
@pytest.mark.parametrize("periodic", [True, False])
def test_window(window, length, periodic):
    outcome = replay(lambda: window(length, periodic=periodic))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("function", [
    lambda x: torch.rand(x.shape[0], 3), lambda x: torch.randn(2, 3), lambda x: torch.randint(0, 5, (3,)),
    lambda x: torch.randint(5, (3, 2)), lambda x: torch.randperm(6), lambda x: torch.normal(0.0, 1.0, (2, 3)),
    lambda x: torch.empty(3).normal_(1, 2), lambda x: torch.empty(3).uniform_(-1, 1), lambda x: torch.randn_like(x),
    lambda x: torch.bernoulli(x), lambda x: torch.empty(20).bernoulli_(0.3), lambda x: torch.multinomial(x, 2),
    lambda x: torch.empty(9).exponential_(), lambda x: torch.zeros(9).random_(0, 100),
])
def test_random_forms_say_that_the_numbers_differ(function):
    torch.manual_seed(0)
    outcome = replay(lambda x: function(x), (torch.rand(3, 4),), gradients=False)
    assert outcome.kind == "matched" and any("random" in caveat for caveat in outcome.caveats), outcome


@pytest.mark.parametrize("count", [4, 8, 16, 50])
def test_indices_cut_from_points_are_torchs(count):
    for last in range(4, 120, 5):
        outcome = replay(lambda last=last: (torch.linspace(0, last, count).long(),
                                            torch.linspace(last, 1, count, dtype=torch.int64)))
        assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("function", [
    lambda: torch.logspace(0, 8, 9, dtype=torch.int64), lambda: torch.linspace(0, 7, 50, dtype=torch.int64),
    lambda: torch.linspace(4.3, -3, 50, dtype=torch.int64),
])
def test_points_cut_to_integers_are_at_most_one_off(function):
    outcome = replay(function)
    names = {"mx": mx, **vars(blocks)}
    exec(outcome.source, names)
    assert np.abs(np.array(names["replayed"]()[0]) - function().numpy()).max() <= 1
    assert any("cut to integers" in caveat for caveat in outcome.caveats)
