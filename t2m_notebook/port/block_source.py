"""The source of the blocks that a port uses, to be carried along in its file."""

from __future__ import annotations

import ast
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from .. import blocks


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level definition of a blocks file."""

    name: str
    source: str
    needs: tuple[str, ...]  # other names of the blocks package that it mentions
    imports: tuple[str, ...]  # standard-library imports that it mentions
    position: tuple[str, int]


@cache
def library() -> dict[str, Block]:
    """Every top-level definition of every blocks file, by name (private helpers included)."""
    found: dict[str, Block] = {}
    raw: list[tuple[str, str, str, set[str], dict[str, str], tuple[str, int]]] = []
    for info in pkgutil.iter_modules(blocks.__path__):
        path = Path(import_module(f"{blocks.__name__}.{info.name}").__file__ or "")
        text = path.read_text(encoding="utf-8")
        tree, lines = ast.parse(text), text.splitlines()
        imports: dict[str, str] = {}
        for node in tree.body:
            if isinstance(node, ast.Import):
                imports.update({(a.asname or a.name): ast.unparse(ast.Import([a])) for a in node.names
                                if not a.name.startswith("mlx")})
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module not in ("__future__", None) \
                    and not node.module.startswith("mlx"):
                imports.update({(a.asname or a.name): ast.unparse(ast.ImportFrom(node.module, [a], 0))
                                for a in node.names})
        for node in tree.body:
            names = _defined(node)
            if not names or names == ["__all__"]:
                continue
            start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            while start > 1 and lines[start - 2].lstrip().startswith("#"):
                start -= 1
            source = "\n".join(lines[start - 1: node.end_lineno])
            used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            for name in names:
                raw.append((info.name, name, source, used, imports, (info.name, node.lineno)))
    known = {name for _, name, *_ in raw}
    for _, name, source, used, imports, position in raw:
        found[name] = Block(name, source, tuple(sorted((used & known) - {name})),
                            tuple(sorted(imports[n] for n in used if n in imports)), position)
    return found


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def used_blocks(names: set[str]) -> tuple[list[Block], list[str]]:
    """The blocks among ``names`` with all that they need, in an order in which they can be
    defined, and the imports they need."""
    everything = library()
    needed: dict[str, Block] = {}
    stack = sorted(names & set(everything))
    while stack:
        name = stack.pop()
        if name not in needed:
            needed[name] = everything[name]
            stack.extend(everything[name].needs)
    # A base class or a constant must stand before its user; otherwise the files' own order.
    ordered: list[Block] = []
    placed: set[str] = set()

    def place(block: Block, seen: frozenset[str]) -> None:
        if block.name in placed or block.name in seen:
            return
        for need in block.needs:
            place(needed[need], seen | {block.name})
        if block.name not in placed:
            placed.add(block.name)
            ordered.append(block)

    for block in sorted(needed.values(), key=lambda b: b.position):
        place(block, frozenset())
    unique: dict[str, Block] = {}
    for block in ordered:
        unique.setdefault(block.source, block)
    imports = sorted({line for block in ordered for line in block.imports})
    return list(unique.values()), imports
