"""The ``t2m`` command: the verbs of the package in a terminal.

    t2m analyze package.module:callable --input 1x3x224x224
    t2m port package.module:callable --input 1x3x224x224 -o out/
    t2m verify out/
    t2m doctor

A verb is one function decorated with ``@verb`` in ``cli_porting`` or ``cli_seeing``, and stands in :data:`VERBS`.
What the user got wrong is told in one message on stderr with exit code 2; a traceback appears with ``--debug`` only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys

from .cli_porting import analyze, parity, port, verify
from .cli_seeing import autograd, health, memory, trace
from .cli_verb import BAD_INPUT, INTERRUPTED, NOT_WHOLE, OUR_BUG, Arguments, verb
from .errors import T2MError, WeightsMismatch
from .progress import terminal_progress


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


#: In the order in which the help lists them.
VERBS = (analyze, port, parity, autograd, trace, health, memory, verify, doctor)


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
    for one in VERBS:
        text = one.run.__doc__ or ""
        command = verbs.add_parser(one.name, help=text.strip().splitlines()[0], description=_plain(text),
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
        one.add_options(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=one.run)
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


if __name__ == "__main__":
    sys.exit(main())
