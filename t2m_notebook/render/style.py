"""Colours and styles that the HTML views share.

Surfaces and fonts come from the page: JupyterLab's variables, else VS Code's, else fixed
ones. Status colours are Okabe-Ito based, apart for colour-blind eyes, and never without
their glyph. No part of the page outside ``selector`` is touched.
"""

from __future__ import annotations

from t2m_notebook.types import Status

#: What rich writes each status in.
TERMINAL = {Status.PROVEN: "green", Status.MAPPED: "blue", Status.PARTIAL: "yellow",
            Status.DIVERGES: "bold red", Status.REFUSED: "magenta", Status.MISSING: "bold magenta",
            Status.UNSEEN: "bright_black"}

_MONO = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
_UI = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'

_LIGHT = {"proven": "#00795c", "mapped": "#0b68b0", "partial": "#925600", "diverges": "#c2410c",
          "refused": "#8a2be2", "missing": "#b0004e", "unseen": "#7d868f", "bg": "#fff",
          "fg": "#1f2328", "dim": "#656d76", "accent": "#1976d2"}
_DARK = {"proven": "#4cc9a0", "mapped": "#5cb3f0", "partial": "#f0b13c", "diverges": "#ff8a5c",
         "refused": "#c792ff", "missing": "#ff6fa5", "unseen": "#828b96", "bg": "#111418",
         "fg": "#e6e8eb", "dim": "#8f98a3", "accent": "#64b5f6"}
_PAGE = {"bg": ("--jp-layout-color1", "--vscode-editor-background"),
         "fg": ("--jp-ui-font-color1", "--vscode-foreground"),
         "dim": ("--jp-ui-font-color2", "--vscode-descriptionForeground"),
         "accent": ("--jp-brand-color1", "--vscode-focusBorder")}
# A page's own second layer and borders differ too much from theme to theme to stay quiet.
_MIXED = {"bg2": 4, "line": 14}  # percent of the text colour in the background
# How the pages that show notebooks say that they are dark.
_DARK_PAGES = ('[data-jp-theme-light="false"]', ".vscode-dark", ".vscode-high-contrast",
               '[data-theme="dark"]', ".quarto-dark")
_LIGHT_PAGES = ('[data-jp-theme-light="true"]', ".vscode-light", '[data-theme="light"]',
                ".quarto-light")


def palette(selector: str) -> str:
    """CSS that defines ``--t2m-*`` variables on ``selector``, light and dark."""
    dark_pages = ", ".join(f"{page} {selector}" for page in _DARK_PAGES)
    light_pages = ", ".join(_LIGHT_PAGES)
    fonts = f"--t2m-mono: var(--jp-code-font-family, {_MONO}); --t2m-ui: var(--jp-ui-font-family, {_UI});"
    return (
        f"{selector} {{ {fonts} {_variables(_LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not(:has({light_pages})):not({light_pages}) "
        f"{selector} {{ {_variables(_DARK)} }} }}\n"
        f"{dark_pages} {{ {_variables(_DARK)} }}\n"
    )


def _variables(colours: dict[str, str]) -> str:
    lines = []
    for name, colour in colours.items():
        for variable in reversed(_PAGE.get(name, ())):
            colour = f"var({variable}, {colour})"
        lines.append(f"--t2m-{name}: {colour};")
    lines += [f"--t2m-{name}: color-mix(in srgb, var(--t2m-fg) {share}%, var(--t2m-bg));"
              for name, share in _MIXED.items()]
    return " ".join(lines)


STATIC = """
.t2m-static { border: 1px solid var(--t2m-line); border-radius: 6px; overflow: hidden;
  max-width: 1180px; background: var(--t2m-bg); color: var(--t2m-fg); font: 13px/1.45 var(--t2m-ui); }
.t2m-static * { box-sizing: border-box; }
.t2m-static .t2m-head { display: flex; gap: 2px 14px; align-items: baseline;
  padding: 9px 12px; background: var(--t2m-bg2); }
.t2m-static .t2m-head b { font-size: 14px; }
.t2m-static .t2m-head span:nth-child(2) { flex: 1 1 0; min-width: 0; }
.t2m-static .t2m-score { white-space: nowrap; font: 12px var(--t2m-mono); }
.t2m-static .t2m-dim { color: var(--t2m-dim); }
.t2m-static .t2m-bar { display: flex; height: 5px; background: var(--t2m-line); }
.t2m-static .t2m-bar i { min-width: 2px; }
.t2m-static .t2m-legend, .t2m-static .t2m-note { padding: 6px 12px;
  border-bottom: 1px solid var(--t2m-line); }
.t2m-static .t2m-legend span + span { margin-left: 14px; }
.t2m-static .t2m-note { color: var(--t2m-dim); }
.t2m-static .t2m-note:last-child { border-bottom: 0; }
.t2m-static .t2m-rows + .t2m-note { border-top: 1px solid var(--t2m-line); }
.t2m-static .t2m-note .t2m-what { color: var(--t2m-fg); font-family: var(--t2m-mono); font-size: 12px; }
.t2m-static .t2m-rows { padding: 4px 0; font: 12px/22px var(--t2m-mono); overflow-x: auto; }
.t2m-static details, .t2m-static summary { display: block; margin: 0; padding: 0; }
.t2m-static .t2m-row { display: grid; gap: 8px;
  grid-template-columns: minmax(180px, 1fr) 128px 64px 74px 66px;
  height: 22px; padding: 0 12px; white-space: nowrap; }
.t2m-static .t2m-row > span { overflow: hidden; text-overflow: ellipsis; }
.t2m-static .t2m-row .t2m-r { text-align: right; }
.t2m-static summary.t2m-row { cursor: pointer; }
.t2m-static .t2m-row:hover { background: var(--t2m-bg2); }
.t2m-static .t2m-row::before { display: none; }
.t2m-static summary::-webkit-details-marker { display: none; }
.t2m-static .t2m-twisty { display: inline-block; width: 14px; color: var(--t2m-dim); }
.t2m-static summary .t2m-twisty::before { content: "\\25B8"; }
.t2m-static details[open] > summary .t2m-twisty::before { content: "\\25BE"; }
.t2m-static .t2m-glyph { display: inline-block; width: 16px; font-weight: 700; text-align: center; }
.t2m-static .t2m-inside { margin-left: 18px; border-left: 1px solid var(--t2m-line); }
.t2m-static .t2m-badge { margin-left: 4px; padding: 0 5px; border: 1px solid var(--t2m-line);
  border-radius: 3px; background: var(--t2m-bg2); color: var(--t2m-dim); font-size: 11px; }
.t2m-static .t2m-mark { margin-left: 4px; color: var(--t2m-mapped); }
.t2m-static .t2m-mark.t2m-DIVERGES { color: var(--t2m-diverges); }
.t2m-static .t2m-ops .t2m-mark { margin-left: 0; }
.t2m-static .t2m-ops { margin: 0 12px 4px 22px; border-left: 2px solid var(--t2m-line); padding-left: 8px; }
.t2m-static .t2m-ops div { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 19px; }
"""


