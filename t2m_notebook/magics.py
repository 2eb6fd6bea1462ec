"""``%t2m_analyze`` and its siblings: the verbs of the package in a notebook.

A magic is one method of :class:`T2MMagics` decorated with :func:`verb`. The decorator reads the line,
evaluates what it names in the user's namespace, shows progress and then the result in one place,
and tells what the user got wrong in a few lines without a traceback.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, needs_local_scope, no_var_expand
from IPython.display import display, publish_display_data
from torch import nn

from .capture.trace_result import Trace
from .cell_numbers import number_cells
from .errors import BadExample, T2MError
from .gradient_graphs import autograd
from .magic_completion import OPTIONS, SUBJECTS, complete
from .magic_line import DEBUG, HELP, Call, Option, separate_options
from .magic_outputs import RESULTS, page_outputs
from .magic_subjects import LOSS, MODEL, MODEL_OR_PORT, PORT, subject_call
from .open_ports import OpenPorts
from .parity.report import ParityReport
from .progress import PageProgress, Progress, terminal_progress
from .seeing import trace
from .session import Analysis, Port, analyze, port
from .target import saving_place, writing
from .torchvision_shim import declare_missing_operators
from .types import GradientGraph
from .types.health import HealthReport
from .types.memory import MemoryReport


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
        OPTIONS[name], SUBJECTS[name] = known, {PORT: Port, LOSS: torch.Tensor}.get(subject, nn.Module)

        @functools.wraps(method)
        def magic(self: T2MMagics, line: str, local_ns: dict | None = None) -> Any:
            try:
                names = {**self.shell.user_global_ns, **self.shell.user_ns, **(local_ns or {})}
                words, given = separate_options(name, line, known, names)
                if "help" in given:
                    print(help_text(name, subject, method, known))
                    return None
                call = subject_call(subject, name, words, names, self.ports)
                call.options, call.text = {option: given.get(option) for option in known}, " ".join(words)
                return self.run(functools.partial(method, self, call), slow)
            except T2MError as error:
                if "--debug" not in line.split():
                    without_traceback(error)
                raise

        return line_magic(name)(no_var_expand(needs_local_scope(magic)))

    return decorate


@magics_class
class T2MMagics(Magics):
    """The magics of ``%load_ext t2m_notebook``."""

    def __init__(self, shell):
        super().__init__(shell)
        self._shown: list[Any] = []  # results that are on the page and may come back through Out[n]
        self.ports = OpenPorts()

    @property
    def on_page(self) -> bool:
        """True when there is a page that can show widgets; False in a terminal."""
        return hasattr(self.shell, "kernel")

    def run(self, work: Callable[[Progress], Any], slow: bool = False) -> Any:
        """Does ``work`` with a progress bar, displays its result in the bar's place, and returns it."""
        if self.on_page:
            with PageProgress(at_once=slow) as progress:
                result = work(progress)
                progress.show(page_outputs(result))
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
        for data, metadata in page_outputs(result):
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
          no_vary="compare at the example's own size alone",
          cells="lay the classes out as cells below (in JupyterLab and Notebook 7; this is the default)",
          no_cells="don't lay the classes out as cells",
          notebook=Option("write the classes as cells of this notebook, for any front-end", "FILE"))
    def t2m_port(self, call: Call, progress: Progress) -> Port:
        """Port a model to MLX, compare the port with torch node by node, and show the verdicts.

        %t2m_port model x                    the model and its inputs, as you would call it: model(x)
        %t2m_port model ids mask=mask --save out
        p = %t2m_port model x                keeps the port: p.cells, p.source, p.save("out")

        The model is run a few times, at other batch and input sizes too where it takes them. In JupyterLab each
        MLX class then stands in a cell below, and is checked while you edit it. Run again, cells that you edited
        stay as they are.
        """
        options = call.options
        if options["cells"] and options["no-cells"]:
            raise BadExample("--cells and --no-cells contradict each other.")
        folder = saving_place(options["save"]) if options["save"] else None
        if options["eval"]:
            call.subject.eval()
        made = port(call.subject, call.args, call.kwargs, name=options["name"], progress=progress)
        self.ports.add(made, call.text)
        try:
            with self.measuring(made, progress):
                if not options["no-parity"]:
                    made.parity(vary=not options["no-vary"])
                if folder is not None:
                    progress("saving", 0, 1)
                    with writing(folder):
                        made.save(str(folder), measure=not options["no-parity"])
                if self.on_page and not options["no-cells"]:
                    self.ports.keep(made)
                    with contextlib.suppress(T2MError):  # the first check says what is the matter
                        made.live.start()
        finally:
            self.ports.tell("added", made)
        if options["notebook"]:
            made.notebook(options["notebook"])
        if not options["no-cells"]:
            self.ports.tell("laid out", made)
        return made

    @verb(PORT, slow=True, no_isolate="compare the whole model only, not module by module",
          no_vary="compare at the example's own size alone")
    def t2m_parity(self, call: Call, progress: Progress) -> ParityReport:
        """Compare a port with torch again: the ladder, every comparison, and the tree.

        %t2m_parity                          the last port that %t2m_port made
        %t2m_parity p                        this one; a port's name does too
        report = %t2m_parity p               keeps the report: report.ok, report.results
        """
        with self.measuring(call.subject, progress):
            report = call.subject.parity(isolate=not call.options["no-isolate"], vary=not call.options["no-vary"])
        self.ports.tell("measured", call.subject)
        return report

    @verb(LOSS, no_mlx="leave MLX's side out")
    def t2m_autograd(self, call: Call, progress: Progress) -> GradientGraph:
        """Show the autograd graph behind a loss, step through its backward pass, and MLX's side of it.

        %t2m_autograd loss                   a tensor; variables give the names
        %t2m_autograd loss p                 with the port p: the loss was made from what its model returned
        %t2m_autograd p                      the sum of the results of the port's own example
        %t2m_autograd model x                the same of any model; a port is made for MLX's side
        graph = %t2m_autograd loss           keeps the graph: graph.nodes, graph.mlx

        Nothing changes: no .grad, and loss.backward() still works afterwards.
        """
        made = call.kwargs.get("port")
        with self.measuring(made, progress) if made is not None else contextlib.nullcontext():
            return autograd(call.subject, **call.kwargs, mlx=not call.options["no-mlx"],
                            progress=None if made is not None else progress)

    @verb(MODEL_OR_PORT, backward="look at the backward pass, too")
    def t2m_health(self, call: Call, progress: Progress) -> HealthReport:
        """Say which operation made the first NaN or Inf, and how close values are to their dtype's limits.

        %t2m_health model x                  one forward; the model stays as it was
        %t2m_health model x --backward       and the backward pass, from the sum of the results or the model's loss
        %t2m_health p                        both sides of a port, on its own example
        report = %t2m_health model x         keeps the report: report.first, report.tensors, report.to_pandas()

        For a training loop: with t2m.watch(model, optimizer=optimizer): ...
        """
        from .seeing import health

        return health(call.subject, call.args, call.kwargs, backward=bool(call.options["backward"]))

    @verb(MODEL_OR_PORT, optimizer=Option("whose state to count: adamw, sgd, ...; adamw without it", "NAME"),
          inference="measure the forward alone")
    def t2m_memory(self, call: Call, progress: Progress) -> MemoryReport:
        """Show where memory goes: parameters, gradients, optimizer state, activations; measured and predicted.

        %t2m_memory model x                  inference and a training step, on copies; the model stays as it was
        %t2m_memory p                        both sides of a port
        report = %t2m_memory model x         keeps the report: report.parts, report.to_pandas()
        """
        from .seeing import memory

        return memory(call.subject, call.args, call.kwargs, optimizer=call.options["optimizer"] or "adamw",
                      training=not call.options["inference"])

    @no_var_expand
    @cell_magic
    def t2m_pending(self, line: str, cell: str) -> None:
        """Run the cell and show, while it runs, how many bytes MLX has been asked for and has not calculated.

        %%t2m_pending
        for x in batches: ...

        Says where an mx.eval belongs when the graph of several rounds of a loop piles up.
        """
        from .seeing import pending

        if "--help" in line.split():
            print(inspect.getdoc(self.t2m_pending))
            return
        widget = None
        if self.on_page:
            from .widgets.memory import PendingWidget

            widget = PendingWidget()
            display(widget)
        with pending(widget.update if widget is not None else None) as watched:
            done = self.shell.run_cell(cell, store_history=False)
        if widget is None:
            print(watched)
        if done.error_in_exec is not None:
            raise done.error_in_exec

    @verb(MODEL_OR_PORT, no_values="don't take mean, minimum, maximum, NaN and Inf counts",
          eval="put the model into eval mode first")
    def t2m_trace(self, call: Call, progress: Progress) -> Trace:
        """Run a model once and show every operation: line, module, shapes, strides, memory, values.

        %t2m_trace model x                   torch's side, and the MLX form of each operation
        %t2m_trace p                         a port, or its name: torch and MLX side by side
        tr = %t2m_trace model x              keeps the trace: tr.rows, tr.where(copies=True)

        A forward that raises shows the rows up to there.
        """
        values = not call.options["no-values"]
        if isinstance(call.subject, Port):
            with self.measuring(call.subject, progress):
                return trace(call.subject, values=values)
        if call.options["eval"]:
            call.subject.eval()
        return trace(call.subject, call.args, call.kwargs, values=values, progress=progress)

    @contextlib.contextmanager
    def measuring(self, made: Port, progress: Progress) -> Iterator[None]:
        """While the block runs, ``made`` is this thread's alone and tells ``progress`` how far it is.

        After an interruption its worker may still be about to answer: the next question goes to a new one.
        """
        with self.ports.exclusive(made):
            made.progress = progress
            try:
                yield
            except KeyboardInterrupt:
                made.close()
                raise
            finally:
                made.progress = None


