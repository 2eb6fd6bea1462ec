"""Options whose default differs between torch and MLX, and that a line leaves out."""

from __future__ import annotations

from collections.abc import Iterator

from .called import calls
from .source import Rewrite, Source, number

#: function -> (option, what torch's default is in MLX's words)
DEFAULTS = {
    "meshgrid": (("indexing", '"ij"'),),
    "cross_entropy": (("reduction", '"mean"'), ("axis", "1")),
    "huber_loss": (("reduction", '"mean"'),),
    "nll_loss": (("reduction", '"mean"'),),
    "kl_div_loss": (("reduction", '"mean"'),),
    "binary_cross_entropy": (("with_logits", "False"),),
    "triplet_loss": (("reduction", '"mean"'),),
    "cosine_similarity_loss": (("reduction", '"mean"'),),
    "hinge_loss": (("reduction", '"mean"'),),
    "leaky_relu": (("negative_slope", "0.1"), ("negative_slope", "0.2"), ("negative_slope", "0.3")),
    "cumsum": (("reverse", "True"), ("inclusive", "False")),
    "cumprod": (("reverse", "True"), ("inclusive", "False")),
    "elu": (("alpha", "0.5"),),
    "full": (("dtype", "mx.float32"),),
    "argmax": (("keepdims", "True"),),
    "argmin": (("keepdims", "True"),),
    "linspace": (("dtype", "mx.float32"),),
}


def left_out_options(source: Source) -> Iterator[Rewrite]:
    """An option that MLX's function needs to do as torch's."""
    for call in calls(source, *DEFAULTS):
        for option, value in DEFAULTS[call.name]:
            given = call.keyword(option)
            if given is None:
                edit = source.add_argument(call.node, f"{option}={value}")
            elif source.read(given) != value:
                edit = source.put(given, value)
            else:
                continue
            yield Rewrite("default that differs", f"torch's {call.name} has {option}={value} here", (edit,), 0.4)
    for call in calls(source, "meshgrid", "cumsum", "cumprod", "linspace", "cross_entropy"):
        for word in call.node.keywords:
            yield Rewrite("default that differs", f"torch's {call.name} has no {word.arg}={source.read(word.value)}",
                          (source.remove_argument(call.node, word),), 0.8)
    for call in calls(source, "leaky_relu", "LeakyReLU", "elu", "ELU", "softplus"):
        for value in (0.01, 0.1, 0.2, 0.3, 1.0, *source.baseline_numbers):
            given = call.argument(
                1 if call.name[0].islower() else 0, "negative_slope" if "eaky" in call.name else "alpha"
            )
            if given is not None and number(given) != value:
                yield Rewrite(
                    "negative slope", f"torch's slope is {value} here", (source.put(given, repr(value)),), 0.3
                )
