"""The rooms and the stairs between them: imports point down only, and the engine knows no Jupyter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "t2m_notebook"

# room: the rooms it may import. A room is a file or a folder right inside the package.
BOTTOM = {"types", "errors"}
RULES = BOTTOM | {"rules"}
ENGINE = RULES | {"blocks", "inspection", "capture", "verdicts", "coverage", "weights", "port", "parity"}
FACES = ENGINE | {"analysis", "session", "render", "widgets", "progress", "torchvision_shim", "notebook"}
# Results show themselves: their representations call the pure functions of render, and load them only then.
MAY_IMPORT_IN_A_FUNCTION = {
    "types": {"errors", "render"}, "capture": {"render"}, "analysis": {"render"}, "parity": {"render"},
    "session": {"render", "port_notebook"}}
MAY_IMPORT = {
    "types": set(),
    "errors": {"types"},
    "torchvision_shim": set(), "progress": set(), "blocks": set(),
    "rules": BOTTOM,
    "inspection": BOTTOM, "capture": RULES | {"inspection"}, "verdicts": RULES | {"capture"},
    "coverage": RULES | {"capture", "verdicts"},
    "weights": RULES | {"capture"},
    "port": RULES | {"capture", "weights", "blocks"},
    "parity": RULES | {"inspection", "capture", "weights", "blocks", "port"},
    "analysis": RULES | {"inspection", "capture", "coverage"}, "magic_line": BOTTOM,
    "training": ENGINE, "script": RULES, "facts": BOTTOM,
    "session": ENGINE | {"analysis", "training", "script"},
    "gradient_graphs": ENGINE | {"session", "progress"},
    "seeing": ENGINE | {"analysis", "inspection"},
    "render": BOTTOM,
    "widgets": BOTTOM | {"render"},
    "notebook": FACES, "target": FACES, "demo": FACES,
    "magic_completion": {"magic_line"}, "magic_outputs": FACES, "magic_subjects": FACES | {"magic_line", "open_ports"},
    "magics": FACES | {"cell_numbers", "magic_completion", "magic_line", "magic_outputs", "magic_subjects", "target",
                       "open_ports", "gradient_graphs", "seeing"},
    "cell_numbers": BOTTOM,
    "cell_source": BOTTOM, "setup_history": BOTTOM, "check_queue": set(), "open_ports": FACES | {"cell_source"},
    "live_cells": FACES | {"cell_source"}, "live_state": FACES,
    "bridge": FACES | {"cell_source", "check_queue", "live_cells", "live_state", "open_ports"},
    "port_notebook": FACES | {"cell_source", "setup_history", "magic_line"},
    "magics_cells": FACES | {"magics", "magic_line", "target", "bridge", "cell_source", "live_cells", "open_ports"},
    "doctor": FACES | {"cli"}, "cli_verb": FACES | {"target"},
    "cli_porting": FACES | {"cli_verb", "target"},
    "cli_seeing": FACES | {"cli_verb", "gradient_graphs", "seeing", "target"},
    "cli": FACES | {"cli_verb", "cli_porting", "cli_seeing", "doctor"},
    "__init__": {"cell_numbers", "session", "seeing", "magics", "magics_cells"},
}
# room -> modules from outside that it must do without
MUST_NOT_KNOW = {
    "types": {"torch", "mlx", "numpy"}, "render": {"torch", "mlx", "IPython", "ipywidgets", "anywidget"},
    "blocks": {"torch", "numpy"}, "rules": {"mlx"}, "widgets": {"torch", "mlx"},
}
JUPYTER = {"IPython", "ipywidgets", "anywidget", "jupyterlab", "ipykernel", "nbformat", "notebook"}


def violations(package: Path) -> list[str]:
    """Every import in ``package`` that the tables forbid, as ``file:line: room imports other``."""
    found = []
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        room = parts[0]
        if room not in MAY_IMPORT:
            found.append(f"{room}: not in the table of tests/test_import_direction.py")
            continue
        for line, target, is_lazy in imports(file, package):
            where = f"{file.relative_to(package)}:{line}: {room} imports "
            if target[0] == package.name:
                other = target[1] if len(target) > 1 else "__init__"
                # what is no file or folder is a name of the package itself, such as __version__
                is_room = (package / other).is_dir() or (package / f"{other}.py").is_file()
                allowed = MAY_IMPORT[room] | {room, "__init__"}
                allowed |= MAY_IMPORT_IN_A_FUNCTION.get(room, set()) if is_lazy else set()
                if is_room and other not in allowed:
                    found.append(where + other)
            elif target[0] in MUST_NOT_KNOW.get(room, set()):
                found.append(where + target[0])
    return found


def imports(file: Path, package: Path) -> list[tuple[int, tuple[str, ...], bool]]:
    """``(line, dotted name as parts, inside a function)`` of every import in ``file``, relative ones resolved.

    Imports for annotations alone, under ``if TYPE_CHECKING:``, never run and don't count.
    """
    inside = (package.name, *file.relative_to(package).parent.parts)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    never_run = {id(node) for branch in ast.walk(tree)
                 if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
                 for statement in branch.body for node in ast.walk(statement)}
    in_functions = {id(node) for function in ast.walk(tree)
                    if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
                    for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if id(node) in never_run:
            continue
        is_lazy = id(node) in in_functions
        if isinstance(node, ast.Import):
            found += [(node.lineno, tuple(alias.name.split(".")), is_lazy) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = (*inside[:len(inside) - node.level + 1], *base)
            found += [(node.lineno, (*base, alias.name), is_lazy) for alias in node.names]
    return found


def test_imports_point_down():
    assert violations(ROOT / PACKAGE) == []


@pytest.mark.parametrize(("file", "source", "expected"), [
    ("rules/pointwise.py", "from ..session import analyze", "rules imports session"),
    ("session.py", "from .render.tree import tree_text", "session imports render"),
    ("session.py", "def show():\n    from .widgets import tree", "session imports widgets"),
    ("rules/pointwise.py", "def show():\n    from ..render.tree import tree_text", "rules imports render"),
    ("capture/recorder.py", "from .. import magics", "capture imports magics"),
    ("widgets/tree.py", "from t2m_notebook.session import analyze", "widgets imports session"),
    ("render/tree.py", "import torch.nn", "render imports torch"),
    ("blocks/pool.py", "import torch", "blocks imports torch"),
    ("attic.py", "", "attic: not in the table"),
])
def test_a_bad_import_is_found(tmp_path, file, source, expected):
    package = tmp_path / PACKAGE
    for room in ("rules", "capture", "widgets", "render", "blocks"):
        (package / room).mkdir(parents=True)
    for name in ("session", "magics"):
        (package / f"{name}.py").touch()
    assert violations(package) == []
    (package / file).write_text(source)
    found = violations(package)
    assert len(found) == 1 and expected in found[0]


def test_a_result_may_render_itself_when_shown(tmp_path):
    (tmp_path / PACKAGE / "render").mkdir(parents=True)
    (tmp_path / PACKAGE / "session.py").write_text("def show():\n    from .render.tree import tree_text\n")
    assert violations(tmp_path / PACKAGE) == []


def test_an_import_for_annotations_alone_is_allowed(tmp_path):
    package = tmp_path / PACKAGE
    package.mkdir()
    (package / "session.py").touch()
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .session import Port\n"
    (package / "coverage.py").write_text(source)
    assert violations(package) == []
    (package / "coverage.py").write_text(source + "else:\n    from .session import Port\n")
    assert len(violations(package)) == 1


def loaded_jupyter(module: str, folder: Path) -> list[str]:
    """The Jupyter packages that a fresh interpreter has loaded after ``import module``."""
    code = (f"import sys, {module}\n"
            f"print(*sorted({JUPYTER!r} & {{name.split('.')[0] for name in sys.modules}}))")
    child = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                           timeout=120)
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


def test_the_engine_runs_without_jupyter():
    assert loaded_jupyter(f"{PACKAGE}.session", ROOT) == []


def test_a_loaded_jupyter_is_found(tmp_path):
    (tmp_path / "engine.py").write_text("def start():\n    import IPython\nstart()\n")
    assert loaded_jupyter("engine", tmp_path) == ["IPython"]


def test_the_package_itself_is_cheap_to_import():
    code = f"import sys, {PACKAGE}\nprint(*sorted({{'torch', 'mlx', 'IPython', 'numpy'}} & set(sys.modules)))"
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                           timeout=120)
    assert child.stdout.split() == [], child.stderr
