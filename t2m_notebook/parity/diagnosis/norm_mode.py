"""Norms: statistics of the batch or the stored ones, groups as torch makes them, dropout left on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import called, calls, constructors, layer_calls
from .source import Rewrite, Source, is_own

MODE = "norm statistics, train or eval"


def group_norm(source: Source) -> Iterator[Rewrite]:
    """MLX's GroupNorm groups other channels together unless told to do as PyTorch."""
    for _, call in constructors(source, "GroupNorm"):
        given = call.keyword("pytorch_compatible")
        if given is None:
            yield Rewrite("GroupNorm grouping", "MLX's GroupNorm groups other channels: pytorch_compatible=True",
                          (source.add_argument(call.node, "pytorch_compatible=True"),), 0)
        elif isinstance(given, ast.Constant) and not given.value:
            yield Rewrite("GroupNorm grouping", "MLX's GroupNorm groups other channels: pytorch_compatible=True",
                          (source.put(given, "True"),), 0)


def train_or_eval(source: Source) -> Iterator[Rewrite]:
    """Statistics of this batch where torch uses the stored ones, or a mode set in the wrong place."""
    for node in source.of(ast.Expr):
        if isinstance(node.value, ast.Call) and called(node.value).name in ("train", "eval"):
            gone = source.remove_statement(node)
            if gone:
                yield Rewrite(MODE, f"{source.read(node)} sets the mode; torch's does not", (gone,), 0)
            call = node.value
            if called(call).name == "train" and isinstance(call.func, ast.Attribute):
                yield Rewrite(MODE, "torch's norms run in eval mode",
                              ((*source.span(call), f"{source.read(call.func.value)}.eval()"),), 0.1)
    for call in calls(source, "train"):
        receiver = call.node.func
        if isinstance(receiver, ast.Attribute) and not isinstance(source.parents.get(call.node), ast.Expr):
            yield Rewrite(
                MODE, "torch's layer is in eval mode", (source.put(call.node, source.read(receiver.value)),), 0.2
            )
    for node in source.of(ast.Attribute):
        if node.attr == "training" and is_own(node) and not source.in_init(node) and isinstance(node.ctx, ast.Load):
            for text in ("False", "True", "not self.training"):
                yield Rewrite(MODE, f"torch takes the other branch: {text}", (source.put(node, text),), 0.5)
    for node in source.of(ast.Assign):
        if any(is_own(t) and t.attr in ("training", "_training") for t in node.targets):  # type: ignore[attr-defined]
            gone = source.remove_statement(node)
            if gone:
                yield Rewrite(MODE, "the line sets the mode; torch's does not", (gone,), 0)
    for name in source.layers:
        if not source.is_array(name) or "running" not in name:
            continue
        word = "mean" if "mean" in name else "var"
        for call in calls(source, word):
            for text in (f"self.{name}", f"self.{name}[:, None, None]"):
                yield Rewrite(MODE, f"in eval mode torch uses the stored self.{name}, not the batch's",
                              (source.put(call.node, text),), 0.2)
    for call in layer_calls(source):
        if source.constructor(call.name) == "BatchNorm" and len(call.args) == 1:
            value, layer = source.operand(call.args[0]), f"self.{call.name}"
            text = (f"({value} - {layer}.running_mean) * mx.rsqrt({layer}.running_var + {layer}.eps) * {layer}.weight"
                    f" + {layer}.bias")
            yield Rewrite(
                MODE, f"in eval mode torch's {layer} uses its stored statistics", (source.put(call.node, text),), 1
            )
    for call in calls(source, "layer_norm", "instance_norm", "batch_norm", "normalize"):
        given = call.keyword("training")
        if isinstance(given, ast.Constant):
            yield Rewrite(MODE, "torch normalises in the other mode", (source.put(given, str(not given.value)),), 0.1)
    for _, call in constructors(source, "BatchNorm"):
        given = call.keyword("track_running_stats")
        if given is not None:
            yield Rewrite(MODE, "torch's norm keeps running statistics",
                          (source.remove_argument(call.node, next(
                              k for k in call.node.keywords if k.value is given)),), 0.1)
        else:
            yield Rewrite(MODE, "torch's norm has no running statistics",
                          (source.add_argument(call.node, "track_running_stats=False"),), 0.8)


def dropout_left_on(source: Source) -> Iterator[Rewrite]:
    """A layer made inside the forward is in train mode: its dropout drops."""
    for call in calls(source):
        if call.owner in ("nn", "") and call.name.startswith("Dropout") and not source.in_init(call.node):
            use = source.parents.get(call.node)
            if isinstance(use, ast.Call) and use.args:
                yield Rewrite(
                    "dropout left on",
                    "a Dropout made inside the forward is in train mode; torch's drops nothing",
                    (source.put(use, source.operand(use.args[0])),),
                    0,
                )
        if call.name in ("bernoulli", "dropout") and isinstance(source.parents.get(call.node), ast.BinOp):
            parent = source.parents[call.node]
            other = parent.left if parent.right is call.node else parent.right  # type: ignore[attr-defined]
            yield Rewrite("dropout left on", "torch drops nothing in eval mode",
                          (source.put(parent, source.operand(other)),), 0.2)


def other_norm(source: Source) -> Iterator[Rewrite]:
    """Another kind of norm."""
    kinds = {"LayerNorm": ("RMSNorm",), "RMSNorm": ("LayerNorm",), "BatchNorm": ("InstanceNorm", "LayerNorm"),
             "InstanceNorm": ("BatchNorm", "LayerNorm"), "GroupNorm": ("LayerNorm",)}
    for attribute, call in constructors(source, *kinds):
        torch_class = str(source.facts.get(attribute, {}).get("class", ""))
        for other in kinds[call.name]:
            known = bool(torch_class) and torch_class.startswith(other)
            yield Rewrite("another norm", f"torch's norm is a {torch_class if known else other}, not a {call.name}",
                          (source.put(call.node.func, f"nn.{other}"),), 0.3 if known else 1.5)
    for call in calls(source, "layer_norm", "rms_norm"):
        texts = source.arguments(call.node)
        if call.name == "layer_norm" and len(texts) >= 4:
            yield Rewrite("another norm", "torch's norm does not subtract the mean",
                          (source.put(call.node, f"mx.fast.rms_norm({texts[0]}, {texts[1]}, {texts[-1]})"),), 1.2)
        if call.name == "rms_norm" and len(texts) >= 3:
            for bias in ["None", *(f"self.{n}" for n in source.layers if "bias" in n)]:
                yield Rewrite(
                    "another norm",
                    "torch's norm subtracts the mean",
                    (source.put(call.node, f"mx.fast.layer_norm({texts[0]}, {texts[1]}, {bias}, {texts[-1]})"),),
                    1.2,
                )
        for argument in call.args[1:3]:
            if source.read(argument) == "None":
                for name in source.layers:
                    if source.is_array(name):
                        yield Rewrite(
                            "missing bias" if "bias" in name else "missing scale",
                            f"torch's norm uses self.{name}",
                            (source.put(argument, f"self.{name}"),),
                            0.3 if name in source.unused else 1.5,
                        )
            else:
                yield Rewrite(
                    "extra term", "torch's norm has no weight or bias here", (source.put(argument, "None"),), 1.8
                )
