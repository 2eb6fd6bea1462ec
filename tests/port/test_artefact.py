"""What the user takes away: complete, standalone, reproducible, and never half written."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from t2m_notebook.errors import NotPortable
from t2m_notebook.parity.process import worker_environment
from t2m_notebook.port import artefact
from t2m_notebook.rules import AxisMove

from .support import checks, net, ported

FILES = {"model.py", "weights.safetensors", "manifest.json", "example.safetensors", "check.py"}


@pytest.fixture(scope="module")
def made():
    model, x = net()
    port = ported(model, x)
    yield port
    port.close()


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory) -> Path:
    return made.save(str(tmp_path_factory.mktemp("save") / "deep" / "out"))


def test_the_five_files(folder):
    assert {p.name for p in folder.iterdir()} == FILES
    assert not list(folder.parent.glob(".*")), "the draft stayed"


def test_model_py_imports_mlx_and_the_standard_library_only(folder):
    for name in ("model.py", "check.py"):
        tree = ast.parse((folder / name).read_text(encoding="utf-8"))
        found = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
                 for alias in node.names}
        found |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert found <= {"mlx", "model"} | set(sys.stdlib_module_names), found
        assert ("model" in found) == (name == "check.py")


def test_the_check_passes_without_torch_and_without_this_package(folder):
    assert checks([folder]) == {str(folder): "passed"}


def test_the_check_can_fail(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    text = (copy / "model.py").read_text()
    (copy / "model.py").write_text(text.replace("nn.relu(", "nn.gelu("))
    assert text.count("nn.relu(") == 1
    assert "DIFFERS output 0" in checks([copy])[str(copy)]


def run_model(folder: Path, code: str) -> str:
    child = subprocess.run([sys.executable, "-c", f"import mlx.core as mx\nfrom model import load\n{code}"], cwd=folder,
                           env={**worker_environment(), "PYTHONPATH": str(folder)}, capture_output=True, text=True,
                           timeout=120)
    return child.stdout.strip() if child.returncode == 0 else child.stderr


def test_load_is_strict_and_in_eval_mode(folder, tmp_path):
    assert run_model(folder, "m = load(); print(m.training, m.norm.training)") == "False False"
    weights = load_file(folder / "weights.safetensors")
    for change, message in [({"extra": torch.ones(1)}, "extra"), (None, "Missing 1 parameters")]:
        from safetensors.torch import save_file
        changed = {**weights, **change} if change else {k: v for k, v in weights.items() if k != "head.bias"}
        save_file(changed, tmp_path / "weights.safetensors")
        assert message in run_model(folder, f"load({str(tmp_path)!r})")


def test_the_roots_arguments_are_torchs():
    class Options(nn.Module):
        def forward(self, ids, mask=None, scale=2.0, *, flag=True, other=None):
            return ids * scale + (1 if flag else 0)

    port = ported(Options(), torch.ones(2, 3), flag=False)
    function = next(n for n in ast.walk(ast.parse(port.source))
                    if isinstance(n, ast.FunctionDef) and n.name == "__call__")
    names = [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    assert names[:3] == ["self", "ids", "mask"] and names.index("scale") == 3
    assert set(names) >= {"flag"}
    defaults = dict(zip(names[-len(function.args.defaults):], map(ast.unparse, function.args.defaults), strict=False))
    assert defaults.get("mask") == "None"


def test_the_manifest(folder, made):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) >= {"root", "inputs", "outputs", "versions", "parity", "receipts"}
    assert manifest["root"] == "Net"
    assert manifest["inputs"] == [{"name": "x", "axes": [0, 2, 3, 1]}]
    assert manifest["outputs"] == [{"path": "0", "axes": [0, 1]}]
    assert set(manifest["versions"]) >= {"python", "torch", "mlx"}
    assert manifest["parity"]["ok"] is True and manifest["parity"]["worst"] < 1e-4
    assert {c["check"].partition(":")[0] for c in manifest["parity"]["checks"]} >= {"end to end"}


def test_axes_are_the_permutation_from_torch_to_mlx(folder, made):
    example = load_file(folder / "example.safetensors")
    torch.testing.assert_close(example["input.x"], made.args[0].permute(0, 2, 3, 1), rtol=0, atol=0)
    torch.testing.assert_close(example["output.0"], made.model(made.args[0]).detach(), rtol=1e-5, atol=1e-6)


def test_tensors_inside_containers_are_named():
    class Many(nn.Module):
        def forward(self, pair, options):
            return {"sum": pair[0] + options["bias"], "list": [pair[1], (pair[1] * 2,)]}

    port = ported(Many(), [torch.randn(2, 3), torch.randn(2, 3)], {"bias": torch.randn(2, 3)})
    assert [i["name"] for i in port.manifest["inputs"]] == ["pair.0", "pair.1", "options.bias"]
    assert [o["path"] for o in port.manifest["outputs"]] == ["sum", "list.0", "list.1.0"]


def test_receipts_cover_every_tensor_and_go_back(made):
    state = dict(made.model.state_dict())
    receipts = {r["source"]: r for r in made.manifest["receipts"]}
    assert set(receipts) == set(state)
    for name, receipt in receipts.items():
        if receipt["target"] is None:
            assert receipt["reason"], name
            continue
        stored = made.weights[receipt["target"]]
        assert receipt["checksum"] and tuple(receipt["shape"]) == tuple(stored.shape)
    assert sorted(made.weights) == sorted(r["target"] for r in receipts.values() if r["target"])
    for move in made.written.moves:
        if move.target is not None:
            tensor = made.written.tensors[move.source]
            assert torch.equal(move.to_torch(move.to_mlx(tensor)), tensor.detach()), move.source


def test_what_is_read_back_from_disk_is_what_was_meant(folder, made):
    weights = load_file(folder / "weights.safetensors")
    conv, head = made.model.conv.weight.detach(), made.model.head.weight.detach()
    assert torch.equal(weights["conv.weight"], conv.permute(0, 2, 3, 1))
    assert torch.equal(weights["head.weight"], AxisMove("O (C H W)->O (H W C)", (("H", 4), ("W", 4))).apply(head))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_stay_exact(dtype, tmp_path):
    model = nn.Sequential(nn.Linear(4, 5), nn.Conv1d(5, 2, 1)).to(dtype).eval()
    model[1].forward = lambda x: x
    port = ported(model, torch.randn(2, 4, dtype=dtype))
    artefact.write_files(port, tmp_path)
    stored = load_file(tmp_path / "weights.safetensors")
    name = next(n for n in stored if n.endswith("0.weight"))
    assert stored[name].dtype == dtype and torch.equal(stored[name], model[0].weight.detach())


def test_saving_twice_gives_identical_bytes(made, folder, tmp_path):
    again = made.save(str(tmp_path / "again"))
    for name in FILES:
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name
    before = {name: (again / name).read_bytes() for name in FILES}
    made.save(str(again))  # over itself
    assert {name: (again / name).read_bytes() for name in FILES} == before


def test_a_folder_with_other_things_is_refused(made, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(NotPortable, match="holds other files and no port"):
        made.save(str(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(NotPortable, match="is a file"):
        made.save(str(tmp_path / "thesis.tex"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert {p.name for p in made.save(str(empty)).iterdir()} == FILES


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_save_leaves_the_target_as_it_was(made, tmp_path, monkeypatch, error):
    target = made.save(str(tmp_path / "out"))
    before = {p.name: p.read_bytes() for p in target.iterdir()}

    def interrupted(*args, **kwargs):
        raise error("the disk is full")

    monkeypatch.setattr(artefact, "manifest", interrupted)
    with pytest.raises(error):
        made.save(str(target))
    with pytest.raises(error):
        made.save(str(tmp_path / "new"))
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_build_gives_an_mlx_module_here(made):
    import mlx.core as mx
    import numpy as np
    model = made.build()
    got = np.array(model(mx.array(made.args[0].permute(0, 2, 3, 1).numpy())))
    want = made.model(made.args[0]).detach().numpy()
    assert np.abs(got - want).max() < 1e-5 + 1e-4 * np.abs(want).max()
