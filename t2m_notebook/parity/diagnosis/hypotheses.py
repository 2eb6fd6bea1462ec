"""Every hypothesis, the more likely before the less likely among equals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import (
    constants,
    degrees_of_freedom,
    dtype,
    epsilon,
    gelu_variant,
    layer_options,
    layout,
    mask,
    missing_term,
    norm_mode,
    operator,
    order_of_calls,
    products,
    slices,
    softmax_axis,
    split_or_repeat,
    swapped_axes,
    torch_defaults,
    weight_not_transposed,
    wrong_axis,
    wrong_layer,
)
from .source import Rewrite, Source

Hypothesis = Callable[[Source], Iterator[Rewrite]]

HYPOTHESES: tuple[Hypothesis, ...] = (
    gelu_variant.gelu_variant, softmax_axis.softmax_axis, epsilon.wrong_epsilon, degrees_of_freedom.degrees_of_freedom,
    norm_mode.group_norm, mask.inverted_mask, mask.boolean_or_additive, mask.mask_left_out, mask.causal_alignment,
    split_or_repeat.split_count, split_or_repeat.repeat_or_tile, split_or_repeat.order_of_sorting,
    weight_not_transposed.matrix_weight, weight_not_transposed.convolution_weight,
    weight_not_transposed.linear_of_the_other_layout, weight_not_transposed.transposed_parameter,
    norm_mode.train_or_eval, norm_mode.dropout_left_on, layout.axis_of_nchw, layout.broadcast_of_nchw,
    swapped_axes.other_transpose, swapped_axes.missing_transpose, swapped_axes.needless_transpose,
    swapped_axes.reshape_mixes_axes, wrong_layer.wrong_layer, wrong_layer.exchanged_layers,
    missing_term.missing_parameter, missing_term.missing_bias, missing_term.missing_scale, missing_term.missing_residual,
    slices.off_by_one, slices.wrong_index, constants.scale_of_size, wrong_axis.wrong_axis, wrong_axis.missing_axis,
    wrong_axis.wrong_keepdims, layout.flatten_of_nchw, layout.image_in_nchw, layout.size_of_nchw,
    order_of_calls.other_activation, order_of_calls.missing_call, order_of_calls.needless_call,
    order_of_calls.order_of_layers, order_of_calls.steps, products.einsum_letters, products.rotary,
    torch_defaults.left_out_options, split_or_repeat.order_of_parts, split_or_repeat.padding_widths,
    dtype.scalar_array, dtype.unsigned_indices, dtype.other_cast, dtype.integer_division, softmax_axis.softmax_in_float32,
    layer_options.wrong_option, layer_options.other_layer, layer_options.number_of_layers,
    operator.other_operator, operator.wrong_sign, operator.other_function, operator.other_comparison,
    operator.exchanged_arguments, epsilon.misplaced_epsilon, missing_term.extra_term, norm_mode.other_norm,
    constants.wrong_number, mask.wrong_fill, wrong_layer.wrong_variable, wrong_layer.wrong_list_member,
    wrong_layer.wrong_target, wrong_layer.returned, slices.positions, slices.missing_slice, gelu_variant.gelu_by_hand,
    dtype.missing_cast,
)


def rewrites(source: Source) -> Iterator[Rewrite]:
    """What all hypotheses propose for a class."""
    for hypothesis in HYPOTHESES:
        try:
            yield from list(hypothesis(source))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, StopIteration, RecursionError, OverflowError,
                UnicodeDecodeError):
            continue  # a form of code that this one does not understand: the others may
