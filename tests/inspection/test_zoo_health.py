"""Sound models of many kinds are not accused, forward or backward; their memory adds up."""

from __future__ import annotations

import pytest

import t2m_notebook as t2m
from tests.zoo import ZOO

pytestmark = pytest.mark.slow
MODELS = ("bert", "gpt2", "t5", "llama", "mamba", "mixtral", "cnn", "unet", "lstm_gru", "moe", "nanogpt", "kv_cache",
          "einsum_attention", "complex_filter", "shared_modules", "packed_sequence")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_sound(name: str) -> None:
    model, args, kwargs = ZOO[name]()
    report = t2m.health(model, args, kwargs, backward=True)
    assert report.ok, report.first.text
    assert {"forward", "backward", "gradient"} <= {row.phase for row in report.tensors}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ("bert", "cnn", "lstm_gru", "kv_cache", "tied_autoencoder"))
def test_memory_adds_up(name: str) -> None:
    model, args, kwargs = ZOO[name]()
    report = t2m.memory(model, args, kwargs, scale=False)
    steps = 4 * len(list(model.parameters()))  # the optimizer counts them for each parameter
    assert report.part("parameters").measured == report.part("parameters").predicted
    assert report.part("gradients").measured <= report.part("gradients").predicted  # one that is not used has none
    state = report.part("optimizer state")
    assert state.predicted <= state.measured <= state.predicted + steps
    assert sum(m.parameters for m in report.modules) == report.bytes_of("parameters")
    assert sum(m.saved for m in report.modules) == report.bytes_of("saved for backward")
    assert sum(m.results for m in report.modules) == report.bytes_of("all results", "inference")
