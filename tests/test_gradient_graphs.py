"""t2m.autograd: names from the caller, MLX's side of bare losses and of ports, and what stands in the way."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.nn import functional

import t2m_notebook as t2m
from t2m_notebook.cli import main
from t2m_notebook.errors import BadExample
from t2m_notebook.types import GradientGraph
from tests.capture.test_gradient_graph import Square


def test_the_classic_example_in_both_frameworks() -> None:
    a = torch.tensor(2.0, requires_grad=True)
    b = torch.tensor(3.0, requires_grad=True)
    c = a * b
    d = a + b
    e = c * d
    L = e**2  # noqa: N806
    graph = t2m.autograd(L)
    assert [node.label for node in graph.nodes] == ["L", "e", "d", "c", "a", "b"]
    assert {name: value.numbers for name, value in graph.gradients().items()} == {"a": (1260,), "b": (960,)}
    side = graph.mlx
    assert side.ok and not side.problem and side.value.numbers == (900,)
    assert [(one.name, one.mlx.numbers, one.ok) for one in side.comparisons] == [
        ("a", (1260,), True), ("b", (960,), True)]
    assert [operation.name for operation in side.operations] == ["Multiply", "Add", "Multiply", "Square"]
    assert side.operations[0].inputs == ("a", "b") and side.dot.startswith("digraph")
    assert "c = a * b" in side.source
    text = str(graph)
    for said in ("60", "300", "360", "900 + 360 = 1260", "600 + 360 = 960", "(900, (1260, 960)) ✓"):
        assert said in text
    assert {node.label: node.source for node in graph.nodes} == {
        "L": "L = e ** 2", "e": "e = c * d", "d": "d = a + b", "c": "c = a * b", "a": "", "b": ""}
    assert graph.nodes[3].location.file == __file__
    assert a.grad is None and GradientGraph.from_json(graph.to_json()) == graph


def test_names_can_be_given_and_win() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    graph = t2m.autograd(x * x, names={"weight": x}, mlx=False)
    assert "weight" in graph.gradients() and graph.mlx is None
    with pytest.raises(BadExample, match="expected a dict of tensors or a model"):
        t2m.autograd(x * x, names=["x"])
    with pytest.raises(BadExample, match="'x': int"):
        t2m.autograd(x * x, names={"x": 3})


def test_a_line_that_does_not_fit_is_not_shown() -> None:
    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    value = x * y
    other = {"x": x, "y": y, "value": value, "In": ["", "value = x * x", "value = sum([x, y]) * 2"]}
    graph = t2m.autograd(value, scopes=[other | {"In": other["In"][:2]}], mlx=False)
    assert graph.nodes[0].source == ""  # the right side names other tensors than torch's graph
    graph = t2m.autograd(value, scopes=[other | {"In": ["", "%time 1", "value = x * y"]}], mlx=False)
    assert (graph.nodes[0].source, graph.nodes[0].location.text) == ("value = x * y", "In [2]:1")


def test_a_function_is_watched() -> None:
    x = torch.tensor(2.0, requires_grad=True)

    def loss():
        return (x * x).exp()

    graph = t2m.autograd(loss, mlx=False)
    assert graph.nodes[0].source == "(x * x).exp()" and graph.nodes[0].value.numbers == pytest.approx((54.598,), 1e-4)


@pytest.mark.parametrize("make", [
    lambda x, w: ((x @ w - 1) ** 2).mean(),
    lambda x, w: functional.cross_entropy(x @ w, torch.tensor([0, 1, 1])),
    lambda x, w: torch.cat([x @ w, w[:3]], dim=1).tanh().sum(),
    lambda x, w: (x @ w).softmax(dim=-1).log().sum(dim=0)[1],
    lambda x, w: functional.gelu(functional.linear(x, w.T)).view(-1).norm(),
    lambda x, w: functional.conv1d(w.view(1, 2, 4), w.view(2, 2, 2)).relu().sum(),
    lambda x, w: (w[1:3, 0] * 3 + 1).square().sum() / 7,
], ids=["mse", "cross entropy", "cat", "softmax", "gelu", "convolution", "constants"])
def test_mlx_gives_the_same_gradients_for_a_bare_loss(make) -> None:
    x = torch.randn(3, 4)
    w = torch.randn(4, 2, requires_grad=True)
    side = t2m.autograd(make(x, w)).mlx
    assert not side.problem, side.problem
    assert side.ok and [one.name for one in side.comparisons] == ["w"], side


def test_what_torch_did_not_keep_is_refused_by_name() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    unknown = torch.tensor([5.0, 6.0])
    side = t2m.autograd(((x + unknown) * 2).sum()).mlx
    assert side.ok is None and "torch.add" in side.problem and "kept neither" in side.problem


def test_a_custom_function_has_no_mlx_side() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    side = t2m.autograd(Square.apply(x) * 2).mlx
    assert "custom torch.autograd.Function" in side.problem


def test_hooks_explain_a_difference() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    y.register_hook(lambda gradient: gradient * 10)
    side = t2m.autograd(y * y).mlx
    assert side.ok is False and any("MLX has no hooks" in note for note in side.notes)


# ------------------------------------------------------------------------------ ports


def picture_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)).eval()


@pytest.fixture(scope="module")
def ported():
    model, x = picture_model(), torch.randn(2, 3, 8, 8)
    port = t2m.port(model, x)
    yield model, x, port
    port.close()


def test_a_loss_beside_its_port(ported) -> None:
    model, x, port = ported
    loss = functional.cross_entropy(model(x), torch.tensor([0, 1]))
    graph = t2m.autograd(loss, port=port)
    side = graph.mlx
    assert not side.problem and side.ok and side.value_ok and graph.port == port.name
    axes = {one.name: one.axes for one in side.comparisons}
    assert axes["0.weight"] == "OIHW->OHWI" and len(axes) == 6
    (wanted,) = torch.autograd.grad(loss, model[0].bias)
    bias = next(one for one in side.comparisons if one.name == "0.bias")
    assert bias.mlx.numbers == pytest.approx(wanted.tolist(), abs=1e-5)
    modules = {node.operation: (node.module, node.module_measured) for node in graph.nodes}
    assert modules["torch.relu"] == ("2", True)  # what ran where is known from the same model's own run
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_small_gradient_is_shown_in_torchs_axes() -> None:
    model, x = nn.Sequential(nn.Conv1d(2, 2, 2, bias=False)).eval(), torch.randn(1, 2, 3)
    port = t2m.port(model, x)
    try:
        graph = t2m.autograd(port)
        (one,) = graph.mlx.comparisons
        assert one.axes == "OIL->OLI" and one.ok
        assert one.mlx.shape == (2, 2, 2) and one.mlx.numbers == pytest.approx(one.torch.numbers, abs=1e-5)
    finally:
        port.close()


def test_a_wrong_port_is_not_green(ported) -> None:
    _, x, _ = ported
    model = picture_model()
    port = t2m.port(model, x)
    try:
        with torch.no_grad():
            port.weights["layers.4.weight"].mul_(1.5)
        side = t2m.autograd(port).mlx
        verdicts = {one.name: one.ok for one in side.comparisons}
        assert side.ok is False and side.value_ok is False
        assert verdicts["4.bias"] is True and verdicts["0.weight"] is False  # found where it is wrong
    finally:
        port.close()


def test_a_function_of_a_ports_result(ported) -> None:
    *_, port = ported
    graph = t2m.autograd(lambda result: result.square().mean(), port=port)
    assert graph.mlx.ok and graph.nodes[0].source == "result.square().mean()"


def test_the_model_alone_is_ported_and_its_buffers_come_back(ported) -> None:
    _, x, _ = ported
    model = picture_model().train()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    graph = t2m.autograd(model, args=x, mlx=False)
    assert graph.measured and "fixed weight" in graph.reduction
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name


def test_losses_that_are_not_the_ports(ported) -> None:
    model, x, port = ported
    other = t2m.autograd(model(torch.randn(2, 3, 8, 8)).sum(), port=port).mlx
    assert "made from other inputs" in other.problem and "args=(x,)" in other.problem
    twice = t2m.autograd(model(x).sum() + model(x).mean(), port=port).mlx
    assert "ran more than once" in twice.problem
    foreign = t2m.autograd(picture_model()(x).sum(), port=port).mlx
    assert "is not found in this graph" in foreign.problem
    given = torch.randn(2, 3, 8, 8)
    assert t2m.autograd(model(given).sum(), port=port, args=(given,)).mlx.ok


@pytest.mark.parametrize(("arguments", "says"), [
    ({"loss": nn.Linear(2, 2)}, "has no graph before it runs"),
    ({"loss": "loss", "port": None}, "has to be a tensor, got str"),
    ({"loss": torch.ones(()), "port": 3}, "expected what t2m.port gave, got int"),
    ({"loss": nn.Linear(2, 2).requires_grad_(False), "args": torch.ones(1, 2), "mlx": False}, "frozen model"),
])
def test_bad_input(arguments, says) -> None:
    with pytest.raises(BadExample) as told:
        t2m.autograd(arguments.pop("loss"), **arguments)
    assert says in str(told.value)


# ------------------------------------------------------------------------------ the command


LOSSES = """
import torch


