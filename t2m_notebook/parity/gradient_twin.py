"""An MLX function that computes what a torch autograd graph computes, written by the rules.

The graph of a bare loss holds what its derivatives need: operations in order, operands that require
grad, and saved tensors and numbers. Each node becomes a call of its torch operation again, and the
rule for that operation emits the MLX code. What torch did not keep is refused by name.
"""

from __future__ import annotations

import ast
import keyword
import re
from dataclasses import dataclass, field
from typing import Any

import torch

from ..capture.backward_pass import is_leaf_node
from ..capture.gradient_graph import ReadGraph
from ..capture.recording import DTYPE_NAMES
from ..errors import Refused
from ..rules import Array, OutputFacts, arrays_in, bind, emit_op, op_rule, standard, to_node
from ..rules.substitute import substitute

#: Larger graphs are a model's: a port shows them better.
MOST_NODES = 400
_TENSOR = ("Tensor", "Optional[Tensor]")
_TENSORS = ("List[Tensor]", "List[Optional[Tensor]]")
_INNER = frozenset({"transposed", "half_to_float", "cudnn_enable", "total_weight"})
_RESULT_SIZES = frozenset({"size", "shape"})
_MEMORY = frozenset({"dtype", "layout", "device", "pin_memory", "memory_format", "generator", "out"})


@dataclass(slots=True)
class Twin:
    """The function's source, its arguments (name and leaf), and constants that it reads from ``kept``."""

    source: str
    arguments: list[tuple[str, int]]
    kept: dict[str, torch.Tensor]


@dataclass(slots=True)
class _Writer:
    read: ReadGraph
    index: dict[int, int]
    names: dict[int, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=lambda: {"mx", "nn", "math", "kept", "loss"})
    lines: list[str] = field(default_factory=list)
    kept: dict[str, torch.Tensor] = field(default_factory=dict)
    single: set[int] = field(default_factory=set)  # nodes of several results of which MLX's form gives one
    variables: list[str] = field(default_factory=list)  # by the number that stands for it in an expression


def write_twin(read: ReadGraph) -> Twin:
    """The twin of ``read``. Raises :class:`Refused` saying which operation stands in the way, and why."""
    if len(read.nodes) > MOST_NODES:
        raise Refused(f"this graph has {len(read.nodes):,} nodes", None,
                      "pass port=, the port of the model, to see MLX's side of it")
    writer = _Writer(read, {id(node): number for number, node in enumerate(read.nodes)})
    leaves = sorted(read.variables)
    for number in leaves:
        _name(writer, number)
    for number in range(len(read.nodes) - 1, -1, -1):
        if not is_leaf_node(read.nodes[number]):
            _write(writer, number)
    arguments = [(writer.names[number], number) for number in leaves]
    body = [*writer.lines, f"return {_result(writer)}"]
    source = f"def loss({', '.join(name for name, _ in arguments)}):\n" + "\n".join(f"    {line}" for line in body)
    return Twin(source, arguments, writer.kept)


def _name(writer: _Writer, number: int) -> str:
    """A variable for the results of a node: the user's name where that is one."""
    label = writer.read.graph.nodes[number].label
    wanted = re.sub(r"\W", "_", label) if label and not label.startswith("loss") else f"v{number}"
    wanted = f"p_{wanted}" if wanted[0].isdigit() or keyword.iskeyword(wanted) else wanted
    name, count = wanted, 2
    while name in writer.taken:
        name, count = f"{wanted}_{count}", count + 1
    writer.taken.add(name)
    writer.names[number] = name
    return name


def _result(writer: _Writer) -> str:
    parts = []
    for count, (root, weight) in enumerate(zip(writer.read.roots, writer.read.weights, strict=True)):
        edge = torch.autograd.graph.get_gradient_edge(root)
        text = _value(writer, writer.index[id(edge.node)], edge.output_nr)
        if weight is not None:
            writer.kept[f"gradient {count}"] = weight.detach()
            text = f"({text} * kept['gradient {count}']).sum()"
        elif root.dim():
            text = f"{text}.sum()"
        parts.append(text)
    return " + ".join(parts)


def _value(writer: _Writer, number: int, output: int) -> str:
    many = len(writer.read.reads[number].outputs) > 1 and number not in writer.single
    return f"{writer.names[number]}[{output}]" if many else writer.names[number]


def _array(writer: _Writer, text: str, shape: Any, dtype: str) -> Array:
    """An argument of a rule that will be printed as ``text``."""
    writer.variables.append(text)
    return Array(len(writer.variables) - 1, tuple(shape), dtype)


def _constant(writer: _Writer, name: str, tensor: torch.Tensor) -> Any:
    """A tensor that torch kept as an argument of a rule; a 0-d one as the number that it is."""
    if not tensor.dim():
        return _plain(tensor.item())
    writer.kept[name] = tensor.detach()
    return _array(writer, f"kept[{name!r}]", tensor.shape, DTYPE_NAMES[tensor.dtype])


