"""The engine's front desk: one port in progress, and the verbs that start one."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import inspect
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .analysis import Analysis, Progress, analyze, input_summary, versions
from .capture import Recording, argument_names, check_model, normalise, record, refs
from .capture.generalise import generalise, same_program
from .capture.leaves import is_leaf
from .coverage import coverage_of
from .errors import T2MError
from .parity.examples import fresh, other_examples
from .types import AnalysisReport, PortedClass, PortSummary

if TYPE_CHECKING:
    from .parity.process import Worker
    from .parity.report import ParityReport
    from .port import LayoutPlan

__all__ = ["Analysis", "Cell", "Port", "analyze", "port", "versions"]


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
    example, _ = record(model, *fresh(args, kwargs), keep="boundaries")
    recording, others = generic_recording(example, args, kwargs)
    if progress:
        progress("writing MLX", 0, 1)
    made = Port(recording, args, kwargs, example=example, name=name, progress=progress)
    if others and not made.problems and not made.parity(isolate=False).ok:
        made = _more_general(made, others)
    if progress:
        progress("writing MLX", 1, 1)
    return made


def as_whole_model(layer: torch.nn.Module) -> torch.nn.Module:
    """A single layer as a model of one layer, with the layer's own argument names: a port's
    root is always a class of its own."""
    def forward(self, *args, **kwargs):
        return self.layer(*args, **kwargs)

    own = inspect.signature(layer.forward)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    forward.__signature__ = own.replace(parameters=[first, *own.parameters.values()])  # type: ignore[attr-defined]
    cls = type(f"{type(layer).__name__}Model", (torch.nn.Module,), {"forward": forward})
    whole = cls()
    whole.layer = layer
    return whole.train(layer.training)


def generic_recording(example: Recording, args: tuple, kwargs: dict[str, Any]) -> tuple[Recording, list[Recording]]:
    """The recording to write from: the example's, with numbers that follow the input's size
    found by recording at other sizes. A size of one (a batch of 1, a map shrunk to 1×1) tells
    nothing of where it belongs, so the recording with the fewest ones is taken. A model in
    train mode is run once only, as every run changes it. Also gives the recordings at sizes
    at which the model took another path."""
    if example.training:
        return example, []
    same, different = [], []
    explained: set[str] = set()
    for number, (what, other_args, other_kwargs) in enumerate(other_examples(args, kwargs)):
        if what in explained:
            continue
        try:
            with torch.random.fork_rng(devices=[]):
                other, _ = record(example.model, *fresh(other_args, other_kwargs), keep="boundaries")
        except T2MError:
            continue  # torch does not take this size
        assert other.root is not None
        example.expected[number] = [other.tensors[index] for index in refs(other.root.outputs)]
        if not same_program(example, other):
            different.append(other)
            continue
        explained.add(what)
        same.append(other)
    best = min([example, *same], key=_ones)
    for other in [*same, example]:
        if other is not best:
            generalise(best, other)
            if other is not example:
                other.tensors.clear()  # they can be many times the weights
    for one in different:
        for other in different:
            if other is not one and same_program(one, other):
                generalise(one, other)
    return best, different


def _ones(recording: Recording) -> int:
    """How many dimensions of a recording's values are one."""
    return sum(value.shape.count(1) for value in recording.values)


def _more_general(made: Port, others: list[Recording]) -> Port:
    """A model may leave out a step at one size (no resampling when the size is the weights'
    own) that is harmless there: then what it runs at another size is right for both."""
    for other in others:
        candidate = Port(other, made.args, made.kwargs, example=made.example, name=made.name, progress=made.progress)
        if not candidate.problems and candidate.parity(isolate=False).ok:
            candidate.last_report = None
            made.close()
            return candidate
        candidate.close()
    made.last_report = None
    return made


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """The generated source of one class."""

    name: str
    source: str
    paths: tuple[str, ...]
    kind: str = "from the recording"
    problem: str = ""


class Port:
    """A ported model: classes, weights, and what was measured of them."""

    def __init__(self, recording: Recording, args: tuple, kwargs: dict[str, Any], *, example: Recording | None = None,
                 name: str | None = None, progress: Progress | None = None):
        from .port import write
        from .weights.plan import convert
        self.recording, self.args, self.kwargs = recording, args, kwargs
        self.example = example or recording
        self.name = name or type(recording.model).__name__
        self.progress = progress
        self.versions = versions()
        self.date = time.strftime("%Y-%m-%d")
        self.written = write(recording)
        self.weights, self.receipts = convert(self.written.moves, self.written.tensors)
        self.last_report: ParityReport | None = None
        self.folder: Path | None = None  # where it was saved last
        self._worker: Worker | None = None
        self._analysis: AnalysisReport | None = None

    @property
    def model(self) -> torch.nn.Module:
        """The torch model, untouched."""
        return self.recording.model

    @property
    def origin(self) -> str:
        """The torch class that was ported."""
        cls = type(self.model)
        return f"{cls.__module__}.{cls.__qualname__}"

    @property
    def problems(self) -> list[str]:
        """Classes that could not be ported, a sentence each; empty for a whole port."""
        return self.written.problems

    @property
    def layout(self) -> LayoutPlan:
        """The axis order of every value and the transposes that remain, with reasons."""
        return self.written.plan

    @functools.cached_property
    def cells(self) -> dict[str, Cell]:
        """The generated classes by name, in dependency order."""
        from .port.whole_file import class_sources
        sources = class_sources(self.written.groups)
        return {group.name: Cell(group.name, text, tuple(group.paths), problem=group.problem)
                for group, text in zip(self.written.groups, sources, strict=True)}

    @functools.cached_property
    def source(self) -> str:
        """The whole standalone ``model.py``."""
        from .port.whole_file import file_source
        return file_source(self.written.groups, self._header())

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
        """The module tree as the rules see it, not yet measured."""
        if self._analysis is None:
            named = argument_names(self.model, self.args, self.kwargs)
            self._analysis = coverage_of(self.model, self.example, input_summary(named))
        return self._analysis

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
        measured = dataclasses.replace(self.analysis, root=data.root, counts=data.counts)
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
        self.last_report = measure(self, isolate=isolate, vary=vary)
        return self.last_report

    @property
    def worker(self) -> Worker:
        """The process that runs generated code; started when first needed."""
        from .parity.process import Worker
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
        if measure and self.last_report is None:
            self.parity()
        self.folder = save(self, folder)
        return self.folder

    def close(self) -> None:
        """End the worker process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __repr__(self) -> str:
        state = f"{len(self.problems)} classes not ported" if self.problems else f"{len(self.weights)} weights"
        measured = f", {self.last_report!r}" if self.last_report is not None else ", not measured"
        return f"Port({self.name}: {len(self.written.groups)} classes, {state}{measured})"

    def __str__(self) -> str:
        from .render.port import port_text
        return port_text(self.summary)

    def __rich__(self) -> Any:
        from .render.port import port_rich
        return port_rich(self.summary)

    def _repr_html_(self) -> str:
        from .render.port import port_html
        return port_html(self.summary)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
