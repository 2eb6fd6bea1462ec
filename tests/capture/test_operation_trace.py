"""Traces of torch: each row against torch's own answer, and the bad inputs."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

import t2m_notebook as t2m
from t2m_notebook.capture.tensor_facts import is_dense, summarise
from t2m_notebook.errors import BadExample, MissingPackage, NotAModule
from t2m_notebook.types import Status, TraceData, ValueSummary, from_json


class Views(nn.Module):
    """Views, copies and writes; keeps every tensor that it makes."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 6)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        a = self.fc(x)
        b = a.view(2, 3, 2, 3)
        c = b.transpose(1, 2)
        d = c.contiguous()
        e = d.contiguous()
        f = d[:, 1:, ::2]
        g = x[0].expand(5, 3, 4)
        h, i = d.chunk(2, dim=1)
        j = c.reshape(2, 18)
        k = self.fc.weight.t()
        m = self.drop(j)
        n = torch.as_strided(a, (2, 2), (1, 3), 2)
        self.made = [a, b, c, d, e, f, g, h, j, k, m, n]
        return self.made


def test_strides_offsets_and_sharing_are_torchs_own():
    model, x = Views().eval(), torch.randn(2, 3, 4)
    trace = t2m.trace(model, x)
    by_shape = [row for row in trace if row.op not in ("torch.Tensor.__getitem__",) or row.source != "x[0]"]
    assert [row.op.rpartition(".")[2] for row in by_shape] == [
        "Linear", "view", "transpose", "contiguous", "contiguous", "__getitem__", "expand", "chunk", "reshape", "t",
        "Dropout", "as_strided"]
    for row, tensor in zip(by_shape, model.made, strict=True):
        assert (row.shape, row.stride, row.offset) == (tuple(tensor.shape), tensor.stride(), tensor.storage_offset())
        assert row.contiguous == tensor.is_contiguous()
        assert row.bytes == tensor.numel() * tensor.element_size() and row.dtype == "float32"
    for row, tensor in zip(by_shape, model.made, strict=True):
        for other, twin in zip(by_shape, model.made, strict=True):
            shared = tensor.untyped_storage().data_ptr() == twin.untyped_storage().data_ptr()
            assert (row.output.storage == other.output.storage) == shared, (row.op, other.op)
    assert [row.memory for row in by_shape] == ["copy", "view", "view", "copy", "same tensor", "view", "view", "view",
                                                "copy", "view", "same tensor", "view"]
    assert [row.shares_with for row in by_shape][:5] == ["", "#0", "#1", "", "#3"]
    assert by_shape[9].shares_with == "fc.weight"


def test_a_row_says_where_it_stands():
    trace = t2m.trace(Views().eval(), torch.randn(2, 3, 4))
    first, second = trace[0], trace[1]
    assert (first.module, first.op, first.source) == ("fc", "torch.nn.Linear", "self.fc(x)")
    assert first.form == "nn.Linear(4, 6)"
    assert second.module == "" and second.source == "a.view(2, 3, 2, 3)" and second.form.startswith("x.reshape(")
    assert second.line.startswith("test_operation_trace.py:") and second.status is Status.MAPPED
    assert [tensor.name for tensor in first.operation.inputs] == ["x"] and second.operation.inputs[0].name == "#0"
    assert first.changes_shape and trace[4].is_view and not trace[4].changes_shape


def test_writes_in_place_and_several_results():
    class Writes(nn.Module):
        def forward(self, x):
            y = x * 1
            y += 1
            y[0] = 2
            values, indices = y.max(dim=1)
            return y, values, indices

    rows = t2m.trace(Writes(), torch.zeros(2, 3)).rows
    assert [row.memory for row in rows] == ["copy", "in place", "in place", "copy"]
    assert [row.shares_with for row in rows] == ["", "#0", "#1", ""]
    assert len({row.output.storage for row in rows[:3]}) == 1
    assert [row.summary.mean for row in rows[:3]] == [0.0, 1.0, 1.5]
    assert [tensor.name for tensor in rows[3].operation.outputs] == ["#3.0", "#3.1"]
    assert rows[3].operation.outputs[1].dtype == "int64"


@pytest.mark.parametrize("tensor", [
    torch.randn(3, 5), torch.randn(4, 6).t(), torch.arange(7), torch.tensor([True, False, True]), torch.tensor(2.5),
    torch.randn(5).half(), torch.randn(5).bfloat16(), torch.randn(1, 4).expand(3, 4), torch.randn(2, 8)[:, ::3],
    torch.arange(5).to(torch.uint16), torch.full((70_000,), 300.0).half()],
    ids=lambda t: f"{t.dtype}{list(t.shape)}")
