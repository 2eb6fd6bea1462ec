"""``%t2m_analyze`` and its siblings: the verbs of the package in a notebook.

A magic is one method of :class:`T2MMagics` decorated with :func:`verb`. The decorator reads the line,
evaluates the model and its inputs in the user's namespace, shows progress and then the result in one place,
and tells what the user got wrong in a few lines without a traceback.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import re
import rlcompleter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from IPython import get_ipython
from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display
from torch import nn

from .errors import BadExample, NotAModule, T2MError
from .progress import PageProgress, Progress, terminal_progress
from .session import Analysis, analyze
from .torchvision_shim import declare_missing_operators

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_OPTIONS: dict[str, dict[str, str]] = {}  # magic -> its options and what each does


@dataclass
class Call:
    """A magic's line, read and evaluated: the model, its inputs, and the options."""

    model: Any
    args: tuple
    kwargs: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)


def verb(**options: str):
    """Makes a method ``(self, call, progress)`` the line magic of its own name.

    Its docstring is the help; ``options`` names its ``--flags`` with what each does; ``--help`` and
    ``--debug`` are there for every verb. What the method returns is displayed once and is the magic's value.
    """

    def decorate(method: Callable) -> Callable:
        name = method.__name__
        _OPTIONS[name] = options

        @functools.wraps(method)
        def magic(self: T2MMagics, line: str, local_ns: dict | None = None) -> Any:
            flags, words = [], []
            try:
                for word in split_words(line):
                    (flags if word.startswith("--") else words).append(word)
                if "--help" in flags:
                    print(_help(name, method, options))
                    return None
                _check_flags(name, flags, options)
                names = {**self.shell.user_global_ns, **self.shell.user_ns, **(local_ns or {})}
                call = _evaluate(name, words, names)
                call.options = {flag: f"--{flag}" in flags for flag in options}
                return self.run(functools.partial(method, self, call))
            except T2MError as error:
                if "--debug" not in flags:
                    _without_traceback(error)
                raise

        return line_magic(name)(no_var_expand(needs_local_scope(magic)))

    return decorate


@magics_class
class T2MMagics(Magics):
    """The magics of ``%load_ext t2m_notebook``."""

    def __init__(self, shell):
        super().__init__(shell)
        self._shown: list[Any] = []  # results that are on the page and may come back through Out[n]

    def run(self, work: Callable[[Progress], Any]) -> Any:
        """Does ``work`` with a progress bar, displays its result in the bar's place, and returns it."""
        if hasattr(self.shell, "kernel"):
            with PageProgress() as progress:
                result = work(progress)
            progress.show(result)
        else:
            with terminal_progress("Working") as progress:
                result = work(progress)
            display(result)
        self._shown.append(result)
        return result

    def display_unless_shown(self, result: Any) -> None:
        """Display formatter: swallows the second showing, when the result is also the cell's value."""
        for index, shown in enumerate(self._shown):
            if shown is result:
                del self._shown[index]
                return
        raise NotImplementedError  # tells IPython to go on to the usual representations

    def forget_shown(self, *_) -> None:
        """After a cell: from now on, displaying a result is a new wish."""
        self._shown.clear()

    @verb(structure="don't run the model, show only its structure")
    def t2m_analyze(self, call: Call, progress: Progress) -> Analysis:
        """Show a model's module tree, and what of it can be ported.

        %t2m_analyze model x                 the model and its inputs, as you would call it: model(x)
        %t2m_analyze model ids mask=mask     keyword inputs too
        %t2m_analyze Net(3) torch.randn(2, 8)
        %t2m_analyze model *args **kwargs
        report = %t2m_analyze model x        keeps the result

        Without inputs only the structure is shown. An expression with spaces goes in brackets: (x + 1).
        """
        return analyze(call.model, call.args, call.kwargs, structure_only=call.options["structure"],
                       progress=progress)


def register(shell) -> None:
    """Adds the magics to ``shell``; ``load_ipython_extension`` calls it. Calling it again changes nothing."""
    if isinstance(shell.magics_manager.registry.get("T2MMagics"), T2MMagics):
        return
    declare_missing_operators()
    magics = T2MMagics(shell)
    shell.register_magics(magics)
    shell.display_formatter.ipython_display_formatter.for_type(Analysis, magics.display_unless_shown)
    shell.display_formatter.mimebundle_formatter.for_type(Analysis, _widget_bundle)
    shell.events.register("post_run_cell", magics.forget_shown)
    shell.Completer.custom_matchers.append(complete)


