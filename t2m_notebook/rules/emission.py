"""From a recorded call to the MLX expression that its rule writes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import Refused, RuleFailed
from .array import Array, OutputFacts
from .expression import Expr
from .layouts import Call
from .registry import Layer, LayerRule, OpRule, collecting_caveats, layer_rule

#: Arguments of torch calls that say where and how memory is held, not what is computed.
IGNORED = frozenset({"device", "pin_memory", "layout", "memory_format", "non_blocking", "requires_grad",
                     "generator", "inplace", "out", "copy", "check_trace", "stable_sort"})
_FIRST_NAMES = ("input", "self", "tensor", "tensors", "x", "a", "A")


@dataclass(frozen=True, slots=True)
class Emitted:
    """What a rule wrote. ``value`` is an Expr, or a tuple or list of Exprs for a call
    whose results are written one by one; ``caveats`` make the use PARTIAL."""

    value: Any
    caveats: tuple[str, ...] = ()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """A defect inside a rule or a layout becomes a refusal of that one use."""
    try:
        yield
    except (Refused, RecursionError):
        raise
    except Exception as error:
        raise RuleFailed(error) from error


def arrays_in(value: Any) -> list[Array]:
    """The tensor arguments in flattening order."""
    if isinstance(value, Array):
        return [value]
    if isinstance(value, (list, tuple)):
        return [array for item in value for array in arrays_in(item)]
    if isinstance(value, Mapping):
        return [array for item in value.values() for array in arrays_in(item)]
    if isinstance(value, slice):
        return arrays_in((value.start, value.stop, value.step))
    return []


@cache
def _signature(function: Any) -> inspect.Signature:
    return inspect.signature(function)


def bind(rule: OpRule, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """The call's arguments under the rule's parameter names.

    Raises :class:`Refused` naming an argument that the rule does not take.
    """
    signature = _signature(rule.emit)
    parameters = [p for p in signature.parameters.values() if p.name != "call"]
    varargs = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) > len(names) and varargs is None:
        extra = [a for a in args[len(names):] if a is not None and a is not False]
        if extra:
            raise Refused(f"positional argument {len(names) + 1} of {name}", args[len(names)],
                          "this form of the call has no rule")
    arguments: dict[str, Any] = dict(zip(names, args, strict=False))
    if varargs is not None:
        arguments[varargs.name] = tuple(args[len(names):])
    accepted = set(names) | {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    for key, value in kwargs.items():
        if key not in accepted and key in _FIRST_NAMES and names and names[0] not in arguments:
            key = names[0]
        elif key not in accepted and key == "axis" and "dim" in accepted:
            key = "dim"
        elif key not in accepted and key == "keepdims" and "keepdim" in accepted:
            key = "keepdim"
        elif key not in accepted and varargs is not None and not arguments[varargs.name] and key in (
                "size", "dims", "shape", "sizes", "repeats"):
            arguments[varargs.name] = (value,)
            continue
        if key in accepted or takes_any:
            arguments[key] = value
        elif key not in IGNORED and value is not None:
            raise Refused(key, value, f"not covered by the rule for {rule.name}")
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in arguments
               and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if missing:
        raise Refused(missing[0], None, f"{name} was called without it, which its rule does not cover")
    return Call(name, arguments)


def emit_op(rule: OpRule, call: Call, outputs: Sequence[OutputFacts]) -> Emitted:
    """Run the rule. Raises :class:`Refused` when it says no."""
    call.outputs = tuple(outputs)
    signature = _signature(rule.emit)
    arguments = dict(call.arguments)
    positional: list[Any] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional.extend(arguments.pop(parameter.name, ()))
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            if parameter.name in arguments:
                positional.append(arguments.pop(parameter.name))
            elif parameter.default is not parameter.empty:
                positional.append(parameter.default)
    if "call" in signature.parameters:
        arguments["call"] = call
    with collecting_caveats() as caveats:
        if rule.caveat:
            caveats.append(rule.caveat)
        with guarded():
            value = rule.emit(*positional, **arguments)
    return Emitted(value, tuple(caveats))


@dataclass(frozen=True, slots=True)
class EmittedLayer:
    """A layer's constructor, how to call it, and how its weights move."""

    rule: LayerRule
    layer: Layer
    weights: Mapping[str, Any]
    caveats: tuple[str, ...] = ()


def emit_layer(module: Any, rule: LayerRule | None = None) -> EmittedLayer | None:
    """The MLX form of a live torch layer; None when no rule knows its class.

    Raises :class:`Refused` when the rule says no.
    """
    rule = rule or layer_rule(type(module))
    if rule is None:
        return None
    with collecting_caveats() as caveats:
        if rule.caveat:
            caveats.append(rule.caveat)
        with guarded():
            made = rule.emit(module)
            weights = rule.weights(module) if callable(rule.weights) else rule.weights
    made = made if isinstance(made, Layer) else Layer(made)
    return EmittedLayer(rule, made, weights, tuple(caveats))


def emit_layer_call(emitted: EmittedLayer, target: Expr, args: Sequence[Any], kwargs: Mapping[str, Any],
                    inline: bool = True) -> Emitted:
    """The expression that applies the layer ``target`` to recorded arguments."""
    layer = emitted.layer
    with collecting_caveats() as caveats, guarded():
        if inline and layer.inline is not None:
            value = layer.inline(*args, **kwargs)
        elif layer.call is not None:
            value = layer.call(target, *args, **kwargs)
        else:
            given = {key: value for key, value in kwargs.items() if value is not None}
            first = [given.pop(key) for key in ("input", "x") if key in given] if not args else []
            value = target(*args, *first, **given)
    return Emitted(value, tuple(caveats))
