"""Traces for the views' tests, made by hand: both sides, one side, hostile names, twenty thousand rows."""

from __future__ import annotations

from t2m_notebook.types import (
    SourceLocation,
    Status,
    TraceData,
    TracedOperation,
    TracedTensor,
    TraceRow,
    ValueSummary,
)

SHAPE, MOVED = (2, 3, 4), (2, 4, 3)


def tensor(name: str, shape=SHAPE, stride=(12, 4, 1), **facts) -> TracedTensor:
    """A float32 tensor; contiguous unless told otherwise."""
    size = 4
    for n in shape:
        size *= n
    facts.setdefault("summary", ValueSummary(0.25, -1.5, 2.0))
    return TracedTensor(name, shape, "float32", stride, facts.pop("contiguous", True), size, **facts)


def place(line: int, file: str = "model.py", end: int = 40) -> SourceLocation:
    return SourceLocation(file, line, line, 8, end, "Net.forward")


def operation(name: str, source: str, line: int, outputs, inputs=(), **facts) -> TracedOperation:
    return TracedOperation(name, facts.pop("path", "block.0"), source, place(line, facts.pop("file", "net.py")),
                           tuple(inputs), tuple(outputs), **facts)


def both() -> TraceData:
    """Five operations of a port: equal, equal and permuted, not needed, different, MLX alone."""
    x, moved = tensor("x"), {"shape": MOVED, "stride": (12, 1, 4), "contiguous": False}
    rows = (
        TraceRow(0, Status.PROVEN, operation("torch.nn.Linear", "self.fc(x)", 71, [tensor("#0")], [x],
                                             path="block.0.fc", memory="copy"),
                 operation("nn.Linear", "self.fc(x)", 12, [tensor("#0")], [x], memory="copy", file="model.py",
                           path="block.0.fc"),
                 "nn.Linear(4, 4)", axes=(0, 1, 2), difference=2.4e-7, allowed=2.1e-4),
        TraceRow(1, Status.PROVEN, operation("torch.Tensor.transpose", "self.fc(x).transpose(1, 2)", 71,
                                             [tensor("#1", **moved)], [tensor("#0")], memory="view", shares_with="#0"),
                 operation("mx.array.swapaxes", "self.fc(x).swapaxes(1, 2)", 12, [tensor("#1", **moved)],
                           [tensor("#0")], memory="view", shares_with="#0", file="model.py"),
                 "x.swapaxes(1, 2)", axes=(0, 2, 1), difference=0.0, allowed=2.1e-4),
        TraceRow(2, Status.UNSEEN, operation("torch.Tensor.contiguous", "q.contiguous()", 72,
                                             [tensor("#2", MOVED, (12, 3, 1))], [tensor("#1", **moved)], memory="copy"),
                 None, "x", "not needed"),
        TraceRow(3, Status.DIVERGES, operation("torch.add", "q + 1", 73, [tensor("#3", MOVED, (12, 3, 1))],
                                               memory="copy"),
                 operation("mx.array.__add__", "q + 2", 14, [tensor("#3", MOVED, (12, 3, 1))], memory="copy",
                           file="model.py"),
                 "x + 1", "max|Δ| 1.0e+00, allowed 2.1e-04", (0, 1, 2), 1.0, 2.1e-4),
        TraceRow(4, Status.UNSEEN, None, operation("mx.contiguous", "mx.contiguous(q)", 15, [tensor("#4")],
                                                   memory="copy", file="model.py"), note="MLX alone"),
    )
    return TraceData("Net", rows, ("torch", "mlx"), ("x: 2×3×4 float32",), notes=("a note <b>",), seconds=0.1)


def torch_only() -> TraceData:
    """Torch's side alone, with NaN, several results, a read, an error."""
    rows = (
        TraceRow(0, Status.MAPPED, operation("torch.log", "x.log()", 5, [tensor(
            "#0", summary=ValueSummary(None, None, None, 24, 0))], [tensor("x")], memory="copy", path=""), None,
                 "mx.log(x)"),
        TraceRow(1, Status.MAPPED, operation("torch.split", "x.log().split(1, 1)", 5, [
            tensor("#1.0", (2, 1, 4), (12, 4, 1), contiguous=False, storage=1),
            tensor("#1.1", (2, 1, 4), (12, 4, 1), contiguous=False, storage=1, offset=4)], [tensor("#0", storage=1)],
            memory="view", shares_with="#0", path="head"), None, "mx.split(x, 3, axis=1)"),
        TraceRow(2, Status.UNSEEN, operation("torch.Tensor.item", "y.sum().item()", 6, [], [tensor("y", (), ())])),
        TraceRow(3, Status.MISSING, operation("torch.fancy", "torch.fancy(x)", 7, [tensor("#3")], memory="copy"), None,
                 note="no rule for torch.fancy"),
        TraceRow(4, Status.UNSEEN, operation("torch.matmul", "x @ y", 8, [], [tensor("x")]), None,
                 error="RuntimeError: shapes do not fit"),
    )
    return TraceData("Net", rows, ("torch",), ("x: 2×3×4 float32",), "the model's forward raised\nRuntimeError: no")


def hostile() -> TraceData:
    """Names that try to be markup, terminal escapes and line breaks."""
    bad = "<img src=x onerror=alert(1)>\x1b[31m\n\u202e"
    side = TracedOperation(bad, bad, bad, SourceLocation(bad, 1, 1, 0, 0, bad), (tensor(bad),), (tensor(bad),),
                           "view", bad)
    return TraceData(bad, (TraceRow(0, Status.REFUSED, side, side, bad, bad, (1, 0, 2), 1.0, 0.1, bad),),
                     ("torch", "mlx"), (bad,), bad, notes=(bad,))


def large(count: int = 20_000) -> TraceData:
    """Many operations of many modules."""
    rows = []
    for number in range(count):
        path = f"layers.{number // 40}.{('attention', 'mlp')[number // 20 % 2]}"
        side = operation("torch.add", f"x + {number}", 10 + number % 90, [tensor(f"#{number}")], [tensor("x")],
                         path=path, memory="copy" if number % 3 else "view", shares_with="" if number % 3 else "x")
        rows.append(TraceRow(number, Status.MAPPED, side, None, "x + y"))
    return TraceData("Large", tuple(rows))