def _widget_bundle(analysis: Analysis, include=None, exclude=None):
    """The interactive tree, with the plain ones beside it for pages and terminals that can't run it."""
    from .widgets.tree import TreeWidget

    return TreeWidget(analysis.report)._repr_mimebundle_()


# ------------------------------------------------------------------------- reading the line


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


def _check_flags(name: str, flags: list[str], options: dict[str, str]) -> None:
    known = [f"--{option}" for option in (*options, "debug", "help")]
    for flag in flags:
        if flag not in known:
            near = difflib.get_close_matches(flag, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
            raise BadExample(f"%{name} has no option {flag}; {hint}")


def _evaluate(name: str, words: list[str], names: dict[str, Any]) -> Call:
    if not words:
        raise NotAModule(f"Say which model: %{name} model x. %{name} --help tells more.")
    values, kwargs = [], {}
    for word in words:
        if word.startswith("*"):
            _unpack(word, _value(word.lstrip("*"), names), values, kwargs)
            continue
        keyword, equals, expression = word.partition("=")
        if equals and keyword.isidentifier() and not expression.startswith("="):
            if keyword in kwargs:
                raise BadExample(f"{keyword}= is given twice.")
            kwargs[keyword] = _value(expression, names)
        elif kwargs:
            raise BadExample(f"Positional input {word} stands after {next(reversed(kwargs))}=; "
                             "put it before.")
        else:
            values.append(_value(word, names))
    if not values or not isinstance(values[0], nn.Module):
        got = f"{words[0]} is {_a(values[0])}" if values else "no positional argument was given"
        raise NotAModule(f"The first argument has to be the model, a torch.nn.Module; {got}. "
                         f"For instance: %{name} model x")
    return Call(values[0], tuple(values[1:]), kwargs)


def _unpack(word: str, value: Any, values: list, kwargs: dict[str, Any]) -> None:
    """``*args`` and ``**kwargs``, as in a call."""
    if word.startswith("**"):
        if not isinstance(value, Mapping):
            raise BadExample(f"{word} needs a dict; it is {_a(value)}.")
        kwargs.update(value)
    elif isinstance(value, (tuple, list)):
        values.extend(value)
    else:
        raise BadExample(f"{word} needs a tuple or a list; it is {_a(value)}.")


def _value(expression: str, names: dict[str, Any]) -> Any:
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


def _a(value: Any) -> str:
    name = "the class itself, not an instance" if isinstance(value, type) else type(value).__name__
    return name if isinstance(value, type) else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _help(name: str, method: Callable, options: dict[str, str]) -> str:
    described = {**options, "debug": "show the traceback of an error", "help": "show this"}
    lines = [f"  --{option:<12}{meaning}" for option, meaning in described.items()]
    usage = f"%{name} MODEL [INPUT ...] [NAME=INPUT ...]"
    return "\n".join([usage, "", inspect.getdoc(method) or "", "", *lines])


def _without_traceback(error: T2MError) -> None:
    """Makes IPython print ``error`` as its message alone."""
    title = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__).strip().capitalize()
    lines = [f"\x1b[1;31m{title}:\x1b[0m {error}"]
    error._render_traceback_ = lambda: lines


# ------------------------------------------------------------------------------- completion


# The word at the cursor starts after a space, a bracket, a comma or an equals sign, not inside a string.
_OUR_MAGIC = re.compile(r"%(?P<name>t2m_\w+)\s(?P<before>(?:.*[\s(\[{,=])?)(?P<word>(?:--)?[\w.]*)$")


@context_matcher(identifier="t2m_notebook", priority=100)
def complete(context: CompletionContext) -> dict:
    """Completes the words of our magics, also in ``report = %t2m_analyze mo``, which IPython doesn't.

    The user's names; in the model's place those that are models; attributes after a dot; options after
    ``--``.
    """
    match, shell = _OUR_MAGIC.search(context.line_with_cursor), get_ipython()
    if match is None or shell is None:
        return {"completions": []}
    word, names = match["word"], shell.user_ns
    if word.startswith("--"):
        found = [f"--{option}" for option in (*_OPTIONS.get(match["name"], ()), "debug", "help")]
    elif "." in word:
        found = [name.removesuffix("(") for name in rlcompleter.Completer(dict(names)).attr_matches(word)]
    else:
        found = [name for name in names if word or not name.startswith("_")]
        models = [name for name in found if isinstance(names[name], nn.Module) and name.startswith(word)]
        found = models if models and not match["before"].strip() else found
    completions = [SimpleCompletion(name) for name in found if name.startswith(word)]
    return {"completions": completions, "matched_fragment": word, "suppress": bool(completions)}
