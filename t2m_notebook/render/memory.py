"""A memory report: what each kind takes, measured beside predicted, and what would change with dtype and size."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from html import escape

from t2m_notebook.render.memory_pictures import bar_html, pools_svg, spark_svg
from t2m_notebook.render.parity import card_html, fold_html
from t2m_notebook.render.words import bytes_text, clip, plural, visible, width
from t2m_notebook.types import Status
from t2m_notebook.types.memory import MemoryPart, MemoryReport, ModuleMemory, PendingReport, Scaling

if typing.TYPE_CHECKING:
    from rich.console import Group

MOST_MODULES = 12
MOST_HTML_MODULES = 300
HEADS = ("", "measured", "predicted", "arithmetic", "how it was measured")


def score(report: MemoryReport) -> str:
    """``inference 218 KB · training 804 KB``."""
    peaks = (("inference", report.peak_inference), ("training", report.peak_training))
    return " · ".join(f"{mode} {bytes_text(size)}" for mode, size in peaks if size) or "nothing measured"


def facts(report: MemoryReport) -> str:
    """``torch on cpu · AdamW · batch 8 · length 128``."""
    words = [
        f"{report.framework} on {report.device}",
        report.optimizer,
        f"batch {report.batch}" if report.batch else "",
        f"length {report.length}" if report.length else "",
        f"{report.seconds:.1f} s",
    ]
    return " · ".join(visible(word) for word in words if word)


def modes(report: MemoryReport) -> list[tuple[str, list[MemoryPart]]]:
    """The parts of inference and of training, in order."""
    return [
        (mode, parts)
        for mode in ("inference", "training")
        if (parts := [part for part in report.parts if part.mode == mode])
    ]


def part_cells(part: MemoryPart) -> tuple[str, str, str, str, str]:
    """The strings under :data:`HEADS`."""
    return (
        part.kind,
        "" if part.measured is None else bytes_text(part.measured),
        "" if part.predicted is None else bytes_text(part.predicted),
        visible(part.arithmetic),
        visible(part.how),
    )


def biggest(modules: Iterable[ModuleMemory]) -> list[ModuleMemory]:
    """Modules with memory of their own, the most first."""
    kept = [m for m in modules if m.parameters or m.results or m.saved]
    return sorted(kept, key=lambda m: -(m.parameters + m.saved + m.results))


def scaling_text(scaling: Scaling) -> str:
    """``peak of inference over length, from measurements at 10, 20, 30: 1 KB·n + 96 B·n² …``."""
    shape = {0: "constant", 1: "a line", 2: "a parabola"}[
        max((i for i, c in enumerate(scaling.coefficients) if c), default=0)
    ]
    top = scaling.sizes[-1]
    told = ", ".join(f"{bytes_text(max(int(scaling.predict(top * k)), 0))} at {top * k:,}" for k in (2, 8))
    measured = ", ".join(f"{bytes_text(b)} at {n:,}" for n, b in zip(scaling.sizes, scaling.measured, strict=True))
    return f"{scaling.quantity} over {scaling.axis}: measured {measured}; predicted ({shape} through them) {told}"


def _sections(report: MemoryReport) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    if report.precisions:
        found.append(
            (
                "Parameters in other precisions (arithmetic)",
                [
                    f"{p.name:9} {bytes_text(p.bytes):>9}  {p.bits_per_weight:.2f} bits a number  {p.note}"
                    for p in report.precisions
                ],
            )
        )
    if report.scalings:
        found.append(("Other sizes, beyond parameters and inputs", [scaling_text(s) for s in report.scalings]))
    if report.cache is not None:
        cache = report.cache
        found.append(
            (
                "Key-value cache",
                [
                    f"{bytes_text(cache.bytes_per_token)} a token over {cache.layers} layers; 4,096 tokens take "
                    f"{bytes_text(4096 * cache.bytes_per_token)}. From {cache.how}"
                ],
            )
        )
    if report.saved_dtypes:
        found.append(
            (
                "Saved for backward, by dtype",
                [f"{name:9} {bytes_text(size):>9}" for name, size in report.saved_dtypes.items()],
            )
        )
    if report.counters:
        found.append(
            (
                "The framework's own counters",
                [f"{name:18} {bytes_text(size):>9}" for name, size in report.counters.items()],
            )
        )
    return found


# -------------------------------------------------------------------------------------- text


def memory_text(report: MemoryReport, columns: int = 110) -> str:
    """The report for a terminal or a log."""
    lines = [f"{visible(report.model)} · {score(report)} · {facts(report)}"]
    for side in (report, report.mlx):
        if side is not None:
            lines += ([f"{side.framework}: {score(side)}"] if side is not report else []) + _side_text(side, columns)
    return "\n".join(clip(line, 3 * columns).rstrip() for line in lines)


def _side_text(report: MemoryReport, columns: int) -> list[str]:
    lines = []
    for mode, parts in modes(report):
        rows = [part_cells(part) for part in parts]
        wide = max(width(row[0]) for row in rows)
        lines += ["", f"{mode:{wide + 4}}{'measured':>10}{'predicted':>11}"]
        for kind, measured, predicted, arithmetic, _ in rows:
            lines.append(clip(f"    {kind:{wide}}{measured:>10}{predicted:>11}  {arithmetic}", columns))
    modules = biggest(report.modules)
    if modules:
        lines += ["", f"{'module':32}{'parameters':>11}{'results':>10}{'saved':>10}"]
        lines += [
            f"{clip(visible(m.path) or report.model, 31):32}{bytes_text(m.parameters):>11}{bytes_text(m.results):>10}"
            f"{bytes_text(m.saved):>10}"
            for m in modules[:MOST_MODULES]
        ]
        lines += [f"… {len(modules) - MOST_MODULES:,} more modules"] if len(modules) > MOST_MODULES else []
    for title, texts in _sections(report):
        lines += ["", f"{title}:", *(f"    {visible(text)}" for text in texts)]
    return lines + [f"note: {visible(note)}" for note in report.notes]


def memory_rich(report: MemoryReport) -> Group:
    """The report as a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble((visible(report.model), "bold"), "  ", (score(report), "blue"), (f"  {facts(report)}", "dim"))
    parts = [head]
    for side in (report, report.mlx):
        if side is None:
            continue
        parts += [Text(f"\n{side.framework}: {score(side)}", "bold")] if side is not report else []
        for line in _side_text(side, 110):
            title = not line.startswith("    ") and line.endswith(("predicted", ":", "saved"))
            parts.append(Text(line, "bold" if title else "dim italic" if line.startswith("note:") else ""))
    return Group(*parts)


