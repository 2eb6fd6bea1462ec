"""Analyse a model: run it once, ask the rules, show the tree."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import inspect
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .capture import Recording, argument_names, check_model, normalise, record
from .capture.recording import DTYPE_NAMES
from .capture.tensors import deep_tensors
from .capture.tree import places
from .coverage import coverage_of
from .errors import ForwardFailed
from .inspection.starting import starts_model
from .types import AnalysisReport, MissingOperation, ModuleNode, shape_text, to_json
from .types.shown import ShowsItself, Views

Progress = Callable[[str, int, int], None]


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("t2m_notebook", "torch", "mlx", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


class Analysis(ShowsItself):
    """What :func:`analyze` found. Shows itself as a tree in a terminal and a notebook."""

    def __init__(self, report: AnalysisReport, recording: Recording | None = None):
        self.report = report
        self.recording = recording

    @property
    def tree(self) -> ModuleNode:
        """The root of the analysed module tree."""
        return self.report.root

    @property
    def counts(self) -> dict[str, int]:
        """Number of modules of each status."""
        return self.report.counts

    @property
    def coverage(self) -> float:
        """Share of the operations that ran which have a rule, 0 to 1."""
        return self.report.coverage

    @property
    def missing(self) -> tuple[MissingOperation, ...]:
        """Operations without a rule or refused, the most frequent first."""
        return self.report.missing

    def to_json(self, indent: int | None = None) -> str:
        """The report as JSON; ``types.from_json(AnalysisReport, text)`` reads it back."""
        return to_json(self.report, indent)

    def __repr__(self) -> str:
        mapped = self.counts["MAPPED"] + self.counts["PROVEN"]
        return (f"Analysis({self.tree.class_name}: {mapped} of {sum(self.counts.values())} modules mapped, "
                f"coverage {self.coverage:.1%}, {len(self.missing)} operations missing)")

    def _views(self) -> Views:
        from .render.tree import tree_html, tree_rich, tree_text
        return Views(tree_text, tree_rich, tree_html, self.report)


def input_summary(named: list[tuple[str, Any]]) -> tuple[str, ...]:
    """``x: 1×3×224×224 float32`` for every tensor of an example."""
    return tuple(f"{path}: {shape_text(tensor.shape)} {DTYPE_NAMES[tensor.dtype]}"
                 for name, value in named for path, tensor in deep_tensors(value, name))


def analyze(model: torch.nn.Module, args: Any = (), kwargs: Mapping[str, Any] | None = None, *,
            structure_only: bool = False, progress: Progress | None = None) -> Analysis:
    """Run ``model`` once on an example and say, node by node, what has a rule.

    ``args`` is a tensor or a tuple, ``kwargs`` a dict, as for ``torch.export``. With
    ``structure_only``, or for a model whose forward takes arguments when no example is
    given, nothing runs and the tree is shown from structure alone.

    Raises a :class:`~t2m_notebook.errors.T2MError`; a :class:`ForwardFailed` carries the tree
    of what ran until then as ``error.analysis``.
    """
    started = time.perf_counter()
    check_model(model)
    args, kwargs = normalise(args, kwargs)
    named = argument_names(model, args, kwargs)
    notes: tuple[str, ...] = ()
    recording = None
    if not (args or kwargs) and not structure_only and not _takes_nothing(model):
        structure_only = True
        notes = ("no example input: shown from structure alone; pass one to see what runs",)
    if not structure_only:
        total = sum(1 for _ in places(model))
        report = (lambda done: progress("recording", min(done, total), total)) if progress else None
        try:
            recording, _ = record(model, args, kwargs, progress=report)
        except ForwardFailed as error:
            failed = coverage_of(model, error.recording, input_summary(named), (str(error),))
            error.analysis = Analysis(_finished(failed, started), error.recording)  # type: ignore[attr-defined]
            raise
    if progress:
        progress("asking the rules", 0, 1)
    report = coverage_of(model, recording, input_summary(named), notes)
    if progress:
        progress("asking the rules", 1, 1)
    return Analysis(_finished(report, started), recording)


def _finished(report: AnalysisReport, started: float) -> AnalysisReport:
    return dataclasses.replace(report, seconds=time.perf_counter() - started, versions=versions())


def _takes_nothing(model: torch.nn.Module) -> bool:
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return False
    if type(model).forward is torch.nn.Module.forward or not hasattr(type(model), "forward"):
        return False
    return not any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
                   for p in parameters) and not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def as_whole_model(layer: torch.nn.Module) -> torch.nn.Module:
    """A single layer as a model of one layer, with the layer's own argument names: a port's
    root is always a class of its own."""
    @starts_model  # its line is no source of the model
    def forward(self, *args, **kwargs):
        return self.layer(*args, **kwargs)

    own = inspect.signature(layer.forward)
    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    forward.__signature__ = own.replace(parameters=[first, *own.parameters.values()])  # type: ignore[attr-defined]
    cls = type(f"{type(layer).__name__}Model", (torch.nn.Module,), {"forward": forward})
    whole = cls()
    whole.layer = layer
    return whole.train(layer.training)
