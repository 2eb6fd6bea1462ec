"""Normalised vectors, similarity and distance."""

from torch import nn as torch_nn

from .expression import blocks
from .layouts import AXIS, STANDARD, Layout, Plan, drop, majority
from .registry import Layer, layer, op


def _given(defaults: dict, **values) -> dict:
    return {name: value for name, value in values.items() if value != defaults[name]}


def _axis(x, dim):
    """A number has no axis: all of it is one vector."""
    return x.axis(dim) if x.ndim else None


@op("torch.nn.functional.normalize", layout=AXIS)
def normalize(input, p=2.0, dim=1, eps=1e-12):
    """The gradient at a zero vector is zero, as in torch."""
    axis = tuple(input.axis(d) for d in dim) if isinstance(dim, (tuple, list)) else _axis(input, dim)
    return blocks.normalize_along(input, axis=axis, **_given({"p": 2.0, "eps": 1e-12}, p=p, eps=eps))


def _reducing_forward(call, arrays, wanted) -> Plan:
    """Both arguments in one order, the result without the dimension."""
    ndim = max(a.ndim for a in arrays)
    if ndim == 0 or any(a.ndim != ndim for a in arrays):
        return STANDARD.forward(call, arrays, wanted)
    order = majority(arrays, ndim)
    dim = call.arguments.get("dim", 1)
    return Plan(tuple(order for _ in arrays), (drop(order, {dim % ndim}),))


_REDUCING = Layout("reduce", _reducing_forward, lambda call, arrays, wanted: [None] * len(arrays))


@op("torch.nn.functional.cosine_similarity", layout=_REDUCING)
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    wide = x1 if x1.ndim >= x2.ndim else x2
    axis = _axis(wide, dim)
    if x1.ndim != x2.ndim and axis >= 0:
        axis -= wide.ndim
    return blocks.cosine_similarity_along(x1, x2, axis=axis, **_given({"eps": 1e-8}, eps=eps))


@layer(torch_nn.CosineSimilarity, layout=STANDARD)
def cosine_similarity_layer(m):
    extra = _given({"eps": 1e-8}, eps=m.eps)
    return Layer(blocks.CosineSimilarityAlong(axis=m.dim, **extra),
                 inline=lambda x1, x2: cosine_similarity(x1, x2, m.dim, m.eps))


_DISTANCE = {"p": 2.0, "eps": 1e-6, "keepdims": False}


@op("torch.nn.functional.pairwise_distance", layout=STANDARD)
def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    return blocks.distance_last_axis(x1, x2, **_given(_DISTANCE, p=p, eps=eps, keepdims=keepdim))


@layer(torch_nn.PairwiseDistance, layout=STANDARD)
def pairwise_distance_layer(m):
    extra = _given(_DISTANCE, p=m.norm, eps=m.eps, keepdims=m.keepdim)
    return Layer(blocks.DistanceLastAxis(**extra),
                 inline=lambda x1, x2: pairwise_distance(x1, x2, m.norm, m.eps, m.keepdim))
