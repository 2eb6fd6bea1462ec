"""Normalisation, as layers and as functions."""

import torch
from torch import nn as torch_nn

from .array import standard
from .expression import blocks, mlx_dtype, mx, nn
from .layouts import CHANNELS_LAST, FEATURES_LAST, STANDARD, Layout
from .registry import Layer, caveat, layer, op, refuse
from .spatial import SPATIAL, batched

_EPS = 1e-5


def _tidy(eps, **given):
    """Keyword arguments that differ from the usual defaults: eps 1e-5, the rest by name."""
    defaults = {"momentum": 0.1, "affine": True, "bias": True, "track_running_stats": True}
    kept = {} if eps == _EPS else {"eps": eps}
    return kept | {name: value for name, value in given.items() if value != defaults[name]}


# -- batch ------------------------------------------------------------------------------

def _statistics(m):
    """MLX counts batches only where the momentum is their plain average."""
    return {} if m.track_running_stats and m.momentum is None else {"num_batches_tracked": None}


@layer(torch_nn.BatchNorm1d, torch_nn.BatchNorm2d, torch_nn.BatchNorm3d, weights=_statistics, layout=CHANNELS_LAST)
def batch_norm_layer(m):
    """`nn.BatchNorm`; a block for 5-d inputs and for momentum=None. MLX does not count batches."""
    tracks = m.running_mean is not None
    affine, momentum = m.weight is not None, m.momentum if m.momentum is not None or tracks else 0.1
    bias = m.bias is not None or not affine
    plain = not isinstance(m, torch_nn.BatchNorm3d) and momentum is not None and bias
    cls = nn.BatchNorm if plain else blocks.BatchNormLastAxis
    built = cls(m.num_features, **_tidy(m.eps, momentum=momentum, affine=affine, bias=bias,
                                        track_running_stats=tracks))

    def call(self, input):
        if plain and tracks and m.training and input.numel == 0:
            refuse("input", tuple(map(int, input.shape)), "nn.BatchNorm's running statistics of an empty batch become "
                                                          "NaN, torch leaves them alone: skip empty batches")
        return self(input)
    return Layer(built, call=call)


@layer(torch_nn.SyncBatchNorm)
def sync_batch_norm_layer(m):
    """Statistics over several devices have no MLX layer."""
    refuse("SyncBatchNorm", None, "replace it by nn.BatchNorm1d/2d/3d with the same state_dict before porting; "
                                  "on one device the two are equal")


@op("torch.nn.functional.batch_norm", layout=CHANNELS_LAST)
def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    if training:
        if running_mean is not None:
            caveat("the running statistics that F.batch_norm updates in training mode stay as they are")
        return blocks.batch_norm_by_batch(input, **_affine(weight, bias, eps))[0]
    return blocks.batch_norm_by_statistics(input, running_mean, running_var, **_affine(weight, bias, eps))


def _affine(weight, bias, eps):
    given = {"weight": weight, "bias": bias}
    return {name: value for name, value in given.items() if value is not None} | _tidy(eps)


@op("torch.batch_norm", layout=CHANNELS_LAST)
def batch_norm_primitive(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True):
    return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


# -- group ------------------------------------------------------------------------------

@layer(torch_nn.GroupNorm, layout=CHANNELS_LAST)
def group_norm_layer(m):
    """`pytorch_compatible=True` gives torch's grouping of channels."""
    if m.weight is not None and m.bias is None:
        return blocks.GroupNormWithoutBias(m.num_groups, m.num_channels, **_tidy(m.eps))
    return nn.GroupNorm(m.num_groups, m.num_channels, **_tidy(m.eps, affine=m.weight is not None),
                        pytorch_compatible=True)


@op("torch.nn.functional.group_norm", layout=CHANNELS_LAST)
def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    return blocks.group_norm_last_axis(input, num_groups, **_affine(weight, bias, eps))


# -- instance ---------------------------------------------------------------------------

def _instance_norm(spatial: int):
    def instance_norm_layer(m):
        affine = m.weight is not None
        keywords = _tidy(m.eps) | ({"affine": True} if affine else {})
        if m.track_running_stats:
            momentum = 0.0 if m.momentum is None else m.momentum
            keywords |= _tidy(_EPS, momentum=momentum) | {"track_running_stats": True}
        if affine and m.bias is None:
            keywords["bias"] = False
        cls = blocks.InstanceNormLastAxis if {"track_running_stats", "bias"} & keywords.keys() else nn.InstanceNorm
        built = cls(m.num_features, **keywords)
        return Layer(built, call=lambda self, input: batched(input, spatial, self))
    instance_norm_layer.__doc__ = "`nn.InstanceNorm`; a block where running statistics are kept."
    return instance_norm_layer


for _n, _class in enumerate((torch_nn.InstanceNorm1d, torch_nn.InstanceNorm2d, torch_nn.InstanceNorm3d), 1):
    layer(_class, weights={"num_batches_tracked": None}, layout=SPATIAL[_n])(_instance_norm(_n))


@op("torch.nn.functional.instance_norm", layout=CHANNELS_LAST)
def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True,
                  momentum=0.1, eps=1e-5):
    if not use_input_stats:
        return blocks.batch_norm_by_statistics(input, running_mean, running_var, **_affine(weight, bias, eps))
    if running_mean is not None:
        refuse("running_mean", None, "F.instance_norm writes to it; use nn.InstanceNorm1d/2d/3d with "
                                             "track_running_stats=True, or pass None")
    return blocks.instance_norm_last_axis(input, **_affine(weight, bias, eps))


