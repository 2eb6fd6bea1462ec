"""One assertion for an operation: every sample of op_db matches, or fails for a known reason."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from tests.rules.samples import op_entries, run_op

ENTRIES = op_entries()
ORDERS = ("standard", "channels last")
#: The dtypes besides float32 that operations are asked for.
OTHER_DTYPES = ("bfloat16", "float16", "int64", "int32", "uint8", "bool", "complex64")


def supported(names: list[str], dtypes: tuple[str, ...] = OTHER_DTYPES) -> list[tuple[str, str]]:
    """The pairs of operation and dtype that torch has on the CPU."""
    return [(name, dtype) for name in names for dtype in dtypes
            if any(getattr(torch, dtype) in entry.supported_dtypes("cpu") for entry in ENTRIES[name])]


def check(name: str, dtype: str = "float32", orders: str = "standard", exceptions: Mapping[str, str] | None = None,
          seconds: float = 600.0, gradients: bool = True, limit: int = 12) -> None:
    """Assert that about ``limit`` samples matched, a fixed choice, so that a slow machine tests no less
    (``seconds`` ends earlier, after one sample at least). ``exceptions`` maps an operation, or an operation
    and a dtype as ``"name float16"``, to a part of the outcome of those samples that do not match."""
    if not supported([name], (dtype,)):
        pytest.skip(f"torch has no {name} for {dtype} on the CPU")
    reason = next((said for key, said in (exceptions or {}).items() if key in (name, f"{name} {dtype}")), None)
    tally = run_op(name, getattr(torch, dtype), seconds=seconds, orders=orders, gradients=gradients, limit=limit)
    assert tally.counts, f"no sample of {name} for {dtype} ran"
    if reason is None:
        assert tally.verdict == "matched", tally.line()
        return
    for _, outcome in tally.failures:
        assert outcome.kind != "missing" and reason in f"{outcome.kind}: {outcome.detail}", outcome