def register(shell) -> None:
    """Adds the magics to ``shell``; ``load_ipython_extension`` calls it. Calling it again changes nothing."""
    if isinstance(shell.magics_manager.registry.get("T2MMagics"), T2MMagics):
        return
    declare_missing_operators()
    number_cells(shell)
    magics = T2MMagics(shell)
    shell.register_magics(magics)
    for kind in RESULTS:
        shell.display_formatter.ipython_display_formatter.for_type(kind, magics.display_unless_shown)
    shell.events.register("post_run_cell", magics.forget_shown)
    shell.Completer.custom_matchers.append(complete)


def help_text(name: str, subject: str, method: Callable, options: dict[str, Option]) -> str:
    """What ``--help`` prints."""
    flags = [(f"--{flag} {option.value}".strip(), option.meaning) for flag, option in options.items()]
    wide = max(len(flag) for flag, _ in flags) + 2
    lines = [f"  {flag:<{wide}}{meaning}" for flag, meaning in flags]
    return "\n".join([f"%{name} {subject}", "", inspect.getdoc(method) or "", "", *lines])


def without_traceback(error: T2MError) -> None:
    """Makes IPython print ``error`` as its message alone."""
    title = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__).strip().capitalize()
    lines = [f"\x1b[1;31m{title}:\x1b[0m {error}"]
    error._render_traceback_ = lambda: lines
