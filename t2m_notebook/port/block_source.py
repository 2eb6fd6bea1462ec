"""The source of the blocks that a port uses, to be carried along in its file."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level definition of a blocks file."""

    name: str
    source: str
    needs: tuple[str, ...]  # other names of the blocks package that it mentions
    imports: tuple[str, ...]  # standard-library imports that it mentions
    position: tuple[str, int]


_FOLDER = Path(__file__).parent.parent / "blocks"
_TOP_LEVEL = re.compile(r"^(?:class|def) +(\w+)|^(\w+)(?: *:[^=\n]+)? *=(?!=)", re.MULTILINE)


@cache
def file_of_name() -> dict[str, str]:
    """The blocks file of every top-level definition, private helpers included; read off the text, as
    parsing all of it takes longer than writing a port."""
    found: dict[str, str] = {}
    for path in sorted(_FOLDER.glob("*.py")):
        if path.stem != "__init__":
            for match in _TOP_LEVEL.finditer(path.read_text(encoding="utf-8")):
                found[match[1] or match[2]] = path.stem
    found.pop("__all__", None)
    return found


@cache
def definitions(file: str) -> dict[str, Block]:
    """Every top-level definition of one blocks file, by name."""
    text = (_FOLDER / f"{file}.py").read_text(encoding="utf-8")
    tree, lines, known = ast.parse(text), text.splitlines(), set(file_of_name())
    imports: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            imports.update({(a.asname or a.name): ast.unparse(ast.Import([a])) for a in node.names
                            if not a.name.startswith("mlx")})
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module not in ("__future__", None) \
                and not node.module.startswith("mlx"):
            imports.update({(a.asname or a.name): ast.unparse(ast.ImportFrom(node.module, [a], 0))
                            for a in node.names})
    found: dict[str, Block] = {}
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
            found[name] = Block(name, source, tuple(sorted((used & known) - {name})),
                                tuple(sorted(imports[n] for n in used if n in imports)), (file, node.lineno))
    return found


def library() -> dict[str, Block]:
    """Every top-level definition of every blocks file, by name."""
    return {name: block for file in sorted(set(file_of_name().values())) for name, block in definitions(file).items()}


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
    files = file_of_name()
    needed: dict[str, Block] = {}
    stack = sorted(name for name in names if name in files)
    while stack:
        name = stack.pop()
        if name not in needed:
            needed[name] = definitions(files[name])[name]
            stack.extend(needed[name].needs)
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
