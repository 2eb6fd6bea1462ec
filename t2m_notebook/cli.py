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


def _autograd_options(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
    parser.add_argument("--no-mlx", action="store_true", help="leave MLX's side out")
    parser.add_argument("--dot", metavar="FILE", help="also write the graph in graphviz's language")
    parser.add_argument("--svg", metavar="FILE", help="also write the graph as SVG")


@verb("autograd", _autograd_options)
def autograd(arguments: Arguments) -> int:
    """Show the autograd graph behind a loss: each step of the backward pass, and MLX's side of it.

    t2m autograd my_losses.py:make_loss
    t2m autograd torchvision.models:resnet18 --eval --input 1x3x224x224 --svg graph.svg

    The callable returns a loss, a tensor that requires grad; or a model with its inputs, (model, args), whose
    results are then summed with fixed weights. Exit code 1: MLX's gradients differ from torch's.
    """
    from .target import example_inputs, load_target, load_value, separate_target

    target, inputs = separate_target(arguments.target, arguments.inputs, "autograd")
    with contextlib.redirect_stdout(sys.stderr), terminal_progress(f"Importing {target}") as progress:
        example = example_inputs(inputs) if inputs else None
        value = load_value(target)
        from torch import Tensor

        from .gradient_graphs import autograd as run

        options = {"mlx": not arguments.no_mlx, "scopes": [], "progress": progress}
        if isinstance(value, Tensor) or (isinstance(value, list) and value and isinstance(value[0], Tensor)):
            graph = run(value, **options)
        else:
            model, args, kwargs = load_target(target, value)
            args, kwargs = example or (args, kwargs)
            if arguments.eval:
                model.eval()
            graph = run(model, args=args, kwargs=kwargs, **options)
    for file, write in ((arguments.dot, graph.to_dot), (arguments.svg, graph.to_svg)):
        if file:
            _write_text(file, write())
    from .render.autograd import graph_text

    _print(graph.to_json, lambda: _plain_text(graph_text(graph)), lambda: graph_text(graph, PIPE_WIDTH), arguments)
    return NOT_WHOLE if graph.mlx is not None and graph.mlx.ok is False else 0


def _plain_text(text: str) -> Any:
    """For rich, in whose markup ``[a, b]`` would be a style."""
    from rich.text import Text

    return Text(text)


def _write_text(file: str, text: str) -> None:
    """Writes a whole file or none. Raises :class:`CannotSave`."""
    from .errors import CannotSave
    from .target import write_text

    try:
        write_text(file, text)
    except OSError as error:
        raise CannotSave(f"{file} can't be written: {error.strerror or error}.") from error


def _trace_options(parser: argparse.ArgumentParser) -> None:
    _model_options(parser)
    parser.add_argument("--port", action="store_true", help="port the model and show torch and MLX side by side")
    parser.add_argument("--no-values", action="store_true", help="take no mean, minimum, maximum, NaN and Inf counts")
    parser.add_argument("--module", metavar="PATH", help="show the operations of this module alone")
    parser.add_argument("--copies", action="store_true", help="show results with memory of their own alone")


@verb("trace", _trace_options)
def trace(arguments: Arguments) -> int:
    """Run a model once and show every operation: line, module, shapes, strides, memory, values.

    t2m trace torchvision.models:resnet18 --eval --input 1x3x224x224
    t2m trace my_models.py:build --input ids=2x12:int64:0-99 --port

    Exit code 0: it ran to its end, and with --port every pair is equal. 1: it did not.
    """
    values = not arguments.no_values
    if arguments.port:
        with _ported(arguments, "trace") as (made, _):
            found = made.trace(values=values)
    else:
        with _model(arguments, "trace") as ((model, args, kwargs), progress):
            from .seeing import trace as run

            found = run(model, args, kwargs, values=values, progress=progress)
    from .render.trace import trace_text
    from .types import Status

    ok = not found.error and all(row.status is not Status.DIVERGES for row in found)
    found = found.where(module=arguments.module, copies=arguments.copies)
    _print(found.to_json, found.__rich__, lambda: trace_text(found.data, PIPE_WIDTH, limit=100_000), arguments)
    return 0 if ok else NOT_WHOLE


@verb("health", lambda parser: (_model_options(parser), parser.add_argument(
    "--backward", action="store_true", help="look at the backward pass, too")))
def health(arguments: Arguments) -> int:
    """Say which operation made the first NaN or Inf, and how close values are to their dtype's limits.

    t2m health torchvision.models:resnet18 --eval --input 1x3x224x224 --backward

    Exit code 0: no NaN and no Inf came out. 1: one did.
    """
    with _model(arguments, "health") as ((model, args, kwargs), _):
        from .seeing import health as run

        report = run(model, args, kwargs, backward=arguments.backward)
    from .render.health import health_text

    _print(report.to_json, report.__rich__, lambda: health_text(report, PIPE_WIDTH), arguments)
    return 0 if report.ok else NOT_WHOLE


@verb("memory", lambda parser: (_model_options(parser), parser.add_argument(
    "--optimizer", default="adamw", help="whose state to count: adamw (without it), sgd, ..."), parser.add_argument(
    "--inference", action="store_true", help="measure the forward alone")))
def memory(arguments: Arguments) -> int:
    """Show where memory goes: parameters, gradients, optimizer state, activations; measured and predicted.

    t2m memory torchvision.models:resnet18 --input 8x3x224x224 --optimizer sgd
    """
    with _model(arguments, "memory") as ((model, args, kwargs), _):
        from .seeing import memory as run

        report = run(model, args, kwargs, optimizer=arguments.optimizer, training=not arguments.inference)
    from .render.memory import memory_text

    _print(report.to_json, report.__rich__, lambda: memory_text(report, PIPE_WIDTH), arguments)
    return 0


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
