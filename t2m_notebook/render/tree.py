"""The module tree of an ``AnalysisReport`` as text, as a rich renderable and as static HTML.

Every face shows the same lines (:mod:`~t2m_notebook.render.folding`) with the same words
(:mod:`~t2m_notebook.render.cells`). ``widgets/tree.py`` is the interactive one.
"""

from __future__ import annotations

import typing
from html import escape

from t2m_notebook.render.cells import (
    Cells,
    fold_marks,
    is_origin,
    is_problem,
    mark_text,
    operation_text,
    overview,
    row_cells,
    where_text,
)
from t2m_notebook.render.folding import Row, folded_rows, module_count
from t2m_notebook.render.style import STATIC, TERMINAL, palette, status_colours
from t2m_notebook.render.words import bytes_text, clip, plural, visible, width
from t2m_notebook.types import AnalysisReport, MissingOperation, ModuleNode, OperationNode, Status

if typing.TYPE_CHECKING:
    from rich.console import Group

DEEPEST_INDENT = 24  # lines nested deeper keep this indent and say their depth in figures
MOST_OPERATIONS = 60  # of one module, in static HTML
_ASCII = str.maketrans({"✓": "+", "●": "o", "◐": "~", "✗": "x", "–": "-", "×": "x", "…": "..",
                        "→": "->", "·": "|", "│": "|", "├": "|", "└": "`", "─": "-", "≠": "!=", "◆": "*"})


def tree_text(report: AnalysisReport, width: int = 100, depth: int | None = None, unicode: bool = True,
              *, limit: int | None = None, operations: bool = False) -> str:
    """The tree for a terminal or a log: one line per module, identical neighbours folded.

    ``width`` is in terminal columns; ``depth`` the deepest level shown (the root is 0);
    ``limit`` the most lines, outer levels first, with a sentence about what was left out.
    ``operations`` adds what runs inside every module; without it only what stands in the
    way of a port is listed. ``unicode=False`` uses ASCII alone. No line has a trailing space.
    """
    write = str if unicode else _ascii
    table = _table(report, depth, limit, operations)
    lines = [*_header_lines(report), "", *_aligned(table, width, write),
             *_footer_lines(report, [row for row, _, _ in table])]
    return "\n".join(write(line.rstrip()) for line in lines)


def _ascii(text: str) -> str:
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def _header_lines(report: AnalysisReport) -> list[str]:
    head = overview(report)
    lines = [f"{head.title} · " + " · ".join(head.facts)]
    lines.append(" · ".join(f"{s.glyph} {n:,} {s.value.lower()}" for s, n in head.counts))
    return lines + [f"note: {note}" for note in head.notes]


def _table(report: AnalysisReport, depth: int | None, limit: int | None,
           operations: bool) -> list[tuple[Row, Cells, list[Remark]]]:
    """Each line with its cells and the remarks to write under it."""
    table = []
    for row in folded_rows(report.root, depth, limit):
        cells = row_cells(row.fold, report.from_structure)
        table.append((row, cells, _remarks(row, cells, operations)))
    return table


class Remark(typing.NamedTuple):
    """A line under a module's own."""

    text: str
    colour: str  # as rich has it


def _remark(status: Status, text: str) -> Remark:
    return Remark(f"{status.glyph} {text}", TERMINAL[status])


def _remarks(row: Row, cells: Cells, operations: bool) -> list[Remark]:
    """The checkpoints in the node's cell, why it has its status, and the operations in it that say so."""
    node, remarks = row.fold.first, []
    try:
        for mark in fold_marks(row.fold):
            colour = TERMINAL[Status.DIVERGES if mark.bad else Status.MAPPED]
            remarks.append(Remark(mark_text(row.fold, mark, whole=True), colour))
        listed = [(o.status, _operation_line(o, node)) for o in node.operations
                  if operations or (is_problem(o.status) and o.child is None)]
        # "No rule for x" above the line that says so about x would be said twice.
        told = cells.status in (Status.MISSING, Status.REFUSED) and cells.status in dict(listed)
        if cells.reason and is_origin(node) and not told:
            remarks.append(_remark(cells.status, cells.reason))
        remarks += [_remark(status, text) for status, text in listed]
    except Exception as error:
        remarks.append(_remark(Status.MISSING, cells.reason or visible(f"{type(error).__name__}: {error}")))
    return remarks


