"""Lets a CUDA build of torchvision be imported beside a CPU build of torch.

That pair is what `pip install torchvision` gives after a CPU build of torch on Linux. torchvision's binary
then doesn't load, its Python files stop at the operators it would have declared, and with it every model of
timm and transformers becomes impossible to import. Declaring the operators is enough: the models themselves
don't use them.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

_SCHEMAS = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_library = None  # kept, because the declarations go away with it


def builds_differ() -> bool:
    """Whether torchvision is installed for CUDA and torch is not. Imports torch, not torchvision."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return False
    import torch

    try:
        version = Path(spec.submodule_search_locations[0], "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    for_cuda = re.search(r"^__version__\s*=\s*['\"][^'\"]*\+cu\d", version, re.MULTILINE) is not None
    return for_cuda and torch.version.cuda is None


def declare_missing_operators() -> None:
    """Call before something imports torchvision. Does nothing where torchvision can declare them itself."""
    global _library
    if _library is not None or not builds_differ():
        return
    import torch

    try:
        torch.ops.torchvision.nms  # noqa: B018  (somebody else declared them)
    except AttributeError:
        _library = torch.library.Library("torchvision", "DEF")
        for schema in _SCHEMAS:
            _library.define(schema)
