"""A trace as text, as a rich renderable and as static HTML: one line an operation."""

from __future__ import annotations

import typing
from collections.abc import Callable
from html import escape
from itertools import islice

from t2m_notebook.render.strides import corner_of, memory_svg, memory_text
from t2m_notebook.render.style import STATIC, TERMINAL, palette, status_colours
from t2m_notebook.render.trace_cells import (
    TraceCells,
    is_paired,
    short_name,
    tensor_line,
    trace_cells,
    trace_facts,
    trace_verdict,
)
from t2m_notebook.render.words import clip, plural, visible, width
from t2m_notebook.types import Status, TraceData, TracedOperation, TraceRow

if typing.TYPE_CHECKING:
    from rich.console import Group

MOST_LINES = 400  # of text
MOST_HTML_ROWS = 300
MOST_DETAILS = 60  # rows of static HTML that can be opened
#: Least columns that a cell keeps in text, by its head.
_LEAST = {"torch": 16, "MLX": 16, "module": 8, "memory": 11, "operation": 16, "values": 16}


def columns_of(data: TraceData) -> Callable[[TraceCells], dict[str, str]]:
    """What gives the columns of one row, in order."""
    paired, torch, values, glyphs = is_paired(data), "torch" in data.sides, data.values, _has_status(data)

    def columns(cells: TraceCells) -> dict[str, str]:
        main, other = cells.main, cells.other
        start = {"": cells.status.glyph if glyphs else "", "#": cells.number, "line": cells.line}
        if paired:
            return start | {"torch": main.text, "shape": main.shape, "stride": main.stride, "memory": main.memory,
                            "MLX": other.text, "shape ": other.shape, "stride ": other.stride,
                            "memory ": other.memory, "max|Δ|": cells.difference}
        row = start | {"operation": main.text, "module": cells.module, "shape": main.shape, "stride": main.stride,
                       "memory": main.memory}
        return row | ({"MLX": other.text} if torch else {}) | ({"values": cells.values} if values else {})

    return columns


def _has_status(data: TraceData) -> bool:
    return any(row.status is not Status.UNSEEN for row in data.rows)


# -------------------------------------------------------------------------------------- text


def trace_text(data: TraceData, columns: int = 140, *, limit: int = MOST_LINES) -> str:
    """The trace for a terminal or a log, ``columns`` wide; the first ``limit`` operations."""
    status, verdict = trace_verdict(data)
    head = " · ".join([visible(data.title), *trace_facts(data), *([f"{status.glyph} {verdict}"] if verdict else [])])
    lines = [head, *(f"note: {visible(note)}" for note in data.notes)]
    rows = list(islice(zip(data.rows, trace_cells(data), strict=True), limit))
    columns_in = columns_of(data)
    table = [columns_in(cells) for _, cells in rows]
    lines += ["", *_aligned(table, rows, columns)] if table else ["", "nothing ran"]
    if len(data.rows) > limit:
        lines.append(f"… {plural(len(data.rows) - limit, 'more operation')}")
    if data.error:
        lines += ["", *(f"error: {visible(line)}" for line in data.error.splitlines())]
    return "\n".join(line.rstrip() for line in lines)


_RIGHT = ("#", "max|Δ|")


def _aligned(table: list[dict[str, str]], rows: list[tuple[TraceRow, TraceCells]], columns: int) -> list[str]:
    heads = [head for head in table[0] if any(line[head] for line in table)]
    sizes = {head: max(width(head.strip()), *(width(line[head]) for line in table)) for head in heads}
    over = sum(sizes.values()) + 2 * (len(heads) - 1) - columns
    for head in ("memory", "memory ", "values", "module", "MLX", "torch", "operation"):
        if over > 0 and head in sizes:
            least = min(sizes[head], _LEAST.get(head.strip(), 10))
            cut = min(over, sizes[head] - least)
            sizes[head], over = sizes[head] - cut, over - cut
    for head in ("memory ", "memory", "values", "module", "shape ", "stride "):  # rather than too wide
        if over > 0 and head in sizes:
            over -= sizes.pop(head) + 2
    heads = list(sizes)
    lines = ["  ".join(_fitted(head.strip(), sizes[head], head in _RIGHT) for head in heads)]
    for line, (row, cells) in zip(table, rows, strict=True):
        lines.append("  ".join(_fitted(line[head], sizes[head], head in _RIGHT) for head in heads))
        if remark := remark_of(row, cells):
            lines.append(clip(f"      {remark}", columns))
    return lines