def _operation_line(operation: OperationNode, node: ModuleNode) -> str:
    source, mlx, line = operation_text(operation, node)
    text = f"{source} → {mlx}" if mlx else source
    if line:
        text += f"  line {line}"
    if operation.reason and is_problem(operation.status):
        text += f": {visible(operation.reason)}"
    return text


def _aligned(table: list, columns: int, write: typing.Callable[[str], str]) -> list[str]:
    """The lines as a table as wide as it must be, at most ``columns``. ``write`` comes
    before the alignment, as it may change the length of a text."""
    figures = [tuple(map(write, (c.shape, c.parameters, c.bytes, c.difference))) for _, c, _ in table]
    heads = ("output", "params", "bytes", "max|Δ|")
    sizes = [max(width(f[i]) for f in figures) for i in range(4)]
    sizes = [max(size, len(head)) if size else 0 for size, head in zip(sizes, heads, strict=True)]
    labels = [(rails, write(f"{rails}{c.status.glyph} {_label(c)}")) for rails, (_, c, _) in
              zip(_rails([row for row, _, _ in table]), table, strict=True)]
    room = max(columns - sum(size + 2 for size in sizes if size), 20)
    room = min(room, max(width(text) for _, text in labels))
    lines = [_columns("", heads, room, sizes)] if any(sizes) else []
    for (row, _, remarks), (rails, text), figure in zip(table, labels, figures, strict=True):
        lines.append(_columns(clip(text, room), figure, room, sizes))
        under = rails.replace("├─", "│ ").replace("└─", "  ")
        lines += [clip(f"{under}    {remark.text}", columns) for remark in remarks]
        if row.hidden_rows:
            lines.append(f"{under}    … {plural(row.hidden_rows, 'more line')} inside")
    return lines


def _label(cells: Cells) -> str:
    words = [cells.name, cells.class_name, cells.description]
    return " ".join(w for w in words if w) + (f" [{cells.badge}]" if cells.badge else "")


def _columns(label: str, figures: typing.Sequence[str], room: int, sizes: list[int]) -> str:
    parts = [label + " " * (room - width(label))]
    for i, (figure, size) in enumerate(zip(figures, sizes, strict=True)):
        if size:
            space = " " * (size - width(figure))
            parts.append(figure + space if i == 0 else space + figure)
    return "  ".join(parts)


def _rails(rows: list[Row]) -> list[str]:
    """The lines that join each row to its parent: ``│ └─``."""
    rails: list[str] = []
    open_levels: list[bool] = []  # at each depth: more siblings follow
    for row in rows:
        del open_levels[row.depth:]
        open_levels += [False] * (row.depth - len(open_levels))
        open_levels.append(not row.is_last)
        if row.depth > DEEPEST_INDENT:
            rails.append("  " * (DEEPEST_INDENT - 4) + f"⋯ {row.depth} ".ljust(8))
        elif row.depth:
            bars = "".join("│ " if more else "  " for more in open_levels[1:row.depth])
            rails.append(bars + ("└─" if row.is_last else "├─"))
        else:
            rails.append("")
    return rails


def _footer_lines(report: AnalysisReport, rows: list[Row]) -> list[str]:
    lines = []
    if left := _left_out(report, rows):
        lines += ["", left]
    if report.missing:
        lines += ["", "Stands in the way:"]
    for item in report.missing:
        reason = f": {visible(item.reason)}" if item.reason else ""
        lines.append(f"  {item.status.glyph} {visible(item.name)}, {plural(item.calls, 'call')}{reason}")
        lines.append(f"      {_places(item)}")
    return lines


def _places(item: MissingOperation) -> str:
    """Where an operation without a rule is called, and the first such call."""
    shown = ", ".join(visible(path) or "the root" for path in item.paths[:3])
    more = f" and {len(item.paths) - 3:,} more" if len(item.paths) > 3 else ""
    words = [f"in {shown}{more}", visible(item.source), visible(item.location.text) if item.location else ""]
    return " · ".join(word for word in words if word)


def _left_out(report: AnalysisReport, rows: list[Row]) -> str:
    """A sentence that says how many modules the rows don't show; empty when none."""
    total = module_count(report.root)
    left = total - sum(row.modules for row in rows)
    return f"{left:,} of {plural(total, 'module')} are left out here." if left else ""


