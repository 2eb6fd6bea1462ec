"""What the rules say of one recorded call: a status, why, and the MLX expression."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from .capture.calls import array_of, bind_call, to_arrays
from .capture.reads import READS
from .capture.recording import ModuleCall, OpCall, Recording, refs
from .errors import Refused
from .rules import (
    Array,
    Call,
    Expr,
    OutputFacts,
    arrays_in,
    emit_layer,
    emit_layer_call,
    emit_op,
    generation,
    op_rule,
    spec_name,
    standard,
    to_node,
)
from .rules.substitute import substitute
from .types import Status

_LETTERS = "xyzabcdefghij"
_REMEMBERED = 4096  # layer verdicts kept between analyses
_SIMPLE = frozenset({bool, int, float, str})
#: What nn.Module itself keeps in every instance.
_BOOKKEEPING = frozenset(vars(nn.Module())) - {"training"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of one call."""

    status: Status
    reason: str = ""
    mlx: str = ""


class Judge:
    """Asks the rules about recorded calls; equal calls are asked once."""

    def __init__(self, recording: Recording):
        self.recording = recording
        self._known: dict[Any, Verdict] = {}
        self._of_call: dict[int, Verdict] = {}
        self._configurations: dict[int, Any] = {}

    def operation(self, call: OpCall) -> Verdict:
        """The verdict on one torch call."""
        key = (call.name, self._key(call.args), self._key(call.kwargs))
        return self._once(key, lambda: self._operation(call))

    def layer(self, call: ModuleCall) -> Verdict:
        """The verdict on one call of a leaf layer."""
        verdict = self._of_call.get(call.index)
        if verdict is None:
            module = id(call.module)
            if module not in self._configurations:
                self._configurations[module] = _configuration(call.module)
            key = (self._configurations[module], self._key(call.args), self._key(call.kwargs))
            verdict = self._of_call[call.index] = self._once(key, lambda: self._remembered(key, call))
        return verdict

    def _remembered(self, key: Any, call: ModuleCall) -> Verdict:
        """A verdict that an earlier analysis reached on a layer of the same configuration, while
        the rules are the same. A layer only equal to itself is asked anew."""
        if not isinstance(key[0], tuple) or not _is_value(key):
            return self._layer(call)
        remembered = _layer_verdicts(generation())
        if key not in remembered:
            if len(remembered) > _REMEMBERED:
                remembered.clear()
            remembered[key] = self._layer(call)
        return remembered[key]

    def _once(self, key: Any, make) -> Verdict:
        try:
            known = self._known.get(key)
        except TypeError:  # an unhashable argument: ask anew
            return make()
        if known is None:
            known = self._known[key] = make()
        return known

    def _key(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return (type(value).__name__, *[self._key(item) for item in value])
        if isinstance(value, dict):
            return tuple((k, self._key(v)) for k, v in value.items())
        if isinstance(value, slice):
            return ("slice", self._key(value.start), self._key(value.stop), self._key(value.step))
        indices = refs(value)
        if indices:
            facts = self.recording.values[indices[0]]
            return (facts.shape, facts.dtype, facts.kind)
        return (type(value).__name__, value) if isinstance(value, (bool, int, float)) else value

    def _operation(self, call: OpCall) -> Verdict:
        try:
            bound = bind_call(self.recording, call)
            if bound is None:
                return Verdict(Status.MISSING, f"no rule for {spec_name(call.name)}")
            emitted = emit_op(bound.rule, bound.call, bound.call.outputs)
        except Refused as refusal:
            return Verdict(Status.REFUSED, f"{spec_name(call.name)}: {refusal}")
        status = Status.PARTIAL if emitted.caveats else Status.MAPPED
        return Verdict(status, "; ".join(emitted.caveats), _display(emitted.value))

    def _layer(self, call: ModuleCall) -> Verdict:
        name = type(call.module).__name__
        try:
            emitted = emit_layer(call.module)
            if emitted is None:
                return Verdict(Status.MISSING, f"no rule for the layer {class_name(type(call.module))}")

            def lookup(index: int) -> Array:
                return array_of(self.recording, index)

            args, kwargs = to_arrays(call.args, lookup), to_arrays(call.kwargs, lookup)
            facts = tuple(OutputFacts(v.shape, v.dtype, standard(len(v.shape)))
                          for v in (self.recording.values[i] for i in refs(call.outputs)))
            emitted.rule.layout.forward(Call(name, {"input": args}, facts), arrays_in([args, kwargs]),
                                        [None] * len(facts))
            target = Expr(ast.Name("self", ast.Load())).__getattr__(call.path.rpartition(".")[2] or "layer")
            use = emit_layer_call(emitted, target, args, kwargs, inline=emitted.layer.inline is not None)
        except Refused as refusal:
            return Verdict(Status.REFUSED, f"{name}: {refusal}")
        caveats = (*emitted.caveats, *use.caveats)
        shown = use.value if emitted.layer.inline is not None else emitted.layer.constructor
        return Verdict(Status.PARTIAL if caveats else Status.MAPPED, "; ".join(caveats), _display(shown))


def judge_of(recording: Recording) -> Callable[[OpCall | ModuleCall], tuple[Status, str, str]]:
    """What says of a recorded call: its status by the rules, why, and the MLX expression."""
    judge = Judge(recording)

    def of(call: OpCall | ModuleCall) -> tuple[Status, str, str]:
        if isinstance(call, OpCall) and call.name.rpartition(".")[2] in READS and op_rule(call.name) is None:
            return Status.UNSEEN, "", ""  # reads a value into Python
        verdict = judge.operation(call) if isinstance(call, OpCall) else judge.layer(call)
        return verdict.status, verdict.reason, verdict.mlx

    return of


@lru_cache(maxsize=1)
def _layer_verdicts(rules: int) -> dict[Any, Verdict]:
    """Verdicts by configuration and argument shapes, for one state of the rule book."""
    return {}


def _is_value(key: Any) -> bool:
    """True when a key holds plain values only, so that keeping it keeps no object alive."""
    if type(key) in (tuple, torch.Size):
        return all(_is_value(item) for item in key)
    return key is None or type(key) in _SIMPLE or isinstance(key, (type, torch.dtype))


def _configuration(module: nn.Module) -> Any:
    """Equal for two layers of which every rule must say the same: same class, settings and
    tensor shapes. A layer that holds more than plain values is only equal to itself."""
    if module._modules:
        return id(module)
    settings = {name: value for name, value in vars(module).items() if name not in _BOOKKEEPING}
    if not all(value is None or type(value) in _SIMPLE or _is_plain(value) for value in settings.values()):
        return id(module)
    tensors = tuple((name, None if t is None else (t.shape, t.dtype))
                    for group in (module._parameters, module._buffers) for name, t in group.items())
    return type(module), repr(settings), tensors


def _is_plain(value: Any) -> bool:
    if type(value) in (tuple, list):
        return all(_is_plain(item) for item in value)
    return value is None or type(value) in _SIMPLE


def _display(value: Any) -> str:
    """An emitted expression with its arrays named x, y, z."""
    names: dict[Any, str] = {}

    def name(index):
        return names.setdefault(index, _LETTERS[len(names)] if len(names) < len(_LETTERS) else f"x{len(names)}")

    node = substitute(to_node(value), lambda index: ast.Name(name(index), ast.Load()),
                      lambda index, dim: ast.parse(f"{name(index)}.shape[{dim}]", mode="eval").body)
    return ast.unparse(node)


def class_name(cls: type) -> str:
    """A class as the user would write it: ``torch.nn.Conv2d``, ``my_models.Net``."""
    module = cls.__module__
    return f"torch.nn.{cls.__name__}" if module.startswith("torch.nn.") else f"{module}.{cls.__qualname__}"
