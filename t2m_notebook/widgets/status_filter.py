"""The trait that says which statuses a view shows."""

from __future__ import annotations

from typing import Any

import traitlets

from t2m_notebook.types import Status


class StatusFilter(traitlets.List):
    """Names of statuses, in any case; empty: all. Raises ``TraitError`` for any other name."""

    def __init__(self, **metadata: Any) -> None:
        super().__init__(traitlets.Unicode(), help="statuses shown; empty: all", **metadata)

    def validate(self, obj: Any, value: Any) -> list[str]:
        known = [status.value for status in Status]
        names = [str(name).upper() for name in super().validate(obj, value)]
        for name in names:
            if name not in known:
                raise traitlets.TraitError(f"{self.name}: {name!r} is not one of {', '.join(known)}")
        return names
