"""Reads and writes through brackets."""

import pytest
import torch

from t2m_notebook.rules import Expr
from tests.rules.op_checks import ORDERS, check
from tests.rules.replay import replay

READS = """x[0] | x[-1] | x[:, 1] | x[..., -1] | x[:, :, ::2] | x[None] | x[:, None] | x[..., None] | x[None, ..., None]
x[0, :, None] | x[1:, 0] | x[:, :2] | x[...] | x[()] | x[:] | x[i] | x[:, i] | x[..., i] | x[i, j] | x[i, :, j]
x[0, :, j] | x[0, j] | x[:, 0, j] | x[i, 1:] | x[ij] | x[:, ij] | x[[0, 2]] | x[[0, 2], [1, 1]]
x[:, [[0, 1], [2, 2]]] | x[m] | x[:, m4] | x[m2] | x[m, 1] | x[m, :, 0] | x[x > 0] | x[z] | x[:, z] | x[z, :, j]
x[z, z] | x[True] | x[False] | x[mb] | x[:z] | x[:, z:] | x[range(2)] | x[[True, False, True]] | x[i, None]
x[None, i] | x[i[:, None], j] | x[m & False] | x[-2:, ..., 1:3] | x[..., :, 0] | x[0, 0, 0] | x[i.int()]
x[m2, 1:3] | x[m2.byte()] | x[:, :, -1, None] | x[i, ..., 0] | x[x.shape[0] // 2:] | x[:, :, x.size(2) - 1]
x[1, None, :, 2:4] | x[-i] | x[torch.tensor([], dtype=torch.long)]"""
IMAGE_READS = """x[:, 0] | x[:, :, 0] | x[..., 0] | x[:, :, 1:, 1:] | x[..., ::2, :] | x[:, None] | x[:, :, None, 0]
x[:, :, :, :, None] | x[:, 0, None] | x[:, [0, 2]] | x[..., 0::2, 1::2] | x[:, :2] | x[None, :, 1] | x[0] | x[0, 1]
x[:, :, 0, 0] | x[..., None, None] | x[:, 1, 2] | x[:, :, :, -1] | x[:, m] | x[:, :, :, None, None, 0]"""
WRITES = """x[0] = 1 | x[:, 1] = v | x[..., -1] = 2 | x[:, :, ::2] = 0.5 | x[:, 1:3] = w[:, 1:3] | x[0] = w[0]
x[:] = w | x[...] = 1. | x[i] = 1 | x[i] = w[i] | x[:, i] = w[:, :2] | x[i, j] = 7 | x[i, :, j] = 9 | x[i, j] = row
x[m] = 3 | x[m] = row | x[m2] = 4 | x[m2] = row | x[x > 0] = 0 | x[w > 0] = v | x[w > 0] = w[w > 0] | x[:, m4] = 1
x[:, m4] = row | x[0, :, j] = 1 | x[0, :, j] = w[0, :, :2] | x[0, 0, 0] = 1 | x[:, 0, None] = w[:, :1] | x[z] = 1
x[mb] = 3 | x[True] = 2 | x[False] = 2 | x[[0, 2]] = 5 | x[m, 1] = 2 | x[m] = w[m] | x[m2] = w[m2] | x[0] = row
x[0:1] = w[0] | x[0] = w[:1] | x[1, None] = w[0] | x[m] = w[0] | x[m2] = row[None] | x[:z] = 1 | x[m] = w[:1]
x[()] = 3 | x[:, i, j] = w[:, i, j] | x[-1, ..., 1:] = w[0, ..., 1:]"""


def parts(text):
    return [part.strip() for line in text.splitlines() for part in line.split("|")]


def given():
    torch.manual_seed(0)
    return {"x": torch.randn(3, 4, 5), "w": torch.randn(3, 4, 5), "i": torch.tensor([0, 2]), "j": torch.tensor([1, 0]),
            "m": torch.tensor([True, False, True]), "m4": torch.tensor([True, False, True, True]),
            "m2": torch.randn(3, 4) > 0, "z": torch.tensor(1), "mb": torch.tensor(True),
            "ij": torch.tensor([[0, 1], [2, 0]]), "v": torch.tensor(2.5), "row": torch.randn(5)}


def run(code, orders, values):
    for value in values.values():
        value.requires_grad_(value.is_floating_point())

    def function(**names):
        names["torch"] = torch
        if "=" not in code.replace("==", ""):
            return eval(code, names)
        names["x"] = names["x"] * 1.0
        exec(code, names)
        return names["x"]

    return replay(function, (), values, orders=orders)


@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("code", parts(READS))
def test_read(code, orders):
    values = {key: value for key, value in given().items() if key not in ("w", "v", "row")}
    outcome = run(code, orders, values)
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("code", parts(IMAGE_READS))
def test_read_of_an_image(code, orders):
    outcome = run(code, orders, {"x": torch.randn(2, 3, 4, 5), "m": torch.tensor([True, False, True])})
    assert outcome.kind == "matched", outcome
    assert "transpose" not in outcome.source.partition("return")[0].partition("v2 =")[0] or orders == "standard"


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("code", parts(WRITES))
def test_write(code, orders):
    outcome = run(code, orders, given())
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float16])
def test_a_written_scalar_takes_the_dtype_of_the_target(dtype):
    def function(x, mask):
        x = x.clone()
        x[mask] = 1.7
        x[0] = 2
        return x
    assert replay(function, (torch.ones(3, 4).to(dtype), torch.eye(3, 4) > 0), gradients=False).kind == "matched"


@pytest.mark.parametrize("code", ["x[...] = 1.5", "x[:] = w", "x[None] = w", "x[()] = w", "x[...] = w", "x[0] = w[0]"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16])
def test_a_write_keeps_the_dtype_of_the_target(code, dtype):
    def function(x, w):
        x = x.clone()
        exec(code, {"x": x, "w": w})
        return x
    outcome = replay(function, (torch.ones(3, 4).to(dtype), torch.randn(3, 4) * 5), gradients=False)
    assert outcome.kind == "matched", outcome


def test_a_strided_slice_of_a_channels_last_image_stays_a_slice():
    source = run("x[:, :, ::2, 1:]", "channels last", {"x": torch.randn(2, 3, 4, 6)}).source
    assert "v0[:, ::2, 1:]" in source


def test_a_mask_read_says_that_it_evaluates():
    outcome = run("x[x > 0]", "standard", {"x": torch.randn(3, 4)})
    assert any("mx.compile" in said for said in outcome.caveats)


def test_a_write_shows_what_is_assigned():
    from t2m_notebook.rules.indexing import SetItem
    target, value = Expr(__import__("ast").Name("x")), 1
    written = SetItem(target, (slice(None), 0), value)
    assert (written.target, written.index, written.value) == (target, (slice(None), 0), value)
    assert str(written).startswith("set_item(x, (slice(None")


@pytest.mark.parametrize("name", ["__getitem__", "index_put"])
def test_samples(name):
    check(name)
