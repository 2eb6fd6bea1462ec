"""Small models, each of one kind that needs a mechanism of the port: name -> (model, args, kwargs).

Random weights, tiny sizes, written the way research code is.
"""

from __future__ import annotations

import torch
from torch import nn

from tests.port.kinds_of_forward import (
    AttendingDecoder,
    CachedDecoder,
    ConvolutionalMemory,
    ExpertsThatWereHit,
    GraphConvolution,
    ImageAttention,
    ModulatedConvolution,
    PartsByNumber,
    PositionsFromLists,
    Quantiser,
    RepeatedRows,
    RotaryComplex,
    StateAfterOutput,
    StepsThroughTime,
)
from tests.port.kinds_of_structure import (
    AwkwardNames,
    LooseParameters,
    MultiheadAttention,
    NestedInputs,
    Normed,
    SharedBlock,
    StructuredResult,
    Variadic,
    WritesThroughViews,
    WritesToData,
)


def _sequential():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(4, 8, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
        nn.Softmax(dim=1))


def _half():
    return nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8)).bfloat16()


#: name -> function giving (model, args, kwargs)
KINDS = {
    "nested_inputs": lambda: (NestedInputs(), ({"x": torch.randn(2, 4), "z": [
        torch.randn(2, 3), torch.randn(2, 1)]},), {}),
    "awkward_names": lambda: (AwkwardNames(), (torch.randn(2, 4),), {}),
    "structured_result": lambda: (StructuredResult(), (torch.randn(2, 4),), {}),
    "writes_through_views": lambda: (WritesThroughViews(), (torch.randn(2, 4),), {}),
    "writes_to_data": lambda: (WritesToData(), (torch.randn(2, 4), torch.rand(2, 4) > 0.5), {}),
    "shared_block": lambda: (SharedBlock(), (torch.randn(2, 4, 9),), {}),
    "loose_parameters": lambda: (LooseParameters(), (torch.randn(2, 6, 4),), {}),
    "normed": lambda: (Normed(), (torch.randn(2, 3, 9),), {}),
    "steps_through_time": lambda: (StepsThroughTime(), (torch.randn(2, 5, 4),), {}),
    "state_after_output": lambda: (StateAfterOutput(), (torch.randn(2, 5, 4),), {}),
    "positions_from_lists": lambda: (PositionsFromLists(), (torch.randn(2, 7, 4),), {}),
    "parts_by_number": lambda: (PartsByNumber(), (torch.randn(5, 2, 8),), {}),
    "repeated_rows": lambda: (RepeatedRows(), (torch.randn(2, 5, 4), torch.randint(0, 4, (2, 5))), {}),
    "experts_that_were_hit": lambda: (ExpertsThatWereHit(), (torch.randn(2, 3, 8),), {}),
    "attending_decoder": lambda: (AttendingDecoder(), (torch.randint(0, 20, (2, 6)), torch.randint(0, 20, (2, 5))), {}),
    "convolutional_memory": lambda: (ConvolutionalMemory(), (torch.randn(2, 4, 3, 8, 8),), {}),
    "cached_decoder": lambda: (CachedDecoder(), (torch.randint(0, 11, (2, 3)), [
        (torch.randn(2, 4, 5, 4), torch.randn(2, 4, 5, 4)) for _ in range(2)]), {}),
    "quantiser": lambda: (Quantiser(), (torch.randn(1, 3, 16, 16),), {}),
    "modulated_convolution": lambda: (ModulatedConvolution(), (torch.randn(2, 8),), {}),
    "image_attention": lambda: (ImageAttention(), (torch.randn(1, 3, 8, 8), torch.tensor([5])), {}),
    "graph_convolution": lambda: (GraphConvolution(), (torch.randn(6, 5), torch.randint(0, 6, (2, 12))), {}),
    "rotary_complex": lambda: (RotaryComplex(), (torch.randn(1, 7, 16),), {}),
    "variadic": lambda: (Variadic(), (torch.randn(2, 4), torch.randn(2, 4)), {"gain": torch.randn(2, 4)}),
    "named_like_a_block": lambda: (MultiheadAttention(), (torch.randn(2, 5, 8),), {}),
    "sequential_root": lambda: (_sequential(), (torch.randn(2, 3, 16, 16),), {}),
    "layer_root": lambda: (nn.Conv2d(3, 4, 3), (torch.randn(1, 3, 8, 8),), {}),
    "bfloat16": lambda: (_half(), (torch.randint(0, 10, (2, 5)),), {}),
}


def build(name: str, seed: int = 0):
    """``(model in eval mode, args, kwargs)`` with norm statistics that matter."""
    torch.manual_seed(seed)
    model, args, kwargs = KINDS[name]()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval(), args, kwargs
