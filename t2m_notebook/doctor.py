"""``t2m doctor``: what is installed here, what is missing, and what each missing thing would give.

``python -m t2m_notebook.doctor --preload`` prints the OpenBLAS to put in ``LD_PRELOAD``, or nothing.
"""

from __future__ import annotations

import ctypes.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("t2m-notebook", "torch", "mlx", "numpy", "safetensors", "libcst", "ruff", "anywidget", "graphviz",
            "ipython", "ipykernel", "jupyterlab", "nbconvert", "transformers", "torchvision", "timm",
            "playwright")
REQUIRED = ("torch", "mlx", "numpy", "safetensors", "libcst", "anywidget", "ipython")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LAB_EXTENSION = "t2m-notebook"

# Runs in a child: MLX can take a process down, and torch's thread pool would disturb the timing.
_MLX_PROBE = """
import json, sys, time
import mlx.core as mx
a, b = mx.random.normal((256, 512)), mx.random.normal((512, 1024))
mx.eval(a, b, a @ b)
times = []
for _ in range(4):
    start = time.perf_counter(); mx.eval(a @ b); times.append(time.perf_counter() - start)
maps = open("/proc/self/maps").read() if sys.platform == "linux" else ""
files = {line.split("/")[-1] for line in maps.splitlines()}
libraries = sorted(name for name in files if "blas" in name.lower())
print(json.dumps({"device": str(mx.default_device()), "metal": mx.metal.is_available(),
                  "gigaflops": 2 * 256 * 512 * 1024 / min(times) / 1e9, "libraries": libraries}))
"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for. ``state`` is "ok", "slow", "missing" or "broken"."""

    name: str
    state: str
    found: str
    gives: str = ""  # what it is good for; shown when it is missing
    advice: str = ""  # what to do about it


@dataclass(frozen=True)
class Findings:
    """Everything that :func:`examine` found."""

    versions: dict[str, str | None]
    findings: tuple[Finding, ...]


def examine(progress: Callable[[str, int, int], None] | None = None) -> Findings:
    """Looks at this machine; takes a few seconds, most of them in MLX's own process."""
    looks = [("Python", _python), ("torch", _torch), ("MLX", _mlx), ("Jupyter", _jupyter),
             ("the JupyterLab extension", _lab_extension), ("graphviz", _dot), ("a browser", _browser)]
    findings: list[Finding] = []
    for done, (name, look) in enumerate(looks):
        if progress is not None:
            progress(f"Looking at {name}", done, len(looks))
        findings.extend(look())
    return Findings({name: version(name) for name in PACKAGES}, tuple(findings))


def version(distribution: str) -> str | None:
    """The installed version of a distribution, None where it isn't."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def openblas() -> str | None:
    """The OpenBLAS to preload before MLX on a Linux CPU; None elsewhere and where there is none."""
    return ctypes.util.find_library("openblas") if sys.platform == "linux" else None


def _python() -> list[Finding]:
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    missing = [name for name in REQUIRED if version(name) is None]
    packages = Finding("packages", "ok", "all that is needed")
    if missing:
        packages = Finding("packages", "missing", ", ".join(missing), "the package itself",
                           "pip install t2m-notebook")
    return [Finding("python", "ok", f"{platform.python_version()} on {system}"), packages]


def _torch() -> list[Finding]:
    installed = version("torch")
    if installed is None:
        return [Finding("torch", "missing", "", "the framework that is ported from", "pip install torch")]
    extra = "a CUDA build" if any(d.startswith("nvidia-") for d in _distribution_names()) else ""
    return [Finding("torch", "ok", " ".join(filter(None, [installed, extra])))]


def _distribution_names() -> list[str]:
    return [(d.metadata["Name"] or "").lower() for d in metadata.distributions()]


def _mlx() -> list[Finding]:
    wanted = "'mlx[cpu]'" if sys.platform == "linux" else "mlx"
    if version("mlx") is None:
        advice = f"pip install {wanted}"
        return [Finding("mlx", "missing", "", "the framework that is ported to: every measurement", advice)]
    probe, trouble = _run_mlx_probe({})
    if probe is None:
        return [Finding("mlx", "broken", trouble, "every measurement",
                        f"pip install --force-reinstall {wanted}")]
    return [Finding("mlx", "ok", f"{version('mlx')} on {_device(probe)}"), _blas(probe)]


def _device(probe: dict) -> str:
    return re.sub(r"Device\((\w+), \d+\)", r"\1", probe["device"])


def _blas(probe: dict) -> Finding:
    """Which BLAS MLX multiplies matrices with; the one in the Linux wheel is the slow reference BLAS."""
    speed = f"{probe['gigaflops']:.0f} GFLOP/s"
    if _device(probe) == "gpu":
        return Finding("blas", "ok", f"not used: MLX runs on the GPU ({speed})")
    if sys.platform != "linux":
        return Finding("blas", "ok", f"Accelerate ({speed})")
    names = ", ".join(name for name in probe["libraries"] if "openblas" in name)
    if names:
        return Finding("blas", "ok", f"OpenBLAS ({names}), {speed}")
    gives = "matrix products and convolutions up to twenty times faster"
    library = openblas()
    if library is None:
        return Finding("blas", "slow", f"the reference BLAS of MLX's wheel, {speed}", gives,
                       "apt-get install libopenblas0-pthread; measurements then find it by themselves")
    better, _ = _run_mlx_probe({"LD_PRELOAD": library})
    faster = f"; {better['gigaflops']:.0f} GFLOP/s with OpenBLAS" if better else ""
    return Finding("blas", "slow", f"the reference BLAS of MLX's wheel, {speed}{faster}", gives,
                   f"{library} is here and measurements use it; for your own scripts: LD_PRELOAD={library}")


def _run_mlx_probe(environment: dict[str, str]) -> tuple[dict | None, str]:
    """What the probe printed, or why it didn't."""
    try:
        child = _run([sys.executable, "-c", _MLX_PROBE], {**os.environ, **environment})
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"{type(error).__name__}: {error}"
    try:
        return json.loads(child.stdout.strip().splitlines()[-1]), ""
    except (ValueError, IndexError):
        lines = child.stderr.strip().splitlines()
        return None, lines[-1] if lines else f"exit code {child.returncode}"


