"""The files that set the project up, tried with a Python that only writes down what it is asked."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUP_FILES = ["pyproject.toml", "constraints.txt", "Makefile",
               *sorted(f".ci/{p.name}" for p in (ROOT / ".ci").iterdir())]
# Stands for .venv/bin/python: notes its arguments, and answers what make asks it.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> "$LOG"
exit 0
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the set-up with a recording Python in its .venv; gives the function `make`."""
    for name in SETUP_FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".ci" / "system-packages").write_text("#!/bin/sh\necho system-packages >> \"$LOG\"\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    log = tmp_path / "log"

    def make(*arguments: str) -> list[str]:
        """What Python and .ci/system-packages were asked, in order."""
        log.write_text("")
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("MAKE", "LAB_ARGS", "PYTEST_ARGS"))}
        done = subprocess.run(["make", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                              env={**environment, "LOG": str(log)})
        assert done.returncode == 0, done.stdout + done.stderr
        return [re.sub(r"-m pip --disable-pip-version-check install --quiet", "pip", line)
                for line in log.read_text().splitlines() if "--preload" not in line]

    make.folder = tmp_path
    return make


CONSTRAINED = "pip --constraint constraints.txt "
CORE = ["pip --upgrade pip", CONSTRAINED + "torch", CONSTRAINED + "--editable ."]


def test_lab_installs_torch_first_and_only_once(project):
    first = project("lab", "LAB_ARGS=--no-browser --port=1")
    assert first[:4] == [*CORE, CONSTRAINED + "--editable .[lab,examples]"]
    assert first[4].startswith("-m jupyterlab") and "=/lab/tree/notebooks/quickstart.ipynb " in first[4]
    assert first[4].endswith("--no-browser --port=1")
    assert ("--allow-root" in first[4]) == (os.getuid() == 0)
    assert len(first) == 5
    assert project("lab", "LAB_ARGS=--no-browser --port=1") == first[4:]


def test_lab_asks_no_question_about_news(project):
    command, = [line for line in project("lab") if "jupyterlab" in line]
    assert "--LabApp.news_url=None" in command and "NeverCheckForUpdate" in command
    defaults = project.folder / ".venv" / "etc" / "jupyter" / "labconfig" / "default_setting_overrides.json"
    assert json.loads(defaults.read_text())["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_the_others_share_what_is_installed(project):
    assert project("test", "PYTEST_ARGS=-q") == [*CORE, CONSTRAINED + "--editable .[test]", "system-packages",
                                                 "-m pytest -q"]
    assert project("demo") == ["-m t2m_notebook.demo"]
    assert project("test", "PYTEST_ARGS=-q") == ["-m pytest -q"]
    assert project("bench") == ["-m tests.benchmarks"]
    assert project("table") == ["-m tests.rules.table"]


def test_a_changed_constraint_installs_again(project):
    project("demo")
    with open(project.folder / "constraints.txt", "a") as file:
        file.write("# changed\n")
    assert project("demo")[:3] == CORE
    assert len(list((project.folder / ".venv").glob(".installed-core-*"))) == 1


def test_a_failed_install_is_tried_again(project):
    python = project.folder / ".venv" / "bin" / "python"
    python.write_text(FAKE_PYTHON.replace("exit 0", 'case "$*" in *torch*) exit 1;; esac'))
    with pytest.raises(AssertionError):
        project("demo")
    python.write_text(FAKE_PYTHON)
    assert project("demo")[:3] == CORE


def test_ci_runs_make_test_and_says_that_it_is_ci(project):
    python = project.folder / ".venv" / "bin" / "python"
    python.write_text(FAKE_PYTHON.replace("exit 0", 'echo "CI=$CI" >> "$LOG"'))
    (project.folder / "log").write_text("")
    subprocess.run([project.folder / ".ci" / "run"], check=True, capture_output=True, timeout=60,
                   env={**os.environ, "LOG": str(project.folder / "log"), "PYTEST_ARGS": "-q"})
    assert (project.folder / "log").read_text().splitlines()[-2:] == ["-m pytest -q", "CI=1"]


def test_help_lists_the_targets():
    done = subprocess.run(["make", "-s", "-C", ROOT], capture_output=True, text=True, timeout=60)
    for target in ("make lab", "make demo", "make test"):
        assert target in done.stdout


def test_a_python_that_is_too_old_is_refused(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("python3.13", "python3.12", "python3.11", "python"):
        shutil.copy(old, tmp_path / name)
    done = subprocess.run([ROOT / ".ci" / "make-venv", tmp_path / "venv"], capture_output=True, text=True,
                          timeout=60, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, cwd=ROOT)
    assert done.returncode == 2 and "Python 3.11 or newer" in done.stderr


@pytest.mark.parametrize("name", SETUP_FILES)
def test_no_machine_path_and_no_registry_in(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"https?://|/home/|/root/|/opt/|/tmp/|index-url|find-links|trusted-host", text)


@pytest.mark.parametrize("name", [name for name in SETUP_FILES if name.startswith(".ci/")])
def test_scripts_are_executable_and_parse(name):
    assert os.access(ROOT / name, os.X_OK)
    subprocess.run(["sh", "-n", ROOT / name], check=True)


def test_every_dependency_has_its_reason():
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    for requirement in requirements:
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert re.search(r"#\s+\S", line), f"{requirement} has no reason beside it"


def test_constraints_pin_what_must_agree():
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert {"torch", "torchvision", "timm", "transformers", "mlx", "ruff"} <= set(pinned)


def test_the_changelog_and_the_version_agree():
    from t2m_notebook import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_top_level_files():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        assert (ROOT / name).is_file()
    assert (ROOT / "CONTRIBUTING.md").read_text().split("## ")[1].startswith("Add a layer")


def test_links_of_the_readme_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text()):
            assert (ROOT / link).exists() or link.endswith(".png"), f"{name} links to {link}"