def _write(writer: _Writer, number: int) -> None:
    """One node as one line."""
    node, read = writer.read.nodes[number], writer.read.reads[number]
    shown = writer.read.graph.nodes[number]
    if read.kind == "custom function":
        raise Refused(read.operation, None, "a custom torch.autograd.Function has no rule")
    operation = _public_form(read)
    rule = op_rule(operation)
    if rule is None:
        raise Refused(read.operation, None, "no rule for this operation")
    operands = [_operand(writer, following, output) for following, output in node.next_functions]
    saved = {one.name: one.tensor for one in read.saved if one.tensor is not None}
    facts = tuple(OutputFacts(f.shape, f.dtype, standard(len(f.shape))) for f in read.outputs)
    found = _arguments(writer, number, operands, saved)
    name = _name(writer, number)
    if found is None:
        _add_what_was_kept(writer, number, operands, name, shown)
        return
    try:
        call = bind(rule, operation, *_by_name(read, *found))
    except Refused:
        call = bind(rule, operation, found[0], found[1] | found[2])
    if found[3] and len(facts) > 1:  # the public form gives the first result alone
        facts = facts[:1]
        writer.single.add(number)
    call.outputs = facts
    plan = rule.layout.forward(call, arrays_in(list(call.arguments.values())), [None] * len(facts))
    for array, order in zip(arrays_in(list(call.arguments.values())), plan.inputs, strict=True):
        if order != array.order:
            writer.variables[array.index] = f"mx.transpose({writer.variables[array.index]}, {list(order)})"
            array.order = tuple(order)
    emitted = emit_op(rule, call, [OutputFacts(f.shape, f.dtype, order)
                                   for f, order in zip(facts, plan.outputs, strict=True)])
    writer.lines.append(f"{name} = {_text(writer, emitted.value)}")
    for output, order in enumerate(plan.outputs):
        if tuple(order) != standard(len(order)):
            if len(facts) > 1:
                raise Refused(read.operation, None, "its results are laid out differently in MLX")
            back = [order.index(dim) for dim in range(len(order))]
            writer.lines.append(f"{name} = mx.transpose({_value(writer, number, output)}, {back})")


def _operand(writer: _Writer, following: Any, output: int) -> Array | None:
    if following is None:
        return None
    number = writer.index[id(following)]
    facts = writer.read.reads[number].outputs[output]
    return _array(writer, _value(writer, number, output), facts.shape, facts.dtype)


def _text(writer: _Writer, value: Any) -> str:
    def variable(index: Any) -> ast.expr:
        return ast.parse(writer.variables[index], mode="eval").body

    def size(index: Any, dim: int) -> ast.expr:
        return ast.parse(f"{writer.variables[index]}.shape[{dim}]", mode="eval").body

    return ast.unparse(ast.fix_missing_locations(substitute(to_node(value), variable, size)))


def _add_what_was_kept(writer: _Writer, number: int, operands: list[Array | None], name: str, shown: Any) -> None:
    """A sum with an operand that torch did not keep, as its derivative does not need it: the difference
    to the result, which was kept by whoever used it, stands for it."""
    read = writer.read.reads[number]
    short = read.operation.rpartition(".")[2].rstrip("_")
    known = [(position, operand) for position, operand in enumerate(operands) if operand is not None]
    result = writer.read.values.get((number, 0))
    if short not in ("add", "sub") or len(known) != 1 or result is None or read.settings.get("alpha", 1) != 1:
        missing = " and ".join(name for name in _missing(read, operands)) or "an argument"
        raise Refused(f"{read.operation}{f' = {shown.label}' if shown.label else ''}", None,
                      f"torch kept neither {missing} nor the result, so the graph alone can't be computed again")
    position, operand = known[0]
    text = writer.variables[operand.index]
    negative = short == "sub" and position == 1
    writer.kept[name] = result.detach()
    rest = f"mx.stop_gradient(kept[{name!r}] {'+' if negative else '-'} {text})"
    writer.lines.append(f"{name} = {rest} - {text}" if negative else f"{name} = {text} + {rest}")


def _missing(read: Any, operands: list[Array | None]) -> list[str]:
    saved = {one.name for one in read.saved}
    return [name for name, operand in zip(("self", "other"), operands, strict=False)
            if operand is None and name not in saved]


