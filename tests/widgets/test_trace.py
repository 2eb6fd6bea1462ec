"""The trace widget's Python side: columns, details, traits and the mime bundle."""

from __future__ import annotations

import json

import pytest
import traitlets

from t2m_notebook.types import Status
from t2m_notebook.widgets.trace import TraceWidget
from t2m_notebook.widgets.trace_data import row_detail, trace_columns, trace_overview
from tests.render import traces


@pytest.mark.parametrize("name", ["both", "torch_only", "hostile"])
def test_columns_follow_the_rows(name):
    data = getattr(traces, name)()
    columns = trace_columns(data)
    lengths = {len(column) for column in columns["cells"]} | {len(columns[key]) for key in (
        "status", "flags", "module", "name", "remark")}
    assert lengths == {len(data.rows)} and len(columns["heads"]) == len(columns["cells"])
    assert [columns["statuses"][s][0] for s in columns["status"]] == [row.status.value for row in data.rows]
    json.dumps([columns, trace_overview(data), [row_detail(row) for row in data.rows]], allow_nan=False)


def test_flags_say_shape_change_copy_stride_and_nan():
    assert trace_columns(traces.both())["flags"] == [2, 1 + 4 + 8, 2, 1 + 2, 1 + 2 + 8 * 0]
    assert trace_columns(traces.torch_only())["flags"][0] == 2 + 16


def test_twenty_thousand_rows_send_each_text_once():
    columns = trace_columns(traces.large())
    assert len(columns["strings"]) == len(set(columns["strings"]))
    assert len(json.dumps(columns)) < 4_000_000


def test_details_have_both_sides_and_one_picture():
    detail = row_detail(traces.both().rows[1])
    assert [side["framework"] for side in detail["sides"]] == ["torch", "MLX"] and len(detail["pictures"]) == 1
    assert detail["notes"] == ["max|Δ| 0, allowed 2.1e-04", "MLX holds torch's axes as (0, 2, 1)"]
    assert [line[0] for line in detail["sides"][0]["tensors"]] == ["in", "out"]
    assert "rule: mx.log(x)" in row_detail(traces.torch_only().rows[0])["notes"]


def test_a_picture_holds_no_name():
    detail = row_detail(traces.hostile().rows[0])
    assert detail["pictures"] and all("<img" not in picture for picture in detail["pictures"])


def test_details_are_sent_when_asked_for(monkeypatch):
    widget, sent = TraceWidget(traces.both()), []
    monkeypatch.setattr(TraceWidget, "send", lambda self, content, buffers=None: sent.append(content))
    for message in ({"detail": 3}, {"detail": 99}, {"detail": "x"}, "hello", {}):
        widget._answer(widget, message, [])
    assert [message["index"] for message in sent] == [3] and sent[0]["detail"]["status"] == "DIVERGES"


def test_traits_are_checked_and_the_bundle_has_static_html():
    widget = TraceWidget(traces.both(), status_filter=["diverges"])
    assert widget.status_filter == [Status.DIVERGES.value]
    with pytest.raises(traitlets.TraitError, match="PROVEN"):
        widget.status_filter = ["green"]
    bundle, _ = widget._repr_mimebundle_()
    assert "….transpose(1, 2)" in bundle["text/html"] and "2 of 3 equal" in bundle["text/plain"]
    assert len(TraceWidget(traces.large()).outputs()[-1][0]["text/html"]) < 450_000