# A summary above a tree. A page's own style for tables is stronger than one class, hence `table.`
CARD = """
.t2m-card + .t2m-static { margin-top: 8px; }
.t2m-card:last-child { max-width: 1400px; }
.jp-RenderedHTMLCommon > .t2m-card:last-child { margin-right: -20px; }
.t2m-card .t2m-ladder { display: flex; flex-wrap: wrap; gap: 8px 6px; padding: 10px 12px; }
.t2m-card .t2m-rung { flex: 1 1 130px; border-top: 3px solid currentColor; padding: 5px 4px 0; }
.t2m-card .t2m-rung span { color: var(--t2m-fg); }
.t2m-card .t2m-rung small { display: block; color: var(--t2m-dim); font: 12px/1.5 var(--t2m-mono); }
.t2m-card .t2m-rung.t2m-UNSEEN { border-color: var(--t2m-line); }
.t2m-card .t2m-verdict { margin: 0 12px 8px; padding: 4px 10px; border-left: 3px solid;
  overflow-wrap: anywhere; }
.t2m-card .t2m-head + .t2m-verdict { margin-top: 8px; }
.t2m-card .t2m-rung b { color: inherit; }
.t2m-card .t2m-PROVEN b { color: var(--t2m-proven); }
.t2m-card .t2m-DIVERGES b { color: var(--t2m-diverges); }
.t2m-card .t2m-MISSING b { color: var(--t2m-missing); }
.t2m-card .t2m-REFUSED b { color: var(--t2m-refused); }
.t2m-card .t2m-PARTIAL b { color: var(--t2m-partial); }
.t2m-card .t2m-MAPPED b { color: var(--t2m-mapped); }
.t2m-card .t2m-UNSEEN b { color: var(--t2m-unseen); }
.t2m-card .t2m-fold, .t2m-card .t2m-line { border-top: 1px solid var(--t2m-line); }
.t2m-card .t2m-fold > summary, .t2m-card .t2m-line { padding: 4px 12px; color: var(--t2m-dim); }
.t2m-card .t2m-line { padding-left: 26px; }
.t2m-card .t2m-fold > summary { cursor: pointer; }
.t2m-card .t2m-fold > summary:hover { background: var(--t2m-bg2); }
.t2m-card .t2m-fold > summary::before { display: none; }
.t2m-card .t2m-inner { padding: 2px 12px 8px 26px; font: 12px/1.6 var(--t2m-mono); overflow-x: auto; }
.t2m-card table.t2m-table { margin: 0; width: 100%; table-layout: auto; border-collapse: collapse; border: 0;
  font: 12px/1.55 var(--t2m-mono); color: var(--t2m-fg); }
.t2m-card table.t2m-table tr:nth-child(n) { background: none; }
.t2m-card table.t2m-table tbody tr:nth-child(n):hover { background: var(--t2m-bg2); }
.t2m-card table.t2m-table th, .t2m-card table.t2m-table td { padding: 1px 10px 1px 0; border: 0;
  text-align: left; white-space: nowrap; max-width: none; vertical-align: top; }
.t2m-card table.t2m-table th { font: 600 11px var(--t2m-ui); color: var(--t2m-dim); }
.t2m-card table.t2m-table td { border-bottom: 1px solid var(--t2m-bg2); }
.t2m-card table.t2m-table .t2m-r { text-align: right; }
.t2m-card table.t2m-table td:last-child { white-space: normal; min-width: 0; overflow-wrap: anywhere; }
"""


def status_colours(scope: str) -> str:
    """CSS for ``.t2m-PROVEN`` (colour) and ``.t2m-box-PROVEN`` (a box of that colour), and so
    on for every status, inside ``scope``."""
    names = ("proven", "mapped", "partial", "diverges", "refused", "missing", "unseen")
    return "".join(
        f"{scope} .t2m-{n.upper()} {{ color: var(--t2m-{n}); }}\n"
        f"{scope} .t2m-box-{n.upper()} {{ border-color: var(--t2m-{n}); "
        f"background: color-mix(in srgb, var(--t2m-{n}) 10%, transparent); }}\n" for n in names)