def test_a_summary_is_exact(tensor):
    found, wide = summarise(tensor), tensor.double()
    assert found.nan == found.inf == 0
    assert found.minimum == wide.min().item() and found.maximum == wide.max().item()
    assert found.mean == pytest.approx(wide.mean().item(), rel=1e-4, abs=1e-6)


def test_nan_and_inf_are_counted_apart_from_the_values():
    tensor = torch.tensor([1.0, float("nan"), 3.0, float("inf"), float("-inf")])
    assert summarise(tensor) == ValueSummary(2.0, 1.0, 3.0, 1, 2)
    assert summarise(torch.full((3,), float("nan"))) == ValueSummary(None, None, None, 3, 0)
    assert summarise(torch.zeros(0, 3)) == ValueSummary(None, None, None)
    assert summarise(torch.full((4,), 3e38)).mean == pytest.approx(3e38)  # the sum does not fit float32
    assert summarise(torch.tensor([3 + 4j])) == ValueSummary(5.0, 5.0, 5.0)


def test_only_a_view_of_the_whole_has_the_same_values():
    class Parts(nn.Module):
        def forward(self, x):
            y = x.clone()
            z = y.t()
            z[0] = 9.0
            return y.t(), y[:2], y.as_strided((3, 4), (0, 1))

    x = torch.arange(12.0).reshape(3, 4)
    rows = t2m.trace(Parts(), x).rows
    whole = x.clone()
    whole[:, 0] = 9.0
    assert rows[0].summary.mean == 5.5 and rows[1].summary.mean == 5.5
    assert rows[3].summary.mean == pytest.approx(whole.mean().item())
    assert rows[4].summary.mean == pytest.approx(whole[:2].mean().item())
    assert rows[5].summary.mean == pytest.approx(whole[0].mean().item())
    assert is_dense(x.t()) and not is_dense(x[:, :2]) and not is_dense(x.expand(2, 3, 4))


def test_without_values_nothing_is_summarised():
    trace = t2m.trace(Views().eval(), torch.randn(2, 3, 4), values=False)
    assert all(row.summary is None for row in trace) and not trace.data.values


def test_a_forward_that_raises_shows_the_rows_up_to_there():
    class Fails(nn.Module):
        def forward(self, x):
            y = x.relu()
            return y @ y

    trace = t2m.trace(Fails(), torch.randn(2, 3))
    assert [row.op.rpartition(".")[2] for row in trace] == ["relu", "matmul"]
    assert "y @ y" in trace.error and trace[1].error.startswith("RuntimeError") and trace[1].shape is None
    assert "y @ y" in str(trace) and "RuntimeError" in trace._repr_html_()


def test_a_layer_that_raises_is_the_last_row():
    trace = t2m.trace(nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 6)), torch.randn(2, 3))
    assert [row.module for row in trace] == ["0", "1"] and trace[1].error and "1" in trace.error


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_zero_dimensions_and_zero_sizes(shape):
    class Two(nn.Module):
        def forward(self, x):
            return (x + 1).unsqueeze(0)

    rows = t2m.trace(Two(), torch.ones(shape)).rows
    assert [row.shape for row in rows] == [shape, (1, *shape)]
    assert [row.memory for row in rows] == ["copy", "view"] and rows[0].contiguous
    assert rows[0].stride == torch.ones(shape).stride()
    assert rows[0].summary == (ValueSummary(2.0, 2.0, 2.0) if shape == () else ValueSummary(None, None, None))


class Doubles(nn.Module):
    def forward(self, x):
        return x * 2


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_complex_sparse_and_quantized_are_said():
    trace = t2m.trace(Doubles(), torch.tensor([3 + 4j]))
    assert trace[0].dtype == "complex64" and trace[0].summary.maximum == 10.0 and "magnitudes" in trace.notes[0]
    trace = t2m.trace(Doubles(), torch.eye(3).to_sparse())
    assert any("sparse_coo tensors are not supported" in note for note in trace.notes)
    assert trace[0].shape == (3, 3) and trace[0].output.layout == "sparse_coo" and trace[0].summary is None
    assert "sparse_coo" in str(trace) and "not supported" in trace._repr_html_()

    class Dequantizes(nn.Module):
        def forward(self, x):
            return x.dequantize() + x.view(4).int_repr()

    quantized = torch.quantize_per_tensor(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), 0.5, 0, torch.quint8)
    trace = t2m.trace(Dequantizes(), quantized)
    assert trace[0].summary.maximum == 3.0 and any("quantized" in note for note in trace.notes)


