"""A node of torch's autograd graph as torch shows it: its operation, its shapes, what it saved."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from ..types import SourceLocation, TensorFacts
from .backward_pass import is_leaf_node
from .recording import DTYPE_NAMES

FREED = "freed by an earlier backward()"
_VERSIONS = re.compile(r"output (\d+) of (\w+?), is at version (\d+); expected version (\d+)")
_SIGNS = {"add": "+", "sub": "−", "mul": "·", "div": "/", "mm": "@", "matmul": "@", "bmm": "@", "mv": "@", "dot": "·"}
_POWERS = {"2": "²", "3": "³", "-1": "⁻¹", "0.5": "^½"}


@dataclass(slots=True)
class Saved:
    """A tensor that a node keeps, or why it can't be had."""

    name: str
    tensor: torch.Tensor | None
    version: int | None = None
    problem: str = ""


@dataclass(slots=True)
class ReadNode:
    """What could be read of a node without running it."""

    kind: str
    name: str
    operation: str
    outputs: tuple[TensorFacts, ...]
    saved: list[Saved] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    location: SourceLocation | None = None


def reachable(roots: list[Any]) -> list[Any]:
    """Every node that the roots lead to, roots included. Without recursion: graphs are deep."""
    found: dict[int, Any] = {}
    stack = [root for root in roots if root is not None]
    while stack:
        node = stack.pop()
        if id(node) in found:
            continue
        found[id(node)] = node
        stack.extend(following for following, _ in node.next_functions if following is not None)
    return list(found.values())


def sequence_number(node: Any) -> int:
    """Torch's count of nodes in the thread that made it: later operations have larger ones."""
    number = node._sequence_nr() if hasattr(node, "_sequence_nr") else 0
    return -1 if number >= 1 << 63 else number


