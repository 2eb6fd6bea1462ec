"""Identical neighbours as one line."""

from __future__ import annotations

import dataclasses

import pytest

from t2m_notebook.render.folding import fold_siblings, folded_rows, module_count, structure_ids
from t2m_notebook.types import Status
from tests.render import reports


def folds(*children):
    root = reports.branch("", "Net", children)
    return [(fold.name, fold.count) for fold in fold_siblings(root.children, structure_ids(root))]


def linear(name: str, size: int = 4, **more):
    return reports.leaf(name, "Linear", f"in_features={size}, out_features={size}",
                        parameters=[reports.weight("weight", size, size)],
                        out=reports.tensor(1, size), **more)


def test_equal_neighbours_fold() -> None:
    assert folds(*(linear(str(i)) for i in range(12))) == [("0…11", 12)]
    assert folds(linear("block1"), linear("block2"), linear("0")) == [("block1…block2", 2), ("0", 1)]


def test_names_that_tell_something_stay() -> None:
    assert folds(linear("query"), linear("key"), linear("value")) == [("query", 1), ("key", 1), ("value", 1)]
    assert folds(linear("0"), linear("2")) == [("0", 1), ("2", 1)]
    assert folds(linear("1"), linear("0")) == [("1", 1), ("0", 1)]


@pytest.mark.parametrize("change", [
    {"status": Status.MISSING}, {"class_name": "MyLinear"}, {"description": "other"},
    {"reason": "r", "status": Status.PARTIAL},
    {"parameter_count": 5}, {"calls": 2}, {"shared_with": "0"}, {"outputs": (reports.tensor(2, 4),)},
    {"children": (linear("x"),)}, {"operations": (reports.op(0, "x + 1", "x + 1"),)}],
    ids=lambda change: next(iter(change)))
def test_what_differs_stays_apart(change: dict) -> None:
    odd = dataclasses.replace(linear("1"), **change)
    assert folds(linear("0"), odd, linear("2")) == [("0", 1), ("1", 1), ("2", 1)]


def test_measurements_may_differ_and_the_worst_is_shown() -> None:
    members = [linear(str(i), max_difference=d, reason=f"max|Δ| {d}")
               for i, d in enumerate((1e-7, 3e-7, 2e-7))]
    (fold,) = fold_siblings(members, structure_ids(reports.branch("", "Net", members)))
    assert fold.max_difference == 3e-7
    nan = [*members[:2], dataclasses.replace(members[2], max_difference=float("nan"))]
    (fold,) = fold_siblings(nan, structure_ids(reports.branch("", "Net", nan)))
    assert fold.max_difference != fold.max_difference


def test_a_difference_deep_inside_unfolds() -> None:
    report = reports.bert()
    rows = [row.fold.name for row in folded_rows(report.root)]
    assert "0…11" in rows
    changed = reports.resnet()
    names = [row.fold.name for row in folded_rows(changed.root)]
    assert "1…5" in names and names.count("1…2") == 2


def test_rows_account_for_every_module() -> None:
    for report in (reports.bert(), reports.resnet(), reports.large(500)):
        rows = folded_rows(report.root)
        assert sum(row.modules for row in rows) == module_count(report.root) == sum(report.counts.values())


def test_a_limit_keeps_the_outer_lines() -> None:
    rows = folded_rows(reports.resnet().root, limit=12)
    assert [row.depth for row in rows] == [0] + [1] * 11
    assert rows[-1].fold.name == "aux" and rows[-1].hidden_rows == 1
    assert sum(row.hidden_rows for row in rows) + len(rows) == len(folded_rows(reports.resnet().root))
