"""Values that cross walls: JSON both ways, the order of statuses, and what can't be read back."""

from __future__ import annotations

import dataclasses
import json
import math
import types as python_types
import typing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2m_notebook import types
from t2m_notebook.types import (
    AnalysisReport,
    ModuleNode,
    ParityData,
    ParityResult,
    SourceLocation,
    Status,
    TensorFacts,
    from_data,
    from_json,
    places,
    shape_text,
    to_data,
    to_json,
    worst,
)

DATACLASSES = [value for value in vars(types).values() if dataclasses.is_dataclass(value)]
TEXT = st.text(max_size=12)


def values_of(kind, depth: int = 0) -> st.SearchStrategy:
    """Values of an annotated type; dataclasses that hold themselves end after two levels."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, python_types.UnionType):
        return st.one_of([st.none() if a is type(None) else values_of(a, depth) for a in arguments])
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.just(()) if depth > 2 else st.lists(values_of(arguments[0], depth + 1), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=2)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {f.name: values_of(hints[f.name], depth + 1) for f in dataclasses.fields(kind)}
        return st.builds(kind, **fields)
    simple = {str: TEXT, int: st.integers(-2**40, 2**40), bool: st.booleans(),
              float: st.floats(allow_nan=False), Status: st.sampled_from(Status)}
    return simple[kind]


@pytest.mark.parametrize("kind", DATACLASSES, ids=lambda kind: kind.__name__)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_json_both_ways(kind, data):
    value = data.draw(values_of(kind))
    text = to_json(value)
    assert from_json(kind, text) == value
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("kind", DATACLASSES, ids=lambda kind: kind.__name__)
def test_frozen_and_without_a_dict(kind):
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_an_int_where_a_float_is_meant_comes_back_a_float():
    result = from_data(ParityResult, {"path": "", "class_name": "", "check": "", "status": "PROVEN",
                                      "max_difference": 0})
    assert type(result.max_difference) is float


def test_nan_and_infinity_survive():
    result = ParityResult("a", "B", "module", Status.DIVERGES, max_difference=math.inf, allowed=math.nan)
    back = from_json(ParityResult, to_json(result))
    assert back.max_difference == math.inf and math.isnan(back.allowed)


def test_a_field_of_a_later_version_is_ignored():
    assert from_data(TensorFacts, {"shape": [2], "dtype": "int8", "colour": "red"}) == TensorFacts((2,), "int8")


@pytest.mark.parametrize(("kind", "data", "message"), [
    (TensorFacts, [1, 2], "TensorFacts: expected a JSON object, got list"),
    (ModuleNode, "x", "ModuleNode: expected a JSON object, got str"),
    (AnalysisReport, {"root": None}, "ModuleNode: expected a JSON object, got NoneType"),
])
def test_data_that_is_no_such_thing(kind, data, message):
    with pytest.raises(TypeError, match=message):
        from_data(kind, data)


def test_a_missing_field_is_a_type_error():
    with pytest.raises(TypeError, match="dtype"):
        from_data(TensorFacts, {"shape": []})


def test_an_unknown_status():
    with pytest.raises(ValueError, match="GREEN"):
        from_data(Status, "GREEN")


def test_a_fixed_tuple_must_have_its_length():
    with pytest.raises(ValueError):
        from_data(tuple[int, str], [1])
    assert from_data(tuple[int, str], [1, "a"]) == (1, "a")


def test_every_status_is_told_apart_without_colour():
    assert [s.glyph for s in Status] == list("✓●◐✗!?–")
    assert len({s.meaning for s in Status}) == len(Status) == len({s.severity for s in Status})


def test_what_is_worse():
    order = "UNSEEN PROVEN MAPPED PARTIAL REFUSED MISSING DIVERGES".split()
    assert sorted(Status, key=lambda s: s.severity) == order
    assert worst([Status.PROVEN, Status.DIVERGES, Status.MISSING]) is Status.DIVERGES
    assert worst([]) is Status.UNSEEN
    assert worst([], Status.MAPPED) is Status.MAPPED
    assert worst([Status.UNSEEN, Status.PROVEN]) is Status.PROVEN


@pytest.mark.parametrize(("shape", "text"), [((), "scalar"), ((3,), "3"), ((2, 3, 4), "2×3×4"), ((0, 2), "0×2")])
def test_a_shape_as_text(shape, text):
    assert shape_text(shape) == text
    assert TensorFacts(shape, "int8").text == f"{text} int8"


@pytest.mark.parametrize("file", ["/a/b/c.py", "C:\\a\\c.py", "c.py"])
def test_a_location_as_text(file):
    assert SourceLocation(file, 71, 72, 4, 9).text == "c.py:71"
    assert SourceLocation(file, 71, 72, 4, 9).origin == file


@pytest.mark.parametrize(("file", "text"), [
    ("<ipython-input-5-0c3d5f2a9b11>", "cell [5], line 8"), ("/tmp/ipykernel_71/2629616371.py", "cell, line 8"),
    ("C:\\Temp\\ipykernel_71\\2629616371.py", "cell, line 8"),
    ("/home/ipykernel_notes/2629616371.py", "2629616371.py:8"),
    ("/tmp/ipykernel_71/mine.py", "mine.py:8"), ("<cell Block>", "<cell Block>:8")])
def test_a_location_in_a_notebook(file, text):
    assert SourceLocation(file, 8, 8, 0, 4).text == text


def test_only_the_shell_knows_the_number_of_a_cell(monkeypatch):
    monkeypatch.setattr(places, "_shell", None)  # what is there comes back
    here = SourceLocation("/tmp/ipykernel_71/2629616371.py", 8, 8, 0, 4)
    places.follow_cells({here.file: 5}.get)
    assert here.text == "cell [5], line 8" and here.origin == "cell [5]"
    assert SourceLocation("/a/model.py", 8, 8, 0, 4).text == "model.py:8"
    places.follow_cells(None)
    assert here.text == "cell, line 8" and here.origin == "cell"


def test_walk_is_depth_first_and_knows_no_recursion_limit():
    def leaf(name):
        return ModuleNode(name, name, "Linear", Status.MAPPED)

    tree = ModuleNode("", "", "Net", Status.MAPPED, children=(
        dataclasses.replace(leaf("a"), children=(leaf("a.x"), leaf("a.y"))), leaf("b")))
    assert [node.name for node in tree.walk()] == ["", "a", "a.x", "a.y", "b"]
    for _ in range(5000):
        tree = ModuleNode("n", "n", "Net", Status.MAPPED, children=(tree,))
    assert sum(1 for _ in tree.walk()) == 5005


def test_json_needs_no_torch_object():
    data = to_data(ParityData(ModuleNode("", "", "Net", Status.PROVEN), {"PROVEN": 1}, True, 1e-6))
    assert data["root"]["status"] == "PROVEN" and type(data["root"]["status"]) is str
