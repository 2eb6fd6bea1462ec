"""``t2m autograd``, ``t2m trace``, ``t2m health``, ``t2m memory``: what a model does while it runs."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from .cli_verb import NOT_WHOLE, PIPE_WIDTH, Arguments, model_of, model_options, ported, show, verb
from .progress import terminal_progress


def _autograd_options(parser: argparse.ArgumentParser) -> None:
    model_options(parser)
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

    show(graph.to_json, lambda: _plain_text(graph_text(graph)), lambda: graph_text(graph, PIPE_WIDTH), arguments)
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
    model_options(parser)
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
        with ported(arguments, "trace") as (made, _):
            found = made.trace(values=values)
    else:
        with model_of(arguments, "trace") as ((model, args, kwargs), progress):
            from .seeing import trace as run

            found = run(model, args, kwargs, values=values, progress=progress)
    from .render.trace import trace_text
    from .types import Status

    ok = not found.error and all(row.status is not Status.DIVERGES for row in found)
    found = found.where(module=arguments.module, copies=arguments.copies)
    show(found.to_json, found.__rich__, lambda: trace_text(found.data, PIPE_WIDTH, limit=100_000), arguments)
    return 0 if ok else NOT_WHOLE


@verb("health", lambda parser: (model_options(parser), parser.add_argument(
    "--backward", action="store_true", help="look at the backward pass, too")))
def health(arguments: Arguments) -> int:
    """Say which operation made the first NaN or Inf, and how close values are to their dtype's limits.

    t2m health torchvision.models:resnet18 --eval --input 1x3x224x224 --backward

    Exit code 0: no NaN and no Inf came out. 1: one did.
    """
    with model_of(arguments, "health") as ((model, args, kwargs), _):
        from .seeing import health as run

        report = run(model, args, kwargs, backward=arguments.backward)
    from .render.health import health_text

    show(report.to_json, report.__rich__, lambda: health_text(report, PIPE_WIDTH), arguments)
    return 0 if report.ok else NOT_WHOLE


@verb("memory", lambda parser: (model_options(parser), parser.add_argument(
    "--optimizer", default="adamw", help="whose state to count: adamw (without it), sgd, ..."), parser.add_argument(
    "--inference", action="store_true", help="measure the forward alone")))
def memory(arguments: Arguments) -> int:
    """Show where memory goes: parameters, gradients, optimizer state, activations; measured and predicted.

    t2m memory torchvision.models:resnet18 --input 8x3x224x224 --optimizer sgd
    """
    with model_of(arguments, "memory") as ((model, args, kwargs), _):
        from .seeing import memory as run

        report = run(model, args, kwargs, optimizer=arguments.optimizer, training=not arguments.inference)
    from .render.memory import memory_text

    show(report.to_json, report.__rich__, lambda: memory_text(report, PIPE_WIDTH), arguments)
    return 0
