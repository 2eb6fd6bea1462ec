"""The support table: what the rules cover, with the results of torch's own samples.

    python -m tests.rules.table          # writes tutorials/support.md; `make table` calls it
"""

from __future__ import annotations

import ast
import collections
import hashlib
import importlib.metadata
import re
import warnings
from pathlib import Path
from typing import Any

import torch

import t2m_notebook
from t2m_notebook.capture.recording import flatten
from t2m_notebook.errors import Refused
from t2m_notebook.rules import LAYERS, OPS, Array, OpRule, emit_layer, emit_layer_call, load_rules, op_rule, spec_name
from t2m_notebook.rules.containers import CONTAINERS
from t2m_notebook.rules.expression import MLX_DTYPES, Namespace
from t2m_notebook.rules.initializers import INITIALIZERS
from t2m_notebook.rules.optimizers import OPTIMIZERS
from t2m_notebook.rules.schedulers import SCHEDULERS
from tests.rules import exceptions
from tests.rules.samples import Tally, module_entries, op_entries, run_module, run_op

PACKAGE = Path(t2m_notebook.__file__).parent
TABLE = PACKAGE.parent / "tutorials" / "support.md"
SAMPLES = 6  # of each operation, spread over all that it has
Row = tuple[str, str, str, str, str]
HEAD = "| torch | MLX | status | restrictions | samples |\n|---|---|---|---|---|\n"


def versions() -> dict[str, str]:
    """Major and minor version of both frameworks."""
    return {name: ".".join(importlib.metadata.version(name).split(".")[:2]) for name in ("torch", "mlx")}


def digest() -> str:
    """Changes when a rule, a block or a framework's version does; not with comments and layout."""
    found = hashlib.sha256(repr(sorted(versions().items())).encode())
    for room in ("rules", "blocks"):
        for file in sorted((PACKAGE / room).glob("*.py")):
            found.update(file.name.encode() + ast.dump(ast.parse(file.read_text(encoding="utf-8"))).encode())
    return found.hexdigest()[:16]


def registered() -> list[str]:
    """Every torch name that has a rule."""
    load_rules()
    layers = [class_name(cls) for cls in LAYERS if cls.__module__.startswith("torch.")]
    return sorted({*OPS, *layers})


def class_name(cls: type) -> str:
    """``torch.nn.Conv2d`` rather than the module that it is defined in."""
    for module, name in ((torch.nn, "torch.nn"), (torch.nn.utils.parametrizations, "torch.nn.utils.parametrizations")):
        if getattr(module, cls.__qualname__, None) is cls:
            return f"{name}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def readable(source: str) -> str:
    """The lines of an emitted function as one, its arguments called ``x, y, z``."""
    lines = [line.strip() for line in source.splitlines()[1:]]
    lines = [line for line in lines if not re.match(r"(return|v(\d+) = (v\2|mx\.transpose\(v\2, .*\))$)", line)]
    arguments = re.findall(r"v\d+", source.partition("\n")[0])
    names = dict(zip(arguments, "xyzwabcdefgh", strict=False))
    text = "; ".join(lines if len(lines) > 1 else [re.sub(r"^[vt]\d+ = ", "", line) for line in lines])
    text = re.sub(r"\bv\d+\b", lambda found: names.get(found[0], found[0]), text)
    return text if len(text) <= 110 else text[:107] + "..."


def status(tally: Tally, excused: dict[str, str]) -> tuple[str, str, str]:
    """Status, restrictions and counts."""
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.counts.items()))
    notes = sorted(tally.caveats)
    if "refused" in tally.reasons:
        notes.append(("" if tally.verdict == "refused" else "refused: ") + tally.reasons["refused"])
    if "differs" in tally.counts and not tally.caveats:  # else a caveat says it
        notes.append(excused.get(tally.name, "see the test"))
    words = {"matched": "match", "mixed": "match", "refused": "refused", "missing": "missing"}
    word = words.get(tally.verdict, "partial")
    return "partial" if word == "match" and tally.caveats else word, "; ".join(notes), counts


def typical(tally: Tally) -> str:
    """What is emitted most often; of several forms equally often the longest."""
    texts = collections.Counter(map(readable, tally.examples))
    return code(max(texts, key=lambda text: (texts[text], len(text)), default=""))


def op_names(name: str) -> list[str]:
    """The torch names that an entry of op_db may go by."""
    plain = name.removeprefix("torch.ops.").removeprefix("torch.")
    return [f"torch.{plain}", f"torch.Tensor.{plain}", f"torch.nn.functional.{plain}", plain, f"aten.{plain}",
            f"aten.{plain}.default"]


def operation_rows() -> tuple[list[Row], collections.Counter]:
    verdicts: collections.Counter = collections.Counter()
    rows, sampled = [], set()
    for name in sorted(op_entries()):
        tally = run_op(name, limit=SAMPLES, seconds=600)
        if not tally.counts:  # no float32
            tally = run_op(name, torch.int64, limit=SAMPLES, seconds=600)
        if not tally.counts:
            tally = run_op(name, torch.complex64, limit=SAMPLES, seconds=600)
        rule = next((op_rule(candidate) for candidate in op_names(name) if op_rule(candidate)), None)
        last = name.removesuffix(".default").rpartition(".")[2]
        shown = rule.name if rule and rule.name.rpartition(".")[2] == last else op_names(name)[0]
        sampled |= {shown, *([rule.name] if rule else [])}
        verdicts[tally.verdict] += 1
        if tally.counts:
            rows.append((shown, typical(tally), *status(tally, exceptions.OPERATIONS)))
        elif rule is not None:  # a dtype that MLX does not have, a device that is not here
            rows.append(without_samples(rule))
    for name in sorted(OPS):
        if name not in sampled and spec_name(name) not in sampled:
            rows.append(without_samples(OPS[name]))
    return sorted(rows), verdicts


