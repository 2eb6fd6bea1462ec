"""One real backward pass, watched: what arrives at every node and what it sends on.

Torch's own engine runs it through ``torch.autograd.grad`` with the graph retained, and a hook
on each node notes what it got and gave. So ``.grad`` stays as it was, the graph stays usable,
the user's hooks act as they do in ``backward()``, and every number is measured.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd.graph import GradientEdge as TorchEdge

from ..types import TensorValue
from .gradient_values import SMALL, tensor_value

#: Local derivatives are measured by calling nodes again: at most this many calls in one graph.
MOST_CALLS = 600
_LARGEST_JACOBIAN = 64


@dataclass(slots=True)
class Passed:
    """What one node got and gave."""

    incoming: tuple[TensorValue | None, ...]
    sent: tuple[TensorValue | None, ...]


@dataclass(slots=True)
class BackwardPass:
    """The pass as measured. ``problem`` is what torch raised; what ran until then is here."""

    passed: dict[int, Passed] = field(default_factory=dict)  # by node
    leaves: dict[int, torch.Tensor] = field(default_factory=dict)  # gradient by node
    kept: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)  # what a node sent to an input
    problem: str = ""


def run_backward(roots: list[torch.Tensor], weights: list[torch.Tensor | None], nodes: list[Any],
                 keep: Collection[tuple[int, int]] = ()) -> BackwardPass:
    """Run the backward pass of ``roots`` and watch ``nodes``. What a node sends is kept whole for every
    ``(node, position of the input)`` in ``keep``."""
    done = BackwardPass()
    accumulators = [number for number, node in enumerate(nodes) if is_leaf_node(node)]

    wanted: dict[int, list[int]] = {}
    for number, position in keep:
        wanted.setdefault(number, []).append(position)

    def watch(number: int) -> Callable:
        def note(sent: Any, incoming: Any) -> None:
            done.passed[number] = Passed(tuple(tensor_value(t) for t in incoming), tuple(tensor_value(t) for t in sent))
            for position in wanted.get(number, ()):
                if sent[position] is not None:
                    done.kept[number, position] = sent[position]
        return note

    handles = [node.register_hook(watch(number)) for number, node in enumerate(nodes) if not is_leaf_node(node)]
    try:
        edges = [TorchEdge(nodes[number], 0) for number in accumulators]
        if not edges:  # nothing but operations on constants: let the engine run all the same
            edges = [TorchEdge(nodes[-1], 0)]
        found = torch.autograd.grad(roots, edges, weights, retain_graph=True, allow_unused=True)
        done.leaves = {number: gradient for number, gradient in zip(accumulators, found, strict=False)
                       if gradient is not None}
    except Exception as error:  # what torch, a hook or a user's backward raised is the finding
        done.problem = f"{type(error).__name__}: {error}"
    finally:
        for handle in handles:
            handle.remove()
    return done


def is_leaf_node(node: Any) -> bool:
    """True for the node at which a leaf's gradient ends up."""
    return node.name() == "torch::autograd::AccumulateGrad"


@dataclass(slots=True)
class LocalDerivatives:
    """Measures Jacobians of single nodes by sending unit gradients through them."""

    left: int = MOST_CALLS

    def of(self, node: Any, incoming: tuple[TensorValue | None, ...], sent: tuple[TensorValue | None, ...],
           ) -> list[tuple[TensorValue | None, str]]:
        """For each input ``(value, form)``; see :class:`~t2m_notebook.types.GradientEdge`."""
        nothing: list[tuple[TensorValue | None, str]] = [(None, "")] * len(sent)
        got = [value for value in incoming if value is not None]
        if len(incoming) != 1 or len(got) != 1 or not callable(node) or hasattr(node, "_forward_cls"):
            return nothing
        rows = math.prod(got[0].shape)
        wanted = [value is not None and value.layout == "strided" for value in sent]
        largest = max((math.prod(value.shape) for value in sent if value is not None), default=0)
        if not rows or rows * largest > _LARGEST_JACOBIAN or rows > self.left or "complex" in got[0].dtype:
            return nothing
        columns: list[list[torch.Tensor]] = [[] for _ in sent]
        dtype = getattr(torch, got[0].dtype)
        with contextlib.suppress(RuntimeError), torch.no_grad():
            for unit in torch.eye(rows, dtype=dtype):
                self.left -= 1
                answer = node(unit.reshape(got[0].shape))
                for column, part, use in zip(columns, answer if isinstance(answer, tuple) else (answer,), wanted,
                                             strict=True):
                    if use and part is not None:
                        column.append(part)
        return [_jacobian(column, value, got[0]) if column and value is not None else (None, "")
                for column, value in zip(columns, sent, strict=True)]


def _jacobian(parts: list[torch.Tensor], value: TensorValue, output: TensorValue) -> tuple[TensorValue | None, str]:
    """The rows of a Jacobian as what is shown of it."""
    parts = [part.sum_to_size(value.shape) if tuple(part.shape) != value.shape else part for part in parts]
    matrix = torch.stack([part.reshape(-1) for part in parts])
    rows, columns = matrix.shape
    if rows == columns == 1:
        return tensor_value(matrix.reshape(())), "number"
    if not torch.isfinite(torch.view_as_real(matrix) if matrix.is_complex() else matrix).all():
        return None, ""  # a unit gradient times Inf is NaN beside the diagonal: no one's derivative
    if output.shape == value.shape and torch.equal(matrix, torch.diag(matrix.diagonal())):
        return tensor_value(matrix.diagonal().reshape(value.shape)), "diagonal"
    if rows * columns <= SMALL:
        return tensor_value(matrix), "matrix"
    return None, ""
