"""Losses as layers: each is its function with the options that the layer holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn as torch_nn

from . import losses
from .expression import blocks, mx, nn
from .layouts import STANDARD
from .losses import CLASSES, ELEMENTWISE, class_axis, given
from .registry import Layer, layer


def _loss(cls: type, function: Callable, block: Any, *names: str, layout=STANDARD, renamed: dict | None = None) -> None:
    """Register ``cls`` as ``function`` with the attributes ``names``; as one of a list of layers it is
    ``Loss(block, ...)``."""
    renamed = renamed or {}

    @layer(cls, layout=layout, summary=(function.__doc__ or "").partition("\n")[0])
    def emit(m):
        options = {name: getattr(m, name) for name in names}
        if getattr(m, "reduction", None) is not None:
            options["reduction"] = m.reduction
        held = {renamed.get(name, name): option for name, option in options.items()}
        shown = given(**held) if getattr(block, "node", None) is None or "losses" not in str(block) else held
        return Layer(blocks.Loss(block, **shown), inline=lambda *args, **kwargs: function(*args, **kwargs, **options))


def _weighted(cls: type, function: Callable, block: Any, *names: str, tensors=("weight",), layout=STANDARD) -> None:
    """The same for a loss that may hold class weights, which are then kept with the model's weights."""
    @layer(cls, layout=layout, summary=(function.__doc__ or "").partition("\n")[0])
    def emit(m):
        options = {name: getattr(m, name) for name in names} | {"reduction": m.reduction}
        arrays = {name: mx.zeros(tuple(getattr(m, name).shape)) for name in tensors if getattr(m, name) is not None}

        def call(target, input, *rest):
            axis = input.axis(class_axis(input.ndim)) if layout is CLASSES else 1
            moved = {} if layout is not CLASSES or input.is_standard else {"axis": axis}
            return target(input, *rest, **moved)

        return Layer(blocks.Loss(block, **arrays, **given(**options)), call=call,
                     inline=None if arrays else lambda *args, **kwargs: function(*args, **kwargs, **options))


_loss(torch_nn.MSELoss, losses.mse_loss, nn.losses.mse_loss, layout=ELEMENTWISE)
_loss(torch_nn.L1Loss, losses.l1_loss, nn.losses.l1_loss, layout=ELEMENTWISE)
_loss(torch_nn.SmoothL1Loss, losses.smooth_l1_loss, nn.losses.smooth_l1_loss, "beta", layout=ELEMENTWISE)
_loss(torch_nn.HuberLoss, losses.huber_loss, nn.losses.huber_loss, "delta", layout=ELEMENTWISE)
_loss(torch_nn.KLDivLoss, losses.kl_div, blocks.kl_div_loss, "log_target")
_loss(torch_nn.PoissonNLLLoss, losses.poisson_nll_loss, blocks.poisson_nll_loss, "log_input", "full", "eps",
      layout=ELEMENTWISE)
_loss(torch_nn.GaussianNLLLoss, losses.gaussian_nll_loss, blocks.gaussian_nll_loss, "full", "eps")
_loss(torch_nn.HingeEmbeddingLoss, losses.hinge_embedding_loss, blocks.hinge_embedding_loss, "margin",
      layout=ELEMENTWISE)
_loss(torch_nn.SoftMarginLoss, losses.soft_margin_loss, blocks.soft_margin_loss, layout=ELEMENTWISE)
_loss(torch_nn.CosineEmbeddingLoss, losses.cosine_embedding_loss, blocks.cosine_embedding_loss, "margin")
_loss(torch_nn.MarginRankingLoss, losses.margin_ranking_loss, blocks.margin_ranking_loss, "margin", layout=ELEMENTWISE)
_loss(torch_nn.TripletMarginLoss, losses.triplet_margin_loss, blocks.triplet_margin_loss, "margin", "p", "eps", "swap")
_loss(torch_nn.MultiLabelMarginLoss, losses.multilabel_margin_loss, blocks.multilabel_margin_loss)
_loss(torch_nn.CTCLoss, losses.ctc_loss, blocks.ctc_loss, "blank", "zero_infinity")
_weighted(torch_nn.BCELoss, losses.binary_cross_entropy, blocks.binary_cross_entropy)
_weighted(torch_nn.BCEWithLogitsLoss, losses.binary_cross_entropy_with_logits, blocks.binary_cross_entropy_with_logits,
          tensors=("weight", "pos_weight"))
_weighted(torch_nn.CrossEntropyLoss, losses.cross_entropy, blocks.cross_entropy, "ignore_index", "label_smoothing",
          layout=CLASSES)
_weighted(torch_nn.NLLLoss, losses.nll_loss, blocks.nll_loss, "ignore_index", layout=CLASSES)
_weighted(torch_nn.MultiMarginLoss, losses.multi_margin_loss, blocks.multi_margin_loss, "p", "margin")
_weighted(torch_nn.MultiLabelSoftMarginLoss, losses.multilabel_soft_margin_loss, blocks.multilabel_soft_margin_loss)


@layer(torch_nn.TripletMarginWithDistanceLoss)
def triplet_margin_with_distance_loss(m):
    """For torch's own distances; another distance function belongs into the model's own code."""
    options = {"distance_function": m.distance_function, "margin": m.margin, "swap": m.swap, "reduction": m.reduction}
    distance = m.distance_function
    held = {"p": distance.norm, "eps": distance.eps} if isinstance(distance, torch_nn.PairwiseDistance) else {}
    return Layer(blocks.Loss(blocks.triplet_margin_loss, **given(margin=m.margin, swap=m.swap, reduction=m.reduction,
                                                                 **held)),
                 inline=lambda a, p, n: losses.triplet_margin_with_distance_loss(a, p, n, **options))


@layer(torch_nn.LinearCrossEntropyLoss)
def linear_cross_entropy_loss(m):
    """A block: `nn.Linear`, then the cross entropy."""
    options = given(reduction=m.reduction, ignore_index=-100 if m.ignore_index is None else m.ignore_index,
                    label_smoothing=m.label_smoothing, bias=m.linear.bias is not None)
    if m.out_features:
        options["out_features"] = tuple(m.out_features)
    if m.weight is not None:
        options["weight"] = mx.zeros(tuple(m.weight.shape))
    return blocks.LinearCrossEntropyLoss(m.linear.in_features, m.num_classes, **options)


@layer(torch_nn.AdaptiveLogSoftmaxWithLoss)
def adaptive_log_softmax(m):
    """A block that computes every cluster, since MLX can't select the rows that need one."""
    options = {} if m.div_value == 4.0 else {"div_value": m.div_value}
    if m.head_bias:
        options["head_bias"] = True
    return Layer(blocks.AdaptiveLogSoftmaxWithLoss(m.in_features, m.n_classes, list(m.cutoffs[:-1]), **options))
