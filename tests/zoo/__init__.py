"""The development zoo: small models of many kinds with random weights, to try everything on.

``ZOO`` names them all and costs nothing to import; ``build("bert")`` gives ``(model, args, kwargs)``, always
the same for the same seed; ``second_example("bert")`` gives other inputs for the same model: another batch
size, and another length or image size where the model takes one.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

# module -> the names in its MODELS; test_zoo.py checks that they agree
PLACES = {
    "transformers_models": """
        bert roberta albert electra distilbert deberta_v2
        gpt2 gpt_neox opt llama mistral mixtral qwen2 qwen3 gemma2 phi3 falcon mamba
        t5 bart whisper wav2vec2 vits encodec
        vit beit dinov2 swin convnextv2 hf_resnet mobilenet_v2 regnet siglip sam_vision
        clip segformer depth_anything""",
    "torch_models": """
        cnn unet vae spatial_transformer conv3d_video
        dataclass_output shared_modules tied_autoencoder in_place complex_filter bilinear""",
    "sequence_models": """
        lstm_gru torch_txenc torch_tx nanogpt
        moe kv_cache conv1d_audio packed_sequence einsum_attention""",
    "vision_models": """
        tv_resnet18 tv_densenet121 tv_efficientnet_b0 tv_swin_t tv_vit_b_16 tv_mobilenet_v3_small tv_googlenet
        tv_shufflenet_v2_x0_5 tv_lraspp
        timm_resnet26d timm_convnext_atto timm_vit_tiny_patch16_224 timm_mixer_s32_224 timm_efficientvit_b0
        timm_mobilenetv4_conv_small timm_swinv2_cr_tiny_ns_224 timm_poolformer_s12 timm_levit_128s""",
}
_PLACE_OF = {name: place for place, names in PLACES.items() for name in names.split()}

Example = tuple[tuple, dict[str, Any]]


def build(name: str, seed: int = 0) -> tuple[Any, tuple, dict[str, Any]]:
    """The model in eval mode and its first example: ``(model, args, kwargs)``."""
    import torch

    from .recipe import FIRST

    recipe = _recipe(name)
    torch.manual_seed(seed)
    model = recipe.make().eval()
    _randomise_statistics(model)
    args, kwargs = recipe.example(FIRST)
    return model, args, kwargs


def second_example(name: str, seed: int = 1) -> Example:
    """Inputs of other sizes for the same model: ``(args, kwargs)``."""
    import torch

    from .recipe import SECOND

    torch.manual_seed(seed)
    return _recipe(name).example(SECOND)


def _recipe(name: str):
    return importlib.import_module(f".{_PLACE_OF[name]}", __name__).MODELS[name]


def _randomise_statistics(model) -> None:
    """Freshly made batch norms have mean 0 and variance 1, which would hide a forgotten buffer."""
    from torch.nn.modules.batchnorm import _BatchNorm

    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)


ZOO: dict[str, Callable[[], tuple[Any, tuple, dict[str, Any]]]] = {
    name: functools.partial(build, name) for name in _PLACE_OF}
