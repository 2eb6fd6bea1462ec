"""A weight used in the layout of the other framework; square and cubic ones load without a complaint."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import called, calls, layer_calls
from .source import Rewrite, Source, is_own, last_name

KIND = "weight not transposed"
#: permutations between convolution weights: OIHW to OHWI and back, the same for 1-d and 3-d, and transposed ones
CONVOLUTIONS = ((0, 2, 3, 1), (0, 3, 1, 2), (1, 2, 3, 0), (3, 1, 2, 0), (0, 2, 1), (1, 2, 0), (2, 1, 0),
                (0, 2, 3, 4, 1), (0, 4, 1, 2, 3), (1, 2, 3, 4, 0), (0, 2, 1, 3), (0, 1, 3, 2))


def matrix_weight(source: Source) -> Iterator[Rewrite]:
    """``x @ weight`` where torch multiplies by the transposed weight, or the other way round."""
    for node, method in _weights(source):
        if isinstance(node, ast.Attribute) and node.attr == "T":
            yield Rewrite(KIND, f"{source.read(node.value)} is already in the layout that this product needs: no .T",
                          (source.put(node, source.operand(node.value)),), 0.1)
            continue
        if method == "swapaxes":
            yield Rewrite(KIND, "the weight is already in the layout that this product needs",
                          (source.put(node, source.operand(called(node).args[0])),), 0.3)
            continue
        text = source.operand(node)
        yield Rewrite(KIND, f"{text} is (out, in): the product needs {text}.T", (source.put(node, f"{text}.T"),), 0.1)
        yield Rewrite(KIND, f"the last two axes of {text} must be exchanged for this product",
                      (source.put(node, f"{text}.swapaxes(-1, -2)"),), 0.5)


def linear_of_the_other_layout(source: Source) -> Iterator[Rewrite]:
    """A Linear whose weight came from a layer that keeps it as (in, out)."""
    for call in layer_calls(source):
        if source.constructor(call.name) not in ("Linear", "Conv1D") or len(call.args) != 1:
            continue
        layer, value = f"self.{call.name}", source.operand(call.args[0])
        made = called(source.layers[call.name]) if isinstance(source.layers[call.name], ast.Call) else None
        bias = made.argument(2, "bias") if made else None
        without = isinstance(bias, ast.Constant) and bias.value is False
        for text in (f"{layer}.weight", f"{layer}.weight.T"):
            yield Rewrite(KIND, f"the weight of {layer} lies the other way round: multiply by {text}",
                          (source.put(call.node, f"{value} @ {text}" + ("" if without else f" + {layer}.bias")),),
                          0.4 if text.endswith("weight") else 2)


def convolution_weight(source: Source) -> Iterator[Rewrite]:
    """A convolution weight in torch's order (out, in, height, width) where MLX wants (out, height, width, in)."""
    for call in calls(source, "conv1d", "conv2d", "conv3d", "conv_general", "conv_transpose1d", "conv_transpose2d",
                      "conv_transpose3d"):
        if len(call.args) < 2:
            continue
        weight = call.args[1]
        inner = called(weight) if isinstance(weight, ast.Call) else None
        if inner is not None and inner.name in ("transpose", "moveaxis", "swapaxes"):
            yield Rewrite(KIND, "the convolution weight is already in MLX's order: no transpose",
                          (source.put(weight, source.operand(inner.args[0])),), 0.2)
            continue
        for place, axes in enumerate(CONVOLUTIONS):
            if "1d" not in call.name or len(axes) == 3:
                yield Rewrite(KIND, f"the convolution weight is in torch's order: transpose{axes}",
                              (source.put(weight, f"{source.operand(weight)}.transpose{axes}"),), 0.2 + 0.1 * place)
    for call in layer_calls(source):
        kind = source.constructor(call.name)
        if not kind.startswith("Conv") or not kind.endswith("d") or len(call.args) != 1:
            continue
        made = next(n for n in ast.walk(source.layers[call.name]) if isinstance(n, ast.Call))
        keywords = {k.arg: source.read(k.value) for k in made.keywords if k.arg}
        options = "".join(f", {name}={keywords[name]}" for name in ("stride", "padding", "dilation", "groups")
                          if name in keywords)
        bias = "" if keywords.get("bias") == "False" else f" + self.{call.name}.bias"
        function = "mx.conv_transpose" if kind.startswith("ConvT") else "mx.conv"
        for axes in CONVOLUTIONS:
            if len(axes) == int(kind[-2]) + 2 if kind[-2].isdigit() else False:
                weight = f"self.{call.name}.weight.transpose{axes}"
                yield Rewrite(KIND, f"the weight of self.{call.name} was loaded in torch's order: transpose{axes}",
                              (source.put(call.node, f"{function}{kind[-2:]}({source.read(call.args[0])}, {weight}"
                                          f"{options}){bias}"),), 1.2)


def transposed_parameter(source: Source) -> Iterator[Rewrite]:
    """Any parameter of the class, read with its axes exchanged."""
    for name, uses in source.uses.items():
        for node in uses if source.is_array(name) else ():
            if not isinstance(source.parents.get(node), ast.Attribute):
                for axes in (".T", ".swapaxes(-1, -2)", ".transpose(0, 2, 1)", ".transpose(0, 2, 3, 1)",
                             ".transpose(0, 3, 1, 2)", ".reshape(1, 1, 1, -1)", ".reshape(1, -1, 1, 1)", "[:, None]"):
                    yield Rewrite(
                        KIND if "reshape" not in axes and "None" not in axes else "broadcast along another axis",
                        f"self.{name} must be read as self.{name}{axes} here",
                        (source.put(node, f"self.{name}{axes}"),),
                        1.3,
                    )


def _weights(source: Source) -> Iterator[tuple[ast.expr, str]]:
    """Operands of products that hold a parameter."""
    operands: list[ast.expr] = []
    for node in source.of(ast.BinOp):
        if isinstance(node.op, ast.MatMult):
            operands += [node.right, node.left]
    for call in calls(source, "matmul", "addmm", "linear", "inner", "tensordot"):
        operands += call.args
    for node in operands:
        inner = node.value if isinstance(node, ast.Attribute) and node.attr == "T" else node
        method = ""
        if isinstance(inner, ast.Call) and last_name(inner.func) in ("swapaxes", "transpose"):
            method, inner = "swapaxes", called(inner).args[0]
        if isinstance(inner, ast.Name) and "weight" in inner.id or isinstance(inner, ast.Attribute) and (
                is_own(inner) or "weight" in inner.attr or "embed" in inner.attr):
            yield node, method
