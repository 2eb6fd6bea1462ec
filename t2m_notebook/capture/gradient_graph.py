"""The autograd graph behind a loss, as torch built it, with its backward pass measured."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..errors import BadExample
from ..types import GradientEdge, GradientGraph, GradientNode, SavedTensor, TensorValue
from .backward_pass import MOST_CALLS, BackwardPass, LocalDerivatives, is_leaf_node, run_backward
from .gradient_assignments import assigned_origins
from .gradient_modules import concluded_modules
from .gradient_nodes import (
    FREED,
    ReadNode,
    expression_of,
    formula_of,
    reachable,
    read_node,
    sequence_number,
    setting_text,
)
from .gradient_notes import notes_of, problem_of
from .gradient_sources import Origin, SourceTracer, anomaly_origin
from .gradient_values import SMALL, tensor_facts, tensor_value


@dataclass(slots=True)
class ReadGraph:
    """A graph with torch's own objects, for those who go on from here (MLX's side); never leaves the engine."""

    graph: GradientGraph
    nodes: list[Any]  # torch's, by index
    reads: list[ReadNode]
    variables: dict[int, torch.Tensor]  # leaves by index
    gradients: dict[int, torch.Tensor]  # whole gradients of leaves, by index
    roots: list[torch.Tensor]
    weights: list[torch.Tensor | None]
    values: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)  # by (index, output)
    results: list[torch.Tensor | None] = field(default_factory=list)  # what the loss sent to each of ``results``


def checked_roots(loss: Any, gradient: Any = None) -> tuple[list[torch.Tensor], list[torch.Tensor | None], str]:
    """``loss`` as roots, the gradient that each starts with, and a sentence about what is assumed.

    Raises :class:`BadExample` for what has no backward pass.
    """
    several = isinstance(loss, (list, tuple))
    roots = list(loss) if several else [loss]
    starts = list(gradient) if isinstance(gradient, (list, tuple)) else [gradient]
    if not roots:
        raise BadExample("autograd got an empty list; give it a loss.")
    if len(starts) != len(roots):
        if gradient is not None:
            raise BadExample(f"gradient= has {len(starts)} tensors for {len(roots)} losses; give one for each.")
        starts = [None] * len(roots)
    for number, (root, start) in enumerate(zip(roots, starts, strict=True)):
        _check_root(root, start, f"loss {number + 1} of {len(roots)}" if several and len(roots) > 1 else "the loss")
    note = ""
    if len(roots) > 1:
        how = "their sum" if gradient is None else "their sum weighted by gradient="
        note = (f"{len(roots)} losses are taken together, as torch.autograd.backward does: the gradients are those of "
                f"{how}.")
    elif gradient is not None:
        note = "The backward pass starts from gradient=, so the gradients are those of (loss · gradient).sum()."
    return roots, starts, note


def _check_root(root: Any, start: Any, which: str) -> None:
    if not isinstance(root, torch.Tensor):
        raise BadExample(f"{which} has to be a tensor, got {type(root).__name__}. A Python number (from .item() or "
                         "float()) has no graph: pass the tensor that it was read from.")
    facts = f"shape {tuple(root.shape)}, {str(root.dtype).removeprefix('torch.')}"
    if root.layout is not torch.strided:
        raise BadExample(f"{which} is {root.layout} ({facts}); sparse tensors are not supported here. Use .to_dense().")
    if root.is_meta:
        raise BadExample(f"{which} is on the meta device ({facts}) and has no values.")
    if root.is_inference() or not root.requires_grad:
        raise BadExample(f"{which} ({facts}) does not require grad, so torch built no graph behind it. Either no "
                         "tensor that it was made from has requires_grad=True, or it was made under torch.no_grad(), "
                         "inference_mode() or after .detach().")
    if start is None and root.is_complex():
        raise BadExample(f"{which} is complex ({facts}): a backward pass starts from a real number. Take .abs(), .real "
                         "or a sum of squares, or pass gradient= with a complex tensor of this shape.")
    if start is None and root.numel() != 1:
        raise BadExample(f"{which} has {facts}, which is {root.numel()} numbers, not one: say how they become one. "
                         "Pass loss.sum() or loss.mean(), or gradient= with a tensor of this shape that weighs them.")
    if start is not None and (not isinstance(start, torch.Tensor) or start.shape != root.shape):
        got = tuple(start.shape) if isinstance(start, torch.Tensor) else type(start).__name__
        raise BadExample(f"gradient= for {which} has to be a tensor of shape {tuple(root.shape)}, got {got}.")


def read_graph(loss: Any, *, gradient: Any = None, names: Mapping[str, torch.Tensor] | None = None,
               tracer: SourceTracer | None = None, modules: Mapping[str, torch.Tensor] | None = None,
               results: Sequence[tuple[Any, int]] = (), sources: Sequence[tuple[str, str]] = (),
               local: bool = True) -> ReadGraph:
    """Read the graph behind ``loss`` and measure its backward pass.

    ``names`` call tensors what the user calls them; ``modules`` are a model's parameters by path,
    from which the module of an operation is concluded where ``tracer`` did not see it run. ``results``
    are ``(node, output)`` of what a model returned: what the loss sent to each, less what one result
    sent to another inside the model, is in ``ReadGraph.results``. ``sources`` are the user's own text, in
    which lines are looked for. Nothing of the user's changes: no
    ``.grad``, and the graph stays usable. Raises :class:`BadExample`.
    """
    started = time.perf_counter()
    roots, weights, reduction = checked_roots(loss, gradient)
    edges_of_roots = [torch.autograd.graph.get_gradient_edge(root) for root in roots]
    nodes = in_backward_order([edge.node for edge in edges_of_roots])
    index = {id(node): number for number, node in enumerate(nodes)}
    reads = [read_node(node) for node in nodes]
    variables = {number: node.variable for number, node in enumerate(nodes) if is_leaf_node(node)}
    outside = _outside(nodes, index, results)
    passed = run_backward(roots, weights, nodes, outside)
    found = ReadGraph(None, nodes, reads, variables, dict(passed.leaves), roots, weights)  # type: ignore[arg-type]
    found.results = [_sent_to(result, outside, passed, found, edges_of_roots) for result in results]
    labels = _labels(found, index, edges_of_roots, names or {}, modules or {})
    _values(found, index, edges_of_roots, names or {}, tracer)
    made_from = [[(index[id(f)], output) for f, output in node.next_functions if f is not None] for node in nodes]
    assigned = assigned_origins(sources, labels, made_from) if sources else {}
    origins = [_origin(node, tracer) or assigned.get(number) or Origin() for number, node in enumerate(nodes)]
    sent = _edges(found, index, passed, labels, LocalDerivatives(MOST_CALLS if local and not passed.problem else 0))
    of_module = _modules(found, origins, modules or {})
    added = _added(found, index, edges_of_roots, sent)
    made = tuple(_node(found, number, index, passed, labels, origins[number], of_module.get(number), added)
                 for number in range(len(nodes)))
    freed = any(saved.problem == FREED for node in made for saved in node.saved)
    problem = problem_of(made, passed, freed, tracer)
    notes = notes_of(made, list(variables.values()), nodes)
    found.graph = GradientGraph(
        made, tuple(sent), tuple(dict.fromkeys(index[id(edge.node)] for edge in edges_of_roots)),
        measured=not passed.problem, freed=freed, problem=problem, reduction=reduction, notes=tuple(notes),
        seconds=time.perf_counter() - started, versions={"torch": torch.__version__})
    return found


def _outside(nodes: list[Any], index: dict[int, int],
             results: Sequence[tuple[Any, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """The edges by which a loss uses a model's results: ``{(consumer, position): (id of node, output)}``.
    The model's own nodes, which may use one result for another, are left out."""
    wanted = {(id(node), output) for node, output in results}
    inside = {id(node) for node in reachable([node for node, _ in results])}
    return {(number, position): (id(following), output) for number, node in enumerate(nodes) if id(node) not in inside
            for position, (following, output) in enumerate(node.next_functions) if (id(following), output) in wanted}


