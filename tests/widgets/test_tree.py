"""The tree widget's Python side: columns, details, traits and the mime bundle."""

from __future__ import annotations

import json

import pytest
import traitlets

from t2m_notebook.types import Status
from t2m_notebook.widgets import tree_data
from t2m_notebook.widgets.tree import TreeWidget
from t2m_notebook.widgets.tree_data import node_detail, tree_columns, tree_nodes
from tests.render import reports

WIDGET = "application/vnd.jupyter.widget-view+json"


def column(columns: dict, name: str) -> list[str]:
    return [columns["strings"][i] for i in columns[name]]


@pytest.mark.parametrize("name", ["resnet", "bert", "hostile", "broken"])
def test_columns_follow_the_tree(name: str) -> None:
    report = getattr(reports, name)()
    columns, nodes = tree_columns(report), tree_nodes(report.root)
    names = (*tree_data._TEXTS, "parent", "run", "status", "origin", "detail")
    lengths = {len(columns[name]) for name in names}
    assert lengths == {len(nodes)}
    assert columns["parent"][0] == -1 and all(p < i for i, p in enumerate(columns["parent"]))
    for i, node in enumerate(nodes):
        if columns["parent"][i] >= 0:
            assert any(node is child for child in nodes[columns["parent"][i]].children)
    json.dumps(columns, allow_nan=False)


def test_folds_and_details_are_sent_once() -> None:
    columns = tree_columns(reports.bert())
    (first, texts), = columns["folds"].items()
    strings = columns["strings"]
    assert strings[texts[0]] == "0…11" and strings[texts[3]] == "×12"
    assert columns["run"].count(first) == 12
    assert len(columns["details"]) < 16  # of 104 modules


def test_details_hold_what_runs_inside() -> None:
    mixer = next(node for node in reports.bert().root.walk() if node.path == "mixer")
    detail = node_detail(mixer)
    assert detail["where"] == "fnet.py:12 · called once"
    assert detail["operations"][0] == [list(Status).index(Status.MISSING), "torch.fft.rfft(x, dim=1)", "",
                                       "17", "no rule", "", "torch.fft.rfft", ""]
    assert "shared" not in detail


def test_details_beyond_the_budget_are_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(tree_data, "DETAIL_BUDGET", 2000)
    widget = TreeWidget(reports.resnet())
    assert -1 in widget.columns["detail"]
    sent = []
    monkeypatch.setattr(widget, "send", sent.append)
    widget._handle_custom_msg({"detail": 5}, [])
    assert sent[0]["index"] == 5 and sent[0]["detail"] == node_detail(tree_nodes(widget.report.root)[5])
    for nonsense in (None, {"detail": 10**9}, {"detail": "x"}, {"detail": -1}, 3):
        widget._handle_custom_msg(nonsense, [])
    assert len(sent) == 1


def test_selection_calls_back() -> None:
    paths = []
    widget = TreeWidget(reports.resnet(), on_select=paths.append)
    widget.selected = "layer3.0"
    assert paths == ["layer3.0"]


def test_a_filter_must_name_statuses() -> None:
    widget = TreeWidget(reports.resnet(), status_filter=[Status.MISSING, "diverges"])
    assert widget.status_filter == ["MISSING", "DIVERGES"]
    with pytest.raises(traitlets.TraitError, match="'RED' is not one of PROVEN"):
        widget.status_filter = ["RED"]


def test_update_keeps_the_selection() -> None:
    widget = TreeWidget(reports.resnet(), selected="fc")
    widget.update(reports.bert())
    assert widget.selected == "fc" and widget.overview["title"] == "BertForMaskedLM"
    assert widget.report.root.class_name == "BertForMaskedLM"


@pytest.mark.parametrize("name", ["resnet", "large", "hostile", "deep", "broken"])
def test_every_bundle_has_static_faces(name: str) -> None:
    data, _ = TreeWidget(getattr(reports, name)())._repr_mimebundle_()
    assert set(data) == {WIDGET, "text/html", "text/plain"}
    assert data["text/html"].startswith('<div class="t2m-static">')
    assert len(data["text/html"]) < 500_000 and len(data["text/plain"]) < 50_000


def test_without_a_page_the_text_is_printed(capsys) -> None:
    TreeWidget(reports.resnet())._ipython_display_()
    assert capsys.readouterr().out.startswith("ResNet50 · 32.2 M parameters")


def test_ten_thousand_modules_stay_small() -> None:
    columns = tree_columns(reports.large())
    assert len(columns["parent"]) == 10_000
    assert len(json.dumps(columns)) < 4_000_000


def test_checkpoints_are_in_the_lines_and_details() -> None:
    report = reports.with_checkpoints()
    columns, nodes = tree_columns(report), tree_nodes(report.root)
    lines = {node.path: (alarm, mark) for node, alarm, mark in
             zip(nodes, column(columns, "alarms"), column(columns, "marks"), strict=True)}
    assert lines["blocks.0"] == ("", "◆ attn.scores  ◆ mlp.hidden")
    assert lines["blocks.1"] == ("◆ attn.scores 3 NaN, 1 +Inf", "◆ mlp.hidden -0.17 … 3.2") and lines[""] == ("", "")
    (texts,) = columns["folds"].values()  # the worst of both, and where it is
    assert [columns["strings"][i] for i in texts[-2:]] == [
        "◆ mlp.hidden -0.17 … 3.2 in blocks.1", "◆ attn.scores 3 NaN, 1 +Inf in blocks.1"]
    second = next(node for node in nodes if node.path == "blocks.1")
    assert node_detail(second)["checkpoints"] == [
        ["attn.scores: (1, 4, 8, 8) float32, -0.5 … 1.25, 3 NaN, 1 +Inf", 1],
        ["mlp.hidden: (1, 8, 32) float32, -0.17 … 3.2", 0]]
    assert "checkpoints" not in node_detail(report.root)
