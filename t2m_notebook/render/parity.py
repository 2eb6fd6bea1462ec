"""What parity measured: the ladder, the comparisons with the worst first, and the measured tree.

Every face (text, rich, HTML) shows the same words. :func:`ladder` and :func:`comparisons` are
what they share; ``render/port.py`` shows them too.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from t2m_notebook.render.folding import child_nodes
from t2m_notebook.render.style import CARD, STATIC, TERMINAL, palette, status_colours
from t2m_notebook.render.tree import tree_html, tree_rich, tree_text
from t2m_notebook.render.words import clip, difference_text, plural, visible, width
from t2m_notebook.types import AnalysisReport, ModuleNode, ParityData, ParityResult, Status, shape_text, worst

if typing.TYPE_CHECKING:
    from rich.console import Group, RenderableType

MOST_COMPARISONS = 30  # in a text
MOST_HTML_COMPARISONS = 300
HEADS = ("module", "class", "check", "max|Δ|", "allowed", "MLX shape", "")
_THE_MODEL = "the model"


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the ladder from the weights to the whole model."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison as the strings of a line. HTML escapes them."""

    status: Status
    path: str
    class_name: str
    check: str
    difference: str
    allowed: str
    shape: str
    message: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The strings under :data:`HEADS`."""
        return (self.path, self.class_name, self.check, self.difference, self.allowed, self.shape, self.message)


# ------------------------------------------------------------------------------------- words


def parity_tree(data: ParityData) -> AnalysisReport:
    """The measured tree as the report that the tree's views take. How many operations have a
    rule is not known here and left out."""
    return AnalysisReport(data.root, data.counts, 0.0, data.missing, training=data.root.training,
                          seconds=data.seconds, versions=data.versions)


def ladder(root: ModuleNode, results: Sequence[ParityResult]) -> tuple[Rung, ...]:
    """Weights, modules, end to end, other shapes: each with its verdict and the worst number."""
    modules = [r for r in results if r.path]
    others = [r for r in results if not r.path and r.check.startswith("other ")]
    whole = [r for r in results if not r.path and not r.check.startswith("other ")]
    kinds = dict.fromkeys(visible(r.check.removeprefix("other ").partition(":")[0]) for r in others)
    return (_weights(root), _rung("modules", modules, f"{len(modules):,}"), _rung("end to end", whole, ""),
            _rung("other shapes", others, ", ".join(kinds)))


def _rung(name: str, results: Sequence[ParityResult], text: str) -> Rung:
    if not results:
        return Rung(name, Status.UNSEEN, "not measured")
    status = worst(r.status for r in results)
    bad = sum(r.status is not Status.PROVEN for r in results)
    if bad:
        word = "not ported" if status not in (Status.DIVERGES, Status.PARTIAL) else "differs" if bad == 1 else "differ"
        text = f"{bad:,} of {len(results):,} {word}" if len(results) > 1 else word
    shown = [r for r in results if r.status is not Status.PROVEN] or results
    measured = difference_text(_largest(r.max_difference for r in shown))
    return Rung(name, status, " · ".join(word for word in (text, measured) if word))


def _weights(root: ModuleNode) -> Rung:
    """A weight counts as proven when a module that holds it was measured equal."""
    held: dict[str, list[Status]] = {}
    for node in _walk(root):
        for parameter in node.parameters:
            if parameter.kind == "parameter":
                own = f"{node.path}.{parameter.name}" if node.path else parameter.name
                held.setdefault(parameter.tied_to or own, []).append(node.status)
    if not held:
        return Rung("weights", Status.UNSEEN, "none")
    best = [Status.PROVEN if Status.PROVEN in statuses else worst(statuses) for statuses in held.values()]
    proven = best.count(Status.PROVEN)
    return Rung("weights", worst(best) if proven < len(best) else Status.PROVEN, f"{proven:,} of {len(best):,}")


def _walk(root: ModuleNode) -> Iterable[ModuleNode]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(reversed(child_nodes(node)))


def _largest(numbers: Iterable[float | None]) -> float | None:
    return max((n for n in numbers if n is not None), key=lambda n: (n != n, n), default=None)


def comparisons(results: Iterable[ParityResult]) -> list[Comparison]:
    """The results as lines, in the order given: the worst first."""
    return [_comparison(result) for result in results]


def _comparison(result: ParityResult) -> Comparison:
    message = visible(result.message)
    if message.startswith("max|Δ|") and result.max_difference is not None:
        message = ""  # the columns say it
    return Comparison(
        result.status, visible(result.path) or _THE_MODEL, visible(result.class_name), visible(result.check),
        difference_text(result.max_difference), difference_text(result.allowed),
        shape_text(result.mlx_shape) if result.mlx_shape else "", message)


def verdict(ok: bool | None, counts: dict[str, int], results: Sequence[ParityResult]) -> tuple[Status, str]:
    """One status and one line for the whole: ``45 of 45 proven``."""
    if ok is None:
        return Status.UNSEEN, "not measured"
    seen = sum(counts.values()) - counts.get(Status.UNSEEN.value, 0)
    text = f"{counts.get(Status.PROVEN.value, 0):,} of {seen:,} proven"
    if ok:
        return Status.PROVEN, text
    return worst((r.status for r in results), Status.MISSING), text


def troubles(first_divergence: str, diagnosis: str) -> list[str]:
    """Where the first difference is, and what it probably is."""
    lines = [f"first: {visible(first_divergence)}"] if first_divergence else []
    return lines + ([f"probably: {visible(diagnosis)}"] if diagnosis else [])


# -------------------------------------------------------------------------------------- text


def parity_text(data: ParityData, width: int = 100, *, limit: int = MOST_COMPARISONS, tree: bool = True) -> str:
    """The report for a terminal or a log. ``limit`` is the most comparisons listed; ``tree``
    adds the measured tree."""
    status, text = verdict(data.ok, data.counts, data.results)
    lines = [f"{visible(data.root.class_name)} · {status.glyph} {text} · {data.seconds:.1f} s",
             *parity_lines(data.root, data.results, data.first_divergence, data.diagnosis, data.notes)]
    lines += ["", *table_lines(data.results, width, limit)]
    if tree:
        lines += ["", tree_text(parity_tree(data), width, limit=200)]
    return "\n".join(line.rstrip() for line in lines)


def parity_lines(root: ModuleNode, results: Sequence[ParityResult], first_divergence: str = "", diagnosis: str = "",
                 notes: Sequence[str] = ()) -> list[str]:
    """The ladder on one line, then what is wrong and what to know, a line each."""
    rungs = "   ".join(f"{r.status.glyph} {r.name} {r.text}" for r in ladder(root, results))
    return [rungs, *troubles(first_divergence, diagnosis), *(f"note: {visible(note)}" for note in notes)]


def table_lines(results: Sequence[ParityResult], columns: int = 100, limit: int = MOST_COMPARISONS) -> list[str]:
    """The comparisons as an aligned table of at most ``columns``, the worst first."""
    rows = [row.cells for row in comparisons(results[:limit])]
    glyphs = [result.status.glyph for result in results[:limit]]
    if not rows:
        return ["nothing was compared"]
    table = [HEADS, *rows]
    sizes = [max(width(row[i]) for row in table) for i in range(len(HEADS) - 1)]
    # Names give way first: figures must stay whole.
    for i, least in ((0, 18), (1, 10), (2, 10)):
        over = sum(sizes) + 2 * len(sizes) + 2 - columns
        sizes[i] = max(sizes[i] - max(over, 0), min(least, sizes[i]))
    lines = []
    for glyph, row in zip([" ", *glyphs], table, strict=True):
        cells = [_fitted(text, size, i in (3, 4)) for i, (text, size) in enumerate(zip(row, sizes, strict=False))]
        lines.append(f"{glyph} {'  '.join(cells)}".rstrip())
        if row[-1]:
            lines += [clip(f"    {row[-1]}", columns)]
    if len(results) > limit:
        lines.append(f"  … {len(results) - limit:,} more")
    return lines


def _fitted(text: str, size: int, right: bool) -> str:
    text = clip(text, size)
    space = " " * (size - width(text))
    return space + text if right else text + space


# -------------------------------------------------------------------------------------- rich


def parity_rich(data: ParityData, *, limit: int = MOST_COMPARISONS, tree: bool = True) -> Group:
    """The report as a rich renderable. Raises ``ImportError`` where rich is not installed."""
    from rich.console import Group
    from rich.text import Text

    status, text = verdict(data.ok, data.counts, data.results)
    head = Text.assemble((visible(data.root.class_name), "bold"), "  ", (f"{status.glyph} {text}", TERMINAL[status]),
                         (f"  {data.seconds:.1f} s", "dim"))
    parts = [head, *parity_rich_lines(data.root, data.results, data.first_divergence, data.diagnosis, data.notes),
             Text(""), table_rich(data.results, limit)]
    return Group(*parts, *([Text(""), tree_rich(parity_tree(data), limit=200)] if tree else []))


def parity_rich_lines(root: ModuleNode, results: Sequence[ParityResult], first_divergence: str = "",
                      diagnosis: str = "", notes: Sequence[str] = ()) -> list[RenderableType]:
    """:func:`parity_lines` in colour."""
    from rich.text import Text

    rungs = Text("   ").join(Text.assemble((f"{r.status.glyph} ", TERMINAL[r.status]), r.name, (f" {r.text}", "dim"))
                             for r in ladder(root, results))
    return [rungs, *(Text(line, TERMINAL[Status.DIVERGES]) for line in troubles(first_divergence, diagnosis)),
            *(Text(f"note: {visible(note)}", "italic") for note in notes)]


def table_rich(results: Sequence[ParityResult], limit: int = MOST_COMPARISONS) -> RenderableType:
    """The comparisons as a table as wide as the terminal lets it be."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    if not results:
        return Text("nothing was compared", "italic")
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    for head in HEADS:
        table.add_column(head, justify="right" if head in ("max|Δ|", "allowed") else "left", no_wrap=head != "",
                         overflow="ellipsis" if head else "fold")
    for row in comparisons(results[:limit]):
        colour = TERMINAL[row.status]
        cells = [Text(text, "dim") for text in row.cells]
        cells[0], cells[3], cells[6] = Text(row.path), Text(row.difference, colour), Text(row.message, colour)
        table.add_row(Text(row.status.glyph, colour), *cells)
    more = [Text(f"… {len(results) - limit:,} more", "dim")] if len(results) > limit else []
    return Group(table, *more)