def test_tensors_without_values():
    trace = t2m.trace(nn.Linear(3, 4, device="meta"), torch.ones(2, 3, device="meta"))
    assert trace[0].shape == (2, 4) and trace[0].stride == (4, 1) and trace[0].summary is None
    assert any("no values" in note for note in trace.notes)
    from torch._subclasses.fake_tensor import FakeTensorMode
    with FakeTensorMode():
        trace = t2m.trace(Doubles(), torch.ones(2, 3, dtype=torch.int64))
        assert trace[0].shape == (2, 3) and trace[0].memory == "copy" and trace[0].summary is None


def test_what_is_no_model_is_refused():
    with pytest.raises(NotAModule, match="tracing"):
        t2m.trace(lambda x: x, torch.ones(2))
    with pytest.raises(NotAModule, match="the class Linear"):
        t2m.trace(nn.Linear, torch.ones(2))
    with pytest.raises(BadExample):
        t2m.trace(nn.Linear(2, 2), (torch.ones(2), torch.ones(2), torch.ones(2)))
    with pytest.raises(BadExample, match="lazy"):
        t2m.trace(nn.LazyLinear(2), torch.ones(2, 2))


def test_hooks_run_and_results_stay_the_same():
    model, x, seen = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval(), torch.randn(2, 3), []
    model[0].register_forward_hook(lambda module, args, result: seen.append(result * 2))
    before = dict(torch.nn.Module.__dict__)
    trace = t2m.trace(model, x)
    assert "torch.Tensor.mul" in [row.op for row in trace] and len(seen) == 1
    assert dict(torch.nn.Module.__dict__) == before
    assert torch.equal(model(x), model(x))


def test_train_mode_is_noted():
    assert any("train mode" in note for note in t2m.trace(Views().train(), torch.randn(2, 3, 4)).notes)


def test_rows_are_found_and_travel():
    trace = t2m.trace(Views().eval(), torch.randn(2, 3, 4))
    assert {row.op for row in trace.where(module="fc")} == {"torch.nn.Linear"}
    assert all(row.memory == "copy" for row in trace.where(copies=True)) and trace.where(copies=True).rows
    assert all(row.changes_shape for row in trace.where(shape_change=True))
    assert [row.op for row in trace.where(search="AS_STRIDED")] == ["torch.as_strided"]
    assert trace.where(status="mapped").rows == tuple(row for row in trace if row.status is Status.MAPPED)
    assert from_json(TraceData, trace.to_json()) == trace.data
    frame = trace.to_pandas()
    assert len(frame) == len(trace) and list(frame["torch_stride"])[2] == trace[2].stride
    assert list(frame["torch_memory"])[:3] == ["copy", "view", "view"]


def test_without_pandas_every_report_says_the_same(monkeypatch):
    reports = [t2m.trace(Doubles(), torch.ones(2)), t2m.health(Doubles(), torch.ones(2)),
               t2m.memory(nn.Linear(2, 2), torch.ones(1, 2), scale=False),
               t2m.autograd(torch.ones(2, requires_grad=True).sum())]
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    said = set()
    for report in reports:
        with pytest.raises(MissingPackage, match="pip install pandas") as caught:
            report.to_pandas()
        said.add(str(caught.value))
    assert len(said) == 1


def test_a_model_of_one_layer_has_no_line_of_ours():
    row = t2m.trace(nn.Embedding(10, 4).eval(), torch.tensor([[1, 2]]))[0]
    assert row.op == "torch.nn.Embedding" and row.line == "" and row.shape == (1, 2, 4)
    made = t2m.port(nn.Linear(4, 3).eval(), torch.ones(2, 4))  # in a model of ours around it
    try:
        assert [(row.op, row.line) for row in made.trace()] == [("torch.nn.Linear", "")]
    finally:
        made.close()
    assert [tensor.shape for tensor in t2m.trace(nn.LSTM(4, 5).eval(), torch.randn(3, 1, 4))[0].torch.outputs] == [
        (3, 1, 5), (1, 1, 5), (1, 1, 5)]


