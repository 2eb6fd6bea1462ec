"""An option of a layer: stride, padding, groups, mode, a flag, or another layer of the same sort."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .called import calls, constructors
from .source import Rewrite, Source, number, numbers

KIND = "layer option"
#: options with MLX's default, which a port may need to give: layer -> {option: other values}
LEFT_OUT: dict[str, dict[str, tuple]] = {
    "Conv1d": {"stride": (2,), "padding": (1, 2, 3), "dilation": (2,)},
    "Conv2d": {"stride": (2,), "padding": (1, 2, 3), "dilation": (2,)},
    "Conv3d": {"stride": (2,), "padding": (1, 2)},
    "ConvTranspose1d": {"stride": (2,), "padding": (1,), "output_padding": (1,)},
    "ConvTranspose2d": {"stride": (2,), "padding": (1,), "output_padding": (1,)},
    "MaxPool2d": {"stride": (1, 2), "padding": (1,)},
    "AvgPool2d": {"stride": (1, 2), "padding": (1,)},
    "MaxPool1d": {"stride": (1, 2), "padding": (1,)},
    "AvgPool1d": {"stride": (1, 2), "padding": (1,)},
    "Upsample": {"mode": ("linear", "cubic"), "align_corners": (True,)},
    "RoPE": {"traditional": (True,), "base": (500000.0, 1000000.0, 100.0), "scale": (0.5,)},
    "MultiHeadAttention": {"bias": (True,)},
    "LeakyReLU": {"negative_slope": (0.1, 0.2, 0.3)},
    "StackedLSTM": {"batch_first": (True,)},
    "StackedGRU": {"batch_first": (True,)},
    "StackedRNN": {"batch_first": (True,)},
    "TransformerEncoderLayer": {"norm_first": (False,)},
    "ELU": {"alpha": (0.5,)},
}
WORDS = {"mode": ("nearest", "linear", "cubic", "constant", "reflect", "edge"), "padding_mode": ("zeros", "reflect")}
SISTERS = ({"MaxPool1d": "AvgPool1d", "MaxPool2d": "AvgPool2d", "MaxPool3d": "AvgPool3d"})
#: torch's name of an option where MLX's differs
TORCH_NAMES = {"dims": "normalized_shape", "approx": "approximate"}


def wrong_option(source: Source) -> Iterator[Rewrite]:
    """Torch's own value first, then the other values that an option commonly has."""
    for attribute, call in constructors(source):
        facts = _facts(source, attribute)
        for word in call.node.keywords:
            if word.arg is None or word.arg in ("eps", "bias", "approx"):
                continue
            for cost, text in _values(source, word, facts):
                yield Rewrite(_kind(word.arg, call.name), f"{call.name} has {word.arg}={source.read(word.value)} here, "
                              f"torch {text}", (source.put(word.value, text),), cost)
            yield Rewrite(_kind(word.arg, call.name), f"torch's {call.name} has no {word.arg} here",
                          (source.remove_argument(call.node, word),), 1.5)
        for option, values in LEFT_OUT.get(call.name, {}).items():
            if call.keyword(option) is None:
                own = [v for v in (facts.get(option),) if isinstance(v, (int, float, bool, str))]
                for place, value in enumerate([*own, *values]):
                    yield Rewrite(_kind(option, call.name), f"torch's {call.name} has {option}={value!r}",
                                  (source.add_argument(call.node, f"{option}={_text(value)}"),),
                                  0.2 if own and place == 0 else 0.9 + 0.1 * place)
        for argument in call.args[:4]:
            if number(argument) is not None and call.name.endswith(("Pool2d", "Pool1d", "Pool3d", "GroupNorm")):
                for other in (2, 3, 1, 4, 7, 8, 16, 32):
                    if other != number(argument):
                        yield Rewrite(KIND, f"{call.name} has {source.read(argument)} here, torch {other}",
                                      (source.put(argument, str(other)),), 1.2)
    for call in calls(source):
        for word in call.node.keywords:
            if word.arg and isinstance(word.value, ast.Constant) and isinstance(word.value.value, bool) \
                    and word.arg not in ("keepdims", "bias") and not source.in_init(call.node):
                yield Rewrite(_kind(word.arg, call.name), f"torch does the opposite of {word.arg}={word.value.value}",
                              (source.put(word.value, str(not word.value.value)),), 0.5)