def remark_of(row: TraceRow, cells: TraceCells) -> str:
    """What is said under a row: an error, a difference, why there is no rule."""
    if row.error:
        return f"✗ {cells.note}"
    if row.status in (Status.DIVERGES, Status.MISSING, Status.REFUSED, Status.PARTIAL) and cells.note:
        return f"{row.status.glyph} {cells.note}"
    return ""


def _fitted(text: str, size: int, right: bool) -> str:
    text = clip(text, size)
    space = " " * (size - width(text))
    return space + text if right else text + space


# -------------------------------------------------------------------------------------- rich


def trace_rich(data: TraceData, *, limit: int = MOST_LINES) -> Group:
    """The trace as a rich renderable. Raises ``ImportError`` where rich is not installed."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    status, verdict = trace_verdict(data)
    head = Text.assemble((visible(data.title), "bold"), ("  " + " · ".join(trace_facts(data)), "dim"), "  ",
                         (f"{status.glyph} {verdict}" if verdict else "", TERMINAL[status]))
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    rows = list(islice(zip(data.rows, trace_cells(data), strict=True), limit))
    columns = columns_of(data)
    lines = [columns(cells) for _, cells in rows]
    heads = [h for h in lines[0] if any(line[h] for line in lines)] if lines else []
    for name in heads:
        table.add_column(name.strip(), justify="right" if name in _RIGHT else "left", no_wrap=True, overflow="ellipsis")
    for line, (row, cells) in zip(lines, rows, strict=True):
        colour = TERMINAL[cells.status]
        texts = [Text(line[h], colour if h in ("", "max|Δ|") else _shade(h, cells)) for h in heads]
        table.add_row(*texts)
        if remark := remark_of(row, cells):
            texts = [Text("") for _ in heads]
            texts[min(3, len(heads) - 1)] = Text(remark, TERMINAL[Status.DIVERGES])
            table.add_row(*texts)
    more = [Text(f"… {plural(len(data.rows) - limit, 'more operation')}", "dim")] if len(data.rows) > limit else []
    error = [Text(visible(line), TERMINAL[Status.DIVERGES]) for line in data.error.splitlines()]
    notes = [Text(f"note: {visible(note)}", "italic") for note in data.notes]
    return Group(head, *notes, Text(""), table, *more, *error)


def _shade(head: str, cells: TraceCells) -> str:
    strange = (head == "stride" and cells.main.strange) or (head == "stride " and cells.other.strange)
    return "bold" if strange else "" if head in ("torch", "MLX", "operation") else "dim"


# -------------------------------------------------------------------------------------- HTML

#: How a memory picture and its words look, inside ``scope``; the widget uses it, too.
MEMORY_STYLE = """
{scope} svg.t2m-memory {{ display: block; max-width: 100%; margin: 4px 0; overflow: visible; }}
{scope} svg.t2m-memory text {{ font: 11px var(--t2m-mono); fill: var(--t2m-fg); text-anchor: middle; }}
{scope} svg.t2m-memory text.t2m-axis {{ fill: var(--t2m-dim); font-size: 10px; text-anchor: start; }}
{scope} svg.t2m-memory rect {{ fill: var(--t2m-bg); stroke: var(--t2m-line); }}
{scope} svg.t2m-memory rect.t2m-used {{ fill: color-mix(in srgb, var(--t2m-accent) 45%, var(--t2m-bg)); }}
{scope} svg.t2m-memory rect.t2m-later {{ fill: var(--t2m-accent); }}
{scope} svg.t2m-memory path {{ fill: none; stroke: var(--t2m-accent); stroke-width: 1.5; opacity: .6; }}
{scope} svg.t2m-memory path.t2m-over {{ stroke-width: 1; opacity: .25; }}
{scope} svg.t2m-memory path.t2m-skip {{ stroke: var(--t2m-diverges); stroke-dasharray: 3 3; opacity: .6; }}
{scope} svg.t2m-memory circle {{ fill: none; stroke: var(--t2m-accent); stroke-width: 1.5; r: 9px; }}
"""

_STYLE = """
.t2m-trace-static { max-width: 1400px; }
.t2m-trace-static .t2m-lines { padding: 4px 0; font: 12px/22px var(--t2m-mono); overflow-x: auto; }
.t2m-trace-static .t2m-trow { display: grid; gap: 10px; height: 22px; padding: 0 12px; white-space: nowrap;
  grid-template-columns: 16px 34px 96px minmax(130px, 1.4fr) 86px 92px 104px minmax(130px, 1.4fr) 86px 92px 104px
    58px; }
