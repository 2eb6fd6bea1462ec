"""One MLX class per torch class: names, loops, shared classes, stubs, weights stored once."""

from __future__ import annotations

import ast
import keyword

import mlx.nn
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from t2m_notebook.port.names import MODULE_NAMES, attribute_name, variable_name
from t2m_notebook.session import port

from .support import ported, proven

X = torch.randn(2, 4)


@given(st.text(max_size=12))
def test_any_name_becomes_an_attribute_that_mlx_finds(name):
    made = attribute_name(name)
    assert made.isidentifier() and not made.startswith("_") and not keyword.iskeyword(made)
    assert not hasattr(mlx.nn.Module(), made)


@given(st.text(max_size=12))
def test_any_name_becomes_a_variable(name):
    made = variable_name(name)
    assert made.isidentifier() and not keyword.iskeyword(made) and made not in {"mx", "nn", "self", "math"}


def test_every_name_of_mlx_modules_own_is_known():
    own = {name for name in dir(mlx.nn.Module) if not name.startswith("_")} | {"training", "state"}
    assert own <= MODULE_NAMES


class Collides(nn.Module):
    """Names that MLX's Module answers to itself, hides, or can't spell."""

    def __init__(self):
        super().__init__()
        self.keys, self.values, self.items = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self._private = nn.Linear(4, 4)
        self.update = nn.Parameter(torch.randn(4))
        self.register_buffer("state", torch.randn(4))
        self.add_module("class", nn.Linear(4, 4))

    def forward(self, mx, nn=None):
        load = self.keys(mx) + self.values(mx)
        self_ = self.items(load) + self._private(load)
        return getattr(self, "class")(self_) * self.update + self.state


def test_names_that_collide():
    made = proven(Collides(), X)
    names = {name for name in made.weights}
    assert {"keys_.weight", "values_.weight", "items_.weight", "private.weight", "class_.weight"} <= names
    assert {"update_", "state_"} <= names


class Block(nn.Module):
    def __init__(self, width=4, factor=2, scale=1.0, act=None):
        super().__init__()
        self.width, self.scale = width, scale
        self.up, self.down = nn.Linear(width, width * factor), nn.Linear(width * factor, width)
        self.act = act

    def forward(self, x):
        y = self.up(x)
        y = torch.tanh(y) if self.act == "tanh" else torch.relu(y)
        return x + self.down(y) * self.scale


class Stack(nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(4)

    def forward(self, hidden):
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)


def methods(source: str) -> dict[str, ast.FunctionDef]:
    return {n.name: n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)}


def test_equal_blocks_share_a_class_and_stand_in_a_loop():
    made = proven(Stack(Block(), Block(), Block()), X)
    assert list(made.cells) == ["Block", "Stack"] and made.cells["Block"].paths == ("blocks.0", "blocks.1", "blocks.2")
    body = methods(made.cells["Stack"].source)["__call__"].body
    loops = [n for n in body if isinstance(n, ast.For)]
    assert len(loops) == 1 and ast.unparse(loops[0].iter) == "self.blocks" and ast.unparse(loops[0].target) == "block"
    assert "for _ in range(3)" in made.cells["Stack"].source
    assert not methods(made.cells["Block"].source)["__init__"].args.args[1:]


def test_what_differs_becomes_a_constructor_argument_with_torchs_name():
    made = proven(Stack(Block(scale=0.5), Block(scale=0.25, factor=3)), X)
    assert list(made.cells) == ["Block", "Stack"]
    arguments = [a.arg for a in methods(made.cells["Block"].source)["__init__"].args.args]
    assert arguments[0] == "self" and "scale" in arguments and len(arguments) == 3
    assert "scale=0.5" in made.cells["Stack"].source and "scale=0.25" in made.cells["Stack"].source
    assert "self.scale" in made.cells["Block"].source


def test_another_path_through_the_forward_is_a_variant():
    made = proven(Stack(Block(), Block(act="tanh"), Block()), X)
    assert list(made.cells) == ["Block", "Block2", "Stack"]
    assert "tanh" in made.cells["Block2"].source and "tanh" not in made.cells["Block"].source
    assert made.cells["Block2"].paths == ("blocks.1",)


def test_two_classes_of_one_name():
    other = type("Block", (nn.Module,), {"forward": lambda self, x: x.sin()})
    made = proven(Stack(Block(), other()), X)
    assert len(made.cells) == 3 and made.source.count("class Block") == 2


def test_docstrings_say_where_a_class_comes_from():
    made = ported(Stack(Block()), X)
    assert f'"""Ported from {__name__}.Block."""' in made.cells["Block"].source
    assert made.origin == f"{__name__}.Stack" and made.origin in made.source


def test_variables_keep_the_names_of_the_source():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, hidden_states):
            query = self.query(hidden_states)
            key = self.key(hidden_states)
            scores = query @ key.transpose(0, 1)
            return scores.softmax(-1) @ scores

    source = ported(Named(), X).cells["Named"].source
    call = methods(source)["__call__"]
    assert [a.arg for a in call.args.args] == ["self", "hidden_states"]
    assert "scores = " in source and source.count("scores") >= 3


def test_an_unportable_class_is_a_stub_that_says_why():
    class Odd(nn.Module):
        def forward(self, x):
            return torch.geqrf(x)[0]

    class Holder(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine, self.odd = nn.Linear(4, 4), Odd()

        def forward(self, x):
            return self.odd(self.fine(x))

    made = port(Holder(), X)
    try:
        assert [p.partition(":")[0] for p in made.problems] == ["Odd"] and "geqrf" in made.problems[0]
        assert "NotImplementedError" in made.cells["Odd"].source and "geqrf" in made.cells["Odd"].source
        assert "Not ported: Odd" in made.source
        report = made.parity()
        assert not report.ok and report.counts["PROVEN"] >= 1  # the part that can be is proven all the same
    finally:
        made.close()


def test_tied_weights_are_stored_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, ids):
            return self.head(self.embed(ids))

    made = proven(Tied(), torch.tensor([[1, 2, 6]]))
    assert list(made.weights) == ["embed.weight"]
    receipt, = [r for r in made.receipts if r.target is None]
    assert receipt.source == "head.weight" and receipt.reason == "the same tensor as embed.weight"


def test_a_shared_module_is_one_object():
    layer = nn.Linear(4, 4)
    made = proven(nn.Sequential(layer, nn.ReLU(), layer), X)
    assert len(made.weights) == 2


def test_buffers_are_not_trained():
    class Buffers(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("table", torch.randn(4))
            self.register_buffer("unsaved", torch.randn(4), persistent=False)
            self.scale = nn.Parameter(torch.randn(4))
            self.norm = nn.BatchNorm1d(4)
            self.plain = torch.randn(4)

        def forward(self, x):
            return self.norm(x) * self.scale + self.table + self.unsaved + self.plain

    made = proven(Buffers(), X)
    import mlx.utils
    model = made.build()
    trained = {name for name, _ in mlx.utils.tree_flatten(model.trainable_parameters())}
    everything = {name for name, _ in mlx.utils.tree_flatten(model.parameters())}
    assert trained == {"scale", "norm.weight", "norm.bias"}
    assert everything == set(made.weights) >= {"table", "unsaved", "plain", "norm.running_mean", "norm.running_var"}


@pytest.mark.parametrize("model", [nn.Linear(4, 3), nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.ReLU()])
def test_models_that_are_one_layer(model):
    proven(model, X)
