"""Which modules are recorded as one call."""

from __future__ import annotations

import torch
from torch import nn

from ..rules import layer_rule

#: torch.nn classes whose forward is a program of its own: recorded from inside.
OPENED = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.Transformer, nn.TransformerEncoder,
          nn.TransformerDecoder, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_leaf(module: nn.Module) -> bool:
    """True for a torch.nn layer, or a layer with a rule, that computes just what its class
    says. A hook, a parametrization (weight_norm), or a forward put on the instance makes it
    a module like any other: what really runs is recorded from inside."""
    cls = type(module)
    if isinstance(module, OPENED) and cls.__module__.startswith("torch.nn.modules."):
        return False
    if "forward" in vars(module) or any(getattr(module, hooks, None) for hooks in _HOOKS):
        return False
    if "parametrizations" in module._modules:
        return False
    if isinstance(module, torch.jit.ScriptModule):
        return True
    return cls.__module__.startswith("torch.nn.modules.") or layer_rule(cls) is not None
