"""A status comes from what ran, with a reason; nothing is green by name."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from t2m_notebook.analysis import analyze
from t2m_notebook.rules import op, op_rule
from t2m_notebook.rules.registry import caveat, layer, refuse, unregister
from t2m_notebook.types import AnalysisReport, Status, from_json

X = torch.randn(2, 4)


class Net(nn.Module):
    """A module whose forward is handed in."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args):
        return self.run(self, *args)


def unknown(x):
    return torch.geqrf(x)[0]


@pytest.fixture(autouse=True)
def some_operations_are_unknown():
    """Whatever rules there are by now, these two have none during a test."""
    taken = {name: op_rule(name) for name in ("torch.geqrf", "torch.orgqr")}
    for name, rule in taken.items():
        if rule is not None:
            unregister(rule.name)
            assert op_rule(name) is None
    yield
    for rule in taken.values():
        if rule is not None:
            op(rule.name, layout=rule.layout, summary=rule.summary)(rule.emit)


def statuses(analysis) -> dict[str, Status]:
    return {node.path: node.status for node in analysis.tree.walk()}


def node(analysis, path: str):
    return next(n for n in analysis.tree.walk() if n.path == path)


def test_missing_names_the_operation_and_the_source_line():
    analysis = analyze(Net(lambda m, x: m.a(unknown(x)), a=nn.Linear(4, 4)), X)
    assert statuses(analysis) == {"": Status.MISSING, "a": Status.MAPPED}
    reason = analysis.tree.reason
    assert "no rule for torch.geqrf" in reason and "test_coverage.py:" in reason and "torch.geqrf(x)" in reason
    row, = analysis.missing
    assert (row.name, row.status, row.calls, row.paths) == ("torch.geqrf", Status.MISSING, 1, ("",))
    assert row.source == "torch.geqrf(x)" and row.location.file == __file__
    assert analysis.coverage == 1 / 2


def test_a_block_with_known_children_but_an_unknown_operation_of_its_own_is_missing():
    inner = Net(lambda m, x: m.b(unknown(x)), b=nn.Linear(4, 4))
    analysis = analyze(nn.Sequential(nn.Linear(4, 4), inner, nn.ReLU()), X)
    assert statuses(analysis) == {"": Status.MISSING, "0": Status.MAPPED, "1": Status.MISSING, "1.b": Status.MAPPED,
                                  "2": Status.MAPPED}
    assert "1: " in analysis.tree.reason


def test_refused_names_option_and_value():
    @op("torch.geqrf")
    def geqrf(input):
        refuse("size", 77, "use torch.linalg.qr")

    try:
        analysis = analyze(Net(lambda m, x: unknown(x)), X)
    finally:
        unregister("torch.geqrf")
    assert analysis.tree.status is Status.REFUSED
    assert "size=77" in analysis.tree.reason and "use torch.linalg.qr" in analysis.tree.reason
    assert analysis.missing[0].status is Status.REFUSED and analysis.coverage == 0.0


def test_a_refused_layer():
    class Odd(nn.Linear):
        pass

    @layer(Odd)
    def odd(m):
        refuse("out_features", m.out_features)

    try:
        analysis = analyze(nn.Sequential(Odd(4, 5)), X)
    finally:
        unregister(Odd)
    assert statuses(analysis) == {"": Status.REFUSED, "0": Status.REFUSED}
    assert node(analysis, "0").reason == "Odd: out_features=5"


def test_partial_says_its_caveat_and_counts_as_covered():
    @op("torch.geqrf")
    def geqrf(input):
        caveat("gives signs of its own")
        return input, input

    try:
        analysis = analyze(Net(lambda m, x: m.a(unknown(x)), a=nn.ReLU()), X)
    finally:
        unregister("torch.geqrf")
    assert analysis.tree.status is Status.PARTIAL and "gives signs of its own" in analysis.tree.reason
    assert analysis.coverage == 1.0 and analysis.missing == ()


def test_what_was_never_called_is_unseen():
    analysis = analyze(Net(lambda m, x: m.a(x), a=nn.Linear(4, 4), b=nn.Sequential(nn.Linear(4, 4))), X)
    assert statuses(analysis) == {"": Status.MAPPED, "a": Status.MAPPED, "b": Status.UNSEEN, "b.0": Status.UNSEEN}
    assert node(analysis, "b.0").reason == "never called by this example" and node(analysis, "b.0").calls == 0


def test_a_class_called_linear_is_not_nn_linear():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return unknown(x @ self.weight)

    analysis = analyze(nn.Sequential(Linear()), X)
    assert node(analysis, "0").status is Status.MISSING
    assert node(analysis, "0").class_module == __name__


def test_an_empty_container_and_an_identity_of_ones_own():
    analysis = analyze(Net(lambda m, x: m.a(x) + 1, a=Net(lambda m, x: x)), X)
    assert node(analysis, "a").status is Status.MAPPED and node(analysis, "a").reason == "passes its input through"


def test_nothing_is_proven_by_rules_alone():
    analysis = analyze(nn.Linear(4, 4), X)
    assert analysis.counts["PROVEN"] == 0 and analysis.counts["MAPPED"] == 1
    assert sum(analysis.counts.values()) == 1 and set(analysis.counts) == {s.value for s in Status}


