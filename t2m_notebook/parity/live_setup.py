"""What the live worker is given: a small example's values, the generated classes, their comparisons."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from ..capture.generalise import same_program
from ..capture.recording import ModuleCall, Recording, refs, unfolded
from ..errors import T2MError
from ..port.values import laid_out
from .checks import Check, module_checks
from .examples import fresh, smaller_examples
from .probes import probes

if TYPE_CHECKING:
    from ..port.writing import Written
    from ..session import Port

#: Bytes of recorded values up to which what happens inside the modules is kept too.
MOST_BYTES = 1 << 29


def live_setup(port: Port, recording: Recording, folder: Path) -> dict[str, Any]:
    """The request that makes a worker know ``port``; its files go to ``folder``."""
    from ..port.whole_file import class_sources, split_source
    written = port.written
    small = dataclasses.replace(written, recording=recording)
    values: dict[str, torch.Tensor] = {}
    checks, needed = _checks(small, values)
    values |= {f"v{index}": laid_out(small, index) for index in sorted(needed) if index in recording.tensors}
    save_file(values, str(folder / "values.safetensors"))
    if recording is not port.recording:
        recording.tensors.clear()
    if not (folder / "weights.safetensors").exists():
        port.weights_file.put(folder)
    classes = [[group.name, text] for group, text in
               zip(written.groups, class_sources(written.groups), strict=True)]
    prelude, load = split_source(port.generated_source, [name for name, _ in classes])
    return {"do": "live", "folder": str(folder), "prelude": prelude, "load": load, "classes": classes,
            "values": str(folder / "values.safetensors"), "weights": str(folder / "weights.safetensors"),
            "checks": checks, "torch": in_mlx()}


def small_recording(port: Port) -> Recording:
    """A recording of a small example on which the model does the same; else the port's own."""
    from ..capture import record
    own = port.recording
    if own.training:
        return own
    for args, kwargs in smaller_examples(port.args, port.kwargs):
        try:
            with torch.random.fork_rng(devices=[]):
                found, _ = record(port.model, *fresh(args, kwargs), keep="boundaries")
                if not same_program(own, found) or len(found.values) != len(own.values):
                    continue
                if _bytes(found) <= MOST_BYTES:
                    found, _ = record(port.model, *fresh(args, kwargs), keep="all")
        except T2MError:
            continue  # torch does not take this size
        if all(torch.isfinite(found.tensors[i]).any() for i in refs(found.root.outputs)  # type: ignore[union-attr]
               if i in found.tensors and found.tensors[i].is_floating_point() and found.tensors[i].numel()):
            return found
    return own


def _checks(written: Written, values: dict[str, torch.Tensor]) -> tuple[list[dict[str, Any]], set[int]]:
    """For each class, one comparison for every way in which its instances differ."""
    by_path: dict[str, list[Check]] = {}
    for check in module_checks(written):
        by_path.setdefault(check.path, []).append(check)
    owner = {path: group.name for group in written.groups for path in group.paths}
    calls: dict[str, ModuleCall] = {}
    for call in written.recording.root.walk():  # type: ignore[union-attr]
        calls.setdefault(call.path, call)
    made: list[dict[str, Any]] = []
    needed: set[int] = set()
    seen: dict[str, dict[str, Any]] = {}  # configuration -> its comparison
    for path, name in owner.items():
        for check in by_path.get(path, []):
            key = f"{name} {check.same_as or path}"
            if check.same_as and key in seen and not check.problem:
                seen[key]["paths"] = sorted({*seen[key]["paths"], path})
            if check.problem or (check.same_as and key in seen):
                continue
            one = _check(written, check, name, calls[path], by_path, len(made), needed)
            if len(by_path[path]) == 1:
                _add_probes(written, check, calls[path], one, values)
            seen[key] = one
            made.append(one)
    return made, needed