def other_layer(source: Source) -> Iterator[Rewrite]:
    """Max pooling for average pooling, and the reverse."""
    pairs = {**SISTERS, **{b: a for a, b in SISTERS.items()}}
    for attribute, call in constructors(source, *pairs):
        other = pairs[call.name]
        yield Rewrite("another pooling", f"torch's {attribute or 'layer'} is {other}, not {call.name}",
                      (source.put(call.node.func, source.read(call.node.func).replace(call.name, other)),), 0.3)


def number_of_layers(source: Source) -> Iterator[Rewrite]:
    """A list of layers that is too short or too long."""
    for node in source.of(ast.ListComp):
        for part in node.generators:
            if isinstance(part.iter, ast.Call) and source.in_init(node) and len(part.iter.args) == 1:
                count = number(part.iter.args[0])
                for other in (count + 1, count - 1, *(int(n) for n in source.baseline_numbers if n == int(n))
                              ) if isinstance(count, int) else ():
                    yield Rewrite("number of layers", f"torch has {other} layers here, not {count}",
                                  (source.put(part.iter.args[0], str(other)),), 0.8)


def _facts(source: Source, attribute: str) -> dict:
    found: dict = {}
    for path, facts in source.facts.items():
        if path == attribute or (attribute and path.startswith(attribute + ".")):
            found |= {k: v for k, v in facts.items() if k not in found}
    return found


def _values(source: Source, word: ast.keyword, facts: dict) -> Iterator[tuple[float, str]]:
    value, name = word.value, word.arg or ""
    torch_value = facts.get(TORCH_NAMES.get(name, name))
    if isinstance(torch_value, tuple) and len(set(torch_value)) == 1 and number(value) is not None:
        torch_value = torch_value[0]
    if isinstance(torch_value, (bool, int, float, str, tuple)) and source.read(value) != _text(torch_value):
        yield 0.1, _text(torch_value)
    if isinstance(value, ast.Constant) and isinstance(value.value, bool):
        yield 0.5, str(not value.value)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        for place, other in enumerate(WORDS.get(name, ())):
            if other != value.value:
                yield 0.5 + 0.1 * place, f'"{other}"'
    elif isinstance(number(value), int):
        now = number(value)
        near = [n for n in (now + 1, now - 1, now * 2, now // 2, 1, 0, 2, 3) if n >= 0 and n != now]  # type: ignore[operator]
        for place, other in enumerate(dict.fromkeys(near)):
            yield 0.9 + 0.1 * place, str(other)
    elif numbers(value) is not None and len(numbers(value) or ()) == 2:
        first, second = numbers(value)  # type: ignore[misc]
        for other in ((second, first), (first, first), (second, second)):
            if other != (first, second):
                yield 0.8, str(other)
    elif isinstance(value, ast.Name):  # a constructor's own argument
        for name in source.names_before(value):
            if name != value.id:
                yield 1.2, name


def _kind(option: str, layer: str) -> str:
    if option in ("mode", "align_corners") and layer == "Upsample":
        return "upsampling mode"
    if option == "count_include_pad":
        return "padding counted in the average"
    if option == "traditional":
        return "rotary layout"
    return (
        option.replace("_", " ")
        if option
        in (
            "stride",
            "padding",
            "dilation",
            "groups",
            "batch_first",
            "bidirectional",
            "negative_slope",
            "output_padding",
            "scale",
            "base",
        )
        else KIND
    )


def _text(value) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