def _arguments(writer: _Writer, number: int, operands: list[Array | None], saved: dict[str, torch.Tensor],
               ) -> tuple[list[Any], dict[str, Any], dict[str, Any], bool] | None:
    """The call's tensors, its other arguments by name, those that go by name alone, and whether the
    operation goes by another, public name; None when something was not kept."""
    read = writer.read.reads[number]
    if read.operation == "torch.ops.aten.slice":
        return _slice(read, operands)
    base = read.operation.removeprefix("torch.ops.aten.").removeprefix("torch.nn.functional.")
    base = base.removeprefix("torch.Tensor.").removeprefix("torch.").replace(".", "_")
    packet = getattr(torch.ops.aten, base, None) or getattr(torch.ops.aten, f"_{base}", None)
    best: tuple[int, list[Any], dict[str, Any]] | None = None
    for overload in packet.overloads() if packet is not None else ():
        schema = getattr(packet, overload)._schema
        if any(argument.is_out for argument in schema.arguments):
            continue
        made = _fit(writer, number, schema, operands, saved)
        if made is not None and (best is None or made[0] > best[0]):
            best = made
    if best is None:
        return None
    return best[1], best[2], {}, _public_form(read) != read.operation


def _slice(read: Any, operands: list[Array | None]) -> Any:
    """``aten.slice`` is an index: ``x[:, 1:3]``."""
    bounds = [_plain(read.settings.get(name)) for name in ("dim", "start", "end", "step")]
    dim, start, end, step = bounds
    whole = (slice(None),) * (int(dim or 0) % max(len(operands[0].shape), 1))  # type: ignore[union-attr]
    end = None if end is not None and end >= 1 << 62 else end
    return [operands[0], (*whole, slice(start, end, None if step == 1 else step))], {}, {}, False


def _public_form(read: Any) -> str:
    """The operation that a user calls, where autograd has an inner name for it."""
    if read.operation == "torch.ops.aten.slice":
        return "torch.Tensor.__getitem__"
    if read.operation == "torch.convolution":
        kind = "conv_transpose" if read.settings.get("transposed") else "conv"
        return f"torch.nn.functional.{kind}{len(read.settings['stride'])}d"
    return read.operation


def _by_name(read: Any, args: list[Any], named: dict[str, Any], _: Any, __: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments as a public function takes them: a reduction is a word there, and what only inner
    functions know is left out."""
    kwargs = {name: value for name, value in named.items() if name not in _INNER}
    if isinstance(kwargs.get("reduction"), int):
        kwargs["reduction"] = ("none", "mean", "sum")[kwargs["reduction"]]
    if read.operation == "torch.convolution" and not read.settings.get("transposed"):
        kwargs.pop("output_padding", None)
    return args, kwargs


def _fit(writer: _Writer, number: int, schema: Any, operands: list[Array | None], saved: dict[str, torch.Tensor],
         ) -> tuple[int, list[Any], dict[str, Any]] | None:
    """``(how many saved numbers it uses, tensors, other arguments by name)`` when a signature fits the node."""
    read = writer.read.reads[number]
    tensors = [a for a in schema.arguments if str(a.type) in _TENSOR + _TENSORS]
    # of tensors that have no derivative (indices, masks) torch keeps the tensor, and no edge
    fixed = {a.name for a in tensors if a.name in saved and not saved[a.name].is_floating_point()
             and not saved[a.name].is_complex()} if len(tensors) > len(operands) else set()
    moving = [a for a in tensors if a.name not in fixed]
    lists = [a for a in moving if str(a.type) in _TENSORS]
    optional = [a.name for a in moving if str(a.type) == "Optional[Tensor]"]
    without = set(optional[max(len(optional) - max(len(moving) - len(operands), 0), 0):]) if not lists else set()
    moving = [a for a in moving if a.name not in without]
    each = len(operands) - (len(moving) - len(lists))
    if len(lists) > 1 or (each < 1 if lists else each != 0):
        return None
    rest, tensor_args, named, used = list(operands), [], {}, 0
    for argument in schema.arguments:
        kind, name = str(argument.type), argument.name
        if name in fixed or (name in without and name in saved):
            tensor_args.append(_constant(writer, f"{number} {name}", saved[name]))
        elif name in without:
            tensor_args.append(None)
        elif kind in _TENSORS:
            several = [rest.pop(0) for _ in range(each)]
            if any(item is None for item in several):
                return None
            tensor_args.append(several)
        elif kind in _TENSOR:
            value = rest.pop(0)
            if value is None and name in saved:
                value = _constant(writer, f"{number} {name}", saved[name])
            elif value is None and kind == "Tensor":
                return None
            tensor_args.append(value)
        elif name in read.settings:
            value, used = _plain(read.settings[name]), used + 1
            if not argument.has_default_value() or value != argument.default_value:
                named[name] = value
        elif name in _RESULT_SIZES:
            named[name] = list(read.outputs[0].shape)
        elif name not in _MEMORY and not argument.has_default_value():
            return None
    while tensor_args and tensor_args[-1] is None:
        tensor_args.pop()
    return used, tensor_args, named


def _plain(value: Any) -> Any:
    """A saved number as the user gave it: torch hands negative dimensions out as unsigned."""
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 63:
        return value - (1 << 64)
    if isinstance(value, float) and value == int(value) and abs(value) < 1 << 53:
        return int(value)
    return value
