"""What the check of one class found, in the words of the badge under its cell: text, and HTML without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from html import escape

from t2m_notebook.render.parity import fold_html
from t2m_notebook.render.style import CARD, STATIC, palette, status_colours
from t2m_notebook.render.words import difference_text, plural, visible
from t2m_notebook.types import CellCheck, Fix, Mark, Status, WeightRow, shape_text

#: The colour of each state; the glyph is the check's own.
COLOURS = {"proven": Status.PROVEN, "diverges": Status.DIVERGES, "error": Status.DIVERGES,
           "stopped": Status.REFUSED, "unknown": Status.UNSEEN}
_SEVERITIES = {"error": Status.DIVERGES, "warning": Status.PARTIAL, "info": Status.MAPPED}
_LINE_NUMBERS = re.compile(r"\b[Ll]ines? \d+(?:(?:, | and | to )\d+)*\b")
_MOST_MARKS, _MOST_ROWS = 12, 60
_STYLE = """
.t2m-cell-check { max-width: 1180px; }
.t2m-cell-check .t2m-head .t2m-text { font: 12px var(--t2m-mono); }
.t2m-cell-check .t2m-said { padding: 5px 12px; border-top: 1px solid var(--t2m-line); overflow-wrap: anywhere; }
.t2m-cell-check .t2m-code { font: 12px/1.6 var(--t2m-mono); white-space: pre-wrap; overflow-wrap: anywhere;
  padding: 2px 12px; }
.t2m-cell-check .t2m-code .t2m-number { display: inline-block; min-width: 30px; color: var(--t2m-dim); }
.t2m-cell-check .t2m-code u { text-decoration: underline wavy currentColor; text-underline-offset: 3px; }
.t2m-cell-check .t2m-minus { color: var(--t2m-diverges); }
.t2m-cell-check .t2m-plus { color: var(--t2m-proven); }
"""


def check_facts(check: CellCheck) -> str:
    """``6 instances · 8 ms``. Instances of equal sizes are compared once."""
    if not check.instances:
        return ""
    count = plural(check.instances, "instance")
    return f"{count} · {check.milliseconds:.0f} ms" if check.milliseconds >= 0.5 else count


def check_line(check: CellCheck) -> str:
    """The badge in one line: ``✓ Block · 1.2e-06 of 1.4e-05 allowed · 6 instances · 8 ms``."""
    words = (f"{check.glyph} {visible(check.class_name)}", visible(check.text), check_facts(check))
    return " · ".join(word for word in words if word)


def counted_from_magic(check: CellCheck, texts_only: bool = False) -> CellCheck:
    """The check with its lines counted from the ``%%t2m_cell`` line above the class, as an editor shows them;
    ``texts_only`` leaves the numbers of marks and fixes as they are."""
    shift, said = 0 if texts_only else 1, line_in_cell
    marks = tuple(replace(mark, line=mark.line + shift, end_line=mark.end_line and mark.end_line + shift,
                          message=said(mark.message)) for mark in check.marks)
    fixes = tuple(replace(fix, line=fix.line + shift, end_line=fix.end_line + shift, message=said(fix.message))
                  for fix in check.fixes)
    return replace(check, text=said(check.text), message=said(check.message), line=check.line and check.line + shift,
                   marks=marks, fixes=fixes)


def line_in_cell(text: str) -> str:
    """``text`` with the line numbers that it mentions counted from the ``%%t2m_cell`` line."""
    return _LINE_NUMBERS.sub(lambda found: re.sub(r"\d+", lambda number: str(int(number[0]) + 1), found[0]), text)


def wrong_weights(rows: Iterable[WeightRow]) -> list[WeightRow]:
    """The parameters that have no counterpart, or one of another shape."""
    return [row for row in rows if row.state != "matched"]


def weight_text(row: WeightRow) -> str:
    """``conv.weight 8×3×3×3 → conv.weight 8×3×3×3: missing in MLX``."""
    torch = f"{visible(row.torch_name)} {shape_text(row.torch_shape)}" if row.torch_name else "nothing in torch"
    mlx = f"{visible(row.mlx_name)} {shape_text(row.mlx_shape)}" if row.mlx_name else "nothing in MLX"
    said = {"missing": "missing in MLX", "extra": "torch has none", "shape": "another shape"}.get(row.state, row.state)
    return f"{torch} → {mlx}: {said}"


def check_text(check: CellCheck, source: str = "") -> str:
    """The check for a terminal or a log. ``source`` is the class's text that the lines count in."""
    lines, text = [check_line(check)], source.splitlines()
    if check.message and check.message != check.text:
        lines.append(f"  {visible(check.message)}")
    for mark in check.marks[:_MOST_MARKS]:
        lines.append(f"  line {mark.line}: {_line(text, mark.line).strip()}")
        if mark.message and mark.message != check.message:
            lines.append(f"    {visible(mark.message)}")
    for fix in check.fixes:
        lines.append(f"  try: {_fix_title(fix)}")
        lines += [f"    - {visible(line)}" for line in fix.before.splitlines()]
        lines += [f"    + {visible(line)}" for line in fix.after.splitlines()]
    lines += [f"  weight {weight_text(row)}" for row in wrong_weights(check.weights)[:_MOST_ROWS]]
    return "\n".join(line.rstrip() for line in lines)