def _check(written: Written, check: Check, name: str, call: ModuleCall, by_path: dict[str, list[Check]],
           number: int, needed: set[int]) -> dict[str, Any]:
    structure, model = written.structure, written.recording.model
    own = ast.unparse(structure.expression(model, check.path)).replace("self", "root", 1)
    inside = [event for event in _inside(written, call)]
    kept = [index for event in inside for index in refs(event.outputs)]
    leaves = []
    for event in inside:
        if isinstance(event, ModuleCall) and event.leaf:
            for leaf in by_path.get(event.path, []):
                if not leaf.problem:
                    leaves.append({"path": leaf.path, "expression": _relative(leaf.expression, own),
                                   "wanted": [f"v{i}" for i in leaf.wanted]})
                    needed |= {*leaf.wanted, *leaf.reads}
    needed |= {*check.wanted, *check.reads, *kept}
    expression = _relative(check.expression, own)
    return {"id": number, "class": name, "path": check.path, "paths": [check.path],
            "prefix": structure.weight_name(check.path), "construct": written.configuration(check.path),
            "trials": [{"number": 0, "said": "", "expression": expression,
                        "wanted": [f"v{i}" for i in check.wanted]}],
            "reads": ["root"] if re.search(r"\broot\b", expression) else [],
            "inside": [f"v{i}" for i in kept], "leaves": leaves, "layers": _layers(inside, check.path)}


def _add_probes(written: Written, check: Check, call: ModuleCall, one: dict[str, Any],
                values: dict[str, torch.Tensor]) -> None:
    """More trials of one check, with their values under names of their own."""
    for what, inputs, outputs in probes(written, check, call):
        trial, name = len(one["trials"]), f"p{one['id']}_{len(one['trials'])}_"
        expression = one["trials"][0]["expression"]
        for index, tensor in inputs.items():
            values[f"{name}{index}"] = laid_out(written, index, tensor)
            expression = re.sub(rf"\bv{index}\b", f"{name}{index}", expression)
        for index in set(check.wanted):
            values[f"{name}out{index}"] = laid_out(written, index, outputs[index])
        one["trials"].append({"number": trial, "said": what, "expression": expression,
                              "wanted": [f"{name}out{index}" for index in check.wanted]})


def in_mlx() -> dict[str, str]:
    """What each torch function and method is in MLX, by its own name, from the rule book."""
    from ..rules import OPS, load_rules
    load_rules()
    found: dict[str, str] = {}
    for name, rule in OPS.items():
        if name.startswith(("torch.Tensor.", "torch.nn.functional.", "torch.")) and rule.summary:
            found.setdefault(name.rpartition(".")[2], rule.summary)
    return found


def _inside(written: Written, call: ModuleCall) -> Iterator[Any]:
    """What ran in the class of ``call`` itself: its operations, its layers, the modules that it calls."""
    for event in unfolded(call.events):
        if isinstance(event, ModuleCall) and not event.leaf and event.index not in written.writer.bodies:
            yield from _inside(written, event)  # a chain, written out in place
        else:
            yield event


def _layers(inside: list[Any], path: str) -> dict[str, dict[str, Any]]:
    """The plain attributes of torch's layers, by their path below the class."""
    found = {}
    for event in inside:
        if isinstance(event, ModuleCall):
            relative = event.path[len(path) + 1:] if path else event.path
            plain = {name: value for name, value in vars(event.module).items()
                     if not name.startswith("_") and (value is None or type(value) in (bool, int, float, str)
                                                      or type(value) is tuple and all(type(v) is int for v in value))}
            found[relative] = {"class": type(event.module).__name__, **plain}
    return found


class _Own(ast.NodeTransformer):
    def __init__(self, own: str):
        self.own = own

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and ast.unparse(node) == self.own:
            return ast.Name("module", ast.Load())
        return self.generic_visit(node)


def _relative(expression: str, own: str) -> str:
    """``expression`` with the module at ``own`` called ``module``."""
    return ast.unparse(_Own(own).visit(ast.parse(expression, mode="eval")))


def _bytes(recording: Recording) -> int:
    total = 0
    for value in recording.values:
        if value.kind == "result":
            size = 4
            for length in value.shape:
                size *= length
            total += size
    return total