@op("torch.instance_norm", layout=CHANNELS_LAST)
def instance_norm_primitive(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps,
                            cudnn_enabled=True):
    return instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


# -- layer and root mean square ---------------------------------------------------------

def _in_torch_order(x, count: int, self):
    """Several normalised dimensions must stand last and in torch's order."""
    if count == 1 or x.is_standard:
        return self(x)
    back = [x.order.index(dim) for dim in range(x.ndim)]
    return self(x.transpose(back)).transpose(list(x.order))


@layer(torch_nn.LayerNorm, layout=FEATURES_LAST)
def layer_norm_layer(m):
    """`nn.LayerNorm` over the last dimension; a block over several."""
    shape, affine = tuple(m.normalized_shape), m.weight is not None
    keywords = _tidy(m.eps, affine=affine)
    if affine and m.bias is None:
        keywords["bias"] = False
    built = nn.LayerNorm(shape[0], **keywords) if len(shape) == 1 else blocks.LayerNormOver(shape, **keywords)
    return Layer(built, call=lambda self, input: _in_torch_order(input, len(shape), self))


def _normalised_forward(call, arrays, wanted):
    shape = call.arguments.get("normalized_shape")
    one = isinstance(shape, int) or len(shape) == 1
    return (FEATURES_LAST if one else STANDARD).forward(call, arrays, wanted)


def _normalised_backward(call, arrays, wanted):
    shape = call.arguments.get("normalized_shape")
    one = isinstance(shape, int) or len(shape) == 1
    return FEATURES_LAST.backward(call, arrays, wanted) if one else [standard(a.ndim) for a in arrays]


_NORMALISED = Layout("features last", _normalised_forward, _normalised_backward)


def _count(normalized_shape) -> int:
    return 1 if isinstance(normalized_shape, int) else len(normalized_shape)


def _typed(result, call, *arrays):
    """Cast where a parameter of another type would change torch's result type."""
    mixed = any(array is not None and array.dtype != call.dtype for array in arrays)
    return result.astype(mlx_dtype(call.dtype)) if mixed else result


@op("torch.nn.functional.layer_norm", layout=_NORMALISED)
def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True, *, call):
    """`mx.fast.layer_norm` over the last dimension; a block over several."""
    if _count(normalized_shape) == 1:
        return _typed(mx.fast.layer_norm(input, weight, bias, eps), call, weight, bias)
    result = blocks.layer_norm_over(input, _count(normalized_shape), **_affine(weight, bias, eps))
    return _typed(result, call, weight, bias)


def _rms_eps(eps, dtype: str) -> float:
    """Torch's default is the machine epsilon of float32, also for half precision."""
    if eps is not None:
        return eps
    return torch.finfo(torch.float64 if dtype == "float64" else torch.float32).eps


@layer(torch_nn.RMSNorm, layout=FEATURES_LAST)
def rms_norm_layer(m):
    """eps=None is torch's machine epsilon, not MLX's 1e-5."""
    shape = tuple(m.normalized_shape)
    eps = _rms_eps(m.eps, "float32")
    if len(shape) == 1 and m.weight is not None:
        built = nn.RMSNorm(shape[0], eps=eps)
    else:
        built = blocks.RMSNormOver(shape, eps=eps, **({} if m.weight is not None else {"affine": False}))
    return Layer(built, call=lambda self, input: _in_torch_order(input, len(shape), self))


@op("torch.nn.functional.rms_norm", layout=_NORMALISED)
def rms_norm(input, normalized_shape, weight=None, eps=None, *, call):
    """eps=None is torch's machine epsilon, not MLX's 1e-5."""
    eps = _rms_eps(eps, input.dtype)
    if _count(normalized_shape) == 1:
        return _typed(mx.fast.rms_norm(input, weight, eps), call, weight)
    extra = {} if weight is None else {"weight": weight}
    return _typed(blocks.rms_norm_over(input, _count(normalized_shape), **extra, eps=eps), call, weight)


# -- across channels --------------------------------------------------------------------

@layer(torch_nn.LocalResponseNorm, layout=CHANNELS_LAST)
def local_response_norm_layer(m):
    return blocks.LocalResponseNormLastAxis(m.size, alpha=m.alpha, beta=m.beta, k=m.k)


@op("torch.nn.functional.local_response_norm", layout=CHANNELS_LAST)
def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    if not input.is_floating:
        refuse("input", input.dtype, "cast it to floating point first")
    return blocks.local_response_norm_last_axis(input, size, alpha=alpha, beta=beta, k=k)


@layer(torch_nn.CrossMapLRN2d, layout=CHANNELS_LAST)
def cross_map_lrn_layer(m):
    """Torch's running sum never lets go of channel 0; the block does the same."""
    return blocks.CrossMapLRNLastAxis(m.size, alpha=m.alpha, beta=m.beta, k=m.k)


_LAZY = [getattr(torch_nn, name) for name in dir(torch_nn) if name.startswith("Lazy")]


@layer(*[cls for cls in _LAZY if cls is not torch_nn.LazyLinear])
def lazy_layer(m):
    """A lazy layer has no sizes until its first forward."""
    refuse(type(m).__name__, None, "run the model once before porting (the layer then becomes an ordinary one), "
                                   "or give its sizes")
