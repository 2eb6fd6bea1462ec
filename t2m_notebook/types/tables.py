"""Rows as a ``pandas.DataFrame``: the one place that needs pandas, which is optional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Any:
    """A ``pandas.DataFrame`` with a line for each of ``rows``; ``columns`` are its columns where there may be no row.

    Raises :class:`~t2m_notebook.errors.MissingPackage` where pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        from ..errors import MissingPackage
        raise MissingPackage("to_pandas needs pandas, which is not installed here: pip install pandas. "
                             "to_json() of the same value holds the same.") from None
    return pandas.DataFrame(list(rows), columns=columns)
