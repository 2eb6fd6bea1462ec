"""Losses, as functions and as layers."""

from __future__ import annotations

from torch import nn as torch_nn
from torch.nn import functional as F

from .array import Order, standard
from .expression import blocks, mx, nn
from .layouts import Layout, Plan, drop, majority
from .registry import op, refuse


def _common_order_forward(call, arrays, wanted) -> Plan:
    ndim = max(a.ndim for a in arrays)
    order = majority(arrays, ndim)
    if any(0 < a.ndim < ndim for a in arrays):
        order = standard(ndim)
    return Plan(tuple(order if a.ndim == ndim else standard(a.ndim) for a in arrays),
                tuple(order if len(o.shape) == ndim else standard(len(o.shape)) for o in call.outputs))


def class_axis(ndim: int) -> int:
    return 1 if ndim > 1 else 0


def _class_axis_forward(call, arrays, wanted) -> Plan:
    ndim = arrays[0].ndim
    order = arrays[0].order
    rest = drop(order, {class_axis(ndim)})

    def fitting(n: int) -> Order:
        return order if n == ndim else rest if n == ndim - 1 else standard(n)

    return Plan(tuple(fitting(a.ndim) for a in arrays), tuple(fitting(len(o.shape)) for o in call.outputs))


def _nowhere(call, arrays, wanted):
    return [None] * len(arrays)


#: Compares its arguments element by element, reduces or not.
ELEMENTWISE = Layout("elementwise loss", _common_order_forward, _nowhere)
#: Classes along torch's dimension 1 of the first argument, targets without it.
CLASSES = Layout("classes", _class_axis_forward, _nowhere)


def legacy(reduction, size_average=None, reduce=None) -> str:
    """Torch's reduction from it and the two arguments that it replaced."""
    if size_average is None and reduce is None:
        return reduction
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def _is_half(*arrays) -> bool:
    return any(a.dtype in ("float16", "bfloat16") for a in arrays)


def _same_shape(x, *others) -> bool:
    return all(tuple(map(int, x.shape)) == tuple(map(int, other.shape)) for other in others)


def given(**options) -> dict:
    """The options that differ from the block's default."""
    defaults = {"reduction": "mean", "weight": None, "pos_weight": None, "ignore_index": -100, "label_smoothing": 0.0,
                "log_target": False, "log_input": True, "full": False, "swap": False, "zero_infinity": False,
                "blank": 0, "bias": False}
    return {name: value for name, value in options.items()
            if not (name in defaults and (value is defaults[name] or
                                          not hasattr(value, "node") and value == defaults[name]))}


# -- element by element -------------------------------------------------------------------


def _pointwise(kind, input, target, reduction, weight=None, threshold=None):
    if _is_half(input, target) or not _same_shape(input, target) or weight is not None or threshold == 0:
        kind, threshold = ("l1", None) if threshold == 0 else (kind, threshold)
        options = {} if threshold in (None, 1) else {"threshold": threshold}
        return blocks.elementwise_loss(kind, input, target, **given(weight=weight, reduction=reduction), **options)
    function = getattr(nn.losses, f"{kind}_loss")
    name = {"huber": "delta", "smooth_l1": "beta"}.get(kind)
    options = {name: threshold} if name and threshold != 1 else {}
    return function(input, target, **options, reduction=reduction)


@op("torch.nn.functional.mse_loss", layout=ELEMENTWISE)
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """`nn.losses.mse_loss`; a block for weights, half precision and shapes that broadcast."""
    return _pointwise("mse", input, target, legacy(reduction, size_average, reduce), weight)


@op("torch.nn.functional.l1_loss", layout=ELEMENTWISE)
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """`nn.losses.l1_loss`; a block for weights, half precision and shapes that broadcast."""
    return _pointwise("l1", input, target, legacy(reduction, size_average, reduce), weight)


@op("torch.nn.functional.smooth_l1_loss", layout=ELEMENTWISE)
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """`nn.losses.smooth_l1_loss`; a block for half precision and shapes that broadcast."""
    return _pointwise("smooth_l1", input, target, legacy(reduction, size_average, reduce), threshold=beta)


@op("torch.nn.functional.huber_loss", layout=ELEMENTWISE)
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """`nn.losses.huber_loss` with torch's reduction; a block for weights and half precision."""
    return _pointwise("huber", input, target, reduction, weight, delta)


@op("torch.nn.functional.binary_cross_entropy", layout=ELEMENTWISE)
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    """A block: the gradient of MLX's is NaN where a probability is exactly 0 or 1."""
    return blocks.binary_cross_entropy(input, target, **given(
        weight=weight, reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.binary_cross_entropy_with_logits", layout=ELEMENTWISE)
def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean",
                                     pos_weight=None):
    """`nn.losses.binary_cross_entropy`; a block for weights and half precision."""
    reduction = legacy(reduction, size_average, reduce)
    if weight is None and pos_weight is None and not _is_half(input, target):
        return nn.losses.binary_cross_entropy(input, target, reduction=reduction)
    return blocks.binary_cross_entropy_with_logits(input, target, **given(
        weight=weight, pos_weight=pos_weight, reduction=reduction))


@op("torch.nn.functional.kl_div")
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """A block: MLX's takes logarithms as target and sums over an axis."""
    return blocks.kl_div_loss(input, target, **given(
        reduction=legacy(reduction, size_average, reduce), log_target=log_target))


@op("torch.nn.functional.poisson_nll_loss", layout=ELEMENTWISE)
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None,
                     reduction="mean"):
    options = {} if eps == 1e-8 or log_input else {"eps": eps}
    return blocks.poisson_nll_loss(input, target, **given(
        log_input=log_input, full=full, reduction=legacy(reduction, size_average, reduce)), **options)


