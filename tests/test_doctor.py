"""`t2m doctor`: true on this machine, and helpful on machines where things are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from t2m_notebook import cli, doctor

ROOT = Path(__file__).resolve().parent.parent


def by_name(findings) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


@pytest.fixture(scope="module")
def here() -> doctor.Findings:
    return doctor.examine()


def test_what_it_finds_here(here):
    found = by_name(here.findings)
    assert {"python", "packages", "torch", "mlx", "blas", "jupyterlab", "ipykernel", "lab extension",
            "graphviz dot", "browser"} <= set(found)
    assert found["mlx"].state == "ok" and found["mlx"].found.endswith(("on cpu", "on gpu"))
    assert "GFLOP/s" in found["blas"].found
    assert here.versions["torch"] and here.versions["mlx"]


def test_what_is_missing_says_what_it_would_give_and_what_to_do(here):
    for finding in here.findings:
        assert finding.state in ("ok", "slow", "missing", "broken")
        assert finding.state == "ok" or (finding.gives and finding.advice), finding


def test_json(monkeypatch, capsys, here):
    monkeypatch.setattr(doctor, "examine", lambda progress: here)
    assert cli.main(["doctor", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["versions"]["torch"] and data["findings"][0]["name"] == "python"


def test_the_table(monkeypatch, capsys, here):
    monkeypatch.setattr(doctor, "examine", lambda progress: here)
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    for finding in here.findings:
        assert finding.name in out


@pytest.mark.parametrize(("probe", "state", "text"), [
    ({"device": "Device(gpu, 0)", "gigaflops": 900.0, "libraries": []}, "ok", "MLX runs on the GPU"),
    ({"device": "Device(cpu, 0)", "gigaflops": 200.0, "libraries": ["libopenblas.so.0"]}, "ok",
     "libopenblas.so.0"),
    ({"device": "Device(cpu, 0)", "gigaflops": 8.0, "libraries": ["libblas.so"]}, "slow", "reference BLAS"),
])
def test_which_blas(monkeypatch, probe, state, text):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "openblas", lambda: None)
    finding = doctor._blas(probe)
    assert finding.state == state and text in finding.found
    assert state == "ok" or "libopenblas0-pthread" in finding.advice


def test_a_blas_that_is_there_but_not_used(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(doctor, "openblas", lambda: "libopenblas.so.0")
    monkeypatch.setattr(doctor, "_run_mlx_probe", lambda environment: ({"gigaflops": 240.0}, ""))
    finding = doctor._blas({"device": "Device(cpu, 0)", "gigaflops": 8.0, "libraries": []})
    assert "240 GFLOP/s with OpenBLAS" in finding.found and "LD_PRELOAD=libopenblas.so.0" in finding.advice


def test_an_mlx_that_dies(monkeypatch):
    monkeypatch.setattr(doctor, "_MLX_PROBE", "import sys; sys.exit('Illegal instruction')")
    finding, = doctor._mlx()
    assert finding.state == "broken" and finding.found == "Illegal instruction"


def test_an_empty_machine(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: None)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    found = by_name(doctor.examine().findings)
    assert [name for name, finding in found.items() if finding.state == "ok"] == ["python"]
    assert "pip install torch" in found["torch"].advice


def test_the_lab_extension(monkeypatch, tmp_path):
    folder = tmp_path / "data" / "labextensions" / doctor.LAB_EXTENSION
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"version": "0.3.0"}')
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda: [str(tmp_path / "data")])
    monkeypatch.setattr("jupyter_core.paths.jupyter_config_path", lambda: [str(tmp_path / "config")])
    assert doctor._lab_extension()[0].found == "0.3.0, active"
    (tmp_path / "config" / "labconfig").mkdir(parents=True)
    page = {"disabledExtensions": {doctor.LAB_EXTENSION: True}}
    (tmp_path / "config" / "labconfig" / "page_config.json").write_text(json.dumps(page))
    assert doctor._lab_extension()[0].state == "missing"


def test_preload_prints_a_library_or_nothing():
    done = subprocess.run([sys.executable, "-m", "t2m_notebook.doctor", "--preload"], cwd=ROOT,
                          capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == (doctor.openblas() or "") and done.stderr == ""