def _sent_to(result: tuple[Any, int], outside: dict[tuple[int, int], tuple[int, int]], passed: BackwardPass,
             found: ReadGraph, edges_of_roots: list[Any]) -> torch.Tensor | None:
    """What the loss sent to one of the model's results; None when nothing."""
    node, output = result
    parts = [passed.kept[edge] for edge, target in outside.items()
             if target == (id(node), output) and edge in passed.kept]
    for edge, root, weight in zip(edges_of_roots, found.roots, found.weights, strict=True):
        if edge.node is node and edge.output_nr == output:
            parts.append(torch.ones_like(root) if weight is None else weight)
    return torch.stack([part.to_dense() if part.is_sparse else part for part in parts]).sum(0) if parts else None


def in_backward_order(roots: list[Any]) -> list[Any]:
    """The nodes in the order in which torch's engine runs them: a node waits for everything that
    used its value; of those that are ready the latest made runs first, a leaf at once."""
    nodes = reachable(roots)
    waits: dict[int, int] = {id(node): 0 for node in nodes}
    for node in nodes:
        for following, _ in node.next_functions:
            if following is not None:
                waits[id(following)] += 1
    counter, ready = 0, []
    for node in nodes:
        if not waits[id(node)]:
            heapq.heappush(ready, (_priority(node), counter, node))
            counter += 1
    ordered = []
    while ready:
        node = heapq.heappop(ready)[2]
        ordered.append(node)
        for following, _ in node.next_functions:
            if following is None:
                continue
            waits[id(following)] -= 1
            if not waits[id(following)]:
                heapq.heappush(ready, (_priority(following), counter, following))
                counter += 1
    return ordered


