"""Pooling, as layers and as functions. MLX's own layers where they do what is asked, blocks elsewhere."""

from torch import nn as torch_nn

from .expression import blocks, nn
from .registry import Layer, layer, op, refuse
from .spatial import SPATIAL, batched, once, per_axis

_NUMBERS = (1, 2, 3)


def _pair(x, spatial, apply):
    """Two results at once, also for an input without a batch."""
    if x.ndim != spatial + 1:
        return apply(x)
    return [apply(x[None])[0].squeeze(0), apply(x[None])[1].squeeze(0)]


def _stride(stride, kernel):
    return kernel if stride is None or stride == () or stride == [] else per_axis(stride, len(kernel))


def _plain(kind: str, kernel, stride, padding):
    """MLX's own pooling layer."""
    keywords = {"stride": once(stride)} if stride != kernel else {}
    if any(padding):
        keywords["padding"] = once(padding)
    return getattr(nn, f"{kind}{len(kernel)}d")(once(kernel), **keywords)


def _max(spatial, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    """The layer, and whether it gives indices."""
    kernel, padding, dilation = (per_axis(v, spatial) for v in (kernel_size, padding, dilation))
    stride = _stride(stride, kernel)
    if not (ceil_mode or return_indices or any(d != 1 for d in dilation)):
        return _plain("MaxPool", kernel, stride, padding)
    extra = {"ceil_mode": True} if ceil_mode else {}
    extra |= {"return_indices": True} if return_indices else {}
    return blocks.MaxPoolWindows(kernel, stride=stride, padding=padding, dilation=dilation, **extra)


def _average(spatial, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    kernel, padding = per_axis(kernel_size, spatial), per_axis(padding, spatial)
    stride = _stride(stride, kernel)
    if not ceil_mode and divisor_override is None and (count_include_pad or not any(padding)):
        return _plain("AvgPool", kernel, stride, padding)
    extra = {"ceil_mode": True} if ceil_mode else {}
    extra |= {} if count_include_pad else {"count_include_pad": False}
    extra |= {} if divisor_override is None else {"divisor_override": divisor_override}
    return blocks.AvgPoolWindows(kernel, stride=stride, padding=padding, **extra)


def _register(spatial: int) -> None:
    layout = SPATIAL[spatial]
    def single(self, input):
        return batched(input, spatial, self)

    @layer(getattr(torch_nn, f"MaxPool{spatial}d"), layout=layout)
    def max_pool_layer(m):
        """Where several elements of a window are equal, MLX shares the gradient among them."""
        built = _max(spatial, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode, m.return_indices)
        both = _pair if m.return_indices else batched
        return Layer(built, call=lambda self, input: both(input, spatial, self))

    @layer(getattr(torch_nn, f"AvgPool{spatial}d"), layout=layout)
    def avg_pool_layer(m):
        built = _average(spatial, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad,
                         getattr(m, "divisor_override", None))
        return Layer(built, call=single)

    def max_pool(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        """Where several elements of a window are equal, MLX shares the gradient among them."""
        pool = _max(spatial, kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (_pair if return_indices else batched)(input, spatial, pool)

    def max_pool_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                              return_indices=True):
        """The indices are flat over torch's spatial dimensions."""
        pool = _max(spatial, kernel_size, stride, padding, dilation, ceil_mode, True)
        return _pair(input, spatial, pool)

    op(f"torch.nn.functional.max_pool{spatial}d", layout=layout)(max_pool)
    op(f"torch.nn.functional.max_pool{spatial}d_with_indices", layout=layout)(max_pool_with_indices)

    @op(f"torch.nn.functional.avg_pool{spatial}d", layout=layout)
    def avg_pool(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
                 divisor_override=None):
        pool = _average(spatial, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        if not input.is_floating:
            refuse("input", input.dtype, "cast to float32 first")
        return batched(input, spatial, pool)

    # -- p-norm -------------------------------------------------------------------------

    @layer(getattr(torch_nn, f"LPPool{spatial}d"), layout=layout)
    def lp_pool_layer(m):
        kernel = per_axis(m.kernel_size, spatial)
        extra = {"ceil_mode": True} if m.ceil_mode else {}
        built = blocks.LPPoolWindows(m.norm_type, kernel, stride=_stride(m.stride, kernel), **extra)
        return Layer(built, call=single)

    @op(f"torch.nn.functional.lp_pool{spatial}d", layout=layout)
    def lp_pool(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        kernel = per_axis(kernel_size, spatial)
        extra = {"ceil_mode": True} if ceil_mode else {}
        strides = _stride(stride, kernel)
        return batched(input, spatial, lambda x: blocks.lp_pool_windows(x, norm_type, kernel, strides, **extra))

    # -- unpooling ----------------------------------------------------------------------

    def unpool(x, indices, kernel, stride, padding, output_size):
        spatial_sizes = x.shape[x.ndim - spatial:]
        if output_size is None:
            sizes = tuple((n - 1) * s - 2 * p + k if p else (n - 1) * s + k
                          for n, k, s, p in zip(spatial_sizes, kernel, stride, padding, strict=True))
        else:
            sizes = tuple(output_size)[-spatial:]
        if x.ndim == spatial + 1:
            return blocks.max_unpool_to(x[None], indices[None], sizes).squeeze(0)
        return blocks.max_unpool_to(x, indices, sizes)

    @layer(getattr(torch_nn, f"MaxUnpool{spatial}d"), layout=layout)
    def max_unpool_layer(m):
        kernel, stride, padding = (per_axis(v, spatial) for v in (m.kernel_size, m.stride, m.padding))
        return Layer(blocks.MaxUnpoolWindows(kernel, stride=stride, padding=padding),
                     inline=lambda input, indices, output_size=None: unpool(input, indices, kernel, stride, padding,
                                                                            output_size))

    @op(f"torch.nn.functional.max_unpool{spatial}d", layout=layout)
    def max_unpool(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        kernel = per_axis(kernel_size, spatial)
        return unpool(input, indices, kernel, _stride(stride, kernel), per_axis(padding, spatial), output_size)

    # -- adaptive -----------------------------------------------------------------------

    def adaptive_average(x, output_size):
        axes = tuple(range(1, spatial + 1))
        if x.dtype == "float32" and all(type(n) is int and n == 1 for n in output_size):
            first = x.ndim - spatial - 1
            return x.mean(axis=once(tuple(first + a - 1 for a in axes)) if spatial == 1 else
                          tuple(first + a - 1 for a in axes), keepdims=True)
        return batched(x, spatial, lambda y: blocks.adaptive_avg_pool_to(y, tuple(output_size)))

    @layer(getattr(torch_nn, f"AdaptiveAvgPool{spatial}d"), layout=layout)
    def adaptive_avg_pool_layer(m):
        """Size 1 is a mean over the spatial axes."""
        sizes = per_axis(m.output_size, spatial)
        return Layer(blocks.AdaptiveAvgPoolTo(sizes), call=lambda self, input: batched(input, spatial, self),
                     inline=lambda input: adaptive_average(input, sizes))

    @op(f"torch.nn.functional.adaptive_avg_pool{spatial}d", layout=layout)
    def adaptive_avg_pool(input, output_size):
        """Size 1 is a mean over the spatial axes."""
        return adaptive_average(input, per_axis(output_size, spatial))

    def adaptive_maximum(x, sizes, return_indices):
        if return_indices:
            return _pair(x, spatial, lambda y: blocks.adaptive_max_pool_to_with_indices(y, sizes))
        if all(type(n) is int and n == 1 for n in sizes):
            first = x.ndim - spatial - 1
            axes = tuple(range(first, first + spatial))
            return x.max(axis=axes[0] if spatial == 1 else axes, keepdims=True)
        return batched(x, spatial, lambda y: blocks.adaptive_max_pool_to(y, sizes))

    @layer(getattr(torch_nn, f"AdaptiveMaxPool{spatial}d"), layout=layout)
    def adaptive_max_pool_layer(m):
        sizes, extra = per_axis(m.output_size, spatial), {"return_indices": True} if m.return_indices else {}
        both = _pair if m.return_indices else batched
        return Layer(blocks.AdaptiveMaxPoolTo(sizes, **extra), call=lambda self, input: both(input, spatial, self),
                     inline=lambda input: adaptive_maximum(input, sizes, m.return_indices))

    @op(f"torch.nn.functional.adaptive_max_pool{spatial}d", layout=layout)
    def adaptive_max_pool(input, output_size, return_indices=False):
        return adaptive_maximum(input, per_axis(output_size, spatial), return_indices)

    @op(f"torch.nn.functional.adaptive_max_pool{spatial}d_with_indices", layout=layout)
    def adaptive_max_pool_with_indices(input, output_size, return_indices=True):
        return adaptive_maximum(input, per_axis(output_size, spatial), True)


for _n in _NUMBERS:
    _register(_n)
