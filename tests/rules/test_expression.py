"""Expressions under construction: what they print, what they refuse, and sizes that know where they are from."""

from __future__ import annotations

import ast
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2m_notebook.rules import Array, Expr, Size, mx, nn, to_node
from t2m_notebook.rules.expression import SizeFloat, binary, blocks, compare, mlx_dtype, render
from t2m_notebook.rules.substitute import mentions, size_of, substitute, value_of

X, Y = Array(1, (2, 3), "float32"), Array("2@1-0", (3,), "int64")


@pytest.mark.parametrize(("expression", "text"), [
    (mx.concatenate([X, Y], axis=-1), "mx.concatenate([$1, $2@1-0], axis=-1)"),
    ((X + 1) * 2, "($1 + 1) * 2"), (X + 1 * 2, "$1 + 2"), (2 ** -X, "2 ** (-$1)"), (1 - (2 - X), "1 - (2 - $1)"),
    (-(X @ Y), "-($1 @ $2@1-0)"), (~(X > 0) & (Y == 1), "~($1 > 0) & ($2@1-0 == 1)"), (X[0], "$1[0]"),
    (X[1:, None, ..., ::2], "$1[1:, None, ..., ::2]"), (X[:, Y], "$1[:, $2@1-0]"),
    (X.astype(mx.int32), "$1.astype(mx.int32)"),
    (nn.relu(X), "nn.relu($1)"), (blocks.pad(X), "pad($1)"), (mx.f(float("-inf")), "mx.f(-float('inf'))"),
    (mx.f(float("nan")), "mx.f(float('nan'))"), (mx.f(-0.0), "mx.f(-0.0)"),
    (mx.f((1,), [], {"a": 1}), "mx.f((1,), [], {'a': 1})"),
    (mx.f(1 + 2j), "mx.f(complex(1.0, 2.0))"), (mx.f(slice(1, None, 2)), "mx.f(slice(1, None, 2))"),
    (mx.f(torch.float16), "mx.f(mx.float16)"), (mx.f(True, None, "a'b"), 'mx.f(True, None, "a\'b")'),
    (binary(1, "floordiv", X), "1 // $1"), (compare(1, ast.NotIn, X), "1 not in $1"), (1 < X, "$1 > 1")])
def test_what_is_printed(expression, text):
    assert str(expression) == text and repr(expression) == f"Expr({text!r})"


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(), st.complex_numbers()))
def test_a_literal_reads_back_as_itself(value):
    back = eval(render(to_node(value)), {"float": float, "complex": complex})
    assert type(back) is type(value) and (repr(back) == repr(value) or back == value)


@pytest.mark.parametrize(("use", "message"), [
    (lambda: bool(X > 0), "branched on the emitted expression"), (lambda: [*X], "iterated over"),
    (lambda: X in [Y], "branched"), (lambda: to_node(object()), "no literal form for builtins.object"),
    (lambda: mx.f(torch.ones(1)), "no literal form for torch.Tensor")])
def test_what_a_rule_must_not_do(use, message):
    with pytest.raises(TypeError, match=message):
        use()


@pytest.mark.parametrize(("dtype", "text"), [
    (torch.float64, "mx.float32"), (torch.bool, "mx.bool_"), ("bfloat16", "mx.bfloat16"),
    (torch.complex128, "mx.complex64")])
def test_dtypes(dtype, text):
    assert str(mlx_dtype(dtype)) == text
    with pytest.raises(KeyError):
        mlx_dtype(torch.float8_e4m3fn)


N, M = Size.of(12, 1, 0), Size.of(5, 2, -1)


@pytest.mark.parametrize("make", [
    lambda n, m: n + m, lambda n, m: n - 3, lambda n, m: 3 - n, lambda n, m: n * m // 2, lambda n, m: n % m,
    lambda n, m: -n, lambda n, m: n ** 2, lambda n, m: 2 ** m, lambda n, m: n / m, lambda n, m: n * 0.5,
    lambda n, m: math.ceil(n / m), lambda n, m: math.floor(n / m),
    lambda n, m: round(n / m), lambda n, m: n ** -0.5, lambda n, m: (n / m) * m + 1, lambda n, m: -(n / m),
    lambda n, m: +n, lambda n, m: math.trunc(n / m)])
def test_arithmetic_keeps_value_and_expression(make):
    made = make(N, M)
    assert isinstance(made, (Size, SizeFloat)) and made == make(12, 5)
    whole = isinstance(make(12, 5), int)
    assert isinstance(made, Size if whole else SizeFloat)
    node = substitute(made.node, lambda index: ast.Name(f"v{index}"),
                      lambda index, dim: ast.Constant({1: 24, 2: 7}[index]))
    assert eval(render(node), {"math": math}) == make(24, 7)


@pytest.mark.parametrize("make", [
    lambda n: n == 12, lambda n: n > 3, lambda n: bool(n), lambda n: int(n), lambda n: n + True])
def test_questions_give_plain_answers(make):
    assert make(N) == make(12) and not isinstance(make(N), (Size, SizeFloat))


def test_a_float_on_the_left_drops_the_expression():
    """Python asks the float first, which takes any int: recording at another size finds these."""
    assert type(0.5 * N) is float and 0.5 * N == 6.0


def test_division_by_zero_is_still_an_error():
    with pytest.raises(ZeroDivisionError):
        N // 0


def test_an_arrays_sizes_and_axes():
    array = Array(7, (2, 3, 4), "float32", (0, 2, 1))
    assert array.shape == (2, 3, 4) and str(Expr(array.shape[1].node)) == "$7.$shape[1]"
    assert array.numel == 24 and isinstance(array.numel, Size)
    assert [array.axis(d) for d in (0, 1, 2, -1, -2)] == [0, -1, 1, 1, -1]
    assert [Array(7, (2, 3), "int8").axis(d) for d in (0, 1, -1)] == [0, 1, -1]
    assert (array.is_floating, array.is_integer, array.is_standard) == (True, False, False)
    assert Array(1, (), "bfloat16").is_floating and Array(1, (), "uint8").is_integer
    assert not Array(1, (), "bool").is_integer and Array(1, (), "complex64").is_complex


def test_substitute_copies_and_leaves_the_original_alone():
    node = (X[M] + Y.astype(mx.int8) * N).node
    before = ast.dump(node)
    made = substitute(node, lambda index: ast.Name(f"v{str(index)[0]}", ast.Load()),
                      lambda index, dim: ast.parse(f"v{index}.shape[{dim}]", mode="eval").body)
    assert render(made) == "v1[v2.shape[-1]] + v2.astype(mx.int8) * v1.shape[0]"
    assert ast.dump(node) == before
    for part in ast.walk(made):
        if isinstance(part, ast.Name):
            part.id = "changed"
    assert ast.dump(node) == before


def test_leaves_and_what_is_mentioned():
    assert value_of(X.node) == 1 and value_of(Y.node) == "2@1-0" and value_of(mx.node) is None
    assert size_of(N.node) == (1, 0) and size_of(X[0].node) is None
    values, sizes = mentions((X + X * Y + N).node)
    assert values == {1: 2, "2@1-0": 1} and sizes == {(1, 0): 1}