.t2m-trace-static .t2m-one .t2m-trow { grid-template-columns: 16px 34px 104px minmax(140px, 1.6fr) minmax(60px, .7fr)
  94px 100px 120px minmax(110px, 1fr) 220px; }
.t2m-trace-static .t2m-trow > span { overflow: hidden; text-overflow: ellipsis; }
.t2m-trace-static summary.t2m-trow { cursor: pointer; }
.t2m-trace-static summary::before { display: none; }
.t2m-trace-static .t2m-trow:hover { background: var(--t2m-bg2); }
.t2m-trace-static .t2m-heads { color: var(--t2m-dim); font: 600 11px/22px var(--t2m-ui);
  border-bottom: 1px solid var(--t2m-line); }
.t2m-trace-static .t2m-strange { font-weight: 700; }
.t2m-trace-static .t2m-r { text-align: right; }
.t2m-trace-static .t2m-remark { padding: 0 12px 2px 62px; white-space: pre-wrap; overflow-wrap: anywhere; }
.t2m-trace-static .t2m-inner { margin: 0 12px 8px 62px; padding: 4px 0 4px 12px; border-left: 2px solid var(--t2m-line);
  line-height: 19px; overflow-x: auto; }
.t2m-trace-static .t2m-inner table { margin: 2px 0 6px; border-collapse: collapse; border: 0; font: inherit; }
.t2m-trace-static .t2m-inner td { padding: 0 14px 0 0; border: 0; text-align: left; white-space: nowrap;
  background: none; }
.t2m-trace-static .t2m-error { padding: 6px 12px; border-top: 1px solid var(--t2m-line); white-space: pre-wrap;
  font: 12px/1.5 var(--t2m-mono); overflow-wrap: anywhere; }
"""


def trace_html(data: TraceData, limit: int = MOST_HTML_ROWS) -> str:
    """The trace as one self-contained HTML fragment without scripts: a row opens to its tensors and
    a picture of the result's memory. The first ``limit`` operations."""
    scope, (status, verdict) = ".t2m-static", trace_verdict(data)
    style = (palette(scope) + STATIC + _STYLE + status_colours(scope) + MEMORY_STYLE.format(scope=".t2m-trace-static"))
    score = f'<span class="t2m-score t2m-{status}">{status.glyph} {escape(verdict)}</span>' if verdict else ""
    facts = escape(" · ".join(trace_facts(data)))
    parts = [f'<div class="t2m-static t2m-trace-static"><style>{style}</style><div class="t2m-head">'
             f'<b>{escape(visible(data.title))}</b> <span class="t2m-dim">{facts}</span> {score}</div>']
    parts += [f'<div class="t2m-note">{escape(visible(note))}</div>' for note in data.notes]
    rows = list(islice(zip(data.rows, trace_cells(data), strict=True), limit))
    if rows:
        columns = columns_of(data)
        heads = "".join(f'<span{_class(h)}>{escape(h.strip())}</span>' for h in columns(rows[0][1]))
        parts.append(f'<div class="t2m-lines{"" if is_paired(data) else " t2m-one"}">'
                     f'<div class="t2m-trow t2m-heads">{heads}</div>')
        parts += [_html_row(columns(cells), row, cells, number < MOST_DETAILS)
                  for number, (row, cells) in enumerate(rows)]
        parts.append("</div>")
    if len(data.rows) > limit:
        parts.append(f'<div class="t2m-note">… {plural(len(data.rows) - limit, "more operation")}</div>')
    if data.error:
        parts.append(f'<div class="t2m-error t2m-DIVERGES">{escape(_lines(data.error))}</div>')
    return "".join([*parts, "</div>"])


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.splitlines()))


