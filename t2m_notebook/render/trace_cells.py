"""The words of a trace: what every face of it (text, rich, HTML, widget) writes into a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from t2m_notebook.render.words import bytes_text, difference_text, plural, visible
from t2m_notebook.types import Status, TraceData, TracedOperation, TracedTensor, TraceRow, ValueSummary, shape_text


@dataclass(frozen=True, slots=True)
class Side:
    """One framework's part of a row. ``strange`` marks strides that are not contiguous."""

    text: str = ""
    shape: str = ""
    stride: str = ""
    memory: str = ""
    strange: bool = False


@dataclass(frozen=True, slots=True)
class TraceCells:
    """A row as it is shown. ``main`` is torch's side where there is one; ``other`` is MLX's."""

    status: Status
    number: str
    line: str
    module: str
    main: Side
    other: Side
    difference: str
    values: str
    note: str


def trace_cells(data: TraceData) -> Iterator[TraceCells]:
    """The rows in their order. A source expression that holds the one before it shows that as ``…``."""
    before: dict[str, list[TracedOperation]] = {"torch": [], "mlx": []}
    paired = is_paired(data)
    for row in data.rows:
        texts = {}
        for name, side in (("torch", row.torch), ("mlx", row.mlx)):
            if side is not None:
                texts[name] = short_source(side, before[name])
                before[name] = [*before[name][-3:], side]
        yield _cells(row, texts, paired)


def is_paired(data: TraceData) -> bool:
    """Both sides stand in one row."""
    return any(row.torch is not None and row.mlx is not None for row in data.rows)


def _cells(row: TraceRow, texts: dict[str, str], paired: bool) -> TraceCells:
    main = _side(row.torch if paired else row.torch or row.mlx, texts.get("torch", texts.get("mlx", "")))
    second = row.mlx if paired or row.torch is not None else None
    if second is not None:
        other = _side(second, texts["mlx"])
    else:
        other = Side(text=visible(row.form if row.torch is not None else ""))
    if row.form == "x" and second is None and not row.note:
        other = Side(text="not needed")
    elif second is None and row.note.startswith("not needed"):
        other = Side(text=visible(row.note))
    note = row.error or row.note
    return TraceCells(row.status, str(row.index), visible(row.line), visible(row.module), main, other,
                      difference_text(row.difference), values_text(row.summary), visible(note))


def _side(side: TracedOperation | None, text: str) -> Side:
    if side is None:
        return Side()
    output = side.outputs[0] if side.outputs else None
    if output is None:
        return Side(visible(text), memory="reads a value" if side.inputs else "")
    shape = shape_text(output.shape) + (f" (+{len(side.outputs) - 1})" if len(side.outputs) > 1 else "")
    return Side(visible(text), shape, stride_text(output), memory_text(side), not output.contiguous)


def short_source(side: TracedOperation, before: Sequence[TracedOperation]) -> str:
    """The source of ``side``, with the longest expression that was shown just before as ``…``."""
    text, place = side.source or short_name(side.name), side.location
    if place is None:
        return text
    inside = [other.source for other in before if other.location is not None
              and other.location.file == place.file and place.line <= other.location.line <= place.end_line
              and len(other.source) > 3 and other.source in text and other.source != text]
    if not inside:
        return text
    longest = max(inside, key=len)
    return text.replace(longest, "…", 1)


def short_name(name: str) -> str:
    """``torch.nn.functional.gelu`` as ``F.gelu``, ``torch.nn.Linear`` as ``nn.Linear``."""
    for long, short in (("torch.nn.functional.", "F."), ("torch.nn.", "nn."), ("torch.Tensor.", "."),
                        ("mx.array.", ".")):
        if name.startswith(long):
            return short + name.removeprefix(long)
    return name


def stride_text(tensor: TracedTensor) -> str:
    """``192 8 32 1``, in elements; what has no strides says what it is."""
    if tensor.layout != "strided":
        return tensor.layout
    return " ".join(map(str, tensor.stride))


def memory_text(side: TracedOperation) -> str:
    """``view of #3 · not contiguous``, ``copy 1.5 KB``, ``in place in #4``."""
    output = side.outputs[0] if side.outputs else None
    if output is None:
        return ""
    words = {"view": f"view of {side.shares_with}", "same tensor": f"is {side.shares_with}",
             "in place": f"in place in {side.shares_with}", "copy": f"copy {bytes_text(output.bytes)}"}
    text = words.get(side.memory, "")
    if output.layout == "strided" and not output.contiguous:
        text = f"{text} · not contiguous".removeprefix(" · ")
    return visible(text)


def values_text(summary: ValueSummary | None) -> str:
    """``-1.07 … 1.17, mean 0.0305``; NaN and Inf come first."""
    if summary is None:
        return ""
    bad = [f"{count:,} {name}" for count, name in ((summary.nan, "NaN"), (summary.inf, "Inf")) if count]
    if summary.mean is None or summary.minimum is None or summary.maximum is None:
        return ", ".join(bad) or "no elements"
    span = f"{number_text(summary.minimum)} … {number_text(summary.maximum)}, mean {number_text(summary.mean)}"
    return ", ".join([*bad, span])


def number_text(number: float) -> str:
    """Three figures: ``0.0305``, ``1.2e+06``; whole numbers whole."""
    if number == int(number) and abs(number) < 1e6:
        return str(int(number))
    return f"{number:.3g}"


def trace_facts(data: TraceData) -> list[str]:
    """The words of the head line."""
    facts = [*map(visible, data.inputs[:3]), plural(len(data.rows), "operation")]
    views = sum(row.is_view for row in data.rows)
    copies = sum(row.operation.outputs[0].bytes for row in data.rows
                 if row.memory == "copy" and row.operation.outputs)
    facts.append(f"{plural(views, 'view')}, {bytes_text(copies)} written")
    bad = sum(1 for row in data.rows if row.summary is not None and (row.summary.nan or row.summary.inf))
    if bad:
        facts.append(f"NaN or Inf in {plural(bad, 'result')}")
    return facts


def trace_verdict(data: TraceData) -> tuple[Status, str]:
    """One status and one line for the whole trace."""
    if data.error:
        return Status.DIVERGES, "ended by an error"
    if "mlx" in data.sides and "torch" in data.sides:
        both = [row for row in data.rows if row.difference is not None or row.status is Status.DIVERGES]
        wrong = [row for row in both if row.status is Status.DIVERGES]
        if both:
            text = f"{len(both) - len(wrong):,} of {len(both):,} equal"
            return (Status.DIVERGES, f"{text}, first at row {wrong[0].index}") if wrong else (Status.PROVEN, text)
    return Status.UNSEEN, ""


def tensor_line(role: str, tensor: TracedTensor) -> tuple[str, ...]:
    """A tensor in a row's detail: role, name, shape, dtype, stride, contiguity, offset, bytes, values."""
    kind = "contiguous" if tensor.contiguous else "not contiguous"
    return (role, visible(tensor.name), shape_text(tensor.shape), visible(tensor.dtype), stride_text(tensor),
            kind if tensor.layout == "strided" else "", f"offset {tensor.offset}" if tensor.offset else "",
            bytes_text(tensor.bytes), f"memory {tensor.storage}" if tensor.storage >= 0 else "",
            values_text(tensor.summary))
