"""``t2m analyze``, ``t2m port``, ``t2m parity``, ``t2m verify``: a model, its port, and the saved port."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .cli_verb import NOT_WHOLE, PIPE_WIDTH, Arguments, model_of, model_options, ported, show, verb
from .errors import NotAPort


def _analyze_options(parser: argparse.ArgumentParser) -> None:
    model_options(parser)
    parser.add_argument("--depth", type=int, metavar="N", help="print N levels of the tree")


@verb("analyze", _analyze_options)
def analyze(arguments: Arguments) -> int:
    """Show a model's module tree, and what of it can be ported.

    t2m analyze torchvision.models:resnet18 --eval --input 1x3x224x224
    t2m analyze my_models.py:build --input ids=2x12:int64:0-99 --json

    Without an example, from the callable or from --input, only the structure is shown.
    """
    with model_of(arguments, "analyze") as ((model, args, kwargs), progress):
        from .session import analyze as run

        analysis = run(model, args, kwargs, progress=progress)
    from .render.tree import tree_rich, tree_text

    depth = arguments.depth
    show(analysis.to_json, lambda: tree_rich(analysis.report, depth=depth),
         lambda: tree_text(analysis.report, width=PIPE_WIDTH, depth=depth), arguments)
    return 0


def _port_options(parser: argparse.ArgumentParser) -> None:
    model_options(parser)
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="the folder to write the port into")
    parser.add_argument("--name", help="what to call the port; the model's class without it")
    parser.add_argument("--no-vary", action="store_true", help="compare at the example's own size alone")


@verb("port", _port_options)
def port(arguments: Arguments) -> int:
    """Port a model to MLX, measure the port, and write it into a folder.

    t2m port torchvision.models:resnet18 --eval --input 1x3x224x224 -o resnet18_mlx
    t2m port my_models.py:build --input ids=2x12:int64:0-99 -o out/

    The folder needs neither torch nor t2m. Exit code 0: measured equal to torch. 1: written, but
    something could not be ported or differs. 2: bad input, nothing was written.
    """
    from .target import saving_place, writing

    folder = saving_place(arguments.output)
    with ported(arguments, "port") as (made, progress):
        made.parity(vary=not arguments.no_vary)
        progress("saving", 0, 1)
        with writing(folder):
            made.save(str(folder))
    from .render.port import port_rich, port_text
    from .types import to_json

    summary = made.summary
    show(lambda: to_json(summary), lambda: port_rich(summary), lambda: port_text(summary, PIPE_WIDTH), arguments)
    return 0 if summary.ok and not summary.problems else NOT_WHOLE


@verb("parity", lambda parser: (model_options(parser), parser.add_argument(
    "--no-vary", action="store_true", help="compare at the example's own size alone")))
def parity(arguments: Arguments) -> int:
    """Port a model and compare the port with torch, node by node; writes nothing.

    t2m parity torchvision.models:resnet18 --eval --input 1x3x224x224

    Exit code 0: measured equal to torch. 1: something could not be ported or differs.
    """
    with ported(arguments, "parity") as (made, _):
        report = made.parity(vary=not arguments.no_vary)
    from .render.parity import parity_text

    show(report.to_json, report.__rich__, lambda: parity_text(report.data, PIPE_WIDTH), arguments)
    return 0 if report.ok and not made.problems else NOT_WHOLE


@verb("verify", lambda parser: parser.add_argument("folder", metavar="DIR", help="a folder that t2m port wrote"))
def verify(arguments: Arguments) -> int:
    """Run a saved port's own check with MLX alone: neither torch nor t2m can be imported by it.

    t2m verify out/

    The exit code is the check's: 0 equal to torch, 1 not equal.
    """
    import subprocess

    from .parity.process import worker_environment

    script = Path(arguments.folder).expanduser() / "check.py"
    if not script.is_file():
        raise NotAPort(f"{arguments.folder} is no saved port: there is no {script}.")
    done = subprocess.run([sys.executable, "-c", _ALONE, str(script.resolve())], env=worker_environment(),
                          start_new_session=True)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


# Runs a script as if torch and this package were not installed.
_ALONE = """
import runpy, sys
sys.modules.update(dict.fromkeys(("torch", "t2m_notebook")))
sys.dont_write_bytecode = True
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except Exception as error:
    print(f"The check could not run. {type(error).__name__}: {error}\\nnot equal to torch")
    sys.exit(1)
"""