def loss():
    a, b = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    return ((a * b) * (a + b)) ** 2


def model():
    return torch.nn.Linear(2, 2), torch.ones(1, 2)


def number():
    return 3.0
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "losses.py").write_text(LOSSES)
    return str(tmp_path / "losses.py")


def test_the_command_shows_a_loss(spec, tmp_path, capsys) -> None:
    svg, dot = tmp_path / "graph.svg", tmp_path / "graph.dot"
    assert main(["autograd", f"{spec}:loss", "--svg", str(svg), "--dot", str(dot)]) == 0
    assert "900 + 360 = 1260" in capsys.readouterr().out
    assert svg.read_text().startswith("<svg") and dot.read_text().startswith("digraph")


def test_the_command_gives_json_of_a_model(spec, capsys) -> None:
    assert main(["autograd", f"{spec}:model", "--json", "--no-mlx"]) == 0
    graph = GradientGraph.from_json(capsys.readouterr().out)
    assert {"weight", "bias"} <= set(graph.gradients()) and json.loads(graph.to_json())["mlx"] is None


def test_the_command_says_what_is_wrong(spec, tmp_path, capsys) -> None:
    assert main(["autograd", f"{spec}:number"]) == 2
    assert "gave a float" in capsys.readouterr().err
    assert main(["autograd", f"{spec}:loss", "--no-mlx", "--svg", str(tmp_path / "no" / "graph.svg")]) == 2
    assert "can't be written" in capsys.readouterr().err


