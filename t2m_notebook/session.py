"""The engine's front desk: one port in progress, and the verbs that start one."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib.util
import inspect
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .analysis import Analysis, Progress, analyze, as_whole_model, input_summary, versions
from .capture import Recording, argument_names, check_model, normalise, record
from .capture.leaves import is_leaf
from .capture.module_state import attributes_restored
from .coverage import coverage_of
from .parity.choosing import right_at_most_sizes
from .parity.examples import fresh
from .parity.process import Worker
from .parity.recordings import recordings_of
from .types import AnalysisReport, ModuleNode, PortedClass, PortSummary
from .types.shown import ShowsItself, Views
from .verdicts import judge_of

if TYPE_CHECKING:
    from .capture.trace_result import Trace
    from .parity.checkpoint_marks import Seen
    from .parity.live import LiveChecks
    from .parity.report import ParityReport
    from .port import LayoutPlan
    from .port.cells import Cell, Cells
    from .types import CellCheck, WeightRow
    from .types.health import HealthReport
    from .weights.plan import Receipt

__all__ = ["Analysis", "Port", "analyze", "port", "versions"]


def port(model: torch.nn.Module, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, name: str | None = None,
         progress: Progress | None = None) -> Port:
    """Port ``model`` to MLX, guided by one run on an example. See :class:`Port`.

    Raises a :class:`~t2m_notebook.errors.T2MError`. A class that can't be ported whole is a
    stub that raises with the reason; ``Port.problems`` lists them.
    """
    check_model(model)
    args, kwargs = normalise(args, kwargs)
    if is_leaf(model):
        model = as_whole_model(model)
    if progress:
        progress("recording", 0, 1)
    with _uncollected():
        with attributes_restored(model):
            example, _ = record(model, *fresh(args, kwargs), keep="boundaries")
        worker = Worker()
        try:
            worker.start()  # it is ready when the port is written
            recordings = recordings_of(example, args, kwargs)
            if progress:
                progress("writing MLX", 0, 1)
            made = Port(recordings.best, args, kwargs, example=example, name=name, progress=progress, worker=worker)
        except BaseException:
            worker.close()
            raise
    if recordings.others and not made.problems:
        made = right_at_most_sizes(made, recordings, lambda recording: Port(
            recording, args, kwargs, example=example, name=made.name, progress=progress))
        made.last_report, made._measured = None, ""
    if progress:
        progress("writing MLX", 1, 1)
    return made


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for reference cycles: what a port is made of stays, and with torch
    loaded each search takes a third of a second."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


class Port(ShowsItself):
    """A ported model: classes, weights, and what was measured of them."""

    def __init__(self, recording: Recording, args: tuple, kwargs: dict[str, Any], *, example: Recording | None = None,
                 name: str | None = None, progress: Progress | None = None, worker: Worker | None = None):
        from .port import write
        from .weights.files import WeightsFile
        from .weights.plan import convert
        self.recording, self.args, self.kwargs = recording, args, kwargs
        self.example = example or recording
        self.name = name or type(recording.model).__name__
        self.progress = progress
        self.versions = versions()
        self.date = time.strftime("%Y-%m-%d")
        self.written = write(recording)
        self.weights = convert(self.written.moves, self.written.tensors)
        self.weights_file = WeightsFile(self.weights)  # made once, for parity, live checks and save
        self.last_report: ParityReport | None = None
        self.folder: Path | None = None  # where it was saved last
        self._worker = worker
        self._analysis: AnalysisReport | None = None
        self._live: LiveChecks | None = None
        self._sources: dict[tuple[tuple[str, str], ...], str] = {}  # edits -> the whole file
        self._measured: str = ""  # the text that parity last compared
        self._unsettled: set[str] = set()  # classes edited since the whole model was last compared
        self._listeners: list[Callable[[Port], None]] = []
        self._health: Seen | None = None  # what the last health run saw at the checkpoints

    @property
    def model(self) -> torch.nn.Module:
        """The torch model, untouched."""
        return self.recording.model

    @property
    def origin(self) -> str:
        """The torch class that was ported."""
        cls = type(self.model)
        return f"{cls.__module__}.{cls.__qualname__}"

    @functools.cached_property
    def receipts(self) -> list[Receipt]:
        """One for each tensor of the torch model: where it went, how, and a checksum."""
        from .weights.plan import receipts_of
        return receipts_of(self.written.moves, self.written.tensors, self.weights)

    @property
    def problems(self) -> list[str]:
        """Classes that could not be ported, a sentence each; empty for a whole port."""
        return self.written.problems

    @property
    def layout(self) -> LayoutPlan:
        """The axis order of every value and the transposes that remain, with reasons."""
        return self.written.plan

    @functools.cached_property
    def cells(self) -> Cells:
        """The classes by name, in dependency order: ``p.cells["BasicBlock"].source``, ``.reset()``,
        ``.undo()``, ``.diff()``."""
        from .port.cells import Cell, Cells
        from .port.whole_file import class_sources
        sources = class_sources(self.written.groups)
        return Cells([Cell(group.name, text, tuple(group.paths), problem=group.problem, on_change=self._edited)
                      for group, text in zip(self.written.groups, sources, strict=True)])

    @property
    def source(self) -> str:
        """The whole standalone ``model.py``, with the cells as they are now."""
        from .port.checkpoints import without_checkpoints
        from .port.whole_file import file_source
        edits = tuple(self.cells.edits.items()) if "cells" in vars(self) else ()
        if edits not in self._sources:
            self._sources = {key: text for key, text in self._sources.items() if not key}  # one edited text is enough
            texts = {name: without_checkpoints(text) for name, text in edits}
            self._sources[edits] = file_source(self.written.groups, self._header(), texts)
        return self._sources[edits]

    @property
    def source_with_checkpoints(self) -> str:
        """The whole file with the checkpoints of the cells left in: what a health run watches."""
        from .port.whole_file import file_source
        return file_source(self.written.groups, self._header(), self.cells.edits)

    @property
    def generated_source(self) -> str:
        """The whole file as it was generated, whatever the cells say now."""
        from .port.whole_file import file_source
        if () not in self._sources:
            self._sources[()] = file_source(self.written.groups, self._header())
        return self._sources[()]

    def _header(self) -> str:
        orders = self.written.plan.orders
        lines = [f"{self.name} in MLX, ported from the PyTorch class {self.origin} by t2m_notebook on {self.date}.", "",
                 "Versions: " + ", ".join(f"{k} {v}" for k, v in self.versions.items()) + ".",
                 "Measured parity with torch is in manifest.json; check.py measures it again."]
        lines += [f"Input {path}: torch's axes permuted by {orders[index]}." for path, index, _ in self.written.inputs
                  if list(orders[index]) != sorted(orders[index])]
        lines += ["Not ported: " + problem for problem in self.problems]
        text = "\n".join(lines)
        return text.replace("\\", "/").replace('"', "'") + "\n"

    @property
    def manifest(self) -> dict[str, Any]:
        """What ``manifest.json`` holds."""
        from .port.artefact import manifest
        return manifest(self)

    @property
    def analysis(self) -> AnalysisReport:
        """The module tree as the rules see it, not yet measured; with the checkpoints in edited cells as marks."""
        if self._analysis is None:
            named = argument_names(self.model, self.args, self.kwargs)
            self._analysis = coverage_of(self.model, self.example, input_summary(named))
        return dataclasses.replace(self._analysis, root=self.with_marks(self._analysis.root))

    def with_marks(self, root: ModuleNode) -> ModuleNode:
        """A tree of this port with the checkpoints that are in its cells now, and what they saw last."""
        from .parity.checkpoint_marks import marked, marks_of
        return marked(root, marks_of(self, self._health) if "cells" in vars(self) else {})

    def take_checkpoints(self, report: HealthReport) -> None:
        """Note what a health run of the MLX side saw at the checkpoints: the tree shows it."""
        from .parity.checkpoint_marks import seen_by_health
        self._health = seen_by_health(self, report)
        self._tell()

    @property
    def summary(self) -> PortSummary:
        """All that can be said of the port in plain values; what its faces show."""
        first, *transposes = str(self.layout).splitlines()
        classes = tuple(PortedClass(cell.name, cell.paths, len(cell.source.splitlines()), cell.kind, cell.problem)
                        for cell in self.cells.values())
        made = PortSummary(
            self.name, self.origin, self.analysis, classes, len(self.weights),
            sum(tensor.numel() * tensor.element_size() for tensor in self.weights.values()), first,
            tuple(line.strip() for line in transposes), tuple(self.problems), folder=str(self.folder or ""),
            versions=self.versions)
        if self.last_report is None:
            return made
        data = self.last_report.data
        measured = dataclasses.replace(self.analysis, root=self.with_marks(data.root), counts=data.counts)
        return dataclasses.replace(
            made, analysis=measured, ok=data.ok, worst=data.worst, results=data.results, notes=data.notes,
            first_divergence=data.first_divergence, diagnosis=data.diagnosis, seconds=data.seconds)

    def parity(self, *, isolate: bool = True, vary: bool = True) -> ParityReport:
        """Measure the port against torch in the worker process.

        ``isolate`` compares each module call on the inputs that torch fed it; the whole model
        is always compared end to end; ``vary`` does so again at another batch size and, where
        torch takes it, another length or image size.
        """
        from .parity.measure import measure
        source = self.source
        with _uncollected():
            self.last_report = measure(self, isolate=isolate, vary=vary)
        self._measured = source
        self._unsettled.clear()
        self._tell()
        return self.last_report

    def trace(self, *, values: bool = True) -> Trace:
        """Torch here and the generated code in the worker, on the port's example: one row where both
        did the same operation, with shapes, strides, memory, values and the difference."""
        from .capture.trace_result import Trace
        from .parity.trace_port import trace_port
        return Trace(trace_port(self, lambda recorder: judge_of(recorder.recording), values=values))

    # -- live editing -----------------------------------------------------------------------

    @property
    def live(self) -> LiveChecks:
        """The live checks of this port; ``port.live.start()`` makes them ready."""
        from .parity.live import LiveChecks
        if self._live is None:
            self._live = LiveChecks(self)
        return self._live

    def check(self, name: str, source: str | None = None, *, tolerance: float = 1.0,
              explain: bool = True) -> CellCheck:
        """Take over ``source`` as the text of class ``name`` and compare that class alone with torch.

        Each configuration of the class is built with the converted weights and run, in the live
        worker, on what torch's module was given; the classes that it uses are the generated ones.
        ``tolerance`` multiplies the allowed difference. With ``explain`` a class that differs is
        searched for the place where it parts and for a fix.
        """
        cell = self.cells[name]
        if source is not None:
            cell.set(source)
        found = self.live.check(name, cell.source, tolerance, explain)
        self._tell()
        return found

    def checked(self, name: str) -> CellCheck | None:
        """The last check of class ``name``; None where its cell has another text by now, or was not checked."""
        live = self._live
        return live.last.get(name) if live is not None and live.texts.get(name) == self.cells[name].source else None

    def settle(self, *, tolerance: float = 1.0) -> ParityReport:
        """Compare what the edits since the last time may have changed: their classes, those above
        them and the whole model, with every cell as it is now, on the small example."""
        from .parity.live_report import merged
        changed, self._unsettled = set(self._unsettled), set()
        results = self.live.settle(self.cells.edits, changed, tolerance) if changed else []
        self.last_report = merged(self, results)
        self._tell()
        return self.last_report

    @property
    def unsettled(self) -> frozenset[str]:
        """The classes that were edited since the whole model was last compared."""
        return frozenset(self._unsettled)

    def edit(self, name: str, source: str, *, tolerance: float = 1.0) -> ParityReport:
        """Give class ``name`` another text, and compare again what depends on it.

        The report has the place where the class parts from torch as ``first_divergence`` and
        what probably is the matter as ``diagnosis``. Raises ``KeyError`` for an unknown class.
        """
        self.check(name, source, tolerance=tolerance)
        return self.settle(tolerance=tolerance)

    def weight_table(self) -> tuple[WeightRow, ...]:
        """Every parameter and buffer: torch's name and shape, MLX's, axes, and whether they match."""
        from .parity.weight_rows import weight_table
        return weight_table(self, self._live.last if self._live is not None else {})

    def torch_source(self, name: str) -> str:
        """The source of the torch class that cell ``name`` was ported from; empty where Python has none."""
        cls = next(group.cls for group in self.written.groups if group.name == self.cells[name].name)
        try:
            return inspect.getsource(cls)
        except (OSError, TypeError):
            return ""

    def listen(self, listener: Callable[[Port], None]) -> Callable[[], None]:
        """Call ``listener(port)`` after each edit, check and comparison. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def _edited(self, cell: Cell) -> None:
        self._unsettled.add(cell.name)
        self._tell()

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener(self)

    @property
    def worker(self) -> Worker:
        """The process that runs generated code; started when first needed."""
        if self._worker is None:
            self._worker = Worker()
        return self._worker

    def build(self) -> Any:
        """The port as an ``mlx.nn.Module`` with weights, in this process."""
        from .port.artefact import write_files
        with tempfile.TemporaryDirectory(prefix="t2m_") as folder:
            write_files(self, Path(folder))
            spec = importlib.util.spec_from_file_location("t2m_port", f"{folder}/model.py")
            module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
            spec.loader.exec_module(module)  # type: ignore[union-attr]
            model = module.load(folder)
            import mlx.core as mx
            mx.eval(model.parameters())
            return model

    def save(self, folder: str, *, measure: bool = True) -> Path:
        """Write the artefact: ``model.py``, ``weights.safetensors``, ``manifest.json``,
        ``example.safetensors``, ``check.py``. With ``measure`` parity runs first, if it did not yet."""
        from .port.artefact import save
        if measure and self._measured != self.source:
            self.parity()
        self.folder = save(self, folder)
        return self.folder

    def notebook(self, file: str | Path) -> Path:
        """Write the classes as cells of a notebook that runs from top to bottom in any front-end.

        Its first cells, which make the model, are taken from the history of the shell where it has
        them; else there is one to fill in. In a notebook that is there already, edited cells stay.
        Raises :class:`~t2m_notebook.errors.CannotSave`.
        """
        from .port_notebook import write_notebook
        return write_notebook(self, file)

    def close(self) -> None:
        """End the worker processes."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._live is not None:
            self._live.close()
            self._live = None
        self.weights_file.close()

    def __repr__(self) -> str:
        state = f"{len(self.problems)} classes not ported" if self.problems else f"{len(self.weights)} weights"
        measured = f", {self.last_report!r}" if self.last_report is not None else ", not measured"
        return f"Port({self.name}: {len(self.written.groups)} classes, {state}{measured})"

    def _views(self) -> Views:
        from .render.port import port_html, port_rich, port_text
        return Views(port_text, port_rich, port_html, self.summary)
