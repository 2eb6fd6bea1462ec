"""How numbers and names are written, the same in every view.

A name comes from the user's model and may hold anything. :func:`visible` makes it safe
for one line of a terminal; HTML views escape it on top of that.
"""

from __future__ import annotations

import unicodedata


def visible(text: object) -> str:
    """``text`` on one line: what can't be printed (newlines, terminal escapes, bidi
    overrides, lone surrogates) is written as a Python escape such as ``\\x1b``."""
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def count_text(number: int) -> str:
    """Three digits at most and a unit of a thousand: ``512``, ``9.4 K``, ``25.6 M``."""
    return _scaled(number, 1000, ("", " K", " M", " B", " T"))


def bytes_text(number: int) -> str:
    """Bytes with units of 1024: ``512 B``, ``1.5 KB``, ``97.7 MB``."""
    return _scaled(number, 1024, (" B", " KB", " MB", " GB", " TB", " PB"))


def _scaled(number: int, base: int, units: tuple[str, ...]) -> str:
    if number < base:
        return f"{number}{units[0]}"
    value, unit = float(number), 0
    # 999.96 would be written "1000": carry it to the next unit as a reader would.
    while value >= base - 0.5 and unit < len(units) - 1:
        value, unit = value / base, unit + 1
    return f"{value:.1f}{units[unit]}" if value < 99.95 else f"{value:.0f}{units[unit]}"


def difference_text(difference: float | None) -> str:
    """A measured difference: ``4.1e-02``; ``0`` when equal to the bit; empty when not measured."""
    if difference is None:
        return ""
    return "0" if difference == 0 else f"{difference:.1e}"


def plural(number: int, noun: str) -> str:
    """``1 module``, ``1,024 modules``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def calls_text(calls: int) -> str:
    """``not called``, ``called once``, ``called 3 times``."""
    if calls == 0:
        return "not called"
    return "called once" if calls == 1 else f"called {calls:,} times"


def width(text: str) -> int:
    """Columns that ``text`` takes in a terminal; CJK and emoji take two."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


def clip(text: str, columns: int, mark: str = "…") -> str:
    """``text`` cut to ``columns`` terminal columns, with ``mark`` where something was cut."""
    if width(text) <= columns:
        return text
    kept, used, room = [], 0, columns - len(mark)
    for character in text:
        used += width(character)
        if used > room:
            break
        kept.append(character)
    return "".join(kept) + mark if room > 0 else mark[:max(columns, 0)]


def short_description(class_name: str, description: str) -> str:
    """The part of torch's ``extra_repr`` that tells layers apart at a glance.

    ``3, 64, kernel_size=(7, 7), stride=(2, 2), bias=False`` reads ``3→64 7×7 /2 bias=False``.
    Settings that nearly every layer has are left out; text of another form stays as it is.
    """
    description = visible(" ".join(description.split()))
    parts = _split_arguments(description)
    if parts is None:
        return description
    positional = [_size(part) for part in parts if "=" not in part]
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    words = []
    if "in_features" in named and "out_features" in named:
        words.append(f"{named.pop('in_features')}→{named.pop('out_features')}")
    if len(positional) > 1 and class_name.startswith(("Conv", "LSTM", "GRU", "RNN", "Embedding")):
        words.append(f"{positional[0]}→{positional[1]}")
        positional = positional[2:]
    if positional:
        words.append(", ".join(positional))
    for name, value in named.items():
        value = _size(value)
        if name in ("kernel_size", "output_size", "p", "normalized_shape"):
            words.append(value)
        elif name == "stride":
            if set(value.split("×")) != {"1"}:
                words.append(f"/{value.split('×')[0] if len(set(value.split('×'))) == 1 else value}")
        elif name not in _QUIET and (name, value) not in _USUAL:
            words.append(f"{name}={value}")
    return " ".join(words)


_QUIET = {"padding", "eps", "momentum", "inplace", "track_running_stats", "padding_idx"}
_USUAL = {("bias", "True"), ("bias", "False"), ("affine", "True"), ("elementwise_affine", "True"),
          ("dilation", "1"), ("ceil_mode", "False"),
          ("approximate", "'none'"), ("batch_first", "True"), ("dim", "-1")}


def _split_arguments(text: str) -> list[str] | None:
    """``a, b=(1, 2)`` as ``["a", "b=(1, 2)"]``; None when it is not a list of arguments."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth < 0:
            return None
        if character == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    if depth or any(" " in part.split("=")[0].split("(")[0] for part in parts):
        return None
    return [part for part in parts if part]


def _size(value: str) -> str:
    """``(7, 7)`` as ``7×7``; anything else as it is."""
    if value.startswith("(") and value.endswith(")"):
        sizes = [size.strip() for size in value[1:-1].split(",") if size.strip()]
        if sizes and all(size.lstrip("-").isdigit() for size in sizes):
            return "×".join(sizes)
    return value
