"""The development zoo itself: every model builds, runs on both examples, and is the same every time."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from tests.zoo import PLACES, ZOO, build, second_example

ROOT = Path(__file__).resolve().parent.parent


def tensors(value) -> list[torch.Tensor]:
    """Every tensor inside an output, dataclasses and mappings included."""
    if hasattr(value, "items"):
        value = dict(value.items())
    elif hasattr(value, "__dataclass_fields__"):
        value = vars(value)
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def shapes(value) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors(value)]


def test_there_are_enough_of_them():
    assert len(ZOO) >= 70


def test_listing_the_names_loads_no_torch():
    code = "import sys; from tests.zoo import ZOO; assert ZOO and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.parametrize("place", PLACES)
def test_the_names_are_those_of_the_module(place):
    module = importlib.import_module(f"tests.zoo.{place}")
    assert sorted(module.MODELS) == sorted(PLACES[place].split())


@pytest.mark.parametrize("name", ZOO)
def test_a_model_runs_on_both_examples(name):
    model, args, kwargs = build(name)
    assert not model.training
    other_args, other_kwargs = second_example(name)
    with torch.no_grad():
        first, second = tensors(model(*args, **kwargs)), tensors(model(*other_args, **other_kwargs))
    assert len(first) == len(second) >= 1
    assert shapes([args, kwargs]) != shapes([other_args, other_kwargs])
    for tensor in first + second:
        assert torch.isfinite(torch.view_as_real(tensor) if tensor.is_complex() else tensor.float()).all()


@pytest.mark.parametrize("name", ["bert", "unet", "tv_resnet18", "kv_cache"])
def test_a_model_is_the_same_every_time(name):
    outputs = []
    for _ in range(2):
        model, args, kwargs = build(name)
        with torch.no_grad():
            outputs.append(tensors(model(*args, **kwargs)))
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))
