"""The autograd graph as torch built it: order, sums, saved tensors, what stands in the way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from t2m_notebook.capture.gradient_graph import read_graph
from t2m_notebook.capture.gradient_nodes import operation_name
from t2m_notebook.capture.gradient_sources import SourceTracer
from t2m_notebook.errors import BadExample
from t2m_notebook.types import GradientGraph, GradientNode


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, requires_grad=True)


def classic():
    a, b = scalar(2.0), scalar(3.0)
    c, d = a * b, a + b
    e = c * d
    return e**2, {"a": a, "b": b, "c": c, "d": d, "e": e}


def number(value) -> float:
    (found,) = value.numbers
    return found


def named(graph: GradientGraph, label: str) -> GradientNode:
    return next(node for node in graph.nodes if node.label == label)


def test_the_classic_example_step_by_step() -> None:
    loss, names = classic()
    graph = read_graph(loss, names={**names, "L": loss}).graph
    assert [node.label for node in graph.nodes] == ["L", "e", "d", "c", "a", "b"]  # the order of torch's engine
    assert {n.label: number(n.gradient) for n in graph.nodes} == {
        "L": 1, "e": 60, "c": 300, "d": 360, "a": 1260, "b": 960}
    assert {n.label: number(n.value) for n in graph.nodes} == {"a": 2, "b": 3, "c": 6, "d": 5, "e": 30, "L": 900}
    assert [number(e.contribution) for e in graph.contributions(named(graph, "a").index)] == [900, 360]
    assert [number(e.contribution) for e in graph.contributions(named(graph, "b").index)] == [600, 360]
    assert {n.expression for n in graph.nodes} == {"", "a · b", "a + b", "c · d", "e²"}
    local = {(graph.nodes[e.consumer].label, graph.nodes[e.producer].label): (number(e.local), e.formula)
             for e in graph.edges}
    assert local == {("L", "e"): (60, "2·e"), ("e", "c"): (5, "d"), ("e", "d"): (6, "c"), ("c", "a"): (3, "b"),
                     ("c", "b"): (2, "a"), ("d", "a"): (1, "1"), ("d", "b"): (1, "1")}
    assert all(node.adds_up for node in graph.nodes)


def test_the_users_tensors_stay_as_they_are() -> None:
    loss, names = classic()
    read_graph(loss, names=names)
    assert names["a"].grad is None and not names["c"]._backward_hooks
    loss.backward()  # not freed
    assert (names["a"].grad, names["b"].grad) == (torch.tensor(1260.0), torch.tensor(960.0))


def test_measuring_twice_gives_the_same() -> None:
    loss, names = classic()
    first, second = read_graph(loss, names=names).graph, read_graph(loss, names=names).graph
    assert first.nodes == second.nodes and first.edges == second.edges


def test_saved_tensors_say_name_version_and_maker() -> None:
    loss, names = classic()
    graph = read_graph(loss, names=names).graph
    saved = {one.name: one for one in named(graph, "c").saved}
    assert sorted(saved) == ["other", "self"]
    assert saved["self"].producer == named(graph, "a").index and saved["self"].version == 0
    assert (saved["self"].facts.shape, saved["self"].facts.dtype) == ((), "float32")
    assert graph.nodes[0].settings == {"exponent": "2"}


def test_a_broadcast_gradient_is_summed_back() -> None:
    rows, columns = torch.ones(3, 1, requires_grad=True), torch.ones(4, requires_grad=True)
    graph = read_graph((rows * columns).sum(), names={"rows": rows, "columns": columns}).graph
    assert named(graph, "rows").gradient.shape == (3, 1) and named(graph, "rows").gradient.numbers == (4, 4, 4)
    assert named(graph, "columns").gradient.numbers == (3, 3, 3, 3)


def test_an_operation_with_several_results() -> None:
    x = torch.arange(6.0).requires_grad_()
    low, high = x.split(3)
    graph = read_graph((low * high).sum(), names={"x": x, "low": low, "high": high}).graph
    split = next(node for node in graph.nodes if node.operation == "torch.split")
    assert split.label == "low, high" and [value.numbers for value in split.incoming] == [(3, 4, 5), (0, 1, 2)]
    assert named(graph, "x").gradient.numbers == (3, 4, 5, 0, 1, 2)


def test_a_result_that_is_not_used_gets_no_gradient() -> None:
    x = torch.arange(6.0).requires_grad_()
    graph = read_graph(x.split(3)[1].sum(), names={"x": x}).graph
    split = next(node for node in graph.nodes if node.operation == "torch.split")
    assert split.incoming[0] is None and split.incoming[1].numbers == (1, 1, 1)


def test_an_elementwise_jacobian_is_its_diagonal_and_a_product_a_matrix() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    read = read_graph((weight @ x.exp()).sum())
    forms = {read.graph.nodes[e.consumer].operation: (e.form, e.local.numbers) for e in read.graph.edges if e.local}
    form, values = forms["torch.exp"]
    assert form == "diagonal" and values == pytest.approx((math.e, math.e**2))
    assert forms["torch.mv"] == ("matrix", (1, 2, 3, 4))


@pytest.mark.parametrize("make", [
    lambda x: (x.tanh() * x).sum(), lambda x: torch.cat([x, x * 2]).pow(3).mean(),
    lambda x: torch.nn.functional.softmax(x, -1).max(), lambda x: x.view(2, 2).T.matmul(x.view(2, 2)).norm(),
    lambda x: torch.where(x > 0, x, x * x).sum(), lambda x: x[1:].cumsum(0)[-1] + x.std()])
def test_gradients_are_those_of_torch(make) -> None:
    x = torch.tensor([0.5, -1.0, 2.0, 0.1], requires_grad=True)
    graph = read_graph(make(x), names={"x": x}).graph
    (wanted,) = torch.autograd.grad(make(x), x)
    assert graph.measured and named(graph, "x").gradient.numbers == tuple(wanted.tolist())
    assert all(node.adds_up is not False for node in graph.nodes)


def test_json_reads_back_equal() -> None:
    loss, names = classic()
    graph = read_graph(loss, names=names).graph
    assert GradientGraph.from_json(graph.to_json()) == graph


def test_a_deep_graph_needs_no_recursion() -> None:
    value = x = scalar(1.0)
    for _ in range(5000):
        value = value * 1.0
    graph = read_graph(value, names={"x": x}).graph
    assert len(graph.nodes) == 5001 and number(named(graph, "x").gradient) == 1


# ------------------------------------------------------------------------------ where it comes from


def small_model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.GELU()), nn.Linear(8, 2)).eval()


def test_modules_and_lines_of_a_watched_forward() -> None:
    model, x = small_model(), torch.ones(3, 4)
    tracer = SourceTracer(model)
    with tracer.watching():
        loss = model(x).square().sum()
    graph = read_graph(loss, modules=dict(model.named_parameters()), tracer=tracer).graph
    found = {node.operation: (node.module, node.module_measured) for node in graph.nodes}
    assert found["torch.relu"] == ("1", True) and found["torch.nn.functional.gelu"] == ("2.1", True)
    assert found["torch.pow"] == ("", True)
    root = graph.nodes[0]
    assert root.source == "model(x).square().sum()" and root.location.file == __file__


def test_modules_are_concluded_from_parameters() -> None:
    model = small_model()
    loss = model(torch.ones(3, 4)).square().sum()
    graph = read_graph(loss, modules=dict(model.named_parameters())).graph
    linears = [node.module for node in graph.nodes if node.operation == "torch.addmm"]
    assert linears == ["3", "2.0", "0"]
    between = {node.operation: node.module for node in graph.nodes}
    assert between["torch.nn.functional.gelu"] == "" and between["torch.sum"] is None
    assert named(graph, "2.0.weight").module == "2.0"
    assert not any(node.module_measured for node in graph.nodes)


def test_watching_leaves_no_hook() -> None:
    before = dict(torch.nn.modules.module._global_forward_hooks)
    model = small_model()
    with pytest.raises(RuntimeError), SourceTracer(model).watching():
        model(torch.ones(3, 5))
    assert torch.nn.modules.module._global_forward_hooks == before


def test_anomaly_mode_tells_the_line() -> None:
    x = scalar(2.0)
    with pytest.warns(UserWarning, match="Anomaly Detection"), torch.autograd.detect_anomaly(check_nan=False):
        loss = x * 3
    assert read_graph(loss).graph.nodes[0].source == "loss = x * 3"


# ------------------------------------------------------------------------------ what is unusual


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


def test_a_custom_function_is_measured_and_said_to_be_one() -> None:
    x = scalar(3.0)
    graph = read_graph(Square.apply(x) * 2, names={"x": x}).graph
    node = graph.nodes[1]
    assert node.kind == "custom function" and node.operation.endswith("Square") and number(node.gradient) == 2
    assert number(named(graph, "x").gradient) == 12 and node.location.function == "Square.forward"
    assert [one.name for one in node.saved] == ["saved_tensors[0]"]
    assert any("custom torch.autograd.Function" in note for note in graph.notes)


def test_hooks_act_as_in_backward() -> None:
    x = scalar(2.0)
    y = x * 3
    y.register_hook(lambda gradient: gradient * 10)
    loss = y * y
    graph = read_graph(loss, names={"x": x, "y": y}).graph
    loss.backward()
    assert number(named(graph, "x").gradient) == x.grad.item() == 360
    assert named(graph, "y").hooks == 1 and named(graph, "y").adds_up is False
    assert any("gradient hooks" in note for note in graph.notes)
    assert any("A hook changed it" in note for note in graph.notes)


def test_a_write_in_place_is_located() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    tracer = SourceTracer()
    with tracer.watching():
        y = x.exp()
        loss = (y * y).sum()
        y.add_(1)
    graph = read_graph(loss, names={"x": x}, tracer=tracer).graph
    assert not graph.measured and "y.add_(1)" in graph.problem and "y * y" in graph.problem
    assert "written to in place once" in graph.problem
    broken = next(node for node in graph.nodes if node.operation == "torch.mul")
    assert "saved at version 0, now at version 1" in broken.problem
    assert number(graph.nodes[0].gradient) == 1  # what ran until then


def test_a_freed_graph_is_drawn_and_said_to_be_freed() -> None:
    loss, names = classic()
    loss.backward()
    graph = read_graph(loss, names=names).graph
    assert graph.freed and not graph.measured and "freed by an earlier backward()" in graph.problem
    assert len(graph.nodes) == 6 and number(named(graph, "a").existing) == 1260
    assert named(graph, "c").saved[0].problem.startswith("freed")


def test_a_retained_graph_is_not_freed() -> None:
    loss, names = classic()
    loss.backward(retain_graph=True)
    graph = read_graph(loss, names=names).graph
    assert graph.measured and not graph.freed
    assert any("already hold a .grad" in note for note in graph.notes)
    assert names["a"].grad == 1260  # nothing was added


def test_several_losses_are_their_sum() -> None:
    x = scalar(2.0)
    graph = read_graph([x * 2, x**3], names={"x": x}).graph
    assert len(graph.roots) == 2 and number(named(graph, "x").gradient) == 14 and "their sum" in graph.reduction


def test_a_gradient_to_start_with() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = read_graph(x * x, gradient=torch.tensor([1.0, 10.0]), names={"x": x}).graph
    assert named(graph, "x").gradient.numbers == (2, 40) and "gradient=" in graph.reduction


def test_double_backward() -> None:
    x = torch.tensor([2.0, 1.0], requires_grad=True)
    (first,) = torch.autograd.grad(x.sigmoid().sum(), x, create_graph=True)
    graph = read_graph(first.sum(), names={"x": x}).graph
    (wanted,) = torch.autograd.grad(first.sum(), x, retain_graph=True)
    assert named(graph, "x").gradient.numbers == pytest.approx(wanted.tolist())
    assert any("double backward" in note for note in graph.notes)


def test_complex_zero_size_and_scalar_tensors() -> None:
    z = torch.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    graph = read_graph((z * z.conj()).real.sum(), names={"z": z}).graph
    assert named(graph, "z").gradient.numbers == (2, 4, 6, -2)  # real and imaginary parts
    empty = torch.zeros(0, 3, requires_grad=True)
    graph = read_graph((empty * 2).sum(), names={"empty": empty}).graph
    assert named(graph, "empty").gradient.numbers == () and any("no elements" in note for note in graph.notes)


def test_sparse_gradients_are_said_to_be_unsupported() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    graph = read_graph(table(torch.tensor([1, 1])).sum(), names={"table": table.weight}).graph
    assert named(graph, "table").gradient.layout == "sparse_coo"
    assert any("Sparse tensors are not supported" in note for note in graph.notes)


def test_a_leaf_is_its_own_graph() -> None:
    graph = read_graph(scalar(2.0)).graph
    assert [node.kind for node in graph.nodes] == ["leaf"] and "nothing was computed" in graph.notes[0]


def test_nan_and_inf_are_counted() -> None:
    x = torch.zeros(40, requires_grad=True)
    gradient = named(read_graph(x.log().sum(), names={"x": x}).graph, "x").gradient
    assert gradient.nonfinite == 40 and gradient.minimum is None


@pytest.mark.parametrize(("loss", "gradient", "says"), [
    (lambda: torch.ones(()), None, "does not require grad"),
    (lambda: (scalar(2.0) * 2).detach(), None, "detach()"),
    (lambda: 3.0, None, "has to be a tensor, got float"),
    (lambda: [], None, "empty list"),
    (lambda: torch.ones(2, requires_grad=True) * 2, None, "which is 2 numbers, not one"),
    (lambda: torch.zeros(0, requires_grad=True) * 2, None, "which is 0 numbers"),
    (lambda: torch.ones(2, requires_grad=True) * 2, torch.ones(3), "has to be a tensor of shape (2,), got (3,)"),
    (lambda: torch.tensor(1 + 2j, requires_grad=True) * 2, None, "is complex"),
    (lambda: torch.eye(2).to_sparse().requires_grad_(), None, "sparse tensors are not supported"),
    (lambda: torch.ones((), requires_grad=True, device="meta") * 2, None, "meta device"),
    (lambda: [scalar(1.0) * 2, torch.ones(())], None, "loss 2 of 2"),
])
def test_bad_input_is_a_clear_sentence(loss, gradient, says) -> None:
    with pytest.raises(BadExample) as told:
        read_graph(loss(), gradient=gradient)
    assert says in str(told.value)


@pytest.mark.parametrize(("node", "operation"), [
    ("MulBackward0", "torch.mul"), ("NllLossBackward0", "torch.nn.functional.nll_loss"),
    ("UnsafeViewBackward0", "torch.ops.aten._unsafe_view"), ("LinalgVectorNormBackward0", "torch.linalg.vector_norm"),
    ("TanhBackwardBackward0", "torch.ops.aten.tanh_backward"), ("ViewBackward0", "torch.Tensor.view"),
    ("torch::autograd::CopySlices", "torch::autograd::CopySlices")])
def test_operation_names(node, operation) -> None:
    assert operation_name(node) == operation


def test_infinities_that_cancel_are_nan() -> None:
    a = torch.zeros(1, requires_grad=True)
    graph = read_graph((a.sqrt() - a.sqrt()).sum(), names={"a": a}).graph  # +Inf and −Inf meet in a
    assert math.isnan(number(named(graph, "a").gradient))