def check_html(check: CellCheck, source: str = "") -> str:
    """The check as one self-contained HTML fragment."""
    status, scope, text = COLOURS.get(check.state, Status.UNSEEN), ".t2m-static", source.splitlines()
    parts = []
    if check.message and check.message != check.text:
        parts.append(f'<div class="t2m-said">{escape(visible(check.message))}</div>')
    if check.marks:
        rows = "".join(_mark_html(mark, text, check.message) for mark in check.marks[:_MOST_MARKS])
        parts.append(f'<div class="t2m-said" style="padding-left:0">{rows}</div>')
    parts += [_fix_html(fix) for fix in check.fixes]
    wrong = wrong_weights(check.weights)
    if wrong:
        rows = "".join(f"<div>{escape(weight_text(row))}</div>" for row in wrong[:_MOST_ROWS])
        parts.append(fold_html(f"{plural(len(wrong), 'weight')} without a match", rows, is_open=True))
    return (f'<div class="t2m-static t2m-card t2m-cell-check"><style>{palette(scope)}{STATIC}{CARD}{_STYLE}'
            f'{status_colours(scope)}</style><div class="t2m-head">'
            f'<b><span class="t2m-{status}">{check.glyph}</span> {escape(visible(check.class_name))}</b> '
            f'<span class="t2m-text t2m-{status}">{escape(visible(check.text))}</span> '
            f'<span class="t2m-score t2m-dim">{escape(check_facts(check))}</span></div>{"".join(parts)}</div>')


def _line(text: list[str], number: int) -> str:
    return visible(text[number - 1]) if 0 < number <= len(text) else ""


def _mark_html(mark: Mark, text: list[str], said: str) -> str:
    line, status = _line(text, mark.line), _SEVERITIES.get(mark.severity, Status.DIVERGES)
    whole = mark.end_column <= mark.column or mark.end_line > mark.line
    start = mark.column or len(line) - len(line.lstrip())
    end = len(line) if whole else mark.end_column
    code = f"{escape(line[:start])}<u>{escape(line[start:end])}</u>{escape(line[end:])}" if line else ""
    message = f'<div class="t2m-dim" style="padding-left:42px">{escape(visible(mark.message))}</div>' \
        if mark.message and mark.message != said else ""
    return (f'<div class="t2m-code"><span class="t2m-number">{mark.line}</span>'
            f'<span class="t2m-{status}">{code}</span></div>{message}')


def _fix_title(fix: Fix) -> str:
    measured = f" (max|Δ| {difference_text(fix.difference)} with it)" if fix.difference is not None else ""
    return f"{visible(fix.kind)}: {visible(fix.message)}{measured}"


def _fix_html(fix: Fix) -> str:
    rows = [f'<div class="t2m-code t2m-{kind}">{sign} {escape(visible(line))}</div>'
            for kind, sign, side in (("minus", "−", fix.before), ("plus", "+", fix.after))
            for line in side.splitlines()]
    return f'<div class="t2m-said">{escape(_fix_title(fix))}</div>{"".join(rows)}'
