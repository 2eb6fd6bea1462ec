"""One recorded module call as the body of an MLX ``__call__``.

First every event is written as an expression over recorded values (``$12``); then what
nobody reads goes, what is read once and had no name of its own moves to where it is read,
and the rest get the names that the source gave them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..capture.calls import bind_call
from ..capture.recording import Branch, Frame, ModuleCall, OpCall, Recording, Ref, flatten, location, refs
from ..errors import Refused
from ..rules import Array, Expr, Order, OutputFacts, emit_op, to_node
from .arguments import bound_arguments, structure_node
from .assignments import Key, Raw
from .branching import write_branch
from .functions import Functions
from .in_place import InPlace
from .layout import LayoutPlan, Step
from .leaf_calls import LeafCalls, where
from .loops import collapse
from .names import assigned_names, attribute_name, names_through_returns, variable_name
from .outlining import outline
from .resolving import Resolver
from .rolling import roll_live
from .scopes import escapes, producers
from .sizes import name_sizes
from .statements import arrange, written_once
from .structure import Structure, is_chain
from .views import Views


@dataclass(slots=True)
class Body:
    """The written body: signature, statements, what it needs from its instance."""

    call: ModuleCall
    parameters: list[str] = field(default_factory=list)
    extra: list[tuple[Key, str]] = field(default_factory=list)  # handed down by the caller, as keywords
    statements: list[ast.stmt] = field(default_factory=list)
    problem: str = ""
    children: dict[str, None] = field(default_factory=dict)  # torch paths of modules that it calls
    tensors: dict[str, int] = field(default_factory=dict)  # attribute path -> value, parameters and buffers
    constants: dict[str, int] = field(default_factory=dict)  # attribute name -> value
    arguments: dict[str, ast.expr] = field(default_factory=dict)  # by parameter, in the caller's values
    number: int = 0  # which of the module's distinct bodies this is: 0 is ``__call__``

    @property
    def text(self) -> str:
        """What makes two bodies the same."""
        body = ast.unparse(ast.fix_missing_locations(ast.Module(self.statements, [])))
        return f"{self.parameters} {[name for _, name in self.extra]}\n{body}"


class BodyWriter:
    """Writes the bodies of one recording."""

    def __init__(self, recording: Recording, plan: LayoutPlan, structure: Structure):
        self.recording, self.plan, self.structure = recording, plan, structure
        self.bodies: dict[int, Body] = {}
        self.leaf_nodes: dict[int, tuple[ast.expr, list[int]]] = {}  # leaf call -> its expression, its results
        self.of_module: dict[int, list[Body]] = {}  # the distinct bodies of each module
        self.views = Views(recording, plan)
        self.owners = producers(recording)
        self.escapes = escapes(recording, self.owners)
        self.functions = Functions(recording)

    def write(self, call: ModuleCall) -> Body:
        """The body of ``call``; those of the calls below are written on the way."""
        body = _Writing(self, call).run()
        self.bodies[call.index] = body
        known = self.of_module.setdefault(id(call.module), [])
        same = next((other for other in known if other.text == body.text), None)
        if same is None:
            body.number = len(known)
            known.append(body)
        else:
            body.number = same.number
        return body

    def order(self, key: Key) -> Order:
        if isinstance(key, int):
            return self.plan.orders[key]
        _, _, order = key.partition("@")
        if order.startswith("like"):
            return self.order(int(order[4:]) if order[4:].isdigit() else order[4:])
        return tuple(int(d) for d in order.split("-") if d)

    def is_tied(self, call: ModuleCall) -> bool:
        """A leaf whose weight is another module's parameter: it is written as a function of
        that parameter, so that the weight exists once."""
        return any(self._value_of(parameter) != f"{call.path}.{name}"
                   for name, parameter in call.module._parameters.items() if parameter is not None)

    def _value_of(self, parameter) -> str:
        if not hasattr(self, "_names"):
            self._names = {}
            for name, tensor in self.recording.model.named_parameters(remove_duplicate=False):
                self._names.setdefault(id(tensor), name)
        return self._names.get(id(parameter), "")


class _Writing(InPlace, LeafCalls):
    """The writing of one body."""

    def __init__(self, writer: BodyWriter, call: ModuleCall):
        self.writer, self.call = writer, call
        self.recording, self.plan = writer.recording, writer.plan
        self.body = Body(call)
        self.raws: list[Raw] = []
        self.local: dict[Key, ast.expr] = {}  # arguments
        self.made: set[Key] = set()
        self.signature = bound_arguments(call)
        self.places: dict[int, Any] = {}
        self.frames: tuple[Frame, ...] = ()  # of the event that is being written

    # -- events ---------------------------------------------------------------------------

    def run(self) -> Body:
        for name, value in self.signature:
            for path, ref in flatten(value):
                node: ast.expr = ast.Name(variable_name(name), ast.Load())
                for part in path.split(".") if path else ():
                    node = ast.Subscript(node, ast.Constant(int(part) if part.isdigit() else part), ast.Load())
                self.local.setdefault(ref.index, node)
        for event in self._events(self.call):
            self.event(event)
        self._refresh(self._end())
        returned = self._return()
        self.body.arguments = {variable_name(name): structure_node(value) for name, value in self.signature}
        if self.body.problem:
            message = f"{type(self.call.module).__name__}: {self.body.problem}"
            self.body.statements = ast.parse(f"raise NotImplementedError({message!r})").body
            self.body.parameters = [variable_name(name) for name, _ in self.signature]
            return self.body
        self._finish(returned)
        return self.body

    def event(self, event: OpCall | ModuleCall | Branch) -> None:
        """Write one event."""
        if isinstance(event, Branch):
            return write_branch(self, event)
        self._refresh(event.index, event)
        self.frames = event.frames
        if isinstance(event, OpCall):
            self._operation(event)
        elif event.leaf:
            self._leaf(event)
        elif is_chain(event.module):
            for inner in self._events(event, location(event.frames)):
                self.event(inner)
        else:
            self._child(event)

    def _end(self) -> int:
        """The event count at which this call was over."""
        last, call = self.call.index + 1, self.call
        while call.events:
            if isinstance(call.events[-1], Branch):
                return self.recording.event_count
            last = call.events[-1].index + 1
            if not isinstance(call.events[-1], ModuleCall):
                break
            call = call.events[-1]
        return last

    def _events(self, call: ModuleCall, place: Any = None) -> Iterator[OpCall | ModuleCall | Branch]:
        """The call's events, those of a Sequential in its place: there every step takes the
        name that the source gives the whole."""
        for event in call.events:
            if isinstance(event, Branch):
                yield event
                continue
            here = place or location(event.frames)
            self.places[event.index] = here
            if isinstance(event, ModuleCall) and not event.leaf and is_chain(event.module):
                yield from self._events(event, here)
            else:
                yield event

    def _place(self, event: OpCall | ModuleCall) -> tuple[Any, tuple[str, ...]]:
        """Where the event stands in this body's source, and the names it is assigned to. A
        step of a Sequential always has a name, so that the steps stay a list."""
        place = self.places.get(event.index)
        names = assigned_names(place)
        if not names and place is location(event.frames):
            names = names_through_returns(event.frames)
        parent = event.parent if isinstance(event, ModuleCall) else event.owner
        if parent is not None and parent is not self.call and is_chain(parent.module):
            names = names if len(names) == 1 else ("x",)
        elif parent is self.call and is_chain(self.call.module):
            names = ("x",)
        return place, names

    def _fail(self, reason: str) -> None:
        self.body.problem = self.body.problem or reason

    def _arrays(self, step: Step) -> Callable[[int], Array]:
        """Arguments in the orders that the plan chose, transposed first where need be."""
        chosen: dict[int, Key] = {}
        orders: dict[Key, Order] = {}
        for array, order in zip(step.arrays, step.plan.inputs, strict=True):
            key = self.in_order(array.index, tuple(order))
            chosen[array.index], orders[key] = key, tuple(order)

        def make(index: int) -> Array:
            value = self.recording.values[index]
            key = chosen.get(index, index)
            order = orders.get(key, self.plan.orders.get(index))
            if step.pretend_standard:
                order = tuple(range(len(value.shape)))
            return Array(key, value.shape, value.dtype, order, value.stride,
                         value.kind in ("parameter", "buffer"))
        return make

    def in_order(self, index: int, order: Order) -> Key:
        """Recorded value ``index`` laid out in ``order``; transposed first where need be."""
        have = self.plan.orders[index]
        if order == have:
            return index
        key = f"{index}@{'-'.join(map(str, order))}"
        if key not in self.made:
            axes = [have.index(dim) for dim in order]
            self._add([key], to_node(Expr(ast.Name(f"${index}", ast.Load())).transpose(*axes)), hint="x")
        return key

    def _operation(self, event: OpCall) -> None:
        step = self.plan.steps[event.index]
        if step.problem:
            if step.outputs or event.mutated:
                self._fail(f"{step.problem} ({where(event)})")
            return
        if not step.outputs and not event.mutated:
            return
        try:
            bound = bind_call(self.recording, event, array=self._arrays(step))
            assert bound is not None
            facts = [OutputFacts(f.shape, f.dtype, tuple(order))
                     for f, order in zip(bound.call.outputs, step.plan.outputs, strict=True)]
            value = emit_op(bound.rule, bound.call, facts).value
        except Refused as refusal:
            return self._fail(f"{event.name}: {refusal} ({where(event)})")
        place, names = self._place(event)
        hint = event.name.rpartition(".")[2].strip("_")
        if event.mutated and step.outputs == [after for _, after in event.mutated]:
            targets = step.outputs
            old = self._name_hint(event.mutated[0][0])
            if not all(self._made_beside(before, event) for before, _ in event.mutated):
                self.frames = ()  # no function of its own: it changes what its caller holds
            values = list(value) if isinstance(value, (tuple, list)) else [value]
            for target, item in zip(targets, values, strict=False):
                self._add([target], to_node(item), (), hint=old)
            self._write_through(event)
            return
        self._assign(event.outputs, value, names, hint, place, f"t{event.index}")
        self.writer.views.note(event)

    def _child(self, event: ModuleCall) -> None:
        child = self.writer.write(event)
        self.body.children[event.path] = None
        place, names = self._place(event)
        target: ast.expr = ast.Name(f"$module:{event.path}", ast.Load())
        if child.number:
            target = ast.Attribute(target, f"call_{child.number + 1}", ast.Load())
        args = [child.arguments[name] for name in child.parameters]
        keywords = [ast.keyword(name, ast.Name(f"${key}", ast.Load())) for key, name in child.extra]
        node = ast.Call(target, args, keywords)
        hint = attribute_name(event.path.rpartition(".")[2])
        hint = "x" if hint.startswith("layer_") else hint
        targets = returned_values(self.writer, event)
        if not targets:
            return
        if len(targets) == 1:
            self._add(targets, node, names[:1], hint=hint, place=place)
        else:
            self._add(targets, node, names if len(names) == len(targets) else (), unpack=True, hint=hint, place=place)

    # -- assignments ------------------------------------------------------------------------

    def _add(self, targets: list[Key], node: ast.expr, names: tuple[str, ...] = (), unpack: bool = False,
             hint: str = "x", place: Any = None) -> None:
        if len(targets) == 1 and isinstance(node, ast.Name) and node.id == f"${targets[0]}":
            # The same tensor handed back: at most it gets the name that the source gives it now.
            made = next((raw for raw in reversed(self.raws) if raw.targets == targets), None)
            if made is not None and not made.names:
                made.names = names
            return
        self.raws.append(Raw(targets, node, names, unpack, hint, place, frames=self.frames))
        self.made.update(targets)

    def _assign(self, outputs: Any, value: Any, names: tuple[str, ...], hint: str, place: Any, temporary: str) -> None:
        indices = refs(outputs)
        if isinstance(outputs, Ref):
            self._add([outputs.index], to_node(value), names[:1] if len(names) == 1 else (), hint=hint, place=place)
        elif isinstance(value, (tuple, list)) and isinstance(outputs, (tuple, list)):
            for position, (output, item) in enumerate(zip(outputs, value, strict=True)):
                own = names[position: position + 1] if len(names) == len(outputs) else ()
                self._assign(output, item, own, hint, place, f"{temporary}.{position}")
        elif isinstance(outputs, (tuple, list)) and all(isinstance(o, Ref) for o in outputs) and len(outputs) > 1:
            self._add(indices, to_node(value), names if len(names) == len(outputs) else (), True, hint, place)
        elif indices:
            self._add([temporary], to_node(value), names[:1] if len(names) == 1 else (), hint=hint, place=place)
            for path, ref in flatten(outputs):
                node: ast.expr = ast.Name(f"${temporary}", ast.Load())
                for part in path.split("."):
                    node = ast.Subscript(node, ast.Constant(int(part) if part.isdigit() else part), ast.Load())
                self._add([ref.index], node, hint=hint)

    def _return(self) -> ast.expr | None:
        if self.call.parent is None:
            return structure_node(self.call.outputs)
        targets = returned_values(self.writer, self.call)
        if not targets:
            return ast.Constant(None)
        nodes: list[ast.expr] = [ast.Name(f"${key}", ast.Load()) for key in targets]
        return nodes[0] if len(nodes) == 1 else ast.Tuple(nodes, ast.Load())

    def _size_at(self, key: Key, axis: int, size: int) -> ast.expr | None:
        """The expression of the size of MLX axis ``axis`` of a value, if it is ``size``."""
        index = int(str(key).partition("@")[0].partition("~")[0]) if str(key)[:1].isdigit() else None
        if index is None:
            return None
        order, shape = self.writer.order(key), self.recording.values[index].shape
        if axis >= len(order) or shape[order[axis]] != size:
            return None
        leaf = ast.Attribute(ast.Name(f"${key}", ast.Load()), "$shape", ast.Load())
        return ast.Subscript(leaf, ast.Constant(order[axis]), ast.Load())

    # -- finishing --------------------------------------------------------------------------

    def _finish(self, returned: ast.expr | None) -> None:
        raws = arrange(outline(self, roll_live(written_once(self.raws), returned, self._size_at), returned), returned)
        resolver = Resolver(self)
        statements = collapse(resolver.write(raws, returned))
        self.body.parameters = resolver.parameters()
        ranks = {variable_name(name): len(self.recording.values[value.index].shape)
                 for name, value in self.signature if isinstance(value, Ref)}
        self.body.statements = name_sizes(statements, self.body.parameters, ranks)
        self.body.extra = list(resolver.extra.items())


def returned_values(writer: BodyWriter, call: ModuleCall) -> list[Key]:
    """The tensors that the generated ``__call__`` returns: torch's, then those that leave by
    another way."""
    own = list(dict.fromkeys(refs(call.outputs)))
    return own + [index for index in writer.escapes.get(call.index, ()) if index not in own]