class TwoResults(nn.Module):
    """Its second result is made from its first."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x):
        hidden = self.first(x).tanh()
        return hidden, self.second(hidden)


def test_a_result_that_feeds_another_counts_once() -> None:
    model, x = TwoResults().eval(), torch.randn(2, 3)
    port = t2m.port(model, x)
    try:
        assert t2m.autograd(lambda results: results[0].square().sum() + results[1].sum(), port=port).mlx.ok
        hidden, result = model(x)
        assert t2m.autograd((hidden * 3).sum() + result.exp().sum(), port=port).mlx.ok
        assert t2m.autograd([result.sum(), hidden.sum()], port=port).mlx.ok
    finally:
        port.close()


def test_train_mode_is_said_to_differ() -> None:
    model, x = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train(), torch.randn(4, 3)
    side = t2m.autograd(model, args=x).mlx
    assert any("train mode" in note for note in side.notes)


def test_gradients_below_the_tolerance_are_not_green() -> None:
    """The plain sum behind a normalisation does not depend on what comes before it."""
    model, x = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8)).eval(), torch.randn(3, 4)
    port = t2m.port(model, x)
    try:
        side = t2m.autograd(lambda result: result.sum(), port=port).mlx
        verdicts = {one.name: one.ok for one in side.comparisons}
        assert verdicts["1.weight"] is not False and verdicts["1.bias"] is True
        assert verdicts["0.weight"] is None and "too small to tell" in str(t2m.autograd(
            lambda result: result.sum(), port=port))
        assert t2m.autograd(port).mlx.ok and all(one.ok for one in t2m.autograd(port).mlx.comparisons)
    finally:
        port.close()