def _jupyter() -> list[Finding]:
    found = []
    for name, gives in (("jupyterlab", "notebooks in the browser"), ("ipykernel", "the kernel of notebooks")):
        installed = version(name)
        found.append(Finding(name, "ok", installed) if installed
                     else Finding(name, "missing", "", gives, f"pip install {name}"))
    return found


def _lab_extension() -> list[Finding]:
    gives = "live checks while you type; magics, views and the command line work without it"
    if version("jupyterlab") is None:
        return [Finding("lab extension", "missing", "no JupyterLab", gives, "pip install jupyterlab")]
    from jupyter_core.paths import jupyter_path

    folders = [Path(folder, "labextensions", LAB_EXTENSION) for folder in jupyter_path()]
    folder = next((f for f in folders if (f / "package.json").is_file()), None)
    if folder is None:
        return [Finding("lab extension", "missing", "not installed", gives, "not part of this version yet")]
    number = json.loads((folder / "package.json").read_text(encoding="utf-8")).get("version", "?")
    if _is_disabled(LAB_EXTENSION):
        return [Finding("lab extension", "missing", f"{number}, disabled", gives,
                        f"jupyter labextension enable {LAB_EXTENSION}")]
    return [Finding("lab extension", "ok", f"{number}, active")]


def _is_disabled(extension: str) -> bool:
    """Whether a page_config.json of JupyterLab turns the extension off."""
    from jupyter_core.paths import jupyter_config_path

    folders = [Path(folder, "labconfig") for folder in jupyter_config_path()]
    folders.append(Path(sys.prefix, "share", "jupyter", "lab", "settings"))
    for folder in folders:
        try:
            page = json.loads((folder / "page_config.json").read_text(encoding="utf-8"))
            disabled = page["disabledExtensions"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if (disabled.get(extension) if isinstance(disabled, dict) else extension in disabled):
            return True
    return False


def _dot() -> list[Finding]:
    gives = "drawn autograd and module graphs; without it graphs are given as text"
    advice = _system_package("graphviz")
    path = shutil.which("dot")
    if path is None:
        return [Finding("graphviz dot", "missing", "", gives, advice)]
    try:
        child = _run([path, "-V"])
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding("graphviz dot", "broken", str(error), gives, advice)]
    text = (child.stderr + child.stdout).strip()
    match = re.search(r"version ([\d.]+)", text)
    return [Finding("graphviz dot", "ok", match[1] if match else text)]


def _browser() -> list[Finding]:
    path = next(filter(None, (shutil.which(name) for name in BROWSERS)), None)
    if path is not None:
        return [Finding("browser", "ok", path)]
    gives = "the browser tests of this project; any browser shows notebooks"
    return [Finding("browser", "missing", "no Chromium", gives, _system_package("chromium"))]


def _run(command: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                          env=environment)


def _system_package(name: str) -> str:
    return f"brew install {name}" if sys.platform == "darwin" else f"apt-get install {name}"


def report_json(found: Findings) -> str:
    """The findings as JSON: ``{"versions": {...}, "findings": [...]}``."""
    return json.dumps(asdict(found), indent=2, ensure_ascii=False)


def report_rich(found: Findings):
    """The findings as a rich renderable: one line each, what is missing with what it would give."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    glyphs = {"ok": ("✓", "green"), "slow": ("◐", "yellow"), "missing": ("–", "yellow"),
              "broken": ("✗", "red")}
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for finding in found.findings:
        glyph, colour = glyphs[finding.state]
        text = Text(finding.found or finding.state)
        if finding.gives and finding.state != "ok":
            text.append(f"\ngives {finding.gives}", style="dim")
        if finding.advice:
            text.append(f"\n→ {finding.advice}", style="bold")
        table.add_row(Text(glyph, style=colour), finding.name, text)
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items() if number)
    return Group(table, Text(f"\n{versions}", style="dim"))


def _main(argv: list[str]) -> int:
    if argv == ["--preload"]:
        print(openblas() or "")
        return 0
    from .cli import main

    return main(["doctor", *argv])


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
