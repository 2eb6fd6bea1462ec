"""torchvision's and timm's models, as small as their names allow."""

from __future__ import annotations

from t2m_notebook.torchvision_shim import declare_missing_operators

from .recipe import Recipe, images


def _torchvision(name: str, **options):
    def make():
        declare_missing_operators()
        import torchvision.models

        return torchvision.models.get_model(name, weights=None, **options)

    return make


def _timm(name: str, **options):
    def make():
        declare_missing_operators()
        import timm

        return timm.create_model(name, pretrained=False, **options)

    return make


MODELS = {
    "tv_resnet18": Recipe(_torchvision("resnet18"), images(64, 96)),
    "tv_densenet121": Recipe(_torchvision("densenet121"), images(64, 96)),
    "tv_efficientnet_b0": Recipe(_torchvision("efficientnet_b0"), images(64, 96)),
    "tv_swin_t": Recipe(_torchvision("swin_t"), images(64, 96)),
    "tv_vit_b_16": Recipe(_torchvision("vit_b_16", image_size=64), images(64)),
    "tv_mobilenet_v3_small": Recipe(_torchvision("mobilenet_v3_small"), images(64, 96)),
    "tv_googlenet": Recipe(_torchvision("googlenet", init_weights=False, aux_logits=False), images(64, 96)),
    "tv_shufflenet_v2_x0_5": Recipe(_torchvision("shufflenet_v2_x0_5"), images(64, 96)),
    "tv_lraspp": Recipe(_torchvision("lraspp_mobilenet_v3_large", weights_backbone=None), images(64, 96)),
    "timm_resnet26d": Recipe(_timm("resnet26d"), images(64, 96)),
    "timm_convnext_atto": Recipe(_timm("convnext_atto"), images(64, 96)),
    "timm_vit_tiny_patch16_224": Recipe(_timm("vit_tiny_patch16_224", img_size=64), images(64)),
    "timm_mixer_s32_224": Recipe(_timm("mixer_s32_224", img_size=64), images(64)),
    "timm_efficientvit_b0": Recipe(_timm("efficientvit_b0"), images(64, 96)),
    "timm_mobilenetv4_conv_small": Recipe(_timm("mobilenetv4_conv_small"), images(64, 96)),
    "timm_swinv2_cr_tiny_ns_224": Recipe(_timm("swinv2_cr_tiny_ns_224"), images(224)),
    "timm_poolformer_s12": Recipe(_timm("poolformer_s12"), images(64, 96)),
    "timm_levit_128s": Recipe(_timm("levit_128s"), images(224)),
}
