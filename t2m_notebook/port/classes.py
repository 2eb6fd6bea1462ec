"""One MLX class per torch class.

Instances whose text is the same but for numbers share a class; the numbers that differ
become constructor arguments. Instances that took another path get a variant of their own.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..capture.recording import ModuleCall, Recording
from ..rules.substitute import copied
from .block_source import used_blocks
from .body import Body, BodyWriter
from .init_statements import (
    PutConstants,
    argument_hints,
    assignment,
    constants_of,
    folded,
    length_of,
    list_display,
    note_lengths,
    skeleton,
)
from .layout import LayoutPlan
from .names import RESERVED, attribute_name, variable_name
from .structure import Structure

_CLASS = "$class:"


@dataclass(slots=True)
class Instance:
    """One module that becomes an object of a generated class."""

    path: str
    module: nn.Module
    bodies: list[Body]
    init: list[ast.stmt] = field(default_factory=list)
    height: int = 0
    group: Group | None = None
    position: int = 0  # in its group


@dataclass(slots=True)
class Group:
    """A generated class and the instances that share it."""

    name: str
    cls: type
    instances: list[Instance]
    parameters: list[tuple[str, list[Any]]] = field(default_factory=list)  # constructor argument, value per instance
    node: ast.ClassDef | None = None
    problem: str = ""
    functions: list[ast.FunctionDef] = field(default_factory=list)  # that it is the first to use

    @property
    def paths(self) -> list[str]:
        return [instance.path for instance in self.instances]


class ClassWriter:
    """Builds the classes of one port, in dependency order."""

    def __init__(self, recording: Recording, plan: LayoutPlan, structure: Structure, writer: BodyWriter):
        self.recording, self.plan, self.structure, self.writer = recording, plan, structure, writer
        self.used_modules: set[str] = set()
        self.used_tensors: dict[str, int] = {}
        self.constants: dict[str, int] = {}  # "path.attribute" -> value
        self.layer_of = {step.event.path: step.layer for step in plan.steps.values()
                         if isinstance(step.event, ModuleCall) and step.layer is not None}
        self.groups: list[Group] = []
        self.instances: dict[str, Instance] = {}

    def run(self) -> list[Group]:
        """All classes, those that others use first."""
        for call in self.recording.root.walk():  # type: ignore[union-attr]
            if call.index in self.writer.bodies and call.path not in self.instances:
                bodies = self.writer.of_module[id(call.module)]
                self.instances[call.path] = Instance(call.path, call.module, bodies)
        for body in self.writer.bodies.values():
            self.used_modules.update(body.children)
            self.used_tensors.update(body.tensors)
            for name, index in body.constants.items():
                self.constants[f"{body.call.path}.{name}" if body.call.path else name] = index
        functions = self.writer.functions
        functions.finish(self.writer.bodies.values())
        self.reserved = self._block_names() | functions.by_name.keys()
        self._heights()
        for height in sorted({i.height for i in self.instances.values()}):
            level = [i for i in self.instances.values() if i.height == height]
            for instance in level:
                instance.init = self._init(instance)
            self._group(level)
        placed: set[str] = set()
        for group in self.groups:
            used = [f for f in functions.used_in([group.node]) if f.name not in placed]  # type: ignore[list-item]
            group.functions = [function.node for function in used]
            placed.update(function.name for function in used)
        return self.groups

    def _block_names(self) -> set[str]:
        """Names that the file needs for the blocks it carries: a torch class of such a name, put
        after the block, would hide it."""
        constructors = [layer.layer.constructor.node for path, layer in self.layer_of.items()
                        if path in self.used_modules and layer.layer.constructor is not None]
        trees = [*constructors, *(s for body in self.writer.bodies.values() for s in body.statements),
                 *(s for function in self.writer.functions.by_name.values() for s in function.statements)]
        names = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
        return {block.name for block in used_blocks(names)[0]} | RESERVED

    def _heights(self) -> None:
        deepest_first = sorted(self.instances.items(), key=lambda item: -len(item[0].split(".")) if item[0] else 0)
        highest: dict[str, int] = {}  # path -> the greatest height below it
        for path, instance in deepest_first:
            instance.height = 1 + highest.get(path, -1)
            above = path
            while above:
                above = above.rpartition(".")[0]
                highest[above] = max(highest.get(above, -1), instance.height)

    # -- __init__ ---------------------------------------------------------------------------

    def _init(self, instance: Instance) -> list[ast.stmt]:
        module, path = instance.module, instance.path
        statements: list[ast.stmt] = list(ast.parse("super().__init__()").body)
        frozen: list[str] = []
        children = {name: self._construct(child, _join(path, name)) for name, child in module._modules.items()
                    if child is not None}
        listed = any(name.isdigit() for name in children)
        if listed and self.structure.steps(module, ["0"])[0][1] == "layers":
            items: list[ast.expr] = [node or ast.Constant(None) for node in children.values()]
            statements.append(assignment("layers", list_display(items)))
        else:
            statements += [assignment(attribute_name(name), node) for name, node in children.items()
                           if node is not None]
        for name, is_buffer in [*((n, False) for n in module._parameters), *((n, True) for n in module._buffers)]:
            index = self.used_tensors.get(_join(path, name))
            if index is not None:
                statements.append(assignment(attribute_name(name), self._zeros(index)))
                frozen += [attribute_name(name)] if is_buffer else []
        for body in instance.bodies:
            for name, index in body.constants.items():
                if name not in frozen:
                    statements.append(assignment(name, self._zeros(index)))
                    frozen.append(name)
        if frozen:
            statements += ast.parse(f"self.freeze(keys={frozen!r}, recurse=False)").body
        return statements

    def _zeros(self, index: int) -> ast.expr:
        value = self.recording.values[index]
        shape = tuple(value.shape[dim] for dim in self.plan.orders[index])
        text = f"mx.zeros({shape!r})"
        if not value.dtype.startswith("float32"):
            from ..rules.expression import MLX_DTYPES
            text = f"mx.zeros({shape!r}, dtype=mx.{MLX_DTYPES[value.dtype]})"
        return ast.parse(text, mode="eval").body

    def _construct(self, module: nn.Module, path: str) -> ast.expr | None:
        kind = self.structure.kind(module)
        if kind == "class":
            return self._call_of(path) if path in self.instances else None
        if kind == "leaf":
            layer = self.layer_of.get(path)
            used = path in self.used_modules
            if layer is not None and layer.layer.constructor is not None and used:
                return copied(layer.layer.constructor.node)
            if layer is not None and any(_join(path, n) in self.used_tensors for n in module._parameters):
                return copied(layer.layer.constructor.node)
            return None
        own = {name: self._zeros(self.used_tensors[_join(path, name)])
               for name in [*module._parameters, *module._buffers] if _join(path, name) in self.used_tensors}
        below = {name: self._construct(child, _join(path, name)) for name, child in module._modules.items()
                 if child is not None}
        if kind == "list":
            nodes = [below.get(name, own.get(name)) for name in (module._modules or module._parameters)]
            if all(node is None for node in nodes):
                return None
            return list_display([node if node is not None else ast.Constant(None) for node in nodes])
        found = {attribute_name(name): node for name, node in {**below, **own}.items() if node is not None}
        if not found:
            return None
        return ast.Dict([ast.Constant(name) for name in found], list(found.values()))

    def _call_of(self, path: str) -> ast.expr:
        instance = self.instances[path]
        group = instance.group
        assert group is not None, path
        keywords = [ast.keyword(name, ast.Constant(values[instance.position])) for name, values in group.parameters]
        return ast.Call(ast.Name(group.name, ast.Load()), [], keywords)

    # -- sharing ----------------------------------------------------------------------------

    def _group(self, level: list[Instance]) -> None:
        shared: dict[Any, list[Instance]] = {}
        for instance in level:
            instance.init = [folded(s) for s in instance.init]
            for body in instance.bodies:
                body.statements = [folded(s) for s in body.statements]
                self._whole_lists(instance, body)
            key = (type(instance.module), skeleton(instance.init), *(
                (tuple(b.parameters), tuple(n for _, n in b.extra), skeleton(b.statements)) for b in instance.bodies))
            shared.setdefault(key, []).append(instance)
        for instances in shared.values():
            cls = type(instances[0].module)
            taken = {group.name for group in self.groups} | self.reserved
            base, name, number = cls.__name__, cls.__name__, 1
            while name in taken:
                number += 1
                name = f"{base}{number}"
            group = Group(name, cls, instances, problem=next((b.problem for b in instances[0].bodies if b.problem), ""))
            for position, instance in enumerate(instances):
                instance.group, instance.position = group, position
            self._hoist(group)
            self.groups.append(group)

    def _whole_lists(self, instance: Instance, body: Body) -> None:
        """``self.layers[0:12]`` as ``self.layers`` where the list ends there."""
        lengths = {}
        for statement in instance.init:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, (ast.List, ast.ListComp)):
                lengths[ast.unparse(statement.targets[0])] = length_of(statement.value)
            elif isinstance(statement, ast.Assign):
                note_lengths(statement.value, ast.unparse(statement.targets[0]), lengths)

        class Whole(ast.NodeTransformer):
            def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
                self.generic_visit(node)
                if isinstance(node.slice, ast.Slice) and isinstance(node.slice.upper, ast.Constant) \
                        and isinstance(node.slice.lower, ast.Constant):
                    if node.slice.lower.value == 0:
                        if lengths.get(ast.unparse(node.value)) == node.slice.upper.value:
                            return node.value
                        node.slice.lower = None
                    elif lengths.get(ast.unparse(node.value)) == node.slice.upper.value:
                        node.slice.upper = None
                return node

        for statement in body.statements:
            for inner in ast.walk(statement):
                if isinstance(inner, ast.For):
                    inner.iter = Whole().visit(inner.iter)

    def _hoist(self, group: Group) -> None:
        first = group.instances[0]
        roots = [[i.init, *(b.statements for b in i.bodies)] for i in group.instances]
        columns = list(zip(*[[c for part in parts for c in constants_of(part)] for parts in roots], strict=True))
        names: dict[Any, str] = {}
        init_count = len(constants_of(first.init))
        attributes = {t.attr for s in first.init if isinstance(s, ast.Assign) for t in s.targets
                      if isinstance(t, ast.Attribute)}
        in_body: dict[str, None] = {}
        hints = argument_hints(first.init)
        for position, column in enumerate(columns):
            values = [node.value for node in column]
            if all(type(v) is type(values[0]) and v == values[0] for v in values):
                continue
            key = tuple((type(v).__name__, v) for v in values)
            if key not in names:
                names[key] = self._argument_name(group, values, hints.get(position, ""),
                                                 {*names.values(), *attributes})
                group.parameters.append((names[key], values))
            if position >= init_count:
                in_body[names[key]] = None
        replace = {}
        for position, column in enumerate(columns):
            key = tuple((type(n.value).__name__, n.value) for n in column)
            if key in names and not all(type(n.value) is type(column[0].value) and n.value == column[0].value
                                        for n in column):
                name = names[key]
                replace[id(column[0])] = ast.Name(name, ast.Load()) if position < init_count else ast.Attribute(
                    ast.Name("self", ast.Load()), name, ast.Load())
        group.node = self._class_node(group, first, replace, list(in_body))

    def _argument_name(self, group: Group, values: list[Any], hint: str, taken: set[str]) -> str:
        """The torch attribute that has these very values, else what the value is passed as."""
        candidates = []
        try:
            own = [p for p in inspect.signature(group.cls.__init__).parameters if p != "self"]
        except (TypeError, ValueError):
            own = []
        attributes = [*own, *(a for a in vars(group.instances[0].module) if not a.startswith("_"))]
        for name in attributes:
            found = [getattr(i.module, name, _CLASS) for i in group.instances]
            if all(type(f) is type(v) and f == v for f, v in zip(found, values, strict=True)):
                candidates.append(name)
        name = variable_name(attribute_name(candidates[0] if candidates else hint or "value"))
        base, number = name, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name

    def _class_node(self, group: Group, first: Instance, replace: dict[int, ast.expr],
                    in_body: list[str]) -> ast.ClassDef:
        put = PutConstants(replace)
        init = [put.visit(s) for s in first.init]
        store = [assignment(name, ast.Name(name, ast.Load())) for name in in_body]
        init[1:1] = store
        arguments = ast.arguments([], [ast.arg("self"), *(ast.arg(name) for name, _ in group.parameters)], None, [], [],
                                  None, [])
        members: list[ast.stmt] = [ast.FunctionDef("__init__", arguments, init, [], lineno=0)]
        for number, body in enumerate(first.bodies):
            statements = [put.visit(s) for s in body.statements]
            if body.call.parent is None and not body.problem:
                statements = [*_refuse_unported(body), *statements]
            name = "__call__" if number == 0 else f"call_{number + 1}"
            members.append(ast.FunctionDef(name, self._signature(body), statements or [ast.Pass()], [], lineno=0))
        base = ast.Attribute(ast.Name("nn", ast.Load()), "Module", ast.Load())
        return ast.ClassDef(group.name, [base], [], members, [])

    def _signature(self, body: Body) -> ast.arguments:
        names = [*body.parameters]
        defaults: list[ast.expr] = []
        if body.call.parent is None:
            defaults = _root_defaults(body)
        keyword_only = [ast.arg(name) for _, name in body.extra]
        return ast.arguments([], [ast.arg("self"), *(ast.arg(n) for n in names)], None,
                             keyword_only if defaults else [], [None] * len(keyword_only) if defaults else [], None,
                             defaults) if defaults else ast.arguments(
            [], [ast.arg("self"), *(ast.arg(n) for n in names), *keyword_only], None, [], [], None, [])


def _refuse_unported(body: Body) -> list[ast.stmt]:
    """What was None in the example took no part in the recording: given now, it would be
    ignored, so the port says that it can't."""
    from .arguments import bound_arguments
    used = {node.id for s in body.statements for node in ast.walk(s) if isinstance(node, ast.Name)}
    names = [variable_name(name) for name, value in bound_arguments(body.call) if value is None]
    names = [name for name in names if name not in used]
    if not names:
        return []
    given = " or ".join(f"{name} is not None" for name in names)
    listed = ", ".join(names)
    message = f"ported from an example without {listed}: port again with it to use it"
    return ast.parse(f"if {given}:\n    raise ValueError({message!r})").body


def _root_defaults(body: Body) -> list[ast.expr]:
    """Defaults of the root's arguments: the plain Python values of the example. From the
    first argument that has one, those that follow get None at least."""
    from ..capture.recording import refs
    from .arguments import bound_arguments, structure_node
    defaults: list[ast.expr] = []
    for _, value in bound_arguments(body.call):
        if refs(value):
            if defaults:
                defaults.append(ast.Constant(None))
        else:
            defaults.append(structure_node(value))
    return defaults


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