def test_operations_have_source_facts_and_their_mlx_form():
    analysis = analyze(Net(lambda m, x: torch.cat([x, m.a(x)], dim=-1), a=nn.Linear(4, 3)), X)
    call, cat = analysis.tree.operations
    assert call.name == "torch.nn.Linear" and call.child == "a" and call.source == "m.a(x)"
    assert cat.name == "torch.cat" and cat.mlx == "mx.concatenate([x, y], axis=-1)"
    assert [f.shape for f in cat.inputs] == [(2, 4), (2, 3)] and cat.outputs[0].shape == (2, 7)
    assert "nn.Linear(4, 3)" in call.mlx


def test_an_operation_that_only_a_later_call_made_is_shown_and_counted():
    inner = Net(lambda m, x: unknown(x) if x.sum() > 0 else x)
    analysis = analyze(Net(lambda m, x: m.a(-x.abs()) + m.a(x.abs() + 1), a=inner), X)
    assert node(analysis, "a").status is Status.MISSING and node(analysis, "a").calls == 2
    assert [o.name for o in node(analysis, "a").operations].count("torch.geqrf") == 1


def test_missing_is_sorted_by_calls_and_paths_are_in_the_models_order():
    def bad():
        return Net(lambda m, x: unknown(x))

    rare = Net(lambda m, x: torch.Tensor.geqrf(x)[0] * 1 if False else torch.orgqr(x, x[0]))
    model = Net(lambda m, x: m.z(m.blocks(m.a(x))), a=bad(), blocks=nn.Sequential(bad(), bad()), z=rare)
    rows = analyze(model, torch.randn(4, 4)).missing
    assert [(r.calls, r.paths) for r in rows] == [(3, ("a", "blocks.0", "blocks.1")), (1, ("z",))]


def test_shared_modules():
    inner = Net(lambda m, x: unknown(x) * m.scale, scale=nn.Parameter(torch.ones(1)))
    model = Net(lambda m, x: m.b(x), a=inner, b=nn.Sequential(inner))
    analysis = analyze(model, X)
    assert node(analysis, "b.0").shared_with == "a"
    assert statuses(analysis) == dict.fromkeys(["", "a", "b", "b.0"], Status.MISSING)
    assert analysis.missing[0].calls == 1


def test_a_shared_activation_that_ran_in_its_second_place_only():
    relu = nn.ReLU()
    model = Net(lambda m, x: m.b(x), a=nn.Sequential(relu), b=nn.Sequential(nn.Linear(4, 4), relu))
    assert statuses(analyze(model, X)) == {"": Status.MAPPED, "a": Status.UNSEEN, "a.0": Status.UNSEEN,
                                           "b": Status.MAPPED, "b.0": Status.MAPPED, "b.1": Status.MAPPED}


def test_layers_of_different_settings_are_asked_apart():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 4), nn.Softmax(0), nn.Softmax(1))
    shown = [o.mlx for o in analyze(model, X).tree.operations]
    assert shown[0] == shown[2] != shown[1] and shown[3] != shown[4]


def test_from_structure_alone():
    analysis = analyze(nn.Sequential(nn.Linear(4, 4), Net(lambda m, x: x), nn.Bilinear(2, 2, 2)), structure_only=True)
    assert analysis.report.from_structure and analysis.missing == () and analysis.recording is None
    assert node(analysis, "0").status is Status.MAPPED and "from structure alone" in node(analysis, "0").reason
    assert node(analysis, "1").status is Status.UNSEEN and "pass an example input" in node(analysis, "1").reason
    assert analyze(nn.Linear(4, 4)).report.notes  # no example: the same, and said


def test_json_both_ways():
    analysis = analyze(Net(lambda m, x: m.a(unknown(x)), a=nn.Linear(4, 4)), X)
    assert from_json(AnalysisReport, analysis.to_json()) == analysis.report
    assert analysis.report.inputs == ("args0: 2×4 float32",)


def test_the_operations_of_the_tree_count_once():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3)])
    report = analyze(model, X).report
    assert report.operation_count == 6 and report.coverage == 1.0


def test_ten_thousand_modules():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(2, 2), nn.ReLU(), nn.LayerNorm(2)

        def forward(self, x):
            return self.c(self.b(self.a(x))) + x

    model = nn.Sequential(*[Block() for _ in range(2500)]).eval()
    x = torch.ones(1, 2)
    started = time.process_time()
    analysis = analyze(model, x)
    taken = time.process_time() - started
    assert sum(analysis.counts.values()) == 10001 and analysis.coverage == 1.0
    assert taken < 12, f"{taken:.1f} s"


@pytest.mark.parametrize("depth", [200, 1000])
def test_deep_nesting(depth):
    model = nn.Linear(4, 4)
    for _ in range(depth):
        model = nn.Sequential(model)
    analysis = analyze(model, X, structure_only=depth > 300)  # torch itself ends at about 330
    assert sum(analysis.counts.values()) == depth + 1
    assert analysis.tree.status is Status.MAPPED
