"""What the live views share: a static twin beside each, one module for the page, and the filter by status."""

from __future__ import annotations

import pytest
import traitlets

from t2m_notebook.types import Status
from t2m_notebook.widgets import twin
from t2m_notebook.widgets.autograd import AutogradWidget
from t2m_notebook.widgets.health import HealthWidget
from t2m_notebook.widgets.memory import MemoryWidget
from t2m_notebook.widgets.status_filter import StatusFilter
from t2m_notebook.widgets.trace import TraceWidget
from t2m_notebook.widgets.tree import TreeWidget
from tests.render import reports, traces
from tests.render.test_autograd import classic
from tests.render.test_health import health, memory

WIDGET = "application/vnd.jupyter.widget-view+json"
VIEWS = {
    "tree": lambda: TreeWidget(reports.resnet()),
    "trace": lambda: TraceWidget(traces.both()),
    "autograd": lambda: AutogradWidget(classic()),
    "health": lambda: HealthWidget(health()),
    "memory": lambda: MemoryWidget(memory()),
}


@pytest.fixture(params=VIEWS)
def view(request) -> twin.TwinnedWidget:
    return VIEWS[request.param]()


def test_a_bundle_has_the_live_view_and_both_static_faces(view) -> None:
    data, _ = view._repr_mimebundle_()
    assert set(data) == {WIDGET, "text/html", "text/plain"}
    assert data["text/html"].startswith("<") and not data["text/plain"].startswith("<")


def test_without_a_page_only_the_static_view_is_published(view) -> None:
    ((data, _),) = view.outputs()
    assert set(data) == {"text/html", "text/plain"} and "t2m-twin" not in data["text/html"]


def test_with_a_page_the_live_view_comes_first_and_its_twin_is_marked(view, monkeypatch) -> None:
    monkeypatch.setattr(twin, "DummyComm", type("NoCommIsThis", (), {}))  # as if a page answered
    (live, _), (static, _) = view.outputs()
    assert live[WIDGET]["model_id"] == view.model_id and live["text/html"] == live["text/plain"] == ""
    assert static["text/html"].startswith(f'<div class="t2m-twin" data-t2m-twin="{view.twin}">')
    assert static["text/plain"] == view._static()["text/plain"] and WIDGET not in static


def test_twins_are_told_apart() -> None:
    assert VIEWS["health"]().twin != VIEWS["health"]().twin


def test_one_module_holds_every_script(view) -> None:
    script = str(view._esm)
    assert script.startswith(twin.read("live_view.js")) and "import " not in script
    for once in ("export default", "function make(", "function comeAlive("):
        assert script.count(once) == 1


def test_a_view_must_bring_its_twin() -> None:
    class Bare(twin.TwinnedWidget):
        _esm = twin.script()

    with pytest.raises(NotImplementedError, match="Bare has no static twin"):
        Bare().outputs()


def test_statuses_are_known_by_name() -> None:
    class Filtered(traitlets.HasTraits):
        wanted = StatusFilter()

    filtered = Filtered(wanted=["proven", Status.MISSING])
    assert filtered.wanted == ["PROVEN", "MISSING"] and Filtered().wanted == []
    with pytest.raises(traitlets.TraitError, match="wanted: 'RED' is not one of PROVEN"):
        filtered.wanted = ["red"]
    assert filtered.wanted == ["PROVEN", "MISSING"]
