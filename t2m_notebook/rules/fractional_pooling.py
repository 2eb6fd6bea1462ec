"""Fractional max pooling, where its random samples are given."""

from torch import nn as torch_nn

from .array import standard
from .expression import blocks
from .layouts import Layout, Plan
from .registry import Layer, layer, op, refuse
from .spatial import SPATIAL, batched, per_axis, spatial_order

_HINT = "torch draws its windows at random; pass _random_samples, or use max_pool or adaptive_max_pool"


def _layout(spatial: int) -> Layout:
    """The input channels last, the samples as they are."""
    def forward(call, arrays, wanted) -> Plan:
        inputs = (spatial_order(arrays[0].ndim, spatial), *(standard(a.ndim) for a in arrays[1:]))
        return Plan(inputs, tuple(spatial_order(len(o.shape), spatial) for o in call.outputs))

    return Layout("channels last", forward, SPATIAL[spatial].backward)


def _pair(x, spatial, apply, both):
    if not both:
        return batched(x, spatial, apply)
    if x.ndim != spatial + 1:
        return apply(x)
    return [apply(x[None])[0].squeeze(0), apply(x[None])[1].squeeze(0)]


def _register(spatial: int) -> None:
    def pool(input, kernel_size, output_size, output_ratio, samples, both):
        if samples is None:
            refuse("_random_samples", None, _HINT)
        sizes = input.shape[input.ndim - spatial:]
        if output_size is None:
            ratios = per_axis(output_ratio, spatial)
            count = tuple((size * ratio).__trunc__() for size, ratio in zip(sizes, ratios, strict=True))
        else:
            count = per_axis(output_size, spatial)
        name = blocks.fractional_max_pool_at_with_indices if both else blocks.fractional_max_pool_at
        return _pair(input, spatial, lambda x: name(x, samples, per_axis(kernel_size, spatial), count), both)

    def plain(input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        """Refused unless the random samples are given."""
        return pool(input, kernel_size, output_size, output_ratio, _random_samples, return_indices)

    def with_indices(input, kernel_size, output_size=None, output_ratio=None, return_indices=True,
                     _random_samples=None):
        """Refused unless the random samples are given."""
        return pool(input, kernel_size, output_size, output_ratio, _random_samples, True)

    name = f"fractional_max_pool{spatial}d"
    op(f"torch.nn.functional.{name}", layout=_layout(spatial))(plain)
    op(f"torch.nn.functional.{name}_with_indices", layout=_layout(spatial))(with_indices)

    @layer(getattr(torch_nn, f"FractionalMaxPool{spatial}d"), weights={"_random_samples": ("samples", "")},
           layout=SPATIAL[spatial])
    def fractional_layer(m):
        """Refused unless the random samples are given."""
        if m._random_samples is None:
            refuse("_random_samples", None, _HINT)
        size = {"output_size": per_axis(m.output_size, spatial)} if m.output_size is not None else {
            "output_ratio": per_axis(m.output_ratio, spatial)}
        extra = {"return_indices": True} if m.return_indices else {}
        built = blocks.FractionalMaxPoolAt(tuple(m._random_samples.shape), per_axis(m.kernel_size, spatial), **size,
                                         **extra)
        return Layer(built, call=lambda self, input: _pair(input, spatial, self, m.return_indices))


for _n in (2, 3):
    _register(_n)