# -------------------------------------------------------------------------------------- HTML


def parity_html(data: ParityData, *, tree: bool = True) -> str:
    """The report as one self-contained HTML fragment without scripts; with ``tree``, the
    measured tree below it."""
    status, text = verdict(data.ok, data.counts, data.results)
    facts = f"{plural(len(data.results), 'comparison')} in {data.seconds:.1f} s"
    card = card_html(data.root.class_name, facts, status, text, parity_card_parts(
        data.root, data.results, data.first_divergence, data.diagnosis, data.notes, is_open=True))
    return card + (tree_html(parity_tree(data)) if tree else "")


def card_html(title: str, facts: str, status: Status, score: str, parts: Iterable[str]) -> str:
    """A framed summary: a head line and, below it, ``parts`` of HTML."""
    scope = ".t2m-static"
    return (f'<div class="t2m-static t2m-card"><style>{palette(scope)}{STATIC}{CARD}{status_colours(scope)}</style>'
            f'<div class="t2m-head"><b>{escape(visible(title))}</b> <span class="t2m-dim">{escape(facts)}</span> '
            f'<span class="t2m-score t2m-{status}">{status.glyph} {escape(score)}</span></div>'
            f'{"".join(parts)}</div>')


def parity_card_parts(root: ModuleNode, results: Sequence[ParityResult], first_divergence: str = "",
                      diagnosis: str = "", notes: Sequence[str] = (), *, is_open: bool = False) -> list[str]:
    """The ladder, what is wrong, what to know, and the comparisons folded away."""
    rungs = "".join(f'<div class="t2m-rung t2m-{r.status}"><span><b>{r.status.glyph}</b> {escape(r.name)}</span>'
                    f'<small>{escape(r.text)}</small></div> ' for r in ladder(root, results))
    bad = troubles(first_divergence, diagnosis)
    parts = [f'<div class="t2m-ladder">{rungs}</div>']
    if bad:
        parts.append(f'<div class="t2m-verdict t2m-box-DIVERGES"><b class="t2m-DIVERGES">{Status.DIVERGES.glyph}</b> '
                     f'{"<br>".join(map(escape, bad))}</div>')
    parts += [f'<div class="t2m-note">{escape(visible(note))}</div>' for note in notes]
    if results:
        parts.append(fold_html(f"{plural(len(results), 'comparison')}, the worst first", _table_html(results),
                               is_open=is_open and bool(bad)))
    return parts


