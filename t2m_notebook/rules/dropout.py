"""Dropout. A layer stays, so that the port can be trained; a function that ran in eval mode leaves no trace."""

from torch import nn as torch_nn

from .expression import blocks, nn
from .layouts import CHANNELS_LAST, POINTWISE, Layout
from .registry import caveat, layer, op
from .spatial import SPATIAL

_STREAM = "MLX draws other random numbers than torch: compare in eval mode"


def _layer(cls, build, layout: Layout) -> None:
    def dropout_layer(m):
        """The identity in eval mode; in training MLX draws its own random numbers."""
        if m.training and 0 < m.p < 1:
            caveat(_STREAM)
        return blocks.DropAll() if m.p == 1 else build(m.p)

    layer(cls, layout=layout)(dropout_layer)


_layer(torch_nn.Dropout, lambda p: nn.Dropout(p=p), POINTWISE)
_layer(torch_nn.Dropout1d, lambda p: blocks.DropChannels(p=p), SPATIAL[1])
_layer(torch_nn.Dropout2d, lambda p: nn.Dropout2d(p=p), SPATIAL[2])
_layer(torch_nn.Dropout3d, lambda p: nn.Dropout3d(p=p), SPATIAL[3])
_layer(torch_nn.AlphaDropout, lambda p: blocks.DropToAlpha(p=p), POINTWISE)
_layer(torch_nn.FeatureAlphaDropout, lambda p: blocks.DropToAlpha(p=p, channels=True), CHANNELS_LAST)


def _function(names: tuple[str, ...], block: str, layout: Layout, default: bool, **extra) -> None:
    def dropout(input, p=0.5, training=default, inplace=False):
        """Nothing is emitted where it ran in eval mode or with p=0."""
        if not training or p == 0:
            return input
        if p < 1:
            caveat(_STREAM)
        return getattr(blocks, block)(input, p, **extra)

    op(*names, layout=layout)(dropout)


_function(("torch.nn.functional.dropout",), "drop_elements", POINTWISE, True)
_function(("torch.nn.functional.dropout1d",), "drop_channels", SPATIAL[1], True)
_function(("torch.nn.functional.dropout2d", "torch.feature_dropout"), "drop_channels", CHANNELS_LAST, True)
_function(("torch.nn.functional.dropout3d",), "drop_channels", SPATIAL[3], True)
_function(("torch.nn.functional.alpha_dropout",), "drop_to_alpha", POINTWISE, False)
_function(("torch.nn.functional.feature_alpha_dropout",), "drop_to_alpha", CHANNELS_LAST, False, channels=True)