def _priority(node: Any) -> float:
    return float("-inf") if is_leaf_node(node) else -sequence_number(node)


def _labels(found: ReadGraph, index: dict[int, int], edges: list[Any], names: Mapping[str, torch.Tensor],
            modules: Mapping[str, torch.Tensor]) -> dict[tuple[int, int], str]:
    """What each value is called, by ``(node, output)``."""
    labels: dict[tuple[int, int], str] = {}
    leaves = {id(variable): number for number, variable in found.variables.items()}
    for name, tensor in (*names.items(), *modules.items()):
        if id(tensor) in leaves:
            labels.setdefault((leaves[id(tensor)], 0), name)
        elif tensor.grad_fn is not None and id(tensor.grad_fn) in index:
            labels.setdefault((index[id(tensor.grad_fn)], tensor.output_nr), name)
    for number, edge in enumerate(edges):
        labels.setdefault((index[id(edge.node)], edge.output_nr), "loss" if len(edges) == 1 else f"loss {number + 1}")
    unnamed = [number for number in sorted(found.variables) if (number, 0) not in labels]
    for count, number in enumerate(unnamed):
        labels[number, 0] = "leaf" if len(unnamed) == 1 else f"leaf {count + 1}"
    return labels


def _values(found: ReadGraph, index: dict[int, int], edges: list[Any], names: Mapping[str, torch.Tensor],
            tracer: SourceTracer | None) -> None:
    """Values of nodes' results: the roots, what the user holds, what torch saved, what the tracer saw."""
    for number, variable in found.variables.items():
        found.values[number, 0] = variable
    for edge, root in zip(edges, found.roots, strict=True):
        found.values[index[id(edge.node)], edge.output_nr] = root
    for tensor in names.values():
        if tensor.grad_fn is not None and id(tensor.grad_fn) in index:
            found.values.setdefault((index[id(tensor.grad_fn)], tensor.output_nr), tensor)
    for read in found.reads:
        for saved in read.saved:
            tensor = saved.tensor
            if tensor is not None and tensor.grad_fn is not None and id(tensor.grad_fn) in index:
                found.values.setdefault((index[id(tensor.grad_fn)], tensor.output_nr), tensor)
    if tracer is not None:
        numbers = {sequence_number(node): number for number, node in enumerate(found.nodes) if not is_leaf_node(node)}
        for (sequence, output), tensor in tracer.values.items():
            if sequence in numbers:
                found.values.setdefault((numbers[sequence], output), tensor)


def _origin(node: Any, tracer: SourceTracer | None) -> Origin | None:
    if is_leaf_node(node):
        return None
    seen = tracer.origins.get(sequence_number(node)) if tracer is not None else None
    return seen or anomaly_origin(node)


def _edges(found: ReadGraph, index: dict[int, int], passed: BackwardPass, labels: dict[tuple[int, int], str],
           derivatives: LocalDerivatives) -> list[GradientEdge]:
    edges = []
    for number, node in enumerate(found.nodes):
        step, read = passed.passed.get(number), found.reads[number]
        inputs = [labels.get((index[id(following)], output), "") if following is not None else ""
                  for following, output in node.next_functions]
        local = derivatives.of(node, step.incoming, step.sent) if step else []
        for position, (following, output) in enumerate(node.next_functions):
            if following is None:
                continue
            value, form = local[position] if position < len(local) else (None, "")
            formula = formula_of(read, position, inputs) if inputs[position] or read.outputs else ""
            edges.append(GradientEdge(number, position, index[id(following)], output,
                                      step.sent[position] if step else None, value, form, formula, inputs[position]))
    return edges


