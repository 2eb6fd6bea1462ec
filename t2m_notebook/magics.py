"""``%t2m_analyze`` and its siblings: the verbs of the package in a notebook.

A magic is one method of :class:`T2MMagics` decorated with :func:`verb`. The decorator reads the line,
evaluates what it names in the user's namespace, shows progress and then the result in one place,
and tells what the user got wrong in a few lines without a traceback.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import re
import rlcompleter
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from IPython import get_ipython
from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher
from IPython.core.magic import Magics, line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display, publish_display_data
from torch import nn

from .errors import BadExample, NotAPort, T2MError
from .magic_line import DEBUG, HELP, Call, Option, described, model_call, separate_options, value_of
from .parity.report import ParityReport
from .progress import PageProgress, Progress, terminal_progress
from .session import Analysis, Port, analyze, port
from .target import saving_place, writing
from .torchvision_shim import declare_missing_operators

MODEL, PORT = "MODEL [INPUT ...] [NAME=INPUT ...]", "[PORT]"
_OPTIONS: dict[str, dict[str, Option]] = {}  # magic -> its options and what each does
_SUBJECTS: dict[str, type] = {}  # magic -> what its first word is


def verb(subject: str = MODEL, *, slow: bool = False, **options: str | Option):
    """Makes a method ``(self, call, progress)`` the line magic of its own name.

    Its docstring is the help; ``subject`` is what the line names; ``options`` names its ``--flags``
    (an underscore stands for a dash) with what each does; ``--help`` and ``--debug`` are there for every
    verb. What the method returns is displayed once and is the magic's value. ``slow`` shows the progress
    bar at once.
    """
    known = {name.replace("_", "-"): one if isinstance(one, Option) else Option(one)
             for name, one in options.items()} | {"debug": DEBUG, "help": HELP}

    def decorate(method: Callable) -> Callable:
        name = method.__name__
        _OPTIONS[name], _SUBJECTS[name] = known, Port if subject == PORT else nn.Module

        @functools.wraps(method)
        def magic(self: T2MMagics, line: str, local_ns: dict | None = None) -> Any:
            try:
                names = {**self.shell.user_global_ns, **self.shell.user_ns, **(local_ns or {})}
                words, given = separate_options(name, line, known, names)
                if "help" in given:
                    print(_help(name, subject, method, known))
                    return None
                call = self.port_call(name, words, names) if subject == PORT else model_call(name, words, names)
                call.options = {option: given.get(option) for option in known}
                return self.run(functools.partial(method, self, call), slow)
            except T2MError as error:
                if "--debug" not in line.split():
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
        self._last: Port | None = None
        self._ports: weakref.WeakValueDictionary[str, Port] = weakref.WeakValueDictionary()

    @property
    def on_page(self) -> bool:
        """True when there is a page that can show widgets; False in a terminal."""
        return hasattr(self.shell, "kernel")

    def run(self, work: Callable[[Progress], Any], slow: bool = False) -> Any:
        """Does ``work`` with a progress bar, displays its result in the bar's place, and returns it."""
        if self.on_page:
            with PageProgress(at_once=slow) as progress:
                result = work(progress)
                progress.show(_outputs(result))
        else:
            with terminal_progress("Working") as progress:
                result = work(progress)
            display(result)
        self._shown.append(result)
        return result

    def display_unless_shown(self, result: Any) -> None:
        """Display formatter: the live view, but no second showing when the result is also the cell's value."""
        for index, shown in enumerate(self._shown):
            if shown is result:
                del self._shown[index]
                return
        if not self.on_page:
            raise NotImplementedError  # tells IPython to go on to the usual representations
        for data, metadata in _outputs(result):
            publish_display_data(data, metadata)

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
        return analyze(call.subject, call.args, call.kwargs, structure_only=bool(call.options["structure"]),
                       progress=progress)

    @verb(slow=True, name=Option("what to call the port; the model's class without it", "NAME"),
          save=Option("write the port into this folder, which then needs neither torch nor t2m", "DIR"),
          eval="put the model into eval mode first", no_parity="don't compare with torch: nothing will be green",
          no_vary="compare at the example's own size alone")
    def t2m_port(self, call: Call, progress: Progress) -> Port:
        """Port a model to MLX, compare the port with torch node by node, and show the verdicts.

        %t2m_port model x                    the model and its inputs, as you would call it: model(x)
        %t2m_port model ids mask=mask --save out
        p = %t2m_port model x                keeps the port: p.cells, p.source, p.save("out")

        The model is run a few times, at other batch and input sizes too where it takes them.
        """
        options = call.options
        folder = saving_place(options["save"]) if options["save"] else None
        if options["eval"]:
            call.subject.eval()
        made = port(call.subject, call.args, call.kwargs, name=options["name"], progress=progress)
        self._last = self._ports[made.name] = made
        with _measuring(made, progress):
            if not options["no-parity"]:
                made.parity(vary=not options["no-vary"])
            if folder is not None:
                progress("saving", 0, 1)
                with writing(folder):
                    made.save(str(folder), measure=not options["no-parity"])
        return made

    @verb(PORT, slow=True, no_isolate="compare the whole model only, not module by module",
          no_vary="compare at the example's own size alone")
    def t2m_parity(self, call: Call, progress: Progress) -> ParityReport:
        """Compare a port with torch again: the ladder, every comparison, and the tree.

        %t2m_parity                          the last port that %t2m_port made
        %t2m_parity p                        this one; a port's name does too
        report = %t2m_parity p               keeps the report: report.ok, report.results
        """
        with _measuring(call.subject, progress):
            return call.subject.parity(isolate=not call.options["no-isolate"], vary=not call.options["no-vary"])

    def port_call(self, name: str, words: list[str], names: dict[str, Any]) -> Call:
        """The port that ``words`` name: a variable or expression, a port's name, or the last one."""
        if len(words) > 1:
            raise BadExample(f"%{name} takes one port; {words[1]} is one word too many.")
        if not words:
            if self._last is None:
                raise NotAPort(f"There is no port yet. Make one: %t2m_port model x, then %{name}.")
            return Call(self._last)
        if words[0] in self._ports and not isinstance(names.get(words[0]), Port):
            return Call(self._ports[words[0]])
        value = value_of(words[0], names)
        if not isinstance(value, Port):
            near = difflib.get_close_matches(words[0], self._ports, n=1)
            hint = f" Did you mean {near[0]}?" if near else " p = %t2m_port model x makes one."
            raise NotAPort(f"{words[0]} is {described(value)}, not a port.{hint}")
        return Call(value)


