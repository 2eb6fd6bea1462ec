"""Registration and lookup: one rule per name, ancestors only where nothing was redefined."""

from __future__ import annotations

import importlib
import importlib.metadata

import pytest
import torch
from torch import nn

from t2m_notebook.analysis import analyze
from t2m_notebook.errors import DuplicateRule, Refused
from t2m_notebook.rules import (
    Array,
    Layer,
    bind,
    emit_layer,
    emit_op,
    generation,
    layer,
    layer_rule,
    load_rules,
    mx,
    op,
    op_rule,
    refuse,
    registry,
    rename,
    spec_name,
)
from t2m_notebook.rules.registry import caveat, collecting_caveats, unregister
from t2m_notebook.types import Status

NAME = "torch.t2m_test_operation"


@pytest.fixture(autouse=True)
def clean():
    load_rules()
    ops, layers = dict(registry.OPS), dict(registry.LAYERS)
    yield
    assert not (set(ops) - set(registry.OPS)) and not (set(layers) - set(registry.LAYERS))
    for key in [k for k in registry.OPS if k not in ops] + [k for k in registry.LAYERS if k not in layers]:
        unregister(key)


def test_a_duplicate_names_the_other_file():
    op(NAME)(lambda x: x)
    with pytest.raises(DuplicateRule, match=rf"{NAME} has a rule in .*test_registry already; .*test_registry regist"):
        op(NAME)(lambda x: -x)
    with pytest.raises(DuplicateRule, match="torch.relu has a rule in t2m_notebook.rules.activation"):
        rename("torch.relu", "mx.relu")
    with pytest.raises(DuplicateRule, match="Linear has a rule in t2m_notebook.rules.linear already"):
        layer(nn.Linear)(lambda m: None)


def test_replace_says_that_it_is_meant():
    op(NAME)(lambda x: x)
    before = generation()
    op(NAME, replace=True)(lambda x: -x)
    assert generation() > before
    assert str(op_rule(NAME).emit(mx.a)) == "-mx.a"


def test_a_users_rule_takes_effect_at_once_and_can_be_taken_back():
    class Mine(nn.Module):
        def forward(self, x):
            return torch.geqrf(x)[0]

    rule = op_rule("torch.geqrf")
    if rule is not None:
        unregister(rule.name)
    try:
        def verdict():
            return analyze(Mine(), torch.ones(2, 2)).tree.status
        assert verdict() is Status.MISSING
        op("torch.geqrf")(lambda input: (mx.abs(input), input))
        assert verdict() is Status.MAPPED
        unregister("torch.geqrf")
        assert verdict() is Status.MISSING
        layer(Mine)(lambda m: mx.Mine())
        assert verdict() is Status.MAPPED
        unregister(Mine)
        assert verdict() is Status.MISSING
    finally:
        if rule is not None:
            op(rule.name, layout=rule.layout, summary=rule.summary)(rule.emit)


def test_unregistering_what_is_not_there():
    with pytest.raises(KeyError):
        unregister(NAME)


@pytest.mark.parametrize(("name", "rule"), [
    ("torch.Tensor.relu", "torch.relu"), ("torch.Tensor.relu_", "torch.relu"), ("torch.relu_", "torch.relu"),
    ("torch.nn.functional.relu_", "torch.nn.functional.relu"), ("torch.functional.split", "torch.split"),
    ("torch._C._nn.gelu", "torch.nn.functional.gelu"), ("torch.Tensor.softmax", "torch.softmax"),
    ("torch._C._fft.fft_rfft", "torch.fft.rfft"), ("torch._C._linalg.linalg_inv", "torch.linalg.inv"),
    ("torch.Tensor.sub_", "torch.sub")])
def test_all_the_names_of_an_operation(name, rule):
    assert op_rule(name) is not None and op_rule(name) is op_rule(rule)
    assert spec_name(name) == op_rule(rule).name


@pytest.mark.parametrize("name", ["torch.Tensor.__nothing__", "torch.relux", "numpy.relu", "", "torch."])
def test_names_that_mean_nothing(name):
    assert op_rule(name) is None


def test_a_name_without_a_rule_gets_its_public_spelling():
    assert spec_name("torch.functional.not_there") == "torch.not_there"
    assert spec_name("numpy.not_there") == "numpy.not_there"
    assert spec_name("torch._VariableFunctionsClass.not_there") == "torch.not_there"


class Trivial(nn.Conv2d):
    """Only a name and a repr of its own."""

    def extra_repr(self):
        return "mine"


class WithInit(nn.Linear):
    def __init__(self, size):
        super().__init__(size, size)
        self.note = "x"


class OtherForward(nn.Linear):
    def forward(self, input):
        return super().forward(input) * 2


class OtherInside(nn.Conv2d):
    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, weight * 2, bias)


class OtherCall(nn.Linear):
    def __call__(self, x):
        return x


class OtherField(nn.Linear):
    weight = property(lambda self: self._parameters["weight"] * 2)


class BelowOther(OtherForward):
    pass


@pytest.mark.parametrize(("cls", "accepted"), [
    (nn.Linear, True), (Trivial, True), (WithInit, True), (OtherForward, False), (OtherInside, False),
    (OtherCall, False), (OtherField, False), (BelowOther, False), (nn.Module, False),
    (type("Linear", (nn.Module,), {"forward": lambda self, x: x}), False)])