def _modules(found: ReadGraph, origins: list[Origin], modules: Mapping[str, torch.Tensor]) -> dict[int, str]:
    """The module of each node that the tracer did not see, where the parameters tell it."""
    paths = {id(tensor): path for path, tensor in modules.items()}
    known = {number: paths[id(variable)] for number, variable in found.variables.items() if id(variable) in paths}
    if any(origin.module is not None for origin in origins):
        return {number: path.rpartition(".")[0] for number, path in known.items()}
    return concluded_modules(found.nodes, known) if known else {}


def _added(found: ReadGraph, index: dict[int, int], edges_of_roots: list[Any],
           edges: list[GradientEdge]) -> dict[int, list[float]]:
    """What arrives at each node's first output, added in double precision; small tensors alone."""
    parts: dict[int, list[TensorValue | None]] = {}
    for edge in edges:
        if not edge.output:
            parts.setdefault(edge.producer, []).append(edge.contribution)
    for edge, root, weight in zip(edges_of_roots, found.roots, found.weights, strict=True):
        if not edge.output_nr:
            start = tensor_value(torch.ones_like(root) if weight is None else weight)
            parts.setdefault(index[id(edge.node)], []).append(start)
    sums = {}
    for number, values in parts.items():
        given = [value for value in values if value is not None]
        if given and all(value.numbers is not None for value in given):
            sums[number] = [_total(column) for column in zip(*(v.numbers for v in given), strict=True)]  # type: ignore
    return sums


def _total(numbers: Sequence[float]) -> float:
    try:
        return math.fsum(numbers)
    except (ValueError, OverflowError):  # −Inf + Inf, which is NaN; a sum beyond the largest float64, which is Inf
        return sum(numbers)


def _adds_up(added: list[float] | None, incoming: TensorValue | None) -> bool | None:
    """Whether the gradient that arrived is the sum of what was sent; a hook may have changed it."""
    if added is None or incoming is None or incoming.numbers is None or incoming.nonfinite:
        return None
    relative = {"float16": 2e-3, "bfloat16": 1.6e-2}.get(incoming.dtype, 1e-4)
    allowed = 1e-5 + relative * max((abs(number) for number in added), default=0.0)
    return all(abs(one - other) <= allowed for one, other in zip(added, incoming.numbers, strict=True))


def _node(found: ReadGraph, number: int, index: dict[int, int], passed: BackwardPass,
          labels: dict[tuple[int, int], str], origin: Origin, module: str | None,
          added: dict[int, list[float]]) -> GradientNode:
    node, read = found.nodes[number], found.reads[number]
    inputs = [labels.get((index[id(following)], output), "") if following is not None else ""
              for following, output in node.next_functions]
    label = ", ".join(filter(None, (labels.get((number, output), "") for output in range(max(len(read.outputs), 1)))))
    variable, step = found.variables.get(number), passed.passed.get(number)
    gradient = passed.leaves.get(number)
    incoming: tuple[TensorValue | None, ...] = step.incoming if step else ()
    if gradient is not None:
        incoming = (tensor_value(gradient),)
    saved = tuple(_saved(one, index, found) for one in read.saved)
    return GradientNode(
        number, read.kind, read.name, read.operation, label, expression_of(read, inputs),
        module=module if origin.module is None else origin.module, module_measured=origin.module is not None,
        source=origin.source, location=origin.location or read.location, outputs=read.outputs,
        value=tensor_value(found.values.get((number, 0))), incoming=incoming,
        existing=tensor_value(variable.grad) if variable is not None else None, saved=saved,
        settings={name: setting_text(value) for name, value in read.settings.items()},
        hooks=_hooks(found.values.get((number, 0)), variable),
        adds_up=_adds_up(added.get(number), incoming[0] if incoming else None),
        problem=next((one.problem for one in saved if one.problem), ""))


def _saved(saved: Any, index: dict[int, int], found: ReadGraph) -> SavedTensor:
    tensor = saved.tensor
    if tensor is None:
        return SavedTensor(saved.name, problem=saved.problem)
    producer = index.get(id(tensor.grad_fn)) if tensor.grad_fn is not None else None
    if producer is None and tensor.requires_grad:
        producer = index.get(id(torch.autograd.graph.get_gradient_edge(tensor).node))
    value = tensor_value(tensor) if tensor.numel() <= SMALL else None
    return SavedTensor(saved.name, tensor_facts(tensor), saved.version, value, producer)


def _hooks(tensor: torch.Tensor | None, variable: torch.Tensor | None) -> int:
    """How many hooks the user put on a value."""
    tensor = variable if variable is not None else tensor
    if tensor is None:
        return 0
    return sum(len(getattr(tensor, name, None) or ()) for name in ("_backward_hooks", "_post_accumulate_grad_hooks"))
