"""Reads the line of a magic: its words, its options, and the model and inputs that the words name."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .errors import BadExample, NotAModule

_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass
class Call:
    """A magic's line, read and evaluated: the subject (a model, a port), its inputs, and the options."""

    subject: Any
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    text: str = ""  # the subject and its inputs as they were written


@dataclass(frozen=True)
class Option:
    """An ``--option``: what it does, and what its value is called when it takes one."""

    meaning: str
    value: str = ""


HELP, DEBUG = Option("show this"), Option("show the traceback of an error")


def split_words(line: str) -> list[str]:
    """``line`` cut at spaces and commas that stand outside brackets and quotes.

    >>> split_words("model torch.randn(1, 3) mask=m[:, 0]")
    ['model', 'torch.randn(1, 3)', 'mask=m[:, 0]']
    """
    words, start, open_brackets, position = [], 0, [], 0
    while position < len(line):
        character = line[position]
        if character in "'\"":
            position = _end_of_string(line, position)
            continue
        if character in _CLOSING:
            open_brackets.append(_CLOSING[character])
        elif character in ")]}":
            if not open_brackets or open_brackets.pop() != character:
                raise BadExample(f"There is a {character} too many: {line.strip()}")
        elif not open_brackets and (character.isspace() or character == ","):
            words.append(line[start:position])
            start = position + 1
        position += 1
    if open_brackets:
        raise BadExample(f"A {open_brackets[-1]} is missing: {line.strip()}")
    return [word for word in (*words, line[start:]) if word]


def _end_of_string(line: str, start: int) -> int:
    """The position after the string literal that opens at ``start``."""
    quote = line[start] * 3 if line.startswith(line[start] * 3, start) else line[start]
    position = start + len(quote)
    while position < len(line):
        if line[position] == "\\":
            position += 2
        elif line.startswith(quote, position):
            return position + len(quote)
        else:
            position += 1
    raise BadExample(f"A string isn't closed: {line[start:]}")


def separate_options(name: str, line: str, options: Mapping[str, Option], names: dict[str, Any],
                     ) -> tuple[list[str], dict[str, Any]]:
    """The words of ``line`` without its options, and each given option with its value or True.

    A value is taken as written; in quotes or brackets it is Python: ``--save out``,
    ``--save "my models/out"``, ``--save (folder / "out")``.
    """
    words, given = [], {}
    rest = iter(split_words(line))
    for word in rest:
        if not word.startswith("--"):
            words.append(word)
            continue
        flag, equals, value = word.removeprefix("--").partition("=")
        if flag not in options:
            near = difflib.get_close_matches(flag, options, n=1)
            known = ", ".join(f"--{option}" for option in options)
            hint = f"did you mean --{near[0]}?" if near else f"there are {known}."
            raise BadExample(f"%{name} has no option --{flag}; {hint}")
        if not options[flag].value:
            if equals:
                raise BadExample(f"--{flag} takes no value.")
            given[flag] = True
            continue
        value = value if equals else next(rest, "")
        if not value or value.startswith("--"):
            raise BadExample(f"--{flag} needs a value: --{flag} {options[flag].value}.")
        given[flag] = _option_value(value, names)
    return words, given


def _option_value(text: str, names: dict[str, Any]) -> str:
    if text[0] in "'\"(" or text[:2].lower() in ("f'", 'f"', "r'", 'r"'):
        return str(value_of(text, names))
    return text


def model_call(name: str, words: list[str], names: dict[str, Any]) -> Call:
    """The model and its inputs that ``words`` name."""
    if not words:
        raise NotAModule(f"Say which model: %{name} model x. %{name} --help tells more.")
    values, kwargs = [], {}
    for word in words:
        if word.startswith("*"):
            _unpack(word, value_of(word.lstrip("*"), names), values, kwargs)
            continue
        keyword, equals, expression = word.partition("=")
        if equals and keyword.isidentifier() and not expression.startswith("="):
            if keyword in kwargs:
                raise BadExample(f"{keyword}= is given twice.")
            kwargs[keyword] = value_of(expression, names)
        elif kwargs:
            raise BadExample(f"Positional input {word} stands after {next(reversed(kwargs))}=; "
                             "put it before.")
        else:
            values.append(value_of(word, names))
    if not values or not isinstance(values[0], nn.Module):
        got = f"{words[0]} is {described(values[0])}" if values else "no positional argument was given"
        raise NotAModule(f"The first argument has to be the model, a torch.nn.Module; {got}. "
                         f"For instance: %{name} model x")
    return Call(values[0], tuple(values[1:]), kwargs)


def _unpack(word: str, value: Any, values: list, kwargs: dict[str, Any]) -> None:
    """``*args`` and ``**kwargs``, as in a call."""
    if word.startswith("**"):
        if not isinstance(value, Mapping):
            raise BadExample(f"{word} needs a dict; it is {described(value)}.")
        kwargs.update(value)
    elif isinstance(value, (tuple, list)):
        values.extend(value)
    else:
        raise BadExample(f"{word} needs a tuple or a list; it is {described(value)}.")


def value_of(expression: str, names: dict[str, Any]) -> Any:
    """``expression`` evaluated among the user's names."""
    try:
        code = compile(ast.parse(expression, mode="eval"), "<%t2m>", "eval")
    except (SyntaxError, ValueError) as error:
        reason = getattr(error, "msg", error)
        raise BadExample(f"Can't read {expression!r} ({reason}). Put an expression with spaces in brackets, "
                         "as in (x + 1), and write keyword inputs without spaces, as in mask=m.") from None
    try:
        return eval(code, names)
    except NameError as error:
        near = difflib.get_close_matches(error.name or "", [n for n in names if not n.startswith("_")], n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise BadExample(f"{error}.{hint}") from error
    except Exception as error:
        raise BadExample(f"{expression} raised {type(error).__name__}: {error}") from error


def described(value: Any) -> str:
    name = "the class itself, not an instance" if isinstance(value, type) else type(value).__name__
    return name if isinstance(value, type) else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