def fold_html(title: str, inside: str, *, is_open: bool = False) -> str:
    """A line that opens to ``inside``, which is HTML already."""
    return (f'<details class="t2m-fold"{" open" if is_open else ""}><summary><span class="t2m-twisty"></span>'
            f'{escape(title)}</summary><div class="t2m-inner">{inside}</div></details>')


def _table_html(results: Sequence[ParityResult]) -> str:
    heads = "".join(f'<th class="t2m-r">{escape(h)}</th>' if h in ("max|Δ|", "allowed") else f"<th>{escape(h)}</th>"
                    for h in HEADS)
    rows = []
    for row in comparisons(results[:MOST_HTML_COMPARISONS]):
        path, class_name, check, difference, allowed, shape, message = map(escape, row.cells)
        rows.append(
            f'<tr><td><b class="t2m-{row.status}">{row.status.glyph}</b> {path}</td>'
            f'<td class="t2m-dim">{class_name}</td>'
            f'<td class="t2m-dim">{check}</td><td class="t2m-r t2m-{row.status}">{difference}</td>'
            f'<td class="t2m-r t2m-dim">{allowed}</td><td class="t2m-dim">{shape}</td>'
            f'<td class="t2m-{row.status}">{message}</td></tr>')
    more = len(results) - len(rows)
    left = f'<div class="t2m-dim">… {more:,} more</div>' if more > 0 else ""
    return (f'<table class="t2m-table"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>{left}')
