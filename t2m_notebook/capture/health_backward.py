"""The backward pass, node by node: which node of the graph first gave a NaN or Inf.

Each node that an operation made gets a hook of its own (``grad_fn.register_hook``), which sees what comes in and what
goes out. Nothing is computed twice, and the graph, its order and its results are torch's own. A node carries its
operation in ``node.metadata``, which lives as long as the node: no graph is kept alive.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ..inspection.origins import Origins
from ..inspection.reasons import backward_reason, sentence
from ..types.health import Finding, Ranges
from .health_values import measure

_KEY, _BAD = "t2m_operation", "t2m_bad"
MOST_NODES = 4096  # of one operation


class BackwardHooks:
    """Hooks on the nodes of a graph while it is built, and what they found."""

    def __init__(self, origins: Origins, finding_of: Callable[..., Finding], whole: bool):
        self.origins, self.finding_of, self.whole = origins, finding_of, whole
        self.handles: deque[Any] = deque()
        self.run = 0  # number of the backward pass, so that marks of an earlier one don't count
        self.leaf_marks: dict[int, int] = {}  # id of a leaf tensor -> mark
        self.rows: list[tuple[str, Any, Ranges]] = []
        self.working = True

    def attach(self, results: Iterable[torch.Tensor], before: list[Any], operation: Any) -> None:
        """Put hooks on the nodes between the inputs' nodes ``before`` and the results."""
        for node in before:  # made where no operation was seen: a custom autograd.Function, code before the watch
            if node is not None and _KEY not in node.metadata:
                self._hook(node, None)
        stack, seen = [result.grad_fn for result in results], 0
        while stack and seen < MOST_NODES:
            node = stack.pop()
            if node is None or any(node is one for one in before) or _KEY in node.metadata:
                continue
            seen += 1
            if self._hook(node, operation):
                stack.extend(following for following, _ in node.next_functions)

    def _hook(self, node: Any, operation: Any) -> bool:
        name = node.name()
        if name.rpartition("::")[2].startswith("AccumulateGrad"):
            return False
        node.metadata[_KEY] = True

        def hook(grad_inputs: tuple, grad_outputs: tuple) -> None:
            if self.working:
                self._look(name.rpartition("::")[2], operation, grad_inputs, grad_outputs)

        self.handles.append(node.register_hook(hook))
        if len(self.handles) > 20_000:  # those of graphs that are gone
            self.handles = deque(h for h in self.handles if h.hooks_dict_ref() is not None)
        return True

    def _look(self, name: str, operation: Any, grad_inputs: tuple, grad_outputs: tuple) -> None:
        going = [(i, _measured(g, "gradient that goes out", self.whole)) for i, g in enumerate(grad_inputs)]
        bad = [(i, values) for i, values in going if values is not None and not values.finite]
        if self.whole:
            self.rows += [(name, operation, values) for _, values in going if values is not None]
        if not bad:
            return
        node = torch._C._current_autograd_node()
        coming = [
            values
            for values in (_measured(g, "gradient that comes in", self.whole) for g in grad_outputs)
            if values is not None
        ]
        run, mark = node.metadata.get(_BAD, (0, 0)) if node is not None else (0, 0)
        forward = self.origins.came_out(operation.marks) if operation is not None else None
        if run != self.run and forward is not None:
            mark = forward
        elif run != self.run:
            bad_before = [values for values in coming if not values.finite]  # of a node that we don't know
            finding = self.finding_of(
                operation,
                phase="backward",
                name=name,
                inputs=coming,
                outputs=bad_before or [values for _, values in bad],
                reason="The gradient that came in was bad already." if bad_before else sentence(backward_reason(name)),
            )
            mark = self.origins.add(finding)
        for i, _ in bad:
            following = node.next_functions[i][0] if node is not None and i < len(node.next_functions) else None
            if following is None:
                continue
            variable = getattr(following, "variable", None)
            if variable is not None:
                self.leaf_marks.setdefault(id(variable), mark)
            known = following.metadata.get(_BAD, (0, 0))
            if known[0] != self.run or known[1] > mark:
                following.metadata[_BAD] = (self.run, mark)

    def start(self) -> None:
        """A new backward pass begins."""
        self.run += 1
        self.leaf_marks.clear()

    def remove(self) -> None:
        """Take every hook off."""
        self.working = False
        for handle in self.handles:
            handle.remove()
        self.handles.clear()


def _measured(gradient: Any, name: str, whole: bool) -> Ranges | None:
    return measure(gradient, name, whole=whole) if isinstance(gradient, torch.Tensor) else None
