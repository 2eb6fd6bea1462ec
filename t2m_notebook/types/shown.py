"""What every result has in common: it shows itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Views(NamedTuple):
    """The functions of ``render`` that show a value, and that value."""

    text: Callable[[Any], str]
    rich: Callable[[Any], Any]
    html: Callable[[Any], str]
    value: Any


class ShowsItself:
    """A result that is text where it is printed, coloured in a terminal by rich, and HTML on a page."""

    __slots__ = ()

    def _views(self) -> Views:
        """How it is shown; imports ``render`` inside, so that it is loaded only then."""
        raise NotImplementedError

    def __str__(self) -> str:
        views = self._views()
        return views.text(views.value)

    def __rich__(self) -> Any:
        views = self._views()
        return views.rich(views.value)

    def _repr_html_(self) -> str:
        views = self._views()
        return views.html(views.value)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
