"""Parts of a file's tests, for the children that ``test_diagnosis.py`` starts."""

from __future__ import annotations

import os


def pytest_collection_modifyitems(config, items) -> None:
    """Keep the part that ``T2M_TEST_PART`` names: ``0/2`` is the first half."""
    part = os.environ.get("T2M_TEST_PART")
    if part:
        number, count = map(int, part.split("/"))
        size = -(-len(items) // count)
        items[:] = items[number * size:(number + 1) * size]
