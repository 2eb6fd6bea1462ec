"""The whole of torch's own databases, at a seed that no rule was written against."""

from __future__ import annotations

import collections
import warnings

import pytest
import torch

from tests.rules import exceptions
from tests.rules.samples import Tally, module_entries, op_entries, run_module, run_op

pytestmark = pytest.mark.slow
SEED = 20_25
SAMPLES = 4  # of each name, spread over all that it has
FINE = ("matched", "mixed", "refused", "empty")


def survey(run, names, excused) -> tuple[collections.Counter, list[str], list[Tally]]:
    """Verdicts by number, what went wrong as lines, and the tallies."""
    verdicts, wrong, tallies = collections.Counter(), [], []
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch says about its own samples
            tally = run(name)
        tallies.append(tally)
        verdicts[tally.verdict] += 1
        if tally.verdict not in FINE and not (tally.verdict == "differs" and name in excused):
            wrong.append(tally.line())
    return verdicts, wrong, tallies


def test_operations():
    names = list(op_entries())
    verdicts, wrong, tallies = survey(lambda name: run_op(name, seed=SEED, limit=SAMPLES, seconds=3), names,
                                      exceptions.OPERATIONS)
    print(dict(verdicts))
    assert not wrong, "\n".join(wrong)
    assert verdicts["matched"] >= 320, verdicts
    reasons = [outcome.detail for tally in tallies for _, outcome in tally.failures if outcome.kind == "refused"]
    assert all(len(reason) > 15 for reason in reasons), "a refusal without a reason"


def test_layers():
    verdicts, wrong, _ = survey(lambda name: run_module(name, seed=SEED), list(module_entries()), exceptions.MODULES)
    print(dict(verdicts))
    assert sum(verdicts.values()) == 114 and not wrong, "\n".join(wrong)
    assert verdicts["matched"] >= 100, verdicts


@pytest.mark.parametrize("dtype", ["bfloat16", "int64", "bool"])
def test_operations_in_other_dtypes(dtype):
    """Each third name; the families' own tests have more."""
    half = dtype == "bfloat16"
    excused = exceptions.OPERATIONS | exceptions.HALF if half else exceptions.OPERATIONS | exceptions.INTEGERS
    _, wrong, _ = survey(lambda name: run_op(name, getattr(torch, dtype), SEED, limit=2, seconds=2, gradients=half),
                         list(op_entries())[::3], excused)
    assert not wrong, "\n".join(wrong)