def pending_text(report: PendingReport) -> str:
    """How much MLX had been asked for at most, and where an evaluation belongs."""
    lines = [
        f"at most {plural(report.peak_operations, 'operation')} and {bytes_text(report.peak_bytes)} waited to be "
        f"calculated; {plural(report.evaluations, 'evaluation')}"
    ]
    return "\n".join(lines + ([visible(report.advice)] if report.advice else []))


# -------------------------------------------------------------------------------------- HTML


def memory_html(report: MemoryReport) -> str:
    """The report as one self-contained HTML fragment without scripts."""
    parts: list[str] = []
    for side in (report, report.mlx):
        if side is not None:
            parts += _side_html(side, named=report.mlx is not None)
    parts.append(fold_html("discrete and unified memory", pools_svg(report)))
    return card_html(report.model, facts(report), Status.MAPPED, score(report), parts)


def _side_html(report: MemoryReport, named: bool) -> Iterable[str]:
    if named:
        yield f'<div class="t2m-line"><b>{escape(report.framework)}</b></div>'
    most = max((size for _, parts in modes(report) for p in parts if (size := p.measured or 0)), default=1)
    for mode, parts in modes(report):
        rows = "".join(_row(part) for part in parts)
        heads = "".join(
            f"<th{' class=t2m-r' if i in (1, 2) else ''}>{escape(h or mode)}</th>" for i, h in enumerate(HEADS)
        )
        yield (
            f'<div style="padding:8px 12px 0">{bar_html(report, mode, most)}</div><div class="t2m-inner" '
            f'style="padding:4px 12px 8px"><table class="t2m-table"><thead><tr>{heads}</tr></thead>'
            f'<tbody>{rows}</tbody>'
            f"</table></div>"
        )
    modules = biggest(report.modules)
    if modules:
        lines = "".join(
            f'<tr><td>{escape(visible(m.path) or visible(report.model))} '
            f'<span class="t2m-dim">{escape(visible(m.class_name))}'
            f'</span></td><td class="t2m-dim">{escape(", ".join(m.dtypes))}</td>'
            + "".join(
                f'<td class="t2m-r">{bytes_text(n) if n else ""}</td>' for n in (m.parameters, m.results, m.saved)
            )
            + "<td></td></tr>"
            for m in modules[:MOST_HTML_MODULES]
        )
        yield fold_html(
            f"{plural(len(modules), 'module')}, the largest first",
            (
                '<table class="t2m-table"><thead><tr><th>module</th><th>dtype</th><th class="t2m-r">parameters</th>'
                '<th class="t2m-r">results</th><th class="t2m-r">saved for backward</th><th></th></tr></thead>'
                f"<tbody>{lines}</tbody></table>"
            ),
        )
    for title, texts in _sections(report):
        inside = "".join(f'<div style="white-space:pre-wrap">{escape(visible(text))}</div>' for text in texts)
        yield fold_html(title, inside, is_open=title.startswith("Parameters"))
    yield from (f'<div class="t2m-note">{escape(visible(note))}</div>' for note in report.notes)


def _row(part: MemoryPart) -> str:
    kind, measured, predicted, arithmetic, how = (escape(visible(cell)) for cell in part_cells(part))
    strong = ("<b>", "</b>") if part.kind == "peak" else ("", "")
    return (
        f'<tr><td>{strong[0]}{kind}{strong[1]}</td><td class="t2m-r">{strong[0]}{measured}{strong[1]}</td>'
        f'<td class="t2m-r t2m-dim">{predicted}</td><td class="t2m-dim">{arithmetic}</td>'
        f'<td class="t2m-dim">{how}</td></tr>'
    )


def pending_html(report: PendingReport) -> str:
    """The curve of what waited to be calculated, and the advice."""
    text = f"at most {plural(report.peak_operations, 'operation')} waited · {plural(report.evaluations, 'evaluation')}"
    status = Status.PARTIAL if report.advice else Status.PROVEN
    parts = [f'<div style="padding:8px 12px">{spark_svg(report)}</div>']
    if report.advice:
        parts.append(
            f'<div class="t2m-verdict t2m-box-PARTIAL"><b class="t2m-PARTIAL">{Status.PARTIAL.glyph}</b> '
            f"{escape(visible(report.advice))}</div>"
        )
    return card_html("MLX's lazy graph", text, status, f"peak {bytes_text(report.peak_bytes)}", parts)
