"""``t2m.autograd``: the graph behind a loss, its backward pass step by step, and MLX's side of it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from .capture.examples import check_example, check_model, forward_failed, normalise
from .capture.gradient_assignments import sources_of
from .capture.gradient_graph import ReadGraph, checked_roots, read_graph
from .capture.gradient_nodes import reachable, sequence_number
from .capture.gradient_sources import SourceTracer, names_in, tensor_names
from .capture.recording import Recording, flatten
from .errors import BadExample, T2MError
from .parity.examples import fresh
from .parity.gradients import matching_nodes, pairs, port_gradients, same_forward, twin_gradients
from .progress import Progress
from .session import Port
from .session import port as make_port
from .types import GradientGraph, MLXGradients

SUM = ("the sum of the model's results, each number times a fixed weight between 0.5 and 1.5, as no loss was given (a "
       "plain sum would cancel behind a normalisation)")


def autograd(loss: Any, *, names: Any = None, port: Port | None = None, args: Any = None,
             kwargs: Mapping[str, Any] | None = None, gradient: Any = None, mlx: bool = True,
             scopes: Sequence[Mapping[str, Any]] | None = None, progress: Progress | None = None) -> GradientGraph:
    """The autograd graph behind ``loss``, its backward pass measured step by step, and MLX's side.

    ``loss`` is a tensor (or a list of them, taken as their sum); a function that gives one, which is
    called and watched, so that source lines are known; a model, run on ``args`` and ``kwargs``, or a
    :class:`Port`, run on its own example: their loss is the sum of their results. With ``port=`` the
    MLX side is that port's, run in its worker; ``loss`` is then a tensor made from what its model
    returned for ``args`` (the port's example without), or a function of the model's result.
    ``gradient`` is what a loss that is no scalar starts with, in its shape. ``names`` are ``{name:
    tensor}``, or a model; without it tensors are called as the caller's variables are. ``mlx=False``
    leaves MLX's side out.

    Changes nothing: no ``.grad``, no parameter, and the graph can still be used for ``backward()``.
    Raises :class:`~t2m_notebook.errors.T2MError` for what has no graph, saying why. A graph that was
    freed is drawn without values, and says so.
    """
    started, file = time.perf_counter(), ""
    if scopes is None:
        caller = sys._getframe(1)
        file = caller.f_code.co_filename
        scopes = [caller.f_locals] if caller.f_locals is caller.f_globals else [caller.f_locals, caller.f_globals]
    if isinstance(loss, Port) and port is None:
        loss, port = None, loss
    if port is not None and not isinstance(port, Port):
        raise BadExample(f"port: expected what t2m.port gave, got {type(port).__name__}")
    if port is not None:
        made = _with_port(loss, port, args, kwargs, gradient, names, scopes, mlx)
    elif isinstance(loss, torch.nn.Module):
        made = _of_model(loss, args, kwargs, names, mlx, progress)
    elif callable(loss) and not isinstance(loss, torch.Tensor):
        made = _of_function(loss, args, kwargs, gradient, names, scopes, mlx)
    else:
        made = _of_loss(loss, None, gradient, names, scopes, mlx, file)
    versions = made.versions | ({"mlx": metadata.version("mlx")} if made.mlx is not None else {})
    return dataclasses.replace(made, versions=versions, seconds=time.perf_counter() - started)


def _read(loss: Any, gradient: Any, names: Any, scopes: Sequence[Mapping[str, Any]], *,
          tracer: SourceTracer | None = None, modules: Mapping[str, torch.Tensor] | None = None,
          results: Sequence[tuple[Any, int]] = (), file: str = "") -> ReadGraph:
    roots, _, _ = checked_roots(loss, gradient)
    leaves = {id(node.variable) for node in reachable([torch.autograd.graph.get_gradient_edge(r).node for r in roots])
              if hasattr(node, "variable")}
    own, parameters = names_in(scopes, leaves)
    if isinstance(names, torch.nn.Module):
        parameters = dict(names.named_parameters())
    else:
        own = {**tensor_names(names), **own}
    return read_graph(loss, gradient=gradient, names=own, tracer=tracer, modules=modules or parameters, results=results,
                      sources=sources_of(scopes, file))


def _of_loss(loss: Any, tracer: SourceTracer | None, gradient: Any, names: Any,
             scopes: Sequence[Mapping[str, Any]], mlx: bool, file: str = "") -> GradientGraph:
    read = _read(loss, gradient, names, scopes, tracer=tracer, file=file)
    return dataclasses.replace(read.graph, mlx=twin_gradients(read) if mlx else None)


def _of_function(function: Callable[..., Any], args: Any, kwargs: Mapping[str, Any] | None, gradient: Any, names: Any,
                 scopes: Sequence[Mapping[str, Any]], mlx: bool) -> GradientGraph:
    """Runs a function that gives the loss, watching which line makes what."""
    args, kwargs = normalise(args, kwargs)
    models = [value for scope in scopes for value in scope.values() if isinstance(value, torch.nn.Module)]
    tracer = SourceTracer(models[0] if len({id(model) for model in models}) == 1 else None)
    with torch.enable_grad(), tracer.watching():
        loss = function(*args, **kwargs)
    return _of_loss(loss, tracer, gradient, names, scopes, mlx)


def _of_model(model: torch.nn.Module, args: Any, kwargs: Mapping[str, Any] | None, names: Any, mlx: bool,
              progress: Progress | None) -> GradientGraph:
    """The sum of a model's results; MLX's side is a port made for it."""
    check_model(model)
    if args is None and kwargs is None:
        raise BadExample("a model has no graph before it runs. Pass an example, t2m.autograd(model, args=(x,)), or the "
                         "loss that you made with it.")
    args, kwargs = normalise(args, kwargs)
    problem, port = "", None
    try:
        port = make_port(model, args, kwargs, progress=progress) if mlx else None
    except T2MError as error:
        problem = str(error)
    try:
        made = _run(None, model, port, args, kwargs, None, names, [], mlx and port is not None)
    finally:
        if port is not None:
            port.close()
    if problem:
        made = dataclasses.replace(made, mlx=MLXGradients("a port of the model", problem=f"No MLX side: {problem}"))
    return made


def _with_port(loss: Any, port: Port, args: Any, kwargs: Mapping[str, Any] | None, gradient: Any, names: Any,
               scopes: Sequence[Mapping[str, Any]], mlx: bool) -> GradientGraph:
    given = args is not None or kwargs is not None
    args, kwargs = normalise(args, kwargs) if given else (port.args, port.kwargs)
    if isinstance(loss, (torch.Tensor, list, tuple)):
        made = _matched(loss, port, args, kwargs, gradient, names, scopes, given, mlx)
    elif loss is None or callable(loss):
        made = _run(loss, port.model, port, args, kwargs, gradient, names, scopes, mlx)
    else:
        raise BadExample(f"the loss has to be a tensor or a function of the model's result, got {type(loss).__name__}")
    return dataclasses.replace(made, port=port.name)


@contextlib.contextmanager
def _buffers_kept(model: torch.nn.Module) -> Iterator[None]:
    """A forward in train mode writes running statistics; they come back. Random numbers go on as if it never ran."""
    before = [(buffer, buffer.detach().clone()) for buffer in model.buffers()] if model.training else []
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        with torch.no_grad():
            for buffer, content in before:
                buffer.copy_(content)


def _forward(model: torch.nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[SourceTracer, Any]:
    check_example(model, args, kwargs)
    tracer = SourceTracer(model)
    args, kwargs = fresh(args, kwargs)
    try:
        with torch.enable_grad(), tracer.watching():
            return tracer, model(*args, **kwargs)
    except Exception as error:
        raise forward_failed(error, Recording(model)) from error


def _run(function: Callable[[Any], Any] | None, model: torch.nn.Module, port: Port | None, args: tuple,
         kwargs: Mapping[str, Any], gradient: Any, names: Any, scopes: Sequence[Mapping[str, Any]],
         mlx: bool) -> GradientGraph:
    """Runs the model here: its loss is ``function(result)``, or the sum of its results."""
    weights: dict[int, torch.Tensor | None] = {}
    with _buffers_kept(model):
        tracer, result = _forward(model, args, kwargs)
        outputs = [tensor for _, tensor in flatten(result)]
        if function is None:
            used = {position: tensor for position, tensor in enumerate(outputs)
                    if tensor.is_floating_point() and tensor.requires_grad}
            if not used:
                raise BadExample("none of the model's results is a floating-point tensor that requires grad. A frozen "
                                 "model, or one that runs under torch.no_grad(), has no graph.")
            weights = _fixed_weights(used)
            loss = functools.reduce(torch.add, [(tensor * weights[position]).sum()
                                                for position, tensor in used.items()])
        else:
            with torch.enable_grad(), tracer.watching():
                loss = function(result)
        differentiable = [position for position, tensor in enumerate(outputs) if tensor.grad_fn is not None]
        modules = dict(model.named_parameters())
        read = _read(loss, gradient, names, scopes, tracer=tracer, modules=modules,
                     results=[(outputs[position].grad_fn, outputs[position].output_nr) for position in differentiable])
        made = read.graph
        if function is None:
            made = dataclasses.replace(made, reduction=SUM)
        if not mlx or port is None:
            return made
        if function is None:
            how = "the port, in its worker, with the same weighted sum of its results"
        else:
            weights = {position: sent for position, sent in zip(differentiable, read.results, strict=True)
                       if sent is not None}
            how = _WEIGHED
        side = port_gradients(port, read, weights, args, kwargs, _weighed(outputs, weights), how,
                              "" if function is None else _VALUE_IS)
        return dataclasses.replace(made, mlx=side)


_WEIGHED = ("the port, in its worker; its loss weighs each result with torch's ∂loss/∂result, so that the gradients "
            "of the parameters are those of the loss")
_VALUE_IS = "the results weighed with ∂loss/∂result"


def _fixed_weights(results: Mapping[int, torch.Tensor]) -> dict[int, torch.Tensor | None]:
    """The same numbers every time, between 0.5 and 1.5."""
    generator = torch.Generator().manual_seed(0)
    return {position: (torch.rand(tensor.shape, generator=generator) + 0.5).to(tensor.device, tensor.dtype)
            for position, tensor in results.items()}


def _weighed(outputs: list[torch.Tensor], weights: Mapping[int, torch.Tensor | None]) -> torch.Tensor | None:
    with torch.no_grad():
        parts = [(outputs[position] if weight is None else outputs[position] * weight).sum()
                 for position, weight in weights.items()]
        return torch.stack(parts).sum() if parts else None


def _matched(loss: Any, port: Port, args: tuple, kwargs: Mapping[str, Any], gradient: Any, names: Any,
             scopes: Sequence[Mapping[str, Any]], given: bool, mlx: bool) -> GradientGraph:
    """A loss that the user made: the model's results are found in its graph by running the model again."""
    roots, _, _ = checked_roots(loss, gradient)
    nodes = reachable([torch.autograd.graph.get_gradient_edge(root).node for root in roots])
    with _buffers_kept(port.model):
        tracer, result = _forward(port.model, args, kwargs)
        outputs = [tensor for _, tensor in flatten(result)]
        matches = matching_nodes(nodes, outputs)
        found = {position: same[0] for position, same in matches.items() if len(same) == 1}
        for position, node in found.items():  # what ran where is the same for equal graphs
            for mine, other in pairs(node, outputs[position].grad_fn):
                origin = tracer.origins.get(sequence_number(other))
                if origin is not None:
                    tracer.origins.setdefault(sequence_number(mine), origin)
        tracer.values.clear()
        modules = dict(port.model.named_parameters())
        read = _read(loss, gradient, names, scopes, tracer=tracer if found else None, modules=modules,
                     results=[(node, outputs[position].output_nr) for position, node in found.items()])
        if not mlx:
            return read.graph
        problem = ""
        if any(len(same) > 1 for same in matches.values()):
            problem = "the model ran more than once for this loss, so its results can't be told apart"
        elif not found:
            problem = (f"what {port.name} returns is not found in this graph: the loss was made by another model, by "
                       "another path through it, or from inputs of other shapes" +
                       ("" if given else ". Pass them: t2m.autograd(loss, port=p, args=(x,))"))
        elif not all(same_forward(node, outputs[position].grad_fn) for position, node in found.items()):
            problem = ("the loss was made from other inputs than " + ("args" if given else
                       "the port's example. Pass them: t2m.autograd(loss, port=p, args=(x,))") +
                       (", or the model draws random numbers (train mode)" if port.model.training else ""))
        if problem:
            return dataclasses.replace(read.graph, mlx=MLXGradients("the port", problem=f"No MLX side: {problem}."))
        weights: dict[int, torch.Tensor | None] = {
            position: sent for position, sent in zip(found, read.results, strict=True) if sent is not None}
        side = port_gradients(port, read, weights, args, kwargs, _weighed(outputs, weights), _WEIGHED,
                              _VALUE_IS)
        return dataclasses.replace(read.graph, mlx=side)