def tree_rich(report: AnalysisReport, *, depth: int | None = None, limit: int | None = None,
              operations: bool = False) -> Group:
    """The tree as a rich renderable: coloured, as wide as the terminal.

    Options as for :func:`tree_text`. Raises ``ImportError`` where rich is not installed.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = overview(report)
    table_rows = _table(report, depth, limit, operations)
    table = Table.grid(padding=(0, 2))
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for (row, cells, remarks), rails in zip(table_rows, _rails([r for r, _, _ in table_rows]), strict=True):
        colour = TERMINAL[cells.status]
        label = Text.assemble((rails, "dim"), (cells.status.glyph, colour), " ", (cells.name, "bold"), " ",
                              (f"{cells.class_name} {cells.description}".strip(), "dim"),
                              (f"  {cells.badge}" if cells.badge else "", "italic"))
        table.add_row(label, Text(cells.shape, "dim"), Text(cells.parameters, "dim"),
                      Text(cells.bytes, "dim"), Text(cells.difference, colour))
        under = rails.replace("├─", "│ ").replace("└─", "  ")
        for remark in remarks:
            table.add_row(Text.assemble((f"{under}    ", "dim"), (remark.text, remark.colour)))
        if row.hidden_rows:
            table.add_row(Text(f"{under}    … {plural(row.hidden_rows, 'more line')} inside", "dim"))
    legend = Text(" · ").join(
        Text(f"{s.glyph} {n:,} {s.value.lower()}", TERMINAL[s]) for s, n in head.counts)
    notes = [Text(f"note: {note}", "italic") for note in head.notes]
    footer = [Text(line) for line in _footer_lines(report, [r for r, _, _ in table_rows])]
    title = Text.assemble((head.title, "bold"), ("  " + " · ".join(head.facts), "dim"))
    return Group(title, legend, *notes, Text(""), table, *footer)


def tree_html(report: AnalysisReport, limit: int = 300) -> str:
    """The tree as one self-contained HTML fragment without scripts: ``<details>`` to open.

    ``limit`` is the most lines it holds, outer levels first; a sentence says how many
    modules are left out. Follows JupyterLab's theme, VS Code's, or the reader's preference.
    Where a page strips the style, glyphs and words still tell all there is to tell.
    """
    head, scope = overview(report), ".t2m-static"
    rows = folded_rows(report.root, limit=limit)
    score = f"{head.score_status.glyph} {head.score}"
    parts = [
        '<div class="t2m-static">', f"<style>{palette(scope)}{STATIC}{status_colours(scope)}</style>",
        f'<div class="t2m-head"><b>{escape(head.title)}</b> ',
        f'<span class="t2m-dim">{escape(" · ".join(head.facts))}</span> ',
        f'<span class="t2m-score t2m-{head.score_status}">{score}</span></div>',
        '<div class="t2m-bar" aria-hidden="true">',
        *(f'<i style="flex:{n};background:var(--t2m-{s.value.lower()})"></i>' for s, n in head.counts),
        '</div><div class="t2m-legend">',
        *(f'<span title="{escape(s.meaning)}"><b class="t2m-{s}">{s.glyph}</b> '
          f'{s.value.lower()} {n:,}</span> ' for s, n in head.counts), "</div>",
        *(f'<div class="t2m-note">{escape(note)}</div>' for note in head.notes),
        '<div class="t2m-rows">', *_html_rows(rows, report.from_structure), "</div>",
    ]
    if left := _left_out(report, rows):
        parts.append(f'<div class="t2m-note">{left}</div>')
    parts += map(_html_missing, report.missing)
    return "".join([*parts, "</div>"])


def _html_missing(item: MissingOperation) -> str:
    reason = f": {visible(item.reason)}" if item.reason else ""
    return (f'<div class="t2m-note"><b class="t2m-{item.status}">{item.status.glyph}</b> '
            f'<b class="t2m-what">{escape(visible(item.name))}</b> '
            f'{escape(plural(item.calls, "call") + reason)} · {escape(_places(item))}</div>')


def _html_rows(rows: list[Row], from_structure: bool) -> typing.Iterator[str]:
    """The rows as nested ``<details>``; opened and closed in order, without recursion."""
    ends: list[tuple[int, str]] = []  # (depth, what closes it)
    for i, row in enumerate(rows):
        while ends and ends[-1][0] >= min(row.depth, DEEPEST_INDENT):
            yield ends.pop()[1]
        cells = row_cells(row.fold, from_structure)
        inside = _html_inside(row, cells)
        has_rows = i + 1 < len(rows) and rows[i + 1].depth > row.depth
        deep = f'<span class="t2m-dim">⋯ {row.depth}</span> ' if row.depth > DEEPEST_INDENT else ""
        if has_rows and row.depth < DEEPEST_INDENT:
            yield f'<details{" open" if row.depth == 0 else ""}>{_html_line("summary", cells, deep, row)}'
            yield f'{inside}<div class="t2m-inside">'
            ends.append((row.depth, "</div></details>"))
        elif inside:
            yield f'<details>{_html_line("summary", cells, deep, row)}{inside}</details>'
        else:
            yield _html_line("div", cells, deep, row)
    yield from (end for _, end in reversed(ends))


def _html_line(tag: str, cells: Cells, deep: str, row: Row) -> str:
    kind = " ".join(word for word in (cells.class_name, cells.description) if word)
    badge = f' <span class="t2m-badge">{escape(cells.badge)}</span>' if cells.badge else ""
    path = escape(visible(getattr(row.fold.first, "path", "")))
    badge += "".join(f' <span class="t2m-mark{colour}">{escape(text)}</span>'
                     for text, colour in ((cells.alarms, " t2m-DIVERGES"), (cells.marks, "")) if text)
    return (
        f'<{tag} class="t2m-row"><span title="{path}"><span class="t2m-twisty"></span>{deep}'
        f'<span class="t2m-glyph t2m-{cells.status}">{cells.status.glyph}</span> '
        f'{escape(cells.name)} <span class="t2m-dim">{escape(kind)}</span>{badge}</span> '
        f'<span class="t2m-dim">{escape(cells.shape)}</span> '
        f'<span class="t2m-r t2m-dim">{cells.parameters}</span> '
        f'<span class="t2m-r t2m-dim">{cells.bytes}</span> '
        f'<span class="t2m-r t2m-{cells.status}">{cells.difference}</span></{tag}>'
    )


def _html_inside(row: Row, cells: Cells) -> str:
    """What a node opens to: where it is, why it has its status, what maps to what."""
    node, lines = row.fold.first, []
    try:
        lines += [f'<div class="t2m-mark{" t2m-DIVERGES" * bool(mark.bad)}">'
                  f'{escape(mark_text(row.fold, mark, whole=True))}</div>' for mark in fold_marks(row.fold)]
        if cells.reason:
            lines.append(_html_remark(cells.status, cells.reason))
        lines += [_html_operation(operation, node) for operation in node.operations[:MOST_OPERATIONS]]
        if len(node.operations) > MOST_OPERATIONS:
            more = plural(len(node.operations) - MOST_OPERATIONS, "more operation")
            lines.append(f'<div class="t2m-dim">… {more}</div>')
        lines += [_html_parameters(node)] if node.parameters and not node.children else []
        if lines and node.location is not None:
            lines.insert(0, f'<div class="t2m-dim">{escape(where_text(node))}</div>')
    except Exception as error:
        lines = [_html_remark(Status.MISSING, visible(f"{type(error).__name__}: {error}"))]
    if row.hidden_rows:
        lines.append(f'<div class="t2m-dim">… {plural(row.hidden_rows, "more line")} inside</div>')
    return f'<div class="t2m-ops">{"".join(lines)}</div>' if lines else ""


def _html_remark(status: Status, text: str) -> str:
    return f'<div><b class="t2m-{status}">{status.glyph}</b> {escape(text)}</div>'


def _html_operation(operation: OperationNode, node: ModuleNode) -> str:
    source, mlx, line = operation_text(operation, node)
    target = f' <span class="t2m-dim">→</span> {escape(mlx)}' if mlx else ""
    place = f' <span class="t2m-dim">line {line}</span>' if line else ""
    reason = escape(visible(operation.reason))
    reason = f' <span class="t2m-dim">{reason}</span>' if reason else ""
    return (f'<div><b class="t2m-{operation.status}">{operation.status.glyph}</b> {escape(source)}'
            f'{target}{place}{reason}</div>')


def _html_parameters(node: ModuleNode) -> str:
    lines = []
    for parameter in node.parameters:
        words = [parameter.name, parameter.facts.text, bytes_text(parameter.bytes)]
        words += [parameter.kind] if parameter.kind != "parameter" else []
        words += [f"tied to {parameter.tied_to}"] if parameter.tied_to else []
        lines.append(f'<div class="t2m-dim">{escape(visible(" ".join(words)))}</div>')
    return "".join(lines)
