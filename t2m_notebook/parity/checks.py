"""Which comparisons a port asks for: one per module call, fed what torch fed it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..capture.recording import ModuleCall, Recording, refs
from ..rules.substitute import substitute

if TYPE_CHECKING:
    from ..port.writing import Written


@dataclass(slots=True)
class Check:
    """One comparison: an expression over ``root`` and ``v<index>``, and what it should give."""

    path: str
    class_name: str
    expression: str
    wanted: list[int]
    reads: set[int] = field(default_factory=set)
    problem: str = ""
    same_as: str = ""  # equal for instances of one class with equal sizes, fed equal shapes


def module_checks(written: Written) -> list[Check]:
    """A check for every module call of the recording whose tensors were kept."""
    found: list[Check] = []
    writer, recording = written.writer, written.recording
    for call in recording.root.walk():  # type: ignore[union-attr]
        body = writer.bodies.get(call.index)
        name = type(call.module).__name__
        if body is not None:
            if body.problem:
                found.append(Check(call.path, name, "", [], problem=body.problem))
                continue
            found.append(_class_check(written, call, body))
        elif call.index in writer.leaf_nodes:
            node, targets = writer.leaf_nodes[call.index]
            found.append(_finish(written, Check(call.path, name, "", targets), node))
        elif call.leaf:
            found.append(Check(call.path, name, "", [], problem=written.plan.steps[call.index].problem
                               if call.index in written.plan.steps else "not ported"))
    known = set(recording.tensors)
    readable = known | _held(recording)
    return [c for c in found if c.problem or (c.wanted and set(c.wanted) <= known and c.reads <= readable)]


def _held(recording: Recording) -> set[int]:
    return {v.index for v in recording.values if v.kind in ("parameter", "buffer")}


def _class_check(written: Written, call: ModuleCall, body: Any) -> Check:
    from ..port.body import returned_values
    target: ast.expr = ast.Name(f"$module:{call.path}", ast.Load())
    if body.number:
        target = ast.Attribute(target, f"call_{body.number + 1}", ast.Load())
    keywords = [ast.keyword(name, ast.Name(f"${key}", ast.Load())) for key, name in body.extra]
    node = ast.Call(target, [body.arguments[name] for name in body.parameters], keywords)
    wanted = refs(call.outputs) if call.parent is None else returned_values(written.writer, call)
    check = Check(call.path, type(call.module).__name__, "", [index for index in wanted if isinstance(index, int)])
    _finish(written, check, node)
    if call.parent is not None:
        values = written.recording.values
        shapes = [(values[i].shape, values[i].dtype) for i in [*sorted(check.reads), *check.wanted]]
        check.same_as = f"{written.configuration(call.path)} {body.number} {shapes}"
    return check


def _finish(written: Written, check: Check, node: ast.expr) -> Check:
    structure, recording, orders = written.structure, written.recording, written.plan.orders

    def value(key: Any) -> ast.expr:
        if isinstance(key, str) and key.startswith("module:"):
            return _from_root(structure.expression(recording.model, key[len("module:"):]))
        if isinstance(key, str):
            index, _, wish = key.partition("@")
            have = orders[int(index)]
            axes = [have.index(int(dim)) for dim in wish.split("-")]
            return ast.parse(f"mx.transpose({ast.unparse(value(int(index)))}, {axes})", mode="eval").body
        facts = recording.values[key]
        if facts.kind in ("parameter", "buffer") and facts.previous is None:
            return _from_root(structure.expression(recording.model, facts.name))
        check.reads.add(key)
        return ast.Name(f"v{key}", ast.Load())

    def size(key: Any, dim: int) -> ast.expr:
        index = int(str(key).partition("@")[0])
        return ast.Constant(recording.values[index].shape[dim])

    check.expression = ast.unparse(ast.fix_missing_locations(substitute(node, value, size)))
    return check


def _from_root(node: ast.expr) -> ast.expr:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and inner.id == "self":
            inner.id = "root"
    return node
