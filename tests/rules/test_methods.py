"""Operations as methods: ``x.where(condition, y)`` is not ``torch.where(x, condition, y)``."""

from __future__ import annotations

import warnings

import pytest
import torch

from tests.rules.op_checks import ENTRIES
from tests.rules.replay import replay

METHODS = sorted({(name, entry.method_variant.__name__) for name, entries in ENTRIES.items() for entry in entries
                  if getattr(entry.method_variant, "__name__", "") and torch.float32 in entry.supported_dtypes("cpu")})


def outcome_of(function, sample):
    return replay(lambda *args, **kwargs: function(*args, **kwargs), (sample.input, *sample.args), sample.kwargs,
                  gradients=False)


@pytest.mark.parametrize("name", [name for name, _ in METHODS])
def test_a_method_is_what_its_function_is(name):
    entry = next(entry for entry in ENTRIES[name] if entry.method_variant is not None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        samples = [sample for _, sample in zip(range(4), entry.sample_inputs("cpu", torch.float32), strict=False)]
        sample = max(samples, key=lambda one: len(one.args) + len(one.kwargs))  # the one that says most
        if outcome_of(entry.op, sample).kind != "matched":
            pytest.skip("the function itself is refused for this sample")
        outcome = outcome_of(entry.method_variant, sample)
    assert outcome.kind == "matched", outcome


def test_the_condition_comes_second():
    x, y = torch.randn(2, 5, 3)
    for function in (lambda a, b: a.where(b > 0, b), lambda a, b: a.where(b > 0, 0.5),
                     lambda a, b: a.where(condition=b > 0, other=b)):
        outcome = replay(function, (x, y))
        assert outcome.kind == "matched", outcome
