"""The pictures of a memory report: stacked bars, one pool or two, the curve of a lazy graph. No scripts."""

from __future__ import annotations

from html import escape

from t2m_notebook.render.words import bytes_text
from t2m_notebook.types.memory import MemoryReport, PendingReport

#: What a bar is made of: label, the palette's colour. Each segment says its name and number, so colour is not needed.
SEGMENTS = (
    ("parameters", "mapped"),
    ("buffers", "unseen"),
    ("inputs", "unseen"),
    ("gradients", "partial"),
    ("optimizer state", "refused"),
    ("activations", "proven"),
)


def segments(report: MemoryReport, mode: str) -> list[tuple[str, str, int]]:
    """``(label, colour, bytes)`` of what is alive at the peak; together they are the peak."""
    gradients = report.bytes_of("gradients", mode)
    known = {label: report.bytes_of(label, mode) for label, _ in SEGMENTS[:3]}
    known |= {"gradients": gradients, "optimizer state": report.bytes_of("optimizer state", mode)}
    known["inputs"] = known["inputs"] or report.inputs
    peak = report.bytes_of("peak", mode)
    known["activations"] = max(peak - sum(known.values()), 0)
    return [(label, colour, known[label]) for label, colour in SEGMENTS if known[label]]


def bar_html(report: MemoryReport, mode: str, most: int) -> str:
    """A stacked bar whose length is in proportion to ``most`` bytes, and its legend."""
    found = segments(report, mode)
    total = sum(size for _, _, size in found)
    boxes = "".join(
        f'<i title="{escape(label)} {bytes_text(size)}" '
        f'style="flex:{max(size, 1)} 1 0;min-width:2px;display:block;height:14px;'
        f'background:var(--t2m-{colour});border-right:1px solid var(--t2m-bg)"></i>'
        for label, colour, size in found
    )
    legend = " ".join(
        f'<span style="white-space:nowrap;margin-right:12px">'
        f'<i style="display:inline-block;width:9px;height:9px;border-radius:2px;'
        f'background:var(--t2m-{colour})"></i> {escape(label)} '
        f'<span style="font-family:var(--t2m-mono)">{bytes_text(size)}</span>'
        f"</span>"
        for label, colour, size in found
    )
    share = max(100 * total / most, 1) if most else 100
    return (
        f'<div><b>{escape(mode)}</b> <span class="t2m-dim">at the worst moment {bytes_text(total)}</span></div>'
        f'<div style="display:flex;width:{share:.1f}%;border-radius:3px;overflow:hidden;margin:3px 0">{boxes}</div>'
        f'<div class="t2m-dim" style="font-size:12px">{legend}</div>'
    )


def pools_svg(report: MemoryReport) -> str:
    """Discrete memory (two pools and a bus) beside unified memory (one pool), with this model's numbers."""
    parameters = report.bytes_of("parameters", "inference") + report.bytes_of("buffers", "inference")
    peak = max(report.peak_inference, report.peak_training)
    inputs = report.inputs

    def box(x: int, y: int, wide: int, high: int, title: str, *lines: str) -> str:
        text = "".join(
            f'<text x="{x + 10}" y="{y + 38 + 17 * i}" class="t2m-d">{escape(line)}</text>'
            for i, line in enumerate(lines)
        )
        return (
            f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="5"/><text x="{x + 10}" y="{y + 20}" '
            f'class="t2m-t">{escape(title)}</text>{text}'
        )

    style = (
        "<style>.t2m-pools rect{fill:var(--t2m-bg2);stroke:var(--t2m-line)}.t2m-pools text{font:12px var(--t2m-mono);"
        "fill:var(--t2m-fg)}.t2m-pools .t2m-d{fill:var(--t2m-dim)}.t2m-pools .t2m-t{font-weight:700}"
        ".t2m-pools path{stroke:var(--t2m-dim);fill:none;stroke-width:1.5}</style>"
    )
    return (
        f'<svg class="t2m-pools" viewBox="0 0 860 176" width="100%" style="max-width:860px" role="img" '
        f'aria-label="discrete and unified memory">{style}'
        f'<text x="8" y="16" class="t2m-t">discrete (CUDA)</text>'
        + box(
            8,
            26,
            176,
            104,
            "CPU memory",
            "weights while loading",
            bytes_text(parameters),
            f"batch {bytes_text(inputs)}",
        )
        + box(268, 26, 176, 104, "GPU memory", "has to hold the peak", bytes_text(peak), "or it fails: no swap")
        + '<path d="M184 66H268M260 61l8 5l-8 5M268 96H184M192 91l-8 5l8 5"/>'
        + f'<text x="194" y="60" class="t2m-d">{bytes_text(inputs)}</text>'
        + '<text x="196" y="116" class="t2m-d">results</text>'
        + '<text x="8" y="152" class="t2m-d">two pools: .to("cuda") copies, every batch crosses the bus</text>'
        + '<text x="490" y="16" class="t2m-t">unified (Apple silicon)</text>'
        + box(
            490, 26, 360, 70, "one memory, CPU and GPU read the same bytes", f"has to hold the peak {bytes_text(peak)}"
        )
        + box(490, 106, 110, 30, "CPU")
        + box(740, 106, 110, 30, "GPU")
        + '<path d="M545 106V96M795 106V96"/>'
        + '<text x="490" y="152" class="t2m-d">one pool: nothing is copied; the system shares it,</text>'
        + '<text x="490" y="168" class="t2m-d">MLX keeps freed arrays cached (mx.clear_cache)</text></svg>'
    )


def spark_svg(report: PendingReport) -> str:
    """Pending bytes over the operations, with a dot at every evaluation."""
    samples, most = report.samples[-600:], max(report.peak_bytes, 1)
    if len(samples) < 2:
        return '<span class="t2m-dim">nothing was asked for</span>'
    step = 840 / (len(samples) - 1)
    points = [(i * step, 84 - 76 * s.bytes / most) for i, s in enumerate(samples)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="var(--t2m-proven)"/>'
        for (x, y), s in zip(points, samples, strict=True)
        if s.evaluated
    )
    return (
        f'<svg viewBox="0 0 860 100" width="100%" style="max-width:860px" role="img" aria-label="pending bytes">'
        f'<polygon points="0,84 {line} 840,84" fill="var(--t2m-mapped)" fill-opacity=".18"/>'
        f'<polyline points="{line}" fill="none" stroke="var(--t2m-mapped)" stroke-width="1.5"/>{dots}'
        f'<line x1="0" x2="840" y1="84" y2="84" stroke="var(--t2m-line)"/>'
        f'<text x="0" y="97" style="font:11px var(--t2m-mono);fill:var(--t2m-dim)">pending bytes, most '
        f"{bytes_text(report.peak_bytes)}; a dot is an evaluation</text></svg>"
    )
