"""Who made each call: shared and repeated modules, arguments of every shape, hooks, parametrizations."""

from __future__ import annotations

import collections
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from t2m_notebook.capture import ModuleCall, OpCall, Ref, flatten, record, refs
from t2m_notebook.capture.tree import module_tree
from tests.zoo import build

X = torch.randn(2, 4)


def short(recording) -> list[str]:
    """What ran, in order: paths of leaf layers, last names of operations."""
    return [e.path if isinstance(e, ModuleCall) else e.name.rpartition(".")[2] for e in recording.calls()]


class Given(nn.Module):
    """A module whose forward is handed in."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.run = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *args, **kwargs):
        return self.run(self, *args, **kwargs)


def run(forward, *args, keep="none", parts=None, **kwargs):
    return record(Given(forward, **(parts or {})), args, kwargs, keep=keep)[0]


def test_a_module_called_twice_is_two_calls_at_one_path():
    recording = run(lambda m, x: m.a(m.a(x)), X, parts={"a": nn.Linear(4, 4)})
    assert short(recording) == ["a", "a"]
    first, second = recording.calls()
    assert first.outputs == second.args[0] and first.index < second.index


def test_a_module_in_two_places_keeps_its_first_path():
    shared = nn.Linear(4, 4)
    recording = run(lambda m, x: m.b(m.a(x)), X, parts={"a": shared, "b": shared})
    assert short(recording) == ["a", "a"]
    tree = module_tree(recording.model)
    assert [(b.path, b.shared_with) for b in tree.walk()] == [("", None), ("a", None), ("b", "a")]
    assert tree.parameter_count == 20


def test_a_shared_activation_is_taken_where_its_caller_holds_it():
    relu = nn.ReLU()
    parts = {"a": nn.Sequential(nn.Linear(4, 4), relu), "b": nn.Sequential(nn.Linear(4, 4), relu)}
    recording = run(lambda m, x: m.b(m.a(x)), X, parts=parts)
    assert short(recording) == ["a.0", "a.1", "b.0", "b.1"]


def test_tied_weights_are_one_value_with_the_first_name():
    model = Given(lambda m, x: (m.a(x), m.b(x)), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    model.b.weight = model.a.weight
    recording, _ = record(model, (X,))
    names = [v.name for v in recording.values if v.kind == "parameter"]
    assert names == ["a.weight", "a.bias", "b.bias"]
    facts = {p.name: p.tied_to for b in module_tree(model).walk() if b.path == "b" for p in b.parameters}
    assert facts == {"weight": "a.weight", "bias": None}
    assert module_tree(model).parameter_count == 24


def test_a_module_never_called_is_nowhere():
    recording = run(lambda m, x: m.a(x), X, parts={"a": nn.Linear(4, 4), "unused": nn.Linear(4, 4)})
    assert {c.path for c in recording.root.walk()} == {"", "a"}


@dataclass
class State:
    hidden: Tensor
    step: int = 0


Pair = collections.namedtuple("Pair", "left right")


def test_arguments_and_results_of_every_shape():
    def forward(m, x, pair, *, options, state=None, mask=None):
        assert mask is None and state.step == 3
        y = pair.left + pair.right + options["scale"] * options["more"][1] + state.hidden + x
        return {"y": y, "state": State(y * 2, 4), "pair": Pair(y, None), "many": [y, (y - 1,)]}

    def one():
        return torch.randn(2, 4)

    recording = run(forward, one(), Pair(one(), one()), mask=None, state=State(one(), 3),
                    options={"scale": one(), "more": [1, one()]})
    inputs = [v.name for v in recording.values if v.kind == "input"]
    assert sorted(inputs) == ["args0", "args1.left", "args1.right", "options.more.1", "options.scale", "state.hidden"]
    root = recording.root
    assert isinstance(root.args[1], Pair) and isinstance(root.args[1].left, Ref)
    assert root.kwargs["mask"] is None and root.kwargs["state"]["step"] == 3
    paths = [path for path, _ in flatten(root.outputs)]
    assert paths == ["y", "state.hidden", "pair.left", "many.0", "many.1.0"]
    values = dict(flatten(root.outputs))
    assert values["y"] == values["pair.left"] == values["many.0"] != values["state.hidden"]


def test_a_list_that_the_model_changes_is_kept_as_it_was():
    def forward(m, x):
        features = [x]
        for _ in range(3):
            features.append(torch.cat(features, 1))
        return features[-1]

    recording = run(forward, X)
    assert [len(c.args[0]) for c in recording.calls()] == [1, 2, 3]


def test_a_cache_object_is_looked_into():
    model, args, kwargs = build("kv_cache")
    recording, _ = record(model, args, kwargs)
    names = {v.name for v in recording.values if v.kind == "input"}
    assert any(".keys.0" in name for name in names) and any(".values.1" in name for name in names)
    assert not [v for v in recording.values if v.kind == "constant" and v.shape in {(2, 4, 5, 8)}]


def test_every_expert_that_ran_is_recorded():
    model, args, kwargs = build("moe")
    recording, _ = record(model, args, kwargs)
    paths = {c.path for c in recording.root.walk()}
    experts = {name for name, _ in model.named_modules() if name.rpartition(".")[2].isdigit()}
    ran = set()
    for name in experts:
        model.get_submodule(name).register_forward_hook(lambda *_, n=name: ran.add(n))
    with torch.no_grad():
        model(*args, **kwargs)
    assert ran and ran == paths & experts


@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_layer_with_a_hook_is_recorded_from_inside(register):
    def hook(module, args, *result):
        return result[0] * 2 if result else (args[0] * 2,)

    layer = nn.Linear(4, 4)
    getattr(layer, register)(hook)
    recording = run(lambda m, x: m.a(x), X, parts={"a": layer})
    assert sorted(short(recording)) == ["linear", "mul"]
    assert all(call.owner.path == "a" for call in recording.calls())


def test_a_parametrized_layer_is_recorded_from_inside():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    recording = run(lambda m, x: m.a(x), X, parts={"a": layer})
    assert short(recording)[-1] == "linear" and len(short(recording)) > 1
    names = {v.name for v in recording.values if v.kind == "parameter"}
    assert "a.parametrizations.weight.original0" in names and "a.weight" not in names


def test_a_forward_put_on_the_instance_is_what_is_recorded():
    layer = nn.Linear(4, 4)
    layer.forward = lambda x: x.sin()
    assert short(run(lambda m, x: m.a(x), X, parts={"a": layer})) == ["sin"]


def test_modules_outside_the_tree_count_as_their_callers():
    outside = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(m, x):
        return m.a(nn.Tanh()(outside(x)))

    recording = run(forward, X, parts={"a": nn.Linear(4, 4)})
    assert short(recording) == ["linear", "relu", "tanh", "a"]
    assert [v.name for v in recording.values if v.kind == "parameter"] == ["a.weight", "a.bias"]
    assert sum(v.kind == "constant" for v in recording.values) == 2
    assert all(c.owner is recording.root for c in recording.calls() if isinstance(c, OpCall))


def test_sequential_is_opened_and_layers_are_not():
    recording = run(lambda m, x: m.a(x), X, parts={"a": nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 3))})
    assert [(c.path, c.leaf) for c in recording.root.walk()] == [
        ("", False), ("a", False), ("a.0", True), ("a.1", True)]
    lstm = list(recording.calls())[-1]
    assert lstm.events == [] and len(refs(lstm.outputs)) == 3


def test_a_subclass_with_a_forward_of_its_own_is_opened():
    class Linear(nn.Linear):
        def forward(self, x):
            return super().forward(x) + 1

    assert short(run(lambda m, x: m.a(x), X, parts={"a": Linear(4, 4)})) == ["linear", "add"]


def test_attributes_of_the_model_are_values_with_names():
    model = Given(lambda m, x: x * m.scale + m.table["bias"] + m.steps[1], scale=torch.ones(4),
                  table={"bias": torch.ones(4)}, steps=[0, torch.ones(4)])
    recording, _ = record(model, (X,))
    assert {v.name for v in recording.values if v.kind == "attribute"} == {"scale", "table.bias", "steps.1"}


@pytest.mark.parametrize(("keep", "kept"), [("none", 0), ("boundaries", 3), ("all", 4)])
def test_which_tensors_are_kept(keep, kept):
    recording = run(lambda m, x: m.a(x).exp().sin(), X, keep=keep, parts={"a": nn.ReLU()})
    assert len(recording.tensors) == kept  # the input, the layer's result, exp's, sin's


def test_progress_counts_up():
    seen = []
    record(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (X,), progress=seen.append)
    assert len(seen) == 3 and seen == sorted(seen)


def test_reads_into_python_are_recorded_and_metadata_is_not():
    recording = run(lambda m, x: x * x.sum().item() if x.dim() == 2 and x.is_contiguous() else x, X)
    assert short(recording) == ["sum", "item", "mul"]
