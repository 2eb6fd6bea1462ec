"""The standalone ``model.py``: header, imports, blocks, classes in dependency order, ``load``."""

from __future__ import annotations

import ast
import subprocess
import sys

from .block_source import used_blocks
from .classes import Group, Unfold

_LOAD = '''
def load(folder=Path(__file__).parent):
    """The model with its weights, in eval mode. ``folder`` holds ``weights.safetensors``."""
    model = {root}()
    model.load_weights(str(Path(folder) / "weights.safetensors"), strict=True)
    model.eval()
    return model
'''


def class_sources(groups: list[Group]) -> list[str]:
    """The text of each generated class, formatted in one go."""
    mark = "# -- next class --"
    text = format_source(f"\n\n\n{mark}\n".join(_unparse(group) for group in groups))
    return [part.strip() + "\n" for part in text.split(mark)]


def _unparse(group: Group) -> str:
    import copy
    node = Unfold().visit(copy.deepcopy(group.node))
    lines = ast.unparse(ast.fix_missing_locations(node)).splitlines()
    title = f"Ported from {group.cls.__module__}.{group.cls.__qualname__}." if group.cls.__module__ != "__main__" \
        else f"Ported from {group.cls.__qualname__}."
    return "\n".join([lines[0], f'    """{title}"""', "", *lines[1:]])


def names_in(source: str) -> set[str]:
    """Every bare name that a text mentions."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def file_source(groups: list[Group], header: str) -> str:
    """The whole file. A generated class never has the name of a block that the file needs."""
    classes = [_unparse(group) for group in groups]
    text = "\n\n\n".join(classes)
    used = names_in(text) - {group.name for group in groups}
    blocks, imports = used_blocks(used)
    lines = [f'"""{header}"""', ""]
    standard = set(imports)
    everything = text + "".join(block.source for block in blocks)
    if "math." in everything:
        standard.add("import math")
    standard.add("from pathlib import Path")
    lines += sorted(standard, key=lambda line: (line.startswith("from"), line))
    lines += ["", "import mlx.core as mx", "import mlx.nn as nn", ""]
    if "partial(" in everything and not any("partial" in line for line in standard):
        lines.insert(2, "from functools import partial")
    load = _LOAD.format(root=groups[-1].name).strip()
    parts = ["\n".join(lines), *[block.source for block in blocks], *classes, load]
    return format_source("\n\n\n".join(parts) + "\n")


def format_source(source: str) -> str:
    """The text as ruff formats it; unformatted where ruff can't be run."""
    command = [sys.executable, "-m", "ruff", "format", "--line-length", "110", "--stdin-filename", "model.py",
               "--isolated", "-"]
    try:
        done = subprocess.run(command, input=source, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return source
    return done.stdout
