"""Axis moves: the inverse is the move read backwards, whatever the move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2m_notebook.rules import AxisMove


@st.composite
def moves(draw):
    """A move that permutes, splits and merges, with the shape that it takes."""
    names = list("OIHWD")[: draw(st.integers(1, 5))]
    sizes = {name: draw(st.integers(1, 4)) for name in names}

    def side(order):
        parts, position = [], 0
        while position < len(order):
            size = draw(st.integers(1, 3))
            parts.append(order[position: position + size])
            position += size
        return parts

    def text(parts):
        return " ".join(p[0] if len(p) == 1 else f"({' '.join(p)})" for p in parts)
    left, right = side(names), side(draw(st.permutations(names)))
    move = AxisMove(f"{text(left)} -> {text(right)}", tuple(sizes.items()))
    return move, tuple(int(np.prod([sizes[n] for n in part])) for part in left)


@given(moves())
def test_there_and_back(given_move):
    move, shape = given_move
    array = np.arange(np.prod(shape)).reshape(shape)
    moved = move.apply(array)
    assert moved.shape == move.shape(shape)
    back = move.inverse().apply(moved)
    assert np.array_equal(back, array) and back.shape == array.shape
    assert move.inverse().inverse().sides == move.sides


@given(moves())
def test_torch_and_numpy_agree(given_move):
    move, shape = given_move
    array = np.arange(np.prod(shape)).reshape(shape)
    assert np.array_equal(move.apply(torch.from_numpy(array)).numpy(), move.apply(array))


@given(st.integers(0, 6).flatmap(lambda n: st.permutations(range(n))))
def test_of_order(order):
    order = tuple(order)
    move = AxisMove.of_order(order)
    assert move.order == order and move.is_identity == (order == tuple(range(len(order))))
    array = np.empty(tuple(range(2, 2 + len(order))))
    assert move.apply(array).shape == array.transpose(order).shape


@pytest.mark.parametrize(("pattern", "order"), [
    ("OIHW->OHWI", (0, 2, 3, 1)), ("OIL->OLI", (0, 2, 1)), ("O I H W -> O H W I", (0, 2, 3, 1)),
    ("IODHW->ODHWI", (1, 2, 3, 4, 0)), ("a1 a2->a2 a1", (1, 0))])
def test_named_moves(pattern, order):
    assert AxisMove(pattern).order == order
    tensor = torch.rand(tuple(range(2, 2 + len(order))))
    assert torch.equal(AxisMove(pattern).apply(tensor), tensor.permute(order))


def test_columns_of_a_linear_after_a_flatten():
    move = AxisMove("O (C H W) -> O (H W C)", (("H", 3), ("W", 4)))
    weight, image = torch.randn(5, 2 * 3 * 4), torch.randn(1, 2, 3, 4)
    moved = move.apply(weight)
    torch.testing.assert_close(image.flatten(1) @ weight.T, image.permute(0, 2, 3, 1).flatten(1) @ moved.T)
    assert torch.equal(move.inverse().apply(moved), weight)
    assert move.shape((5, 24)) == (5, 24) and not move.is_identity


@pytest.mark.parametrize(("pattern", "sizes", "shape", "message"), [
    ("OIHW", (), (1, 1, 1, 1), "expected 'from->to'"),
    ("OI->OH", (), (1, 1), "both sides must name the same axes once"),
    ("OO->OO", (), (1, 1), "both sides must name the same axes once"),
    ("OI->O", (), (1, 1), "both sides must name the same axes once"),
    ("OIHW->OHWI", (), (2, 3), r"4 axes named, shape \(2, 3\) has 2"),
    ("O (C H)->O (H C)", (), (2, 6), "size 6 does not split into"),
    ("O (C H)->O (H C)", (("H", 4),), (2, 6), "size 6 does not split into"),
    ("(C H)->(H C)", (("H", 2), ("C", 2)), (6,), "size 6 does not split into"),
    ("(C H)->(H C)", (("H", 0),), (6,), "does not split"),
])
def test_moves_that_do_not_fit(pattern, sizes, shape, message):
    with pytest.raises(ValueError, match=message):
        AxisMove(pattern, sizes).apply(np.zeros(shape))
