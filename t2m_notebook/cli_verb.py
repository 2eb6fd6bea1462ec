"""What the verbs of the ``t2m`` command share: how they are declared, the model that a command line names, how a
result is printed, and the exit codes."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .progress import Progress, terminal_progress

if TYPE_CHECKING:
    from .session import Port

NOT_WHOLE = 1  # something could not be ported, or differs from torch
BAD_INPUT = 2  # also argparse's own
OUR_BUG = 3
INTERRUPTED = 130
PIPE_WIDTH = 120

Arguments = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Verb:
    """``t2m name``: the options that it takes, and what it does, which gives the exit code."""

    name: str
    add_options: Callable[[argparse.ArgumentParser], Any]
    run: Callable[[Arguments], int]


def verb(name: str, add_options: Callable[[argparse.ArgumentParser], Any]) -> Callable[..., Verb]:
    """Makes a function the verb ``t2m name``; its docstring is the help text, its result the exit code."""
    return lambda function: Verb(name, add_options, function)


def model_options(parser: argparse.ArgumentParser) -> None:
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
def model_of(arguments: Arguments, verb: str) -> Iterator[tuple[tuple[Any, Any, dict[str, Any]], Progress]]:
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


def show(as_json: Callable[[], str], as_rich: Callable[[], Any], as_text: Callable[[], str],
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


@contextlib.contextmanager
def ported(arguments: Arguments, verb: str) -> Iterator[tuple[Port, Progress]]:
    """The port of the model that the command line names; its worker ends with the block."""
    with model_of(arguments, verb) as ((model, args, kwargs), progress):
        from .session import port as run

        made = run(model, args, kwargs, name=getattr(arguments, "name", None), progress=progress)
        try:
            yield made, progress
        finally:
            made.close()
