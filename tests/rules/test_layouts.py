"""Layouts answer for a call both ways, and the two answers agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t2m_notebook.rules import Array, Call, OutputFacts, layouts, standard
from t2m_notebook.rules.array import channels_last
from t2m_notebook.rules.layouts import (
    AXIS,
    CHANNELS_LAST,
    FEATURES_LAST,
    POINTWISE,
    REDUCE,
    STANDARD,
    broadcasts_in,
    dims_of,
    drop,
    fit,
    insert,
)

orders = st.integers(1, 5).flatmap(lambda n: st.permutations(range(n))).map(tuple)


@given(orders, st.data())
def test_drop_is_what_reducing_leaves(order, data):
    dims = data.draw(st.sets(st.sampled_from(range(len(order)))))
    sizes = tuple(range(2, 2 + len(order)))
    moved = np.empty(tuple(sizes[d] for d in order)).sum(axis=tuple(order.index(d) for d in dims))
    kept = [s for d, s in enumerate(sizes) if d not in dims]
    assert moved.shape == tuple(kept[d] for d in drop(order, dims))


@given(orders, st.data())
def test_insert_undoes_drop(order, data):
    dim = data.draw(st.integers(0, len(order)))
    wider = insert(order, dim)
    assert sorted(wider) == list(range(len(order) + 1))
    assert drop(wider, {dim}) == order
    if order == standard(len(order)):
        assert wider == standard(len(order) + 1)


@given(orders, st.data())
def test_fit_lines_up_where_it_says_so(order, data):
    ndim = data.draw(st.integers(0, len(order)))
    fitted = fit(order, ndim)
    assert sorted(fitted) == list(range(ndim))
    if broadcasts_in(order, ndim):
        missing = len(order) - ndim
        sizes = tuple(range(2, 2 + len(order)))
        small = tuple(sizes[missing:][d] for d in fitted)
        assert np.broadcast_shapes(tuple(sizes[d] for d in order), small) == tuple(sizes[d] for d in order)


@pytest.mark.parametrize(("value", "ndim", "dims"), [
    (None, 3, [0, 1, 2]), ((), 2, [0, 1]), ([], 2, [0, 1]), (-1, 3, [2]), ((0, -2), 3, [0, 1]), (0, 0, [0])])
def test_dims_of(value, ndim, dims):
    assert dims_of(value, ndim) == dims


def array(shape, order=None, parameter=False):
    return Array(1, shape, "float32", order, is_parameter=parameter)


def call(outputs, **arguments):
    return Call("torch.f", arguments, tuple(OutputFacts(s, "float32", standard(len(s))) for s in outputs))


NHWC = (0, 2, 3, 1)
IMAGE = (2, 3, 5, 7)


@pytest.mark.parametrize(("layout", "arrays", "outputs", "arguments", "inputs", "results"), [
    (STANDARD, [array(IMAGE, NHWC)], [IMAGE], {}, [(0, 1, 2, 3)], [(0, 1, 2, 3)]),
    (POINTWISE, [array(IMAGE, NHWC), array(IMAGE)], [IMAGE], {}, [NHWC, NHWC], [NHWC]),
    (POINTWISE, [array(IMAGE, NHWC), array((1,))], [IMAGE], {}, [NHWC, (0,)], [NHWC]),
    (POINTWISE, [array(IMAGE, NHWC), array((7,))], [IMAGE], {}, [(0, 1, 2, 3), (0,)], [(0, 1, 2, 3)]),
    (POINTWISE, [array(IMAGE, parameter=True), array(IMAGE, NHWC)], [IMAGE], {}, [NHWC, NHWC], [NHWC]),
    (AXIS, [array(IMAGE, NHWC), array(IMAGE, NHWC)], [(2, 6, 5, 7)], {}, [NHWC, NHWC], [NHWC]),
    (REDUCE, [array(IMAGE, NHWC)], [(2, 3)], {"dim": (2, 3)}, [NHWC], [(0, 1)]),
    (REDUCE, [array(IMAGE, NHWC)], [(2, 5, 7)], {"dim": 1}, [NHWC], [(0, 1, 2)]),
    (REDUCE, [array(IMAGE, NHWC)], [(2, 3, 1, 1)], {"dim": (2, 3)}, [NHWC], [NHWC]),
    (REDUCE, [array(IMAGE, NHWC)], [()], {}, [NHWC], [()]),
    (CHANNELS_LAST, [array(IMAGE)], [(2, 4, 3, 5)], {}, [NHWC], [NHWC]),
    (CHANNELS_LAST, [array((2, 3))], [(2, 3)], {}, [(0, 1)], [(0, 1)]),
    (FEATURES_LAST, [array(IMAGE, NHWC)], [(2, 3, 5, 9)], {}, [(0, 2, 1, 3)], [(0, 2, 1, 3)]),
    (FEATURES_LAST, [array(IMAGE, (1, 0, 2, 3))], [IMAGE], {}, [(1, 0, 2, 3)], [(1, 0, 2, 3)]),
])
def test_forward(layout, arrays, outputs, arguments, inputs, results):
    plan = layout.forward(call(outputs, **arguments), arrays, [None] * len(outputs))
    assert list(plan.inputs) == inputs and list(plan.outputs) == results


@pytest.mark.parametrize("layout", [
    STANDARD, POINTWISE, AXIS, REDUCE, CHANNELS_LAST, FEATURES_LAST], ids=lambda x: x.name)
@given(data=st.data())
def test_what_backward_asks_for_is_free_forward(layout, data):
    """With the arguments as backward wishes, forward moves none of them and gives what was wanted."""
    ndim = data.draw(st.integers(1, 4))
    want = tuple(data.draw(st.permutations(range(ndim))))
    shape = tuple(range(2, 2 + ndim))
    asked = layout.backward(call([shape]), [array(shape)], [want])
    assert len(asked) == 1
    if asked[0] is None:
        return
    plan = layout.forward(call([shape]), [array(shape, asked[0])], [want])
    assert plan.inputs == (asked[0],)
    if layout is not CHANNELS_LAST:
        assert plan.outputs == (want,)
    else:
        assert plan.outputs == (channels_last(ndim),)


def test_every_layout_of_the_file_is_tested_here():
    found = {value for value in vars(layouts).values() if isinstance(value, layouts.Layout)}
    assert found == {STANDARD, POINTWISE, AXIS, REDUCE, CHANNELS_LAST, FEATURES_LAST}