def test_an_ancestors_rule_counts_when_nothing_was_redefined(cls, accepted):
    assert (layer_rule(cls) is not None) is accepted


def test_a_rule_for_the_subclass_itself_comes_first():
    layer(OtherForward)(lambda m: mx.Doubled())
    assert layer_rule(OtherForward).cls is OtherForward and layer_rule(BelowOther).cls is OtherForward


def test_a_forward_put_on_the_class_later_is_noticed():
    class Late(nn.Linear):
        pass

    assert layer_rule(Late) is not None
    Late.forward = lambda self, x: x
    assert layer_rule(Late) is None


def test_refuse_names_argument_value_and_hint():
    with pytest.raises(Refused, match="padding_mode='circular': use zeros") as caught:
        refuse("padding_mode", "circular", "use zeros")
    assert (caught.value.argument, caught.value.value, caught.value.hint) == ("padding_mode", "circular", "use zeros")
    assert len(str(Refused("x", "a" * 500))) < 140
    assert str(Refused("inplace")) == "inplace"


def test_caveats_are_collected_once_and_only_inside():
    caveat("outside: nobody listens")
    with collecting_caveats() as outer:
        caveat("a")
        caveat("a")
        with collecting_caveats() as inner:
            caveat("b")
        caveat("c")
    assert (outer, inner) == (["a", "c"], ["b"])


def test_a_rules_standing_caveat():
    op(NAME, caveat="always")(lambda x: caveat("also") or mx.abs(x))
    rule = op_rule(NAME)
    emitted = emit_op(rule, bind(rule, NAME, (Array(1, (2,), "float32"),), {}), ())
    assert emitted.caveats == ("always", "also") and str(emitted.value) == "mx.abs($1)"


def x(index=1, shape=(2, 3), order=None):
    return Array(index, shape, "float32", order)


def emitted(args, kwargs=None, name=NAME):
    rule = op_rule(name)
    return str(emit_op(rule, bind(rule, name, args, kwargs or {}), ()).value)


def test_rename():
    rename(NAME, "mx.concatenate", dim="axis")
    assert op_rule(NAME).file == __name__ and op_rule(NAME).summary == "`mx.concatenate`"
    assert emitted(((x(1), x(2)), 1)) == "mx.concatenate([$1, $2], axis=1)"
    assert emitted((x(),), {"dim": -1}) == "mx.concatenate($1, axis=-1)"
    assert emitted((x(order=(1, 0)),), {"dim": 0}) == "mx.concatenate($1, axis=-1)"
    with pytest.raises(Refused, match="keepdim=True: not covered"):
        emitted((x(),), {"keepdim": True})


@pytest.mark.parametrize(("args", "kwargs", "message"), [
    ((x(), 1, 2), {}, "positional argument 3"), ((x(),), {"colour": 1}, "colour=1: not covered by the rule"),
    ((), {}, "called without it"), ((x(),), {"dtype": torch.int8}, "dtype=torch.int8")])
def test_arguments_outside_a_rule_are_refused_by_name(args, kwargs, message):
    op(NAME)(lambda x, dim=0: mx.f(x, dim))
    with pytest.raises(Refused, match=message):
        emitted(args, kwargs)


@pytest.mark.parametrize("kwargs", [
    {"out": None}, {"dtype": None}, {"device": "cpu"}, {"axis": 0}, {"requires_grad": True}])
def test_arguments_that_change_nothing_pass(kwargs):
    op(NAME)(lambda x, dim=0: mx.f(x, dim))
    assert emitted((x(),), kwargs) == "mx.f($1, 0)"


def test_a_layer_rule_may_give_more_than_a_constructor():
    class Own(nn.Linear):
        def forward(self, x):
            return x

    layer(Own, weights=lambda m: {"weight": None})(lambda m: Layer(mx.Own(m.in_features)))
    made = emit_layer(Own(3, 4))
    assert str(made.layer.constructor) == "mx.Own(3)" and made.weights == {"weight": None}


class Entry:
    def __init__(self, action):
        self.load = action


@pytest.fixture
def fresh_load(monkeypatch):
    """load_rules as in a new process, but for the files that are imported already."""
    registry._import_rules.cache_clear()
    monkeypatch.setattr(registry, "_failure", None)
    yield monkeypatch
    registry._import_rules.cache_clear()
    monkeypatch.undo()
    load_rules()


def test_installed_packages_bring_rules(fresh_load):
    asked = []

    def entries(group):
        asked.append(group)
        return [Entry(lambda: op(NAME)(lambda x: mx.plugin(x)))]

    fresh_load.setattr(importlib.metadata, "entry_points", entries)
    assert str(op_rule("torch.Tensor.t2m_test_operation").emit(mx.a)) == "mx.plugin(mx.a)"
    assert asked == ["t2m_notebook.rules"]


def test_a_rule_file_that_fails_says_so_every_time(fresh_load):
    calls = []

    def broken():
        calls.append(1)
        op(f"{NAME}_{len(calls)}")(lambda x: x)
        raise ImportError("the plugin is broken")

    fresh_load.setattr(importlib.metadata, "entry_points", lambda group: [Entry(broken)])
    for _ in range(3):
        with pytest.raises(ImportError, match="the plugin is broken"):
            op_rule("torch.relu")
    assert len(calls) == 1