def _class(head: str) -> str:
    return ' class="t2m-r"' if head in _RIGHT else ""


def _html_row(columns: dict[str, str], row: TraceRow, cells: TraceCells, opens: bool) -> str:
    spans = []
    for head, text in columns.items():
        if head in ("", "max|Δ|"):
            look = f"t2m-{cells.status}" + (" t2m-r" if head else "")
        elif head.strip() == "stride" and (cells.main if head == "stride" else cells.other).strange:
            look = "t2m-strange"
        else:
            look = "" if head in ("torch", "operation") or (head == "MLX" and cells.other.shape) else "t2m-dim"
            look += " t2m-r" if head in _RIGHT else ""
        title = f' title="{escape(text)}"' if len(text) > 14 else ""
        spans.append(f'<span class="{look}"{title}>{escape(text)}</span>')
    line, remark = "".join(spans), remark_of(row, cells)
    under = f'<div class="t2m-remark t2m-{Status.DIVERGES if row.error else row.status}">{escape(remark)}</div>' \
        if remark else ""
    if not opens:
        return f'<div class="t2m-trow">{line}</div>{under}'
    return f'<details><summary class="t2m-trow">{line}</summary>{_html_inside(row)}</details>{under}'


def _html_inside(row: TraceRow) -> str:
    parts = [_html_side(side) for side in (row.torch, row.mlx) if side is not None]
    parts += [f'<div class="t2m-picture">{picture}</div>' for picture in pictures(row)]
    if row.axes and list(row.axes) != sorted(row.axes):
        parts.append(f'<div class="t2m-dim">MLX holds torch\'s axes as {escape(str(row.axes))}</div>')
    if row.form and row.mlx is None:
        parts.append(f'<div><span class="t2m-dim">rule:</span> {escape(visible(row.form))}</div>')
    if row.note:
        parts.append(f'<div class="t2m-dim">{escape(visible(row.note))}</div>')
    return f'<div class="t2m-inner">{"".join(parts)}</div>'


def _html_side(side: TracedOperation) -> str:
    where = visible(side.location.text) if side.location else ""
    lines = [tensor_line("in", tensor) for tensor in side.inputs] + [tensor_line("out", t) for t in side.outputs]
    table = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    return (f'<div><b>{escape(visible(short_name(side.name)))}</b> <span class="t2m-dim">{escape(visible(side.path))} '
            f'{escape(where)}</span></div><div>{escape(visible(side.source))}</div><table>{table}</table>')


def pictures(row: TraceRow) -> list[str]:
    """The memory of the first result as HTML, with a title: one picture where both sides hold it alike."""
    made = []
    sides = [(name, side.outputs[0]) for name, side in (("torch", row.torch), ("MLX", row.mlx))
             if side is not None and side.outputs and side.outputs[0].layout == "strided"]
    if len({(tensor.shape, tensor.stride, tensor.offset) for _, tensor in sides}) == 1:
        sides = [(" and ".join(name for name, _ in sides), sides[0][1])]
    for name, tensor in sides:
        words, svg = memory_text(tensor.shape, tensor.stride), memory_svg(tensor.shape, tensor.stride, tensor.offset)
        corner = "" if corner_of(tensor.shape) == tuple(tensor.shape) else ", first corner"
        if svg:
            made.append(f'<div class="t2m-dim">memory order in {name}{corner}: {escape(words)}</div>{svg}')
    return made