def test_a_step_of_a_sequential_stands_where_the_model_calls_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))

        def forward(self, x):
            return self.steps(x)

    own, loop = Net.forward.__code__, nn.Sequential.forward.__code__
    inside = t2m.trace(Net(), torch.ones(1, 2))
    assert {(row.torch.location.file, row.torch.location.function) for row in inside} == {
        (own.co_filename, own.co_qualname)} and {row.source for row in inside} == {"self.steps(x)"}
    whole = t2m.trace(Net().steps, torch.ones(1, 2))  # nobody's source calls it: torch's loop does
    assert [(row.op, row.torch.location.file, row.source) for row in whole] == [
        ("torch.nn.Linear", loop.co_filename, "module(input)"), ("torch.nn.ReLU", loop.co_filename, "module(input)")]


# ------------------------------------------------------------------------------ a block of code


def test_a_block_shows_what_ran_in_it():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    x = torch.randn(2, 3)
    with t2m.tracing() as trace:
        y = net(x).t()
        assert len(trace.rows) == 3
        y.sum().backward()
    assert [row.op for row in trace][:3] == ["torch.nn.Linear", "torch.nn.ReLU", "torch.Tensor.t"]
    assert [row.module for row in trace][:3] == ["Sequential.0", "Sequential.1", ""]
    assert trace[2].stride == (1, 3) and trace[2].shares_with == "#1"
    assert len(trace.rows) == 4 and net[0].weight.grad is not None
    x + 1
    assert len(trace.rows) == 4


def test_transforms_and_inference_tensors():
    with t2m.tracing() as trace:
        torch.func.vmap(lambda a: a * 2)(torch.ones(3, 4))
        with torch.inference_mode():
            torch.ones(3).add_(1)
    inside = next(row for row in trace if row.op == "torch.Tensor.mul")
    assert inside.shape == (4,) and inside.summary is None and inside.memory == ""
    assert trace[-1].memory == "in place" and trace[-1].summary is None
    assert any("function transform" in note for note in trace.notes)


def test_everything_is_put_back_after_an_error():
    before = torch.nn.Module.__call__
    with pytest.raises(RuntimeError, match="stop"), t2m.tracing() as trace:
        torch.ones(2) + 1
        raise RuntimeError("stop here")
    assert torch.nn.Module.__call__ is before and trace.error == "RuntimeError: stop here" and len(trace) == 2
    with t2m.tracing() as again:
        pass
    assert again.rows == ()


def test_a_block_in_a_block_shows_its_part():
    x = torch.ones(2, 3)
    with t2m.tracing() as outer:
        y = x + 1
        with t2m.tracing() as inner:
            z = y.t()
        z * 2
    assert [row.op.rpartition(".")[2] for row in outer] == ["add", "t", "mul"]
    assert [row.op.rpartition(".")[2] for row in inner] == ["t"] and inner[0].shares_with == "earlier"


def test_other_verbs_run_inside_a_block():
    with t2m.tracing() as trace:
        inside = t2m.trace(nn.Linear(3, 3), torch.ones(1, 3))
        torch.ones(2).neg()
    assert len(inside) == 1 and trace[-1].op == "torch.Tensor.neg"
    assert torch.nn.Module.__call__.__name__ != "_recorded_call"


def test_threads_trace_their_own():
    traces, gate = {}, threading.Barrier(2)

    def work(name, function):
        with t2m.tracing() as trace:
            gate.wait(20)
            for _ in range(5):
                nn.Linear(2, 2)(function(torch.ones(1, 2)))
            gate.wait(20)
        traces[name] = {row.op for row in trace}

    threads = [threading.Thread(target=work, args=item) for item in (("a", torch.exp), ("b", torch.neg))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "torch.exp" in traces["a"] and "torch.neg" not in traces["a"]
    assert "torch.neg" in traces["b"] and "torch.exp" not in traces["b"]
    assert "torch.nn.Linear" in traces["a"] and "torch.nn.Linear" in traces["b"]
    assert torch.nn.Module.__call__.__name__ != "_recorded_call"


def test_equal_code_in_two_files_is_located_in_each():
    from t2m_notebook.capture.recording import place_in

    codes = [compile("def f(x):\n    return x + 1\n", name, "exec").co_consts[0] for name in ("one.py", "two.py")]
    assert codes[0] == codes[1]
    assert [place_in(code, 2).file for code in codes] == ["one.py", "two.py"]
