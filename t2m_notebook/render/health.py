"""A health report: the first bad operation, what was meant, how near values are to their limits."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterable, Sequence
from html import escape

from t2m_notebook.render.parity import card_html, fold_html
from t2m_notebook.render.style import TERMINAL
from t2m_notebook.render.words import clip, plural, visible
from t2m_notebook.types import Status, shape_text, worst
from t2m_notebook.types.health import ABSORBED, BAD, INTENDED, Finding, HealthReport, TensorHealth

if typing.TYPE_CHECKING:
    from rich.console import Group

MOST_LINES, MOST_HTML_ROWS = 12, 400
STATUS = {BAD: Status.DIVERGES, INTENDED: Status.MAPPED, ABSORBED: Status.PARTIAL, "": Status.PROVEN}
MEANING = {BAD: "came out", INTENDED: "on purpose", ABSORBED: "nothing came of it"}
HEADS = ("phase", "operation", "module", "line", "shape", "dtype", "smallest", "largest", "NaN/Inf", "headroom", "")


def verdict(report: HealthReport) -> tuple[Status, str]:
    """``no NaN, no Inf``, or ``3 bad operations``."""
    sides = [side for side in (report, report.mlx) if side is not None]
    bad = sum(len(side.bad) for side in sides)
    if bad:
        return Status.DIVERGES, f"{plural(bad, 'source')} of NaN or Inf"
    if any(side.absorbed or side.close for side in sides):
        return Status.PARTIAL, "no NaN or Inf came out"
    return Status.PROVEN, "no NaN, no Inf"


def facts(report: HealthReport) -> str:
    """``torch · forward, backward · 57 operations · 3 steps``."""
    words = [
        report.framework + (" and mlx" if report.mlx is not None else ""),
        ", ".join(report.phases),
        plural(report.operations, "operation"),
        plural(report.steps, "step") if report.steps else "",
        f"{report.seconds:.2f} s",
    ]
    return " · ".join(word for word in words if word)


def headroom_text(headroom: float | None) -> str:
    """``×1.9`` when the largest magnitude may grow 1.9 times before it overflows; ``×10³⁸`` when far away."""
    if headroom is None:
        return ""
    if headroom < 1000:
        return f"×{headroom:.1f}" if headroom < 99.95 else f"×{headroom:.0f}"
    power = str(int(math.log10(headroom)))
    return "×10" + power.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def number_text(number: float | None) -> str:
    """Four significant digits; empty when there is none."""
    return "" if number is None else f"{number:.4g}"


def row_status(row: TensorHealth) -> Status:
    """Red for NaN or Inf that came out, blue for meant ones, amber for near the limit and for denormals."""
    if row.verdict:
        return STATUS[row.verdict]
    if not row.ranges.finite:
        return Status.PARTIAL
    return Status.PARTIAL if row.close else Status.PROVEN


def row_cells(row: TensorHealth) -> tuple[str, ...]:
    """The strings under :data:`HEADS`."""
    values, note = row.ranges, row.note
    if values.denormals:
        note = f"{note}; {plural(values.denormals, 'denormal')}".removeprefix("; ")
    return (
        row.phase,
        visible(row.mark or row.operation),
        visible(row.path),
        row.location.text if row.location else "",
        shape_text(values.shape),
        values.dtype,
        number_text(values.minimum),
        number_text(values.maximum),
        values.bad_text,
        headroom_text(values.headroom),
        note,
    )


def finding_lines(finding: Finding) -> list[str]:
    """The sentence, and a line for each tensor that went in and came out."""
    lines = [finding.text]
    lines += [f"  went in:  {values.text}" for values in finding.inputs[:4]]
    lines += [f"  came out: {values.text}" for values in finding.outputs[:2]]
    return [visible(line) for line in lines + ([f"  seen in {finding.reached}"] if finding.reached else [])]


def sections(report: HealthReport) -> list[tuple[str, Status, list[str]]]:
    """Everything that is worth a line: (title, status, lines) for findings, limits, denormals, dead activations."""
    found: list[tuple[str, Status, list[str]]] = []

    def add(title: str, status: Status, lines: list[str]) -> None:
        if lines:
            found.append((title, status, lines))

    add(
        "More that came out",
        Status.DIVERGES,
        [f.text for f in report.bad if f not in (report.first_forward, report.first_backward)],
    )
    add("On purpose", Status.MAPPED, [f.text for f in report.intended])
    add("Made, but nothing came of it", Status.PARTIAL, [f.text for f in report.absorbed])
    add(
        "Close to the dtype's limit",
        Status.PARTIAL,
        [
            f"{_named(t)}: largest magnitude {number_text(_largest(t))} of {t.ranges.dtype}, "
            f"{headroom_text(t.ranges.headroom)} left"
            for t in report.close
        ],
    )
    add(
        "Denormal numbers",
        Status.PARTIAL,
        [f"{_named(t)}: {t.ranges.denormals:,} of {t.ranges.count:,}" for t in report.denormal],
    )
    add("Dead or saturated activations", Status.PARTIAL, [f"{_named(t)}: {t.note}" for t in report.dead])
    add(
        "Checkpoints",
        worst(map(row_status, report.checkpoints)),
        [
            f"{t.mark}{f' in {t.path}' if t.path else ''}: {dataclasses.replace(t.ranges, name='').text}"
            for t in report.checkpoints
        ],
    )
    return [(title, status, [visible(line) for line in lines]) for title, status, lines in found]


def _named(row: TensorHealth) -> str:
    place = row.location.text if row.location else ""
    return " ".join(
        part
        for part in (row.mark or row.operation, f"in {row.path}" if row.path else "", f"({place})" if place else "")
        if part
    )


def _largest(row: TensorHealth) -> float:
    return max(abs(row.ranges.minimum or 0.0), abs(row.ranges.maximum or 0.0))


def _firsts(report: HealthReport) -> list[tuple[str, Finding]]:
    pairs = [("first in the forward pass", report.first_forward), ("first in the backward pass", report.first_backward)]
    return [(title, finding) for title, finding in pairs if finding is not None]


# -------------------------------------------------------------------------------------- text


def health_text(report: HealthReport, columns: int = 100, *, limit: int = MOST_LINES) -> str:
    """The report for a terminal or a log; ``limit`` is the most lines of each section."""
    status, score = verdict(report)
    lines = [f"{visible(report.model)} · {status.glyph} {score} · {facts(report)}"]
    for side in (report, report.mlx):
        if side is None:
            continue
        if report.mlx is not None:
            lines += ["", f"{side.framework}:"]
        lines += _side_text(side, limit)
    return "\n".join(clip(line, 4 * columns).rstrip() for line in lines)


def _side_text(report: HealthReport, limit: int) -> list[str]:
    lines = []
    for title, finding in _firsts(report):
        first, *rest = finding_lines(finding)
        lines += [f"{Status.DIVERGES.glyph} {title}: {first}", *("  " + line for line in rest)]
    for title, status, texts in sections(report):
        lines.append(f"{status.glyph} {title}:")
        lines += [f"    {text}" for text in texts[:limit]]
        lines += [f"    … {len(texts) - limit:,} more"] if len(texts) > limit else []
    return lines + [f"note: {visible(note)}" for note in report.notes]


def health_rich(report: HealthReport, *, limit: int = MOST_LINES) -> Group:
    """The report as a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    status, score = verdict(report)
    parts = [
        Text.assemble(
            (visible(report.model), "bold"),
            "  ",
            (f"{status.glyph} {score}", TERMINAL[status]),
            (f"  {facts(report)}", "dim"),
        )
    ]
    for side in (report, report.mlx):
        if side is None:
            continue
        parts += [Text(f"\n{side.framework}", "bold")] if report.mlx is not None else []
        for line in _side_text(side, limit):
            colour = (
                TERMINAL[Status.DIVERGES]
                if line.startswith(Status.DIVERGES.glyph)
                else "dim"
                if line.startswith("    ")
                else ""
            )
            parts.append(Text(line, colour))
    return Group(*parts)


