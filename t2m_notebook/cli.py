"""The ``t2m`` command: the verbs of the package in a terminal.

    t2m analyze package.module:callable --input 1x3x224x224
    t2m doctor

A verb is one function decorated with :func:`verb`. What the user got wrong is told in one message on
stderr with exit code 2; a traceback appears with ``--debug`` only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable

from .errors import T2MError
from .progress import terminal_progress

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


def _analyze_options(parser: argparse.ArgumentParser) -> None:
    from .target import INPUT_HELP

    parser.add_argument("target", nargs="?", metavar="package.module:callable",
                        help="what gives the model: it returns a model, (model, args) or "
                             "(model, args, kwargs); path/to/file.py:callable works too")
    parser.add_argument("--input", dest="inputs", metavar="[name=]SHAPE[:dtype[:low-high]]", nargs="+",
                        action="extend", default=[], help=INPUT_HELP)
    parser.add_argument("--eval", action="store_true", help="put the model into eval mode first")
    parser.add_argument("--depth", type=int, metavar="N", help="print N levels of the tree")
    parser.add_argument("--json", action="store_true",
                        help="print the report as JSON, and only that, on stdout")


@verb("analyze", _analyze_options)
def analyze(arguments: Arguments) -> int:
    """Show a model's module tree, and what of it can be ported.

    t2m analyze torchvision.models:resnet18 --eval --input 1x3x224x224
    t2m analyze my_models.py:build --input ids=2x12:int64:0-99 --json

    Without an example, from the callable or from --input, only the structure is shown.
    """
    from .target import example_inputs, load_target, separate_target

    target, inputs = separate_target(arguments.target, arguments.inputs)
    # A model may print while it is built or run; stdout belongs to the report.
    with contextlib.redirect_stdout(sys.stderr), terminal_progress(f"Importing {target}") as progress:
        example = example_inputs(inputs) if inputs else None  # first: building a model can take long
        model, args, kwargs = load_target(target)
        if example is not None:
            args, kwargs = example
        if arguments.eval:
            model.eval()
        from .session import analyze as run

        analysis = run(model, args, kwargs, progress=progress)
    if arguments.json:
        print(analysis.to_json())
        return 0
    from rich.console import Console

    from .render.tree import tree_rich, tree_text

    console = Console()
    if console.is_terminal:
        console.print(tree_rich(analysis.report, depth=arguments.depth))
    else:  # a file or a pipe has no width of its own
        print(tree_text(analysis.report, width=PIPE_WIDTH, depth=arguments.depth))
    return 0


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
