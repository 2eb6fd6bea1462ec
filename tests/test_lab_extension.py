"""The built JupyterLab extension is that of its sources, small at the start, and tells nothing of who built it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES, BUILT = ROOT / "lab_extension", ROOT / "t2m_notebook" / "labextension"
FOLDERS = ("schema", "scripts", "src", "style")
FILES = ("package-lock.json", "package.json", "tsconfig.json", "webpack.config.js")
STALE = "t2m_notebook/labextension was not built from lab_extension as it is now: run `make extension`"
INITIAL_LIMIT = 150_000  # bytes of JavaScript that are loaded with the page


def sources_hash(folder: Path = SOURCES) -> str:
    """What lab_extension/scripts/write_hash.mjs computes."""
    paths = sorted([*FILES, *(f"{name}/{path.name}" for name in FOLDERS for path in (folder / name).iterdir()
                              if not path.name.startswith("."))])
    found = hashlib.sha256()
    for path in paths:
        found.update(f"{path}\0".encode() + (folder / path).read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return found.hexdigest()


def built_texts() -> dict[str, str]:
    """The built files by name, without the graph layout, which is a library as it came."""
    return {path.name: path.read_text() for path in BUILT.rglob("*")
            if path.is_file() and not path.name.startswith("graphviz.")}


def test_what_is_built_belongs_to_the_sources():
    assert (BUILT / "sources.sha256").read_text().strip() == sources_hash(), STALE
    source, built = (json.loads((folder / "package.json").read_text()) for folder in (SOURCES, BUILT))
    entry = built["jupyterlab"].pop("_build")
    assert source == built, STALE
    assert (BUILT / entry["load"]).is_file()


@pytest.mark.parametrize("name", ["src/index.ts", "style/badge.css", "schema/plugin.json", "package.json",
                                  "package-lock.json", "scripts/write_hash.mjs"])
def test_a_changed_source_is_noticed(tmp_path, name):
    for folder in FOLDERS:
        shutil.copytree(SOURCES / folder, tmp_path / folder)
    for file in FILES:
        shutil.copy(SOURCES / file, tmp_path / file)
    assert sources_hash(tmp_path) == sources_hash()
    with open(tmp_path / name, "a") as file:
        file.write(" ")
    assert sources_hash(tmp_path) != sources_hash()


def test_little_is_loaded_with_the_page():
    scripts = {path.name: path.stat().st_size for path in (BUILT / "static").glob("*.js")}
    lazy = [name for name in scripts if name.startswith("graphviz.")]
    assert len(lazy) == 1 and scripts[lazy[0]] > INITIAL_LIMIT
    assert sum(size for name, size in scripts.items() if name not in lazy) < INITIAL_LIMIT, scripts


def test_nothing_tells_where_it_was_built():
    texts = built_texts() | {"package-lock.json": (SOURCES / "package-lock.json").read_text()}
    assert "package.json" in texts and any(name.startswith("remoteEntry.") for name in texts)
    assert not list(BUILT.rglob("*.map"))
    for name, text in texts.items():
        assert not re.search(r"^//# sourceMappingURL", text, re.MULTILINE), name
        assert not re.search(r"(/home|/root|/work|/Users|/tmp)/", text), name
        assert not re.search(r"[A-Z]:\\\\Users", text), name
    locked = json.loads(texts["package-lock.json"])["packages"]
    assert not [name for name, package in locked.items() if "resolved" in package]
    assert not re.search(r"registry\.", texts["package-lock.json"])


def test_every_dependency_has_a_licence_that_may_be_shipped():
    packages = json.loads((BUILT / "static" / "third-party-licenses.json").read_text())["packages"]
    assert {"@codemirror/lint", "@hpcc-js/wasm-graphviz"} <= {package["name"] for package in packages}
    assert {package["licenseId"] for package in packages} <= {"MIT", "Apache-2.0", "BSD-3-Clause", "ISC"}


def test_status_colours_and_glyphs_are_those_of_the_views():
    from t2m_notebook.render import style
    from t2m_notebook.types import Status

    css, glyphs = (SOURCES / "style" / "colours.css").read_text(), (SOURCES / "src" / "status.ts").read_text()
    light, dark = css.split("body[data-jp-theme-light='false']")
    for status in Status:
        name = status.value.lower()
        assert f"--t2m-{name}: {style._LIGHT[name]};" in light
        assert f"--t2m-{name}: {style._DARK[name]};" in dark
        assert f"{status.value}: '{status.glyph}'" in glyphs
        assert f"{status.value}: {json.dumps(status.meaning)}" in glyphs.replace("'", '"').replace(
            'a rule says why it can"t be ported', "a rule says why it can't be ported")


def test_sources_are_short_files():
    for path in (SOURCES / "src").iterdir():
        assert len(path.read_text().splitlines()) <= 400, path.name


def test_node_modules_are_not_in_the_repository():
    ignored = subprocess.run(["git", "check-ignore", "lab_extension/node_modules/", "lab_extension/lib/"], cwd=ROOT,
                             capture_output=True, text=True)
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.stdout.split() == ["lab_extension/node_modules/", "lab_extension/lib/"]
