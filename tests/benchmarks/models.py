"""The models that the benchmarks run: the size of BERT-base and of ResNet-50, random weights."""

from __future__ import annotations

from typing import Any


def bert(batch: int = 1, length: int = 128) -> tuple[Any, tuple, dict[str, Any]]:
    """transformers' default BERT (12 layers, 768 wide, 110 M parameters) and token ids."""
    import torch

    from t2m_notebook.torchvision_shim import declare_missing_operators

    declare_missing_operators()
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(BertConfig()).eval()
    return model, (torch.randint(5, 30000, (batch, length)),), {}


def resnet(batch: int = 1, pixels: int = 224) -> tuple[Any, tuple, dict[str, Any]]:
    """torchvision's ResNet-50 (26 M parameters) and an image."""
    import torch

    from t2m_notebook.torchvision_shim import declare_missing_operators

    declare_missing_operators()
    import torchvision.models

    torch.manual_seed(0)
    model = torchvision.models.resnet50(weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # fresh statistics would make it an identity
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model, (torch.randn(batch, 3, pixels, pixels),), {}


MODELS = {"BERT-base 1×128": bert, "ResNet-50 1×3×224×224": resnet}
