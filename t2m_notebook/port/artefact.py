"""What the user takes away: ``model.py``, ``weights.safetensors``, ``manifest.json``,
``example.safetensors`` and ``check.py``, written together or not at all."""

from __future__ import annotations

import ast
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..capture.recording import Ref, flatten, refs
from ..errors import NotPortable
from ..rules import to_node
from ..types import to_data
from ..weights.files import write_tensors
from .values import laid_out

if TYPE_CHECKING:
    from ..session import Port

FILES = ("model.py", "weights.safetensors", "manifest.json", "example.safetensors", "check.py")

_CHECK = '''"""Runs the port on its recorded example and compares with what torch gave. Needs mlx alone."""

import os
import sys
from pathlib import Path

os.environ.setdefault("MLX_ENABLE_TF32", "0")

import mlx.core as mx

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from model import load

RELATIVE = {{"mlx.core.float16": 2e-3, "mlx.core.bfloat16": 1.6e-2}}


def arrays(value):
    """The arrays inside lists, tuples and dicts, in order."""
    if isinstance(value, mx.array):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays(item)


def check(got, want):
    """Equal shape, dtype kind and NaN/Inf positions, and max|d| within 1e-5 + 1e-4 of the largest value."""
    if got.shape != want.shape:
        return f"shape {{got.shape}}, torch has {{want.shape}}"
    if mx.issubdtype(got.dtype, mx.inexact) != mx.issubdtype(want.dtype, mx.inexact):
        return f"dtype {{got.dtype}}, torch has {{want.dtype}}"
    if got.size == 0:
        return ""
    relative = max(RELATIVE.get(str(want.dtype), 1e-4), RELATIVE.get(str(got.dtype), 1e-4))
    if not mx.issubdtype(want.dtype, mx.inexact):
        return "" if mx.array_equal(got.astype(mx.int64), want.astype(mx.int64)).item() else "integers differ"
    if not mx.issubdtype(want.dtype, mx.complexfloating):
        got, want = got.astype(mx.float32), want.astype(mx.float32)
    finite = mx.isfinite(want)
    same = mx.array_equal(mx.isfinite(got), finite).item() and mx.array_equal(mx.isnan(got), mx.isnan(want)).item()
    if not same:
        return "NaN or Inf at other positions"
    zero = mx.zeros_like(want)
    difference = mx.abs(mx.where(finite, got - want, zero)).max().item()
    allowed = 1e-5 + relative * mx.abs(mx.where(finite, want, zero)).max().item()
    print(f"  max|d| {{difference:.1e}}, allowed {{allowed:.1e}}")
    return "" if difference <= allowed else f"max|d| {{difference:.1e}}, allowed {{allowed:.1e}}"


def main():
    example = mx.load(str(FOLDER / "example.safetensors"))
    model = load(FOLDER)
    got = list(arrays(model({arguments})))
    wanted = [example[f"output.{{i}}"] for i in range({count})]
    problems = [f"{{len(got)}} results, torch has {{len(wanted)}}"] if len(got) != len(wanted) else []
    for number, (one, other) in enumerate(zip(got, wanted)):
        print(f"output {{number}} {{tuple(other.shape)}}")
        problem = check(one, other)
        problems += [f"output {{number}}: {{problem}}"] if problem else []
    for problem in problems:
        print("DIFFERS", problem)
    print("equal to torch" if not problems else "not equal to torch")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
'''


def save(port: Port, folder: str | os.PathLike) -> Path:
    """Write the artefact. Everything is made in a folder beside the target and moved there
    at the end, so that an interruption leaves the target as it was.

    Raises :class:`NotPortable` when the target holds something that is no port.
    """
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise NotPortable(f"{target} is a file; name a folder to save into")
    if target.is_dir() and any(target.iterdir()) and not (target / "manifest.json").exists():
        raise NotPortable(f"{target} holds other files and no port. Name a new or empty folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write_files(port, draft)
        os.chmod(draft, 0o755)
        for name in FILES:
            os.chmod(draft / name, 0o644)
        if target.is_dir():
            previous = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            os.replace(target, previous / "port")
            try:
                os.replace(draft, target)
                for other in (previous / "port").iterdir():  # what the user keeps beside the port stays
                    if other.name not in FILES and other.name != "__pycache__":
                        os.replace(other, target / other.name)
            except BaseException:
                os.replace(previous / "port", target)
                raise
            finally:
                shutil.rmtree(previous, ignore_errors=True)
        else:
            os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def write_files(port: Port, folder: Path) -> None:
    """The five files, into an existing folder."""
    written = port.written
    (folder / "model.py").write_text(port.source, encoding="utf-8")
    port.weights_file.put(folder)
    text = json.dumps(manifest(port), indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
    example: dict[str, torch.Tensor] = {}
    inputs, outputs = example_tensors(port)
    for path, index, _ in written.inputs:
        example[f"input.{path}"] = laid_out(written, index, inputs[path], view=True)
    for number, (_, index) in enumerate(written.outputs):
        example[f"output.{number}"] = laid_out(written, index, outputs[number], view=True)
    write_tensors(example, folder / "example.safetensors", {"format": "mlx"})
    (folder / "check.py").write_text(_CHECK.format(arguments=call_text(port, 'example["input.{}"]'),
                                                   count=len(written.outputs)), encoding="utf-8")


def example_tensors(port: Port) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    """The user's own example: inputs by path, results in flattening order."""
    recording = port.example
    inputs = {v.name: recording.tensors[v.index] for v in recording.values if v.kind == "input" and v.previous is None
              and v.index in recording.tensors}
    outputs = [recording.tensors[ref.index] for _, ref in flatten(recording.root.outputs)]  # type: ignore[union-attr]
    return inputs, outputs


def call_text(port: Port, pattern: str) -> str:
    """The arguments of the root call as text; a tensor at ``path`` reads ``pattern.format(path)``."""
    written = port.written

    def node(value: Any, path: str) -> ast.expr:
        if isinstance(value, Ref):
            return ast.parse(pattern.format(path), mode="eval").body
        if isinstance(value, (tuple, list)):
            items = [node(item, f"{path}.{i}") for i, item in enumerate(value)]
            return ast.Tuple(items, ast.Load()) if isinstance(value, tuple) else ast.List(items, ast.Load())
        if isinstance(value, dict):
            return ast.Dict([ast.Constant(k) for k in value], [node(v, f"{path}.{k}") for k, v in value.items()])
        return to_node(value)

    from .names import variable_name
    parts = [f"{variable_name(name)}={ast.unparse(ast.fix_missing_locations(node(value, name)))}"
             for name, value in written.arguments() if refs(value)]
    parts += [f"{name}={pattern.format(path)}" for path, _, name in written.extra_inputs]
    return ", ".join(parts)


def manifest(port: Port) -> dict[str, Any]:
    """The manifest as plain data."""
    written = port.written

    def entries(rows, key):
        return [{key: path, "axes": list(written.plan.orders[index])} for path, index in rows]

    parity = port.last_report
    summary: dict[str, Any] = {"measured": parity is not None}
    if parity is not None:
        summary.update(ok=parity.ok, worst=parity.worst, counts=parity.counts,
                       checks=[{"path": r.path, "check": r.check, "status": r.status.value,
                                "max_difference": r.max_difference} for r in parity.results if not r.path])
    return {"root": written.groups[-1].name, "source": port.origin,
            "inputs": entries([(path, index) for path, index, _ in written.inputs], "name"),
            "outputs": entries(written.outputs, "path"), "versions": port.versions, "parity": summary,
            "receipts": [to_data(receipt) for receipt in port.receipts]}
