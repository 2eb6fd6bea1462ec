"""The autograd widget's data and messages, without a browser."""

from __future__ import annotations

import json

from t2m_notebook.widgets.autograd import AutogradWidget
from t2m_notebook.widgets.autograd_data import graph_data
from tests.render.test_autograd import classic, modules


def test_the_data_is_json_and_says_every_step() -> None:
    data = json.loads(json.dumps(graph_data(classic())))
    assert [title for title, _ in data["steps"]] == ["L = e²", "e = c · d", "d = a + b", "c = a · b", "a", "b"]
    assert data["partial"]["4"] == [[2, "… + 360"], [3, "900 + 360 = 1260"]]  # as the pass goes on
    assert data["partial"]["5"] == [[2, "… + 360"], [3, "600 + 360 = 960"]]
    assert data["mlx"]["ok"] is True and data["mlx"]["rows"][0][:3] == [True, "✓", "a"]


def test_large_graphs_open_folded() -> None:
    data = graph_data(modules(200))
    assert len(data["nodes"]) == 1000 and data["opened"] == ["layers"] or not data["opened"]


def test_the_step_stays_within_the_pass() -> None:
    widget = AutogradWidget(classic())
    widget.step = 99
    assert widget.step == 5
    widget.step = -1
    assert widget.step == 0


def test_python_lays_out_when_asked(monkeypatch) -> None:
    widget, sent = AutogradWidget(classic()), []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._answer(widget, {"layout": 3, "sizes": {"a": [80, 46], "b": [90, 46]}, "edges": [["a", "b"]]}, None)
    (answer,) = sent
    assert answer["layout"] == 3 and set(answer["corners"]) == {"a", "b"} and answer["paths"][0][:2] == ["a", "b"]
    widget._answer(widget, "nonsense", None)
    assert len(sent) == 1


def test_static_twin_for_readers_without_a_kernel() -> None:
    ((data, _),) = AutogradWidget(classic()).outputs()
    assert "900 + 360 = 1260" in data["text/plain"] and "<svg" in data["text/html"]


def test_details_of_a_large_graph_are_sent_when_asked_for(monkeypatch) -> None:
    widget, sent = AutogradWidget(modules(100)), []
    monkeypatch.setattr(widget, "send", sent.append)
    assert widget.data["details"] == []
    widget._answer(widget, {"detail": 3}, None)
    assert sent[0]["detail"] == 3 and sent[0]["facts"]["operation"] == "torch.mul"
