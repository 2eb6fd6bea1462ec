"""The ``t2m`` command: the verbs of the package in a terminal.

    t2m analyze package.module:callable --input 1x3x224x224
    t2m port package.module:callable --input 1x3x224x224 -o out/
    t2m verify out/
    t2m doctor

A verb is one function decorated with :func:`verb`. What the user got wrong is told in one message on
stderr with exit code 2; a traceback appears with ``--debug`` only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import NotAPort, T2MError, WeightsMismatch
from .progress import Progress, terminal_progress

if TYPE_CHECKING:
    from .session import Port

NOT_WHOLE = 1  # something could not be ported, or differs from torch
BAD_INPUT = 2  # also argparse's own
OUR_BUG = 3
INTERRUPTED = 130
PIPE_WIDTH = 120

Arguments = argparse.Namespace
_VERBS: list[tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[Arguments], int]]] = []


def verb(name: str, add_options: Callable[[argparse.ArgumentParser], None]):
    """Registers ``function`` as ``t2m name``; its docstring is the help text, its result the exit code."""

    def register(function: Callable[[Arguments], int]) -> Callable[[Arguments], int]:
        _VERBS.append((name, add_options, function))
        return function

    return register


def main(argv: list[str] | None = None) -> int:
    """Runs ``t2m`` with ``argv`` (the process's own without it) and returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except WeightsMismatch as error:
        return _fail(f"The weights can't be ported: {error}", NOT_WHOLE, arguments.debug)
    except T2MError as error:
        return _fail(str(error), BAD_INPUT, arguments.debug)
    except KeyboardInterrupt:
        return _fail("Interrupted.", INTERRUPTED, arguments.debug)
    except BrokenPipeError:  # `t2m ... | head`: whoever read us has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _fail(f"This is a fault of t2m itself. {type(error).__name__}: {error}\n"
                     "Run it again with --debug and report what it says.", OUR_BUG, arguments.debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    print(f"t2m: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="t2m", description="Port a PyTorch model to Apple's MLX, and prove the port.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and stop")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, add_options, function in _VERBS:
        text = function.__doc__ or ""
        command = verbs.add_parser(name, help=text.strip().splitlines()[0], description=_plain(text),
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
        add_options(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=function)
    return parser


def _plain(docstring: str) -> str:
    import inspect

    return inspect.cleandoc(docstring).replace("``", "")


class _Version(argparse.Action):
    """``--version``, looked up only when asked for."""

    def __call__(self, parser, namespace, values, option_string=None):
        from . import __version__

        print(f"t2m {__version__}")
        parser.exit()


def _model_options(parser: argparse.ArgumentParser) -> None:
    """What every verb takes that starts from a model."""
    from .target import INPUT_HELP

    parser.add_argument("target", nargs="?", metavar="package.module:callable",
                        help="what gives the model: it returns a model, (model, args) or "
                             "(model, args, kwargs); path/to/file.py:callable works too")
    parser.add_argument("--input", dest="inputs", metavar="[name=]SHAPE[:dtype[:low-high]]", nargs="+",
                        action="extend", default=[], help=INPUT_HELP)
    parser.add_argument("--eval", action="store_true", help="put the model into eval mode first")
    parser.add_argument("--json", action="store_true",
                        help="print the report as JSON, and only that, on stdout")


@contextlib.contextmanager
def _model(arguments: Arguments, verb: str) -> Iterator[tuple[tuple[Any, Any, dict[str, Any]], Progress]]:
    """``(model, args, kwargs)`` as the command line says, and the progress bar while the block runs.

    A model may print while it is built or run; stdout belongs to the report.
    """
    from .target import example_inputs, load_target, separate_target

    target, inputs = separate_target(arguments.target, arguments.inputs, verb)
    with contextlib.redirect_stdout(sys.stderr), terminal_progress(f"Importing {target}") as progress:
        example = example_inputs(inputs) if inputs else None  # first: building a model can take long
        model, args, kwargs = load_target(target)
        if example is not None:
            args, kwargs = example
        if arguments.eval:
            model.eval()
        yield (model, args, kwargs), progress


def _print(as_json: Callable[[], str], as_rich: Callable[[], Any], as_text: Callable[[], str],
           arguments: Arguments) -> None:
    """A result on stdout: JSON on request, colours in a terminal, else text of a fixed width."""
    if arguments.json:
        print(as_json())
        return
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(as_rich())
    else:  # a file or a pipe has no width of its own
        print(as_text())


def _analyze_options(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
    parser.add_argument("--depth", type=int, metavar="N", help="print N levels of the tree")


@verb("analyze", _analyze_options)
def analyze(arguments: Arguments) -> int:
    """Show a model's module tree, and what of it can be ported.

    t2m analyze torchvision.models:resnet18 --eval --input 1x3x224x224
    t2m analyze my_models.py:build --input ids=2x12:int64:0-99 --json

    Without an example, from the callable or from --input, only the structure is shown.
    """
    with _model(arguments, "analyze") as ((model, args, kwargs), progress):
        from .session import analyze as run

        analysis = run(model, args, kwargs, progress=progress)
    from .render.tree import tree_rich, tree_text

    depth = arguments.depth
    _print(analysis.to_json, lambda: tree_rich(analysis.report, depth=depth),
           lambda: tree_text(analysis.report, width=PIPE_WIDTH, depth=depth), arguments)
    return 0


def _port_options(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
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
    with _ported(arguments, "port") as (made, progress):
        made.parity(vary=not arguments.no_vary)
        progress("saving", 0, 1)
        with writing(folder):
            made.save(str(folder))
    from .render.port import port_rich, port_text
    from .types import to_json

    summary = made.summary
    _print(lambda: to_json(summary), lambda: port_rich(summary), lambda: port_text(summary, PIPE_WIDTH), arguments)
    return 0 if summary.ok and not summary.problems else NOT_WHOLE


@verb("parity", lambda parser: (_model_options(parser), parser.add_argument(
    "--no-vary", action="store_true", help="compare at the example's own size alone")))
def parity(arguments: Arguments) -> int:
    """Port a model and compare the port with torch, node by node; writes nothing.

    t2m parity torchvision.models:resnet18 --eval --input 1x3x224x224

    Exit code 0: measured equal to torch. 1: something could not be ported or differs.
    """
    with _ported(arguments, "parity") as (made, _):
        report = made.parity(vary=not arguments.no_vary)
    from .render.parity import parity_text

    _print(report.to_json, report.__rich__, lambda: parity_text(report.data, PIPE_WIDTH), arguments)
    return 0 if report.ok and not made.problems else NOT_WHOLE


@contextlib.contextmanager
def _ported(arguments: Arguments, verb: str) -> Iterator[tuple[Port, Progress]]:
    """The port of the model that the command line names; its worker ends with the block."""
    with _model(arguments, verb) as ((model, args, kwargs), progress):
        from .session import port as run

        made = run(model, args, kwargs, name=getattr(arguments, "name", None), progress=progress)
        try:
            yield made, progress
        finally:
            made.close()


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


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


@verb("doctor", _doctor_options)
def doctor(arguments: Arguments) -> int:
    """Say what is installed, what is missing, and what each missing thing would give."""
    from .doctor import examine, report_json, report_rich

    with terminal_progress("Looking around") as progress:
        findings = examine(progress)
    if arguments.json:
        print(report_json(findings))
    else:
        from rich.console import Console

        Console().print(report_rich(findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
