"""What the live views share: a static twin for readers without a kernel, and a script and styles made of files."""

from __future__ import annotations

import pathlib
import uuid
from typing import Any

import traitlets
from anywidget import AnyWidget
from comm import DummyComm
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import publish_display_data

from t2m_notebook.render.style import palette, status_colours

# The twin waits a moment, so that it isn't seen before a live view hides it; where a view
# can't live, JupyterLab's line about that is left out.
_TWIN = """
.jp-RenderedHTMLCommon > .t2m-twin { margin-right: -20px; }
.t2m-twin > .t2m-static { max-width: 1400px; }
.t2m-twin { animation: t2m-twin 0s 0.7s backwards; }
@keyframes t2m-twin { from { max-height: 0; overflow: hidden; visibility: hidden; } }
.jp-OutputArea-child:has(~ .jp-OutputArea-child .t2m-twin) .jp-OutputArea-output:not(:has(*)) {
  display: none; }
"""


def read(name: str) -> str:
    """The text of a file of this folder."""
    return pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """One module of ``live_view.js`` and the files ``names``, as a notebook has no place to fetch a second one from."""
    return "\n".join(read(name) for name in ("live_view.js", *names))


def styles(scope: str, *sheets: str) -> str:
    """The CSS ``sheets`` between the colours of the page and those of the statuses, inside ``scope``."""
    return palette(scope) + "".join(sheets) + status_colours(scope)


class TwinnedWidget(AnyWidget):
    """A live view with a static twin: each view gives its own in ``_static``."""

    twin = traitlets.Unicode(help="marks the static view that goes with this one").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(twin=uuid.uuid4().hex, **traits)

    def _static(self) -> dict[str, str]:
        """``text/plain`` and ``text/html`` of what is shown."""
        raise NotImplementedError(f"{type(self).__name__} has no static twin")

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict, dict]:
        """The live view with static HTML and text for where it can't live."""
        data, metadata = self._live(**options)
        return {**data, **self._static()}, metadata

    def _live(self, **options: Any) -> tuple[dict, dict]:
        bundle = super()._repr_mimebundle_(**options) or {}
        return bundle if isinstance(bundle, tuple) else (bundle, {})

    def outputs(self) -> list[tuple[dict, dict]]:
        """``(data, metadata)`` of each output to publish: the live view and its static twin.

        JupyterLab prefers a widget to HTML even when its kernel is gone, and then shows an
        error. With two outputs the twin is there to be read; the live view hides it.
        """
        static, live = self._static(), []
        if self.comm is not None and not isinstance(self.comm, DummyComm):  # there is a page to talk to
            data, metadata = self._live()
            live = [({**data, "text/plain": "", "text/html": ""}, metadata)]
            static["text/html"] = f'<div class="t2m-twin" data-t2m-twin="{self.twin}">' \
                                  f'<style>{_TWIN}</style>{static["text/html"]}</div>'
        return [*live, (static, {})]

    def _ipython_display_(self) -> None:
        """Shows the live view and, as a second output, its static twin."""
        if not InteractiveShell.initialized():
            print(self._static()["text/plain"])
            return
        for data, metadata in self.outputs():
            publish_display_data(data, metadata)
