"""Where each torch module and parameter lives in the MLX model.

Torch's dotted paths are kept as weight names. A module that is called as itself becomes a
class; ``nn.Sequential`` and ``nn.ModuleList`` become Python lists, ``nn.ModuleDict`` and
modules that only hold others become dicts, as MLX finds both.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from torch import nn

from ..capture.recording import ModuleCall, Recording
from .names import attribute_name


def is_chain(module: nn.Module) -> bool:
    """True for an ``nn.Sequential`` that runs its children one after the other."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward \
        and "forward" not in vars(module)


def is_list_like(module: nn.Module) -> bool:
    """Children (or parameters) are called 0, 1, 2, … without a gap."""
    keys = list(module._modules) or list(module._parameters)
    return bool(keys) and keys == [str(i) for i in range(len(keys))] and not (
        module._modules and any(p is not None for p in module._parameters.values()))


@dataclass(slots=True)
class Structure:
    """The attribute tree of one model."""

    model: nn.Module
    classes: set[int]  # id of each module that becomes a class
    leaves: set[int]  # id of each leaf layer
    lists: dict[int, bool] = field(default_factory=dict)  # id of a module -> whether it is a list

    @classmethod
    def of(cls, recording: Recording) -> Structure:
        """The structure that a recording asks for."""
        classes, leaves = {id(recording.model)}, set()
        for call in recording.root.walk() if recording.root else ():
            if call.leaf:
                leaves.add(id(call.module))
            elif call.parent is None or not is_chain(call.module):
                classes.add(id(call.module))
        return cls(recording.model, classes, leaves)

    def kind(self, module: nn.Module) -> str:
        """``class`` | ``leaf`` | ``list`` | ``dict``."""
        if id(module) in self.classes:
            return "class"
        if id(module) in self.leaves:
            return "leaf"
        return "list" if self.is_list(module) else "dict"

    def is_list(self, module: nn.Module) -> bool:
        """Whether what the module holds is called 0, 1, 2, …; asked of the module once."""
        found = self.lists.get(id(module))
        if found is None:
            found = self.lists[id(module)] = is_list_like(module)
        return found

    def steps(self, start: nn.Module, parts: list[str]) -> list[tuple[str, str]]:
        """How to reach ``parts`` below ``start``: ``("attribute", "conv1")``,
        ``("item", "0")``, ``("key", "conv0")``. A last part that is no module is a parameter."""
        found: list[tuple[str, str]] = []
        module: nn.Module | None = start
        for position, part in enumerate(parts):
            assert module is not None
            kind = self.kind(module)
            if kind == "class" and part.isdigit() and self.is_list(module):
                found += [("attribute", "layers"), ("item", part)]
            elif kind in ("class", "leaf"):
                found.append(("attribute", attribute_name(part) if kind == "class" else part))
            else:
                found.append(("item", part) if kind == "list" else ("key", attribute_name(part)))
            module = module._modules.get(part)
            if module is None and position < len(parts) - 1:
                return found[:-1] + [("attribute", attribute_name("_".join(parts[position:])))]
        return found

    def expression(self, start: nn.Module, path: str) -> ast.expr:
        """``self.layer1[0].conv1`` for a path relative to ``start``."""
        node: ast.expr = ast.Name("self", ast.Load())
        for how, name in self.steps(start, path.split(".") if path else []):
            if how == "attribute":
                node = ast.Attribute(node, name, ast.Load())
            else:
                node = ast.Subscript(node, ast.Constant(int(name) if how == "item" else name), ast.Load())
        return node

    def weight_name(self, path: str) -> str:
        """MLX's name of the weight (or module) at torch's ``path``."""
        return ".".join(name for _, name in self.steps(self.model, path.split(".") if path else []))


def relative(path: str, base: str) -> str | None:
    """``path`` below ``base``, or None when it lies elsewhere."""
    if not base:
        return path
    if path == base:
        return ""
    return path[len(base) + 1:] if path.startswith(base + ".") else None


def effective_parent(call: ModuleCall) -> ModuleCall | None:
    """The call whose generated class makes this call: chains are written out in place."""
    parent = call.parent
    while parent is not None and parent.parent is not None and is_chain(parent.module):
        parent = parent.parent
    return parent