def register(shell) -> None:
    """Adds the magics to ``shell``; ``load_ipython_extension`` calls it. Calling it again changes nothing."""
    if isinstance(shell.magics_manager.registry.get("T2MMagics"), T2MMagics):
        return
    declare_missing_operators()
    magics = T2MMagics(shell)
    shell.register_magics(magics)
    for kind in (Analysis, Port, ParityReport):
        shell.display_formatter.ipython_display_formatter.for_type(kind, magics.display_unless_shown)
    shell.events.register("post_run_cell", magics.forget_shown)
    shell.Completer.custom_matchers.append(complete)


def _outputs(result: Analysis | Port | ParityReport) -> list[tuple[dict, dict]]:
    """``(data, metadata)`` of what to put on the page: live views, and plain ones that outlive the kernel."""
    if isinstance(result, Port):
        from .widgets.port import port_outputs

        return port_outputs(result.summary)
    if isinstance(result, ParityReport):
        from .widgets.parity import parity_outputs

        return parity_outputs(result.data)
    from .widgets.tree import TreeWidget

    return TreeWidget(result.report).outputs()


@contextlib.contextmanager
def _measuring(made: Port, progress: Progress) -> Iterator[None]:
    """While the block runs, ``made`` tells ``progress`` how far it is.

    After an interruption its worker may still be about to answer: the next question goes to a new one.
    """
    made.progress = progress
    try:
        yield
    except KeyboardInterrupt:
        made.close()
        raise
    finally:
        made.progress = None


def _help(name: str, subject: str, method: Callable, options: dict[str, Option]) -> str:
    flags = [(f"--{flag} {option.value}".strip(), option.meaning) for flag, option in options.items()]
    wide = max(len(flag) for flag, _ in flags) + 2
    lines = [f"  {flag:<{wide}}{meaning}" for flag, meaning in flags]
    return "\n".join([f"%{name} {subject}", "", inspect.getdoc(method) or "", "", *lines])


def _without_traceback(error: T2MError) -> None:
    """Makes IPython print ``error`` as its message alone."""
    title = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__).strip().capitalize()
    lines = [f"\x1b[1;31m{title}:\x1b[0m {error}"]
    error._render_traceback_ = lambda: lines


# ------------------------------------------------------------------------------- completion


# The word at the cursor starts after a space, a bracket, a comma or an equals sign, not inside a string.
_OUR_MAGIC = re.compile(r"%(?P<name>t2m_\w+)\s(?P<before>(?:.*[\s(\[{,=])?)(?P<word>--[\w-]*|[\w.]*)$")


@context_matcher(identifier="t2m_notebook", priority=100)
def complete(context: CompletionContext) -> dict:
    """Completes the words of our magics, also in ``report = %t2m_analyze mo``, which IPython doesn't.

    The user's names; in the first place those that are models, or ports; attributes after a dot; options after
    ``--``.
    """
    match, shell = _OUR_MAGIC.search(context.line_with_cursor), get_ipython()
    if match is None or shell is None:
        return {"completions": []}
    word, names = match["word"], shell.user_ns
    if word.startswith("--"):
        found = [f"--{option}" for option in _OPTIONS.get(match["name"], ())]
    elif "." in word:
        found = [name.removesuffix("(") for name in rlcompleter.Completer(dict(names)).attr_matches(word)]
    else:
        found = [name for name in names if word or not name.startswith("_")]
        kind = _SUBJECTS.get(match["name"], nn.Module)
        subjects = [name for name in found if isinstance(names[name], kind) and name.startswith(word)]
        found = subjects if subjects and not match["before"].strip() else found
    completions = [SimpleCompletion(name) for name in found if name.startswith(word)]
    return {"completions": completions, "matched_fragment": word, "suppress": bool(completions)}