def without_samples(rule: OpRule) -> Row:
    refused = "refused" if rule.summary.startswith("Refused") else "rule"
    return rule.name, "", refused, "; ".join(filter(None, (rule.summary, rule.caveat))), ""


def constructed(module: torch.nn.Module, call: Any) -> str:
    """What a layer's rule writes for a live layer."""
    try:
        emitted = emit_layer(module)
        if emitted is None:
            return ""
        if emitted.layer.constructor is not None and (module.state_dict() or emitted.layer.inline is None):
            return str(emitted.layer.constructor)
        args = [Array(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
                for name, (_, tensor) in zip("xyzw", flatten(call.args), strict=False)]
        return str(emit_layer_call(emitted, Namespace("self"), args, {}).value).replace("$", "")
    except Refused:
        return ""


def layer_rows() -> tuple[list[Row], collections.Counter]:
    verdicts: collections.Counter = collections.Counter()
    rows, sampled = [], set()
    for name, entry in sorted(module_entries().items()):
        tally = run_module(name)
        options = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": False}
        given = entry.module_inputs_func(entry, **options)[0]
        module = entry.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs)
        verdicts[tally.verdict] += 1
        sampled.add(f"torch.{name}")
        rows.append((f"torch.{name}", code(constructed(module, given.forward_input)),
                     *status(tally, exceptions.MODULES)))
    for cls in LAYERS:
        name = class_name(cls)
        if cls.__module__.startswith("torch.") and name not in sampled:
            rows.append((name, "", "rule", LAYERS[cls].summary, ""))
            sampled.add(name)
    for cls, what in CONTAINERS.items():
        if class_name(cls) not in sampled:
            rows.append((class_name(cls), "", "container", what, ""))
    return sorted(rows), verdicts


def code(text: str) -> str:
    return f"`{text}`" if text else ""


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def table(rows: list[Row]) -> str:
    return HEAD + "".join("| " + " | ".join(map(cell, row)) + " |\n" for row in rows)


def simple_rows(rules: dict, prefix: str) -> list[Row]:
    """Rules of the smaller kinds, whose first line says the MLX form."""
    return sorted((f"{prefix}.{key.__name__}", "", "rule", rule.summary, "") for key, rule in rules.items())


def dtype_rows() -> list[Row]:
    notes = {"float64": "MLX's GPU has no float64", "complex128": "MLX has complex64 alone",
             "complex32": "MLX has complex64 alone"}
    rows = [(f"torch.{name}", f"`mx.{mlx}`", "partial" if name in notes else "match", notes.get(name, ""), "")
            for name, mlx in MLX_DTYPES.items()]
    rows += [(f"torch.{name}", "", "refused", "MLX has no such dtype: dequantise first", "")
             for name in ("float8_e4m3fn", "float8_e5m2", "qint8", "quint8", "qint32")]
    return sorted(rows)


def document() -> tuple[str, str]:
    """The table as Markdown, and its totals on one line."""
    load_rules()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says about its own samples
        layers, of_layers = layer_rows()
        operations, of_operations = operation_rows()
    said = versions()

    def count(verdicts):
        supported = verdicts["matched"] + verdicts["mixed"] + verdicts["differs"]
        return (f"{supported} of {sum(verdicts.values())} supported, {verdicts['matched']} on all their samples, "
                f"{verdicts['refused']} refused with a reason")
    totals = (f"module_db: {count(of_layers)}; op_db: {count(of_operations)}; {len(registered())} torch names have a "
              f"rule; torch {said['torch']}, mlx {said['mlx']}")
    sections = [("Layers", layers), ("Operations", operations), ("Optimizers", simple_rows(OPTIMIZERS, "torch.optim")),
                ("Schedulers", simple_rows(SCHEDULERS, "torch.optim.lr_scheduler")),
                ("Initialisers", simple_rows(INITIALIZERS, "torch.nn.init")), ("Dtypes", dtype_rows())]
    text = (f"# What is supported\n\n<!-- digest: {digest()} -->\n\n{totals}.\n\n"
            "Written by `make table` from the rules and PyTorch's own samples (`op_db`, `module_db`). *match*: values, "
            "shapes, dtypes and gradients equal torch's; *partial*: with the restriction that is said; *refused*: the "
            "port says why and what to do; *rule*: supported, without samples of its own in the databases. An "
            f"operation shows {SAMPLES} samples of each of its entries.\n")
    for title, rows in sections:
        text += f"\n## {title}\n\n{table(rows)}"
    return text, totals


def main() -> None:
    text, totals = document()
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(text, encoding="utf-8")
    print(totals)


if __name__ == "__main__":
    main()
