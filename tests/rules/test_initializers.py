"""Initialisers: bounds, spread and fans are those of torch.nn.init, also for a convolution's other layout."""

import math

import mlx.core as mx
import mlx.nn as mlx_nn
import numpy as np
import pytest
import torch
from torch.nn import init

from t2m_notebook import blocks
from t2m_notebook.errors import DuplicateRule, Refused
from t2m_notebook.rules import Namespace
from t2m_notebook.rules.initializers import INITIALIZERS, emit_initializer, initializer

NAMES = {"mx": mx, "nn": mlx_nn, **{name: getattr(blocks, name) for name in dir(blocks)}}


def both(function, shape, *args, **kwargs):
    """Torch's and MLX's values; a convolution's weight comes back in torch's order."""
    torch.manual_seed(0)
    mx.random.seed(0)
    expected = function(torch.empty(shape), *args, **kwargs).numpy()
    order = (0, *range(2, len(shape)), 1) if len(shape) > 2 else tuple(range(len(shape)))
    x = mx.zeros([shape[axis] for axis in order])
    source = str(emit_initializer(function, Namespace("x"), args, kwargs).value)
    found = eval(source, {**NAMES, "x": x})
    return expected, np.array(found).transpose(np.argsort(order)), source


SPREAD = [(init.uniform_, (), {}), (init.uniform_, (-0.3, 0.7), {}), (init.normal_, (), {"mean": 0.5, "std": 0.1}),
          (init.trunc_normal_, (), {"std": 0.02}), (init.trunc_normal_, (1.0, 2.0, 0.0, 2.5), {}),
          (init.xavier_uniform_, (), {}), (init.xavier_uniform_, (2.0,), {}), (init.xavier_normal_, (), {"gain": 0.5}),
          (init.kaiming_uniform_, (), {"a": math.sqrt(5)}), (init.kaiming_uniform_, (), {"nonlinearity": "relu"}),
          (init.kaiming_normal_, (), {"mode": "fan_out", "nonlinearity": "relu"}),
          (init.kaiming_normal_, (), {"nonlinearity": "linear"}), (init.sparse_, (0.3,), {"std": 0.1})]


@pytest.mark.parametrize("shape", [(300, 200), (64, 16, 5, 5)])
@pytest.mark.parametrize("function, args, kwargs", SPREAD, ids=[f"{f.__name__}{a}{k}" for f, a, k in SPREAD])
def test_distribution(function, args, kwargs, shape):
    if function is init.sparse_ and len(shape) > 2:
        pytest.skip("torch takes matrices only")
    expected, found, source = both(function, shape, *args, **kwargs)
    assert found.shape == expected.shape and found.dtype == expected.dtype, source
    assert abs(found.std() - expected.std()) < 0.03 * expected.std(), source
    assert abs(found.mean() - expected.mean()) < 0.03 * expected.std(), source
    if "uniform" in function.__name__ or args == (1.0, 2.0, 0.0, 2.5):  # bounds that cut something off
        assert abs(found.max() - expected.max()) < 0.05 * expected.std(), source
        assert abs(found.min() - expected.min()) < 0.05 * expected.std(), source


@pytest.mark.parametrize("function, shape, args", [
    (init.zeros_, (3, 4), ()), (init.ones_, (3, 4), ()), (init.constant_, (3, 4), (0.25,)), (init.eye_, (3, 4), ()),
    (init.dirac_, (4, 3, 3, 5), ()), (init.dirac_, (6, 2, 3), (3,)), (init.dirac_, (2, 4, 3, 3, 3), ())])
def test_fixed_values(function, shape, args):
    expected, found, source = both(function, shape, *args)
    np.testing.assert_array_equal(found, expected, err_msg=source)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 3, 2, 2)])
def test_orthogonal(shape):
    _, found, _ = both(init.orthogonal_, shape, gain=2.0)
    matrix = found.reshape(shape[0], -1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-4)


def test_sparse_empties_the_same_number_in_every_column():
    expected, found, _ = both(init.sparse_, (50, 20), 0.3)
    assert ((found == 0).sum(axis=0) == 15).all() and ((expected == 0).sum(axis=0) == 15).all()


def test_every_initialiser_of_torch_has_a_rule():
    functions = {value for name, value in vars(init).items() if name.endswith("_") and not name.startswith("_")
                 and callable(value)}
    assert functions <= set(INITIALIZERS)


def test_unknown_ones_are_refused():
    with pytest.raises(Refused, match="my_init"):
        def my_init(x): ...
        emit_initializer(my_init, Namespace("x"))
    with pytest.raises(DuplicateRule, match="normal_"):
        initializer(init.normal_)(lambda x: None)