# -------------------------------------------------------------------------------------- HTML


def health_html(report: HealthReport) -> str:
    """The report as one self-contained HTML fragment without scripts."""
    status, score = verdict(report)
    parts: list[str] = []
    for side in (report, report.mlx):
        if side is not None:
            parts += _side_html(side, named=report.mlx is not None)
    return card_html(report.model, facts(report), status, score, parts)


def _side_html(report: HealthReport, named: bool) -> Iterable[str]:
    if named:
        yield f'<div class="t2m-line"><b>{escape(report.framework)}</b></div>'
    for title, finding in _firsts(report):
        yield f'<div class="t2m-verdict t2m-box-DIVERGES" style="margin-top:8px">{finding_html(title, finding)}</div>'
    for title, status, texts in sections(report):
        inside = "".join(f"<div>{escape(text)}</div>" for text in texts[:MOST_HTML_ROWS])
        yield fold_html(f"{status.glyph} {title} · {len(texts):,}", inside, is_open=len(texts) <= 4)
    yield from (f'<div class="t2m-note">{escape(visible(note))}</div>' for note in report.notes)
    if report.tensors:
        yield fold_html(
            f"{plural(len(report.tensors), 'tensor')} in the order in which they were made", table_html(report.tensors)
        )


def finding_html(title: str, finding: Finding) -> str:
    """A finding as HTML: the sentence, and the ranges in monospace."""
    first, *rest = finding_lines(finding)
    ranges = "".join(
        f"<br><span style='font:12px/1.6 var(--t2m-mono)'>{escape(line)}</span>" for line in rest
    )
    return f'<b class="t2m-DIVERGES">{Status.DIVERGES.glyph}</b> {escape(title)}: <b>{escape(first)}</b>{ranges}'


def table_html(rows: Sequence[TensorHealth]) -> str:
    """Measured tensors as a table, at most :data:`MOST_HTML_ROWS`."""
    right = (6, 7, 9)
    heads = "".join(f"<th{' class=t2m-r' if i in right else ''}>{escape(h)}</th>" for i, h in enumerate(HEADS))
    lines = []
    for row in rows[:MOST_HTML_ROWS]:
        status = row_status(row)
        cells = [escape(cell) for cell in row_cells(row)]
        cells[1] = f'<b class="t2m-{status}">{status.glyph}</b> {cells[1]}'
        lines.append(
            "<tr>"
            + "".join(
                f'<td class="{"t2m-r " if i in right else ""}{"t2m-dim" if i in (0, 3, 5) else ""}">{cell}</td>'
                for i, cell in enumerate(cells)
            )
            + "</tr>"
        )
    more = len(rows) - len(lines)
    left = f'<div class="t2m-dim">… {more:,} more</div>' if more > 0 else ""
    return f'<table class="t2m-table"><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table>{left}'
