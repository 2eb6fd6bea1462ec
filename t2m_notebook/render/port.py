"""What a port came to: classes, weights, layout, what could not be ported, and what parity says of it."""

from __future__ import annotations

import typing
from html import escape

from t2m_notebook.render.parity import (
    card_html,
    fold_html,
    parity_card_parts,
    parity_lines,
    parity_rich_lines,
    verdict,
)
from t2m_notebook.render.style import TERMINAL
from t2m_notebook.render.tree import tree_html, tree_rich, tree_text
from t2m_notebook.render.words import bytes_text, plural, visible
from t2m_notebook.types import PortedClass, PortSummary, Status

if typing.TYPE_CHECKING:
    from rich.console import Group

NOT_MEASURED = "Not measured yet: nothing here is proven before parity ran."


def port_facts(summary: PortSummary) -> list[str]:
    """``from module.Class``, ``3 classes``, ``77 weights``, ``708 KB``, ``in out/``."""
    classes = len(summary.classes)
    facts = [f"from {visible(summary.origin)}", "1 class" if classes == 1 else f"{classes:,} classes",
             plural(summary.weight_count, "weight"), bytes_text(summary.weight_bytes)]
    return facts + ([f"saved in {visible(summary.folder)}"] if summary.folder else [])


def _score(summary: PortSummary) -> tuple[Status, str]:
    status, text = verdict(summary.ok, summary.analysis.counts, summary.results)
    if summary.problems and status in (Status.PROVEN, Status.UNSEEN):
        return Status.MISSING, text
    return status, text


def _class_text(made: PortedClass) -> str:
    where = f"×{len(made.paths):,}" if len(made.paths) > 1 else visible(made.paths[0]) if made.paths else ""
    return " · ".join(word for word in (where, plural(made.lines, "line"), visible(made.kind)) if word)


def port_text(summary: PortSummary, width: int = 100, *, tree: bool = True, depth: int | None = None) -> str:
    """The summary for a terminal or a log; with ``tree``, the tree in its measured statuses."""
    status, score = _score(summary)
    lines = [f"{visible(summary.name)} in MLX · {' · '.join(port_facts(summary))} · {status.glyph} {score}"]
    lines += [f"{Status.MISSING.glyph} not ported: {visible(problem)}" for problem in summary.problems]
    lines += [f"layout: {visible(summary.layout)}"] if summary.layout else []
    lines += [f"  {visible(reason)}" for reason in summary.transposes]
    if summary.ok is None:
        lines.append(f"note: {NOT_MEASURED}")
    else:
        lines += parity_lines(summary.analysis.root, summary.results, summary.first_divergence, summary.diagnosis,
                              summary.notes)
    if tree:
        lines += ["", tree_text(summary.analysis, width, depth, limit=200)]
    return "\n".join(line.rstrip() for line in lines)


def port_rich(summary: PortSummary, *, tree: bool = True, depth: int | None = None) -> Group:
    """The summary as a rich renderable. Raises ``ImportError`` where rich is not installed."""
    from rich.console import Group
    from rich.text import Text

    status, score = _score(summary)
    parts: list = [Text.assemble((f"{visible(summary.name)} in MLX", "bold"),
                                 (f"  {' · '.join(port_facts(summary))}  ", "dim"),
                                 (f"{status.glyph} {score}", TERMINAL[status]))]
    parts += [Text(f"{Status.MISSING.glyph} not ported: {visible(problem)}", TERMINAL[Status.MISSING])
              for problem in summary.problems]
    parts += [Text(f"layout: {visible(summary.layout)}", "dim")] if summary.layout else []
    parts += [Text(f"  {visible(reason)}", "dim") for reason in summary.transposes]
    if summary.ok is None:
        parts.append(Text(f"note: {NOT_MEASURED}", "italic"))
    else:
        parts += parity_rich_lines(summary.analysis.root, summary.results, summary.first_divergence,
                                   summary.diagnosis, summary.notes)
    return Group(*parts, *([Text(""), tree_rich(summary.analysis, depth=depth, limit=200)] if tree else []))


def port_html(summary: PortSummary, *, tree: bool = True) -> str:
    """The summary as one self-contained HTML fragment without scripts; with ``tree``, the
    tree in its measured statuses below it."""
    status, score = _score(summary)
    parts = [f'<div class="t2m-verdict t2m-box-MISSING"><b class="t2m-MISSING">{Status.MISSING.glyph}</b> '
             f'not ported: {escape(visible(problem))}</div>' for problem in summary.problems]
    if summary.ok is None:
        parts.append(f'<div class="t2m-note">{escape(NOT_MEASURED)}</div>')
    else:
        parts += parity_card_parts(summary.analysis.root, summary.results, summary.first_divergence,
                                   summary.diagnosis, summary.notes)
    count = len(summary.classes)
    if summary.classes:
        rows = "".join(_class_html(made) for made in summary.classes)
        parts.append(fold_html("1 class" if count == 1 else f"{count:,} classes", rows))
    if summary.layout:
        reasons = "".join(f"<div>{escape(visible(reason))}</div>" for reason in summary.transposes)
        title = f"layout: {visible(summary.layout)}"
        parts.append(fold_html(title, reasons) if reasons else f'<div class="t2m-line">{escape(title)}</div>')
    facts = " · ".join(port_facts(summary))
    card = card_html(f"{summary.name} in MLX", facts, status, score, parts)
    return card + (tree_html(summary.analysis) if tree else "")


def hint_html() -> str:
    """How to get the classes as cells where the page has no t2m extension; the extension hides it."""
    return ('<div class="t2m-without-extension" style="padding: 4px 12px; opacity: .75">The classes as cells: in '
            'JupyterLab and Notebook 7 with the t2m extension they stand below. Elsewhere '
            '<code>%t2m_port model x --notebook FILE.ipynb</code> or <code>p.notebook("FILE.ipynb")</code> writes them '
            'as a notebook file.</div>')


def _class_html(made: PortedClass) -> str:
    problem = f' <span class="t2m-MISSING">{Status.MISSING.glyph} {escape(visible(made.problem))}</span>' \
        if made.problem else ""
    return (f'<div>{escape(visible(made.name))} <span class="t2m-dim">{escape(_class_text(made))}</span>'
            f'{problem}</div>')