def operation_name(node_name: str) -> str:
    """``MulBackward0`` as ``torch.mul``, ``NllLossBackward0`` as ``torch.nn.functional.nll_loss``,
    ``TanhBackwardBackward0``, of a double backward, as the operation ``tanh_backward``; a name that torch
    does not offer stays as it is."""
    base = re.sub(r"Backward\d*$", "", node_name.rpartition("::")[2])
    return _public_name(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", base).lower()) or node_name


@cache
def _public_name(base: str) -> str:
    for name in (base, base.replace("_", ""), re.sub(r"(?<=[a-z])(?=\d)", "_", base)):
        places = ((torch, "torch."), (torch.nn.functional, "torch.nn.functional."), (torch.Tensor, "torch.Tensor."))
        for place, prefix in places:
            if name and hasattr(place, name):
                return prefix + name
        for prefix in ("linalg", "fft", "special"):
            if name.startswith(prefix + "_") and hasattr(getattr(torch, prefix), name[len(prefix) + 1:]):
                return f"torch.{prefix}.{name[len(prefix) + 1:]}"
        for private in (name, "_" + name):
            if hasattr(torch.ops.aten, private):
                return f"torch.ops.aten.{private}"
    return ""


def read_node(node: Any) -> ReadNode:
    """What torch tells of ``node``. What it refuses to tell is told as a problem of the saved tensor."""
    outputs = tuple(TensorFacts(tuple(int(size) for size in meta.shape), DTYPE_NAMES[meta.dtype], (),
                                "cpu" if meta.device.type == "cpu" else str(meta.device))
                    for meta in node._input_metadata)
    if is_leaf_node(node):
        return ReadNode("leaf", "AccumulateGrad", "", outputs)
    name = node.name()
    forward = getattr(node, "_forward_cls", None)
    if forward is not None:
        return _custom(node, forward, outputs)
    read = ReadNode("operation", name, operation_name(name), outputs)
    for attribute in dir(node):
        if attribute.startswith("_saved_"):
            _read_saved(node, attribute, read)
    return read


def _read_saved(node: Any, attribute: str, read: ReadNode) -> None:
    name = attribute.removeprefix("_saved_")
    try:
        value = getattr(node, attribute)
    except RuntimeError as error:
        text = str(error)
        read.saved.append(Saved(name, None, None, FREED if "freed" in text else _changed(text)))
        return
    except Exception as error:  # an unpack hook of the user's, or a type without a Python form
        read.saved.append(Saved(name, None, None, f"{type(error).__name__}: {error}"))
        return
    tensors = value if isinstance(value, (tuple, list)) and any(isinstance(v, torch.Tensor) for v in value) else [value]
    for number, item in enumerate(tensors):
        if isinstance(item, torch.Tensor):
            label = name if len(tensors) == 1 else f"{name}[{number}]"
            read.saved.append(Saved(label, item, item._version if not item.is_inference() else None))
        elif value is not None and not callable(value) and "_sym_" not in name:
            read.settings[name] = value


def _changed(text: str) -> str:
    """Torch's complaint about a write in place, as a sentence."""
    found = _VERSIONS.search(text)
    if found is None:
        return text.partition(". Hint:")[0]
    _, maker, now, expected = found.groups()
    times = int(now) - int(expected)
    made = operation_name(maker.removesuffix("Backward0") + "Backward0")
    return (f"written to in place {'once' if times == 1 else f'{times} times'} after torch saved it (the result of "
            f"{made}; saved at version {expected}, now at version {now})")


def _custom(node: Any, forward: type, outputs: tuple[TensorFacts, ...]) -> ReadNode:
    read = ReadNode("custom function", node.name(), f"{forward.__module__}.{forward.__qualname__}", outputs)
    try:
        saved = node.saved_tensors
    except RuntimeError as error:
        text = str(error)
        read.saved.append(Saved("saved_tensors", None, None, FREED if "freed" in text or "backward through the graph a "
                                "second time" in text else _changed(text)))
        saved = ()
    for number, tensor in enumerate(saved):
        if isinstance(tensor, torch.Tensor):
            read.saved.append(Saved(f"saved_tensors[{number}]", tensor, tensor._version))
    try:
        lines, first = inspect.getsourcelines(forward.forward)
        file = inspect.getsourcefile(forward.forward)
        read.location = SourceLocation(file or "", first, first + len(lines) - 1, 0, 0, f"{forward.__name__}.forward")
    except (OSError, TypeError):
        pass  # made where no file is; the name says enough
    return read


def setting_text(value: Any) -> str:
    """A saved number or list as it is written in a call."""
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def expression_of(read: ReadNode, inputs: list[str]) -> str:
    """``a · b`` for ``torch.mul`` of what is called a and b; an operand without a name reads …"""
    if read.kind == "leaf":
        return ""
    short = read.operation.rpartition(".")[2].rstrip("_")
    operands = [_operand(read, position, name) for position, name in enumerate(inputs)]
    if short == "pow" and operands:
        exponent = setting_text(read.settings.get("exponent", operands[1] if len(operands) > 1 else "…"))
        return operands[0] + _POWERS.get(exponent, f"^{exponent}")
    if short == "neg" and len(operands) == 1:
        return f"−{operands[0]}"
    alpha = setting_text(read.settings.get("alpha", 1))
    if short in _SIGNS and len(operands) == 2 and alpha == "1":
        return f"{operands[0]} {_SIGNS[short]} {operands[1]}"
    if short in _SIGNS and len(operands) == 1:
        return f"{operands[0]} {_SIGNS[short]} …"
    return f"{short}({', '.join(operands)})"


def _operand(read: ReadNode, position: int, name: str) -> str:
    if name:
        return name
    wanted = ("self", "other")[position] if position < 2 else ""
    for saved in read.saved:
        if saved.name == wanted and saved.tensor is not None and saved.tensor.dim() == 0 and not saved.tensor.is_meta \
                and saved.tensor.grad_fn is None and not saved.tensor.is_complex():
            return f"{saved.tensor.item():.6g}"
    return "…"


def formula_of(read: ReadNode, position: int, inputs: list[str]) -> str:
    """The local derivative with respect to input ``position`` in the inputs' own names, where it is a
    short one (``b`` for ∂(a·b)/∂a); empty otherwise."""
    short = read.operation.rpartition(".")[2].rstrip("_")
    operands = [_operand(read, number, name) for number, name in enumerate(inputs)]
    if not operands or position >= len(operands):
        return ""
    own, other = operands[position], operands[1 - position] if len(operands) == 2 else "…"
    alpha = setting_text(read.settings.get("alpha", 1))
    if short == "mul" and len(operands) == 2 and other != "…":
        return other
    if short in ("add", "sub") and position < 2:
        sign = "−" if short == "sub" and position else ""
        return f"{sign}{alpha}" if position else "1"
    if short == "div" and len(operands) == 2 and "…" not in (own, other):
        return f"1 / {other}" if position == 0 else f"−{other} / {own}²"
    if own == "…":
        return ""
    if short == "pow" and position == 0 and "exponent" in read.settings:
        exponent = read.settings["exponent"]
        if isinstance(exponent, (int, float)):
            less = setting_text(float(exponent) - 1)
            factor = setting_text(float(exponent))
            return factor if less == "0" else f"{factor}·{own}" + ("" if less == "1" else _POWERS.get(less, f"^{less}"))
    simple = {"neg": "−1", "exp": f"exp({own})", "log": f"1 / {own}", "sin": f"cos({own})", "cos": f"−sin({own})",
              "tanh": f"1 − tanh({own})²", "sigmoid": f"sigmoid({own})·(1 − sigmoid({own}))",
              "sqrt": f"1 / (2·sqrt({own}))", "relu": f"1 where {own} > 0, else 0", "sum": "1", "clone": "1"}
    return simple.get(short, "") if len(operands) == 1 else ""