@op("torch.nn.functional.gaussian_nll_loss")
def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """A block: torch clips the variance but not its gradient."""
    options = {} if eps == 1e-6 else {"eps": eps}
    return blocks.gaussian_nll_loss(input, target, var, **given(full=full, reduction=reduction), **options)


@op("torch.nn.functional.hinge_embedding_loss", layout=ELEMENTWISE)
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean"):
    options = {} if margin == 1 else {"margin": margin}
    return blocks.hinge_embedding_loss(input, target, **options, **given(
        reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.soft_margin_loss", layout=ELEMENTWISE)
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    return blocks.soft_margin_loss(input, target, **given(reduction=legacy(reduction, size_average, reduce)))


# -- pairs and triplets -------------------------------------------------------------------


@op("torch.nn.functional.margin_ranking_loss", layout=ELEMENTWISE)
def margin_ranking_loss(input1, input2, target, margin=0.0, size_average=None, reduce=None, reduction="mean"):
    """A block: at a tie the gradient of MLX's maximum is not torch's."""
    options = {"margin": margin} if margin else {}
    return blocks.margin_ranking_loss(input1, input2, target, **options, **given(
        reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(input1, input2, target, margin=0.0, size_average=None, reduce=None, reduction="mean"):
    options = {"margin": margin} if margin else {}
    return blocks.cosine_embedding_loss(input1, input2, target, **options, **given(
        reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.triplet_margin_loss")
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, swap=False, size_average=None,
                        reduce=None, reduction="mean"):
    """A block: MLX's adds eps elsewhere and knows no swap."""
    options = {"margin": (margin, 1), "p": (p, 2), "eps": (eps, 1e-6)}
    options = {name: value for name, (value, default) in options.items() if value != default}
    return blocks.triplet_margin_loss(anchor, positive, negative, **options, **given(
        swap=swap, reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.triplet_margin_with_distance_loss")
def triplet_margin_with_distance_loss(anchor, positive, negative, distance_function=None, margin=1.0, swap=False,
                                      reduction="mean"):
    """For torch's own distances; another distance function belongs into the model's own code."""
    distance = distance_function
    if isinstance(distance, torch_nn.PairwiseDistance) and not distance.keepdim:
        return triplet_margin_loss(anchor, positive, negative, margin, distance.norm, distance.eps, swap,
                                   reduction=reduction)
    if distance not in (None, F.pairwise_distance):
        refuse("distance_function", getattr(distance, "__name__", type(distance).__name__),
               "compute the two distances in the model and call torch.clamp(margin + near - far, min=0).mean()")
    return triplet_margin_loss(anchor, positive, negative, margin, swap=swap, reduction=reduction)


# -- classes ------------------------------------------------------------------------------


@op("torch.nn.functional.cross_entropy", layout=CLASSES)
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                  label_smoothing=0.0):
    """A block on `nn.losses.cross_entropy`: ignored targets, class weights, any class axis."""
    axis = input.axis(class_axis(input.ndim))
    return blocks.cross_entropy(input, target, axis=-1 if axis == input.ndim - 1 else axis, **given(
        weight=weight, ignore_index=ignore_index, label_smoothing=label_smoothing,
        reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.nll_loss", "torch.nn.functional.nll_loss_nd", layout=CLASSES)
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"):
    """A block: ignored targets, class weights, any class axis."""
    axis = input.axis(class_axis(input.ndim))
    return blocks.nll_loss(input, target, axis=-1 if axis == input.ndim - 1 else axis, **given(
        weight=weight, ignore_index=ignore_index, reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.linear_cross_entropy")
def linear_cross_entropy(input, linear_weight, target, linear_bias=None, weight=None, reduction="mean",
                         ignore_index=None, label_smoothing=0.0, options=None):
    """The linear map written out, then the cross entropy."""
    logits = mx.tensordot(input, linear_weight, axes=[[-1], [linear_weight.ndim - 1]])
    logits = logits if linear_bias is None else logits + linear_bias
    return blocks.cross_entropy(logits, target, axis=input.ndim - 1, **given(
        weight=weight, ignore_index=-100 if ignore_index is None else ignore_index, label_smoothing=label_smoothing,
        reduction=reduction))


@op("torch.nn.functional.multi_margin_loss")
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean"):
    options = ({} if p == 1 else {"p": p}) | ({} if margin == 1 else {"margin": margin})
    return blocks.multi_margin_loss(input, target, **options, **given(
        weight=weight, reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.multilabel_margin_loss")
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    return blocks.multilabel_margin_loss(input, target, **given(reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean"):
    return blocks.multilabel_soft_margin_loss(input, target, **given(
        weight=weight, reduction=legacy(reduction, size_average, reduce)))


@op("torch.nn.functional.ctc_loss", "torch.ctc_loss")
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False):
    """The forward recursion in log space, a block."""
    reduction = {0: "none", 1: "mean", 2: "sum"}.get(reduction, reduction)
    lengths = [tuple(map(int, given)) if isinstance(given, (tuple, list)) else given
               for given in (input_lengths, target_lengths)]
    return blocks.ctc_loss(log_probs, targets, *lengths, **given(
        blank=blank, zero_infinity=zero_infinity, reduction=reduction))
