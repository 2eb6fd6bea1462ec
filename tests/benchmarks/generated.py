"""Generated models beside hand-written ones, in MLX alone: run as a process of its own.

    python -m tests.benchmarks.generated FOLDER "BERT-base 1×128" ROUNDS

prints one JSON object: seconds of every round, and how far the results lie apart.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import mlx.core as mx

from . import hand_written
from .timing import side_by_side


def arrays(value) -> list[mx.array]:
    return [a for v in (value.values() if isinstance(value, dict) else [value]) for a in [v]]


def main(folder: str, name: str, rounds: int) -> None:
    spec = importlib.util.spec_from_file_location("model", f"{folder}/model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weights = mx.load(f"{folder}/weights.safetensors")
    example = mx.load(f"{folder}/example.safetensors")
    x = next(value for key, value in example.items() if key.startswith("input."))
    models = {"generated": module.load(Path(folder))}
    for kind, cls in hand_written.MODELS[name].items():
        model = cls()
        known = {key for key, _ in mlx_names(model)}
        model.load_weights([(k, v) for k, v in weights.items() if k in known], strict=True)
        model.eval()
        models[kind] = model
    functions, results = {}, {}
    for kind, model in models.items():
        mx.eval(model.parameters())
        compiled = mx.compile(partial(call, model), inputs=model.state)
        functions[f"{kind}, eager"] = partial(run, model, x)
        functions[f"{kind}, compiled"] = partial(run, compiled, x)
        results[kind] = call(model, x)
    wanted = [example[f"output.{n}"] for n in range(len(results["generated"]))]
    apart = {kind: max(mx.abs(a.reshape(b.shape) - b).max().item() for a, b in zip(got, wanted, strict=True))
             for kind, got in results.items()}
    assert "torch" not in sys.modules
    print(json.dumps({"seconds": side_by_side(functions, rounds), "apart": apart}))


def mlx_names(model):
    from mlx.utils import tree_flatten

    return tree_flatten(model.parameters())


def call(model, x) -> list[mx.array]:
    return arrays(model(x))


def run(model, x) -> None:
    mx.eval(model(x))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
