"""The module tree of a model as plain values: structure, parameters, sharing."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import nn

from ..types import ParameterFacts, SourceLocation, TensorFacts
from .recording import DTYPE_NAMES


@dataclass(slots=True)
class Branch:
    """One place in the tree. A module held in two places is two branches; the second has
    ``shared_with`` and no children."""

    name: str
    path: str
    module: nn.Module
    depth: int
    shared_with: str | None = None
    children: list[Branch] = field(default_factory=list)
    parameters: tuple[ParameterFacts, ...] = ()
    parameter_count: int = 0
    parameter_bytes: int = 0

    def walk(self) -> Iterator[Branch]:
        """This branch and all below, parents first, without recursion."""
        stack = [self]
        while stack:
            branch = stack.pop()
            yield branch
            stack.extend(reversed(branch.children))


def module_tree(model: nn.Module) -> Branch:
    """The tree below ``model``. Every parameter is counted once, at its first place."""
    first_module: dict[int, str] = {}
    first_tensor: dict[int, str] = {}
    root = Branch(type(model).__name__, "", model, 0)
    order, stack = [], [root]
    while stack:
        branch = stack.pop()
        order.append(branch)
        seen = first_module.setdefault(id(branch.module), branch.path)
        if seen != branch.path:
            branch.shared_with = seen
        for name, child in ([] if branch.shared_with is not None else branch.module._modules.items()):
            if child is not None:
                path = f"{branch.path}.{name}" if branch.path else name
                branch.children.append(Branch(name, path, child, branch.depth + 1))
        stack.extend(reversed(branch.children))
    for branch in order:
        branch.parameters = tuple(_parameters(branch, first_tensor))
        own = [p for p in branch.parameters if p.kind == "parameter" and p.tied_to is None]
        branch.parameter_count = sum(_count(p.facts.shape) for p in own)
        branch.parameter_bytes = sum(p.bytes for p in own)
    for branch in reversed(order):
        branch.parameter_count += sum(child.parameter_count for child in branch.children)
        branch.parameter_bytes += sum(child.parameter_bytes for child in branch.children)
    return root


def places(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every place of the tree with its module, parents first: what torch's ``named_modules``
    gives without removing duplicates, for trees of any depth."""
    stack = [("", model)]
    while stack:
        path, module = stack.pop()
        yield path, module
        stack.extend((f"{path}.{name}" if path else name, child)
                     for name, child in reversed(module._modules.items()) if child is not None)


def _count(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _parameters(branch: Branch, first: dict[int, str]) -> Iterator[ParameterFacts]:
    module = branch.module
    unsaved = module._non_persistent_buffers_set
    for kind, tensors in (("parameter", module._parameters), ("buffer", module._buffers)):
        for name, tensor in tensors.items():
            if tensor is None:
                continue
            path = f"{branch.path}.{name}" if branch.path else name
            seen = first.setdefault(id(tensor), path)
            shape = () if isinstance(tensor, nn.parameter.UninitializedTensorMixin) else tuple(tensor.shape)
            stride = tensor.stride() if tensor.layout is torch.strided and shape else ()
            facts = TensorFacts(shape, DTYPE_NAMES[tensor.dtype], stride, str(tensor.device))
            yield ParameterFacts(name, facts, _count(shape) * tensor.element_size(),
                                 f"{kind} (not saved)" if name in unsaved else kind, tensor.requires_grad,
                                 None if seen == path else seen)


@cache
def class_location(cls: type) -> SourceLocation | None:
    """Where the class's forward is written; None for built-in classes and torch's own."""
    code = getattr(inspect.unwrap(getattr(cls, "forward", cls)), "__code__", None)
    if code is None:
        return None
    return SourceLocation(code.co_filename, code.co_firstlineno, code.co_firstlineno, 0, 0, code.co_qualname)


def description(module: nn.Module) -> str:
    """Torch's ``extra_repr`` on one line; empty when the module's own raises."""
    try:
        text = module.extra_repr()
    except Exception as error:  # a broken repr costs this line, not the tree
        return f"(extra_repr raised {type(error).__name__})"
    return " ".join(str(text).split())
