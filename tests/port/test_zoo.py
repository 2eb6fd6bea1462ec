"""Every model of the zoo is ported, proven at its own and other sizes, and its artefact stands alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from t2m_notebook.session import port
from tests.zoo import ZOO, build

from .support import checks

#: Models that are known not to be proven whole, and why.
KNOWN = {
    "packed_sequence": "PackedSequence has no counterpart in MLX; the class is a stub that says so",
}


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> dict[str, Path]:
    """Where each model of this process was saved."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("name", [
    pytest.param(n, marks=pytest.mark.xfail(reason=KNOWN[n], strict=True)) if n in KNOWN else n for n in ZOO])
def test_a_model_is_proven(name, saved, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the models say about themselves
        model, args, kwargs = build(name)
        made = port(model, args, kwargs)
    try:
        report = made.parity()
        assert made.problems == []
        assert report.ok, str(report)
        assert report.counts["PROVEN"] >= 1 and report.counts["DIVERGES"] == report.counts["MISSING"] == 0
        assert not report.first_divergence
        saved[name] = made.save(str(tmp_path_factory.mktemp("zoo") / name))
    finally:
        made.close()


@pytest.mark.slow
def test_the_artefacts_stand_alone(saved):
    """The models that this process saved, checked in one child that knows no torch."""
    if not saved:
        pytest.skip("no model was saved in this process: run the whole file in one")
    failed = {folder: text for folder, text in checks(list(saved.values()), timeout=900).items() if text != "passed"}
    assert failed == {}
