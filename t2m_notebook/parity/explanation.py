"""Where an edited class parts from torch, and what would mend it. Runs in the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlx.core as mx

from .cell_text import line_in, said
from .compare import compare
from .results import arrays_in
from .statements import Parting, Watched, first_parting, narrowed

if TYPE_CHECKING:
    from .edited import Bench


class Explanation:
    """Runs one class again with its statements watched, and with the rewrites of the diagnosis."""

    def __init__(self, bench: Bench):
        self.bench = bench

    def explained(self, name: str, source: str, tolerance: float, seconds: float) -> dict[str, Any]:
        """The answer to the worker's request ``explain``."""
        for check in self.bench.checks.get(name, []):
            trial = self._failing(name, source, check, tolerance)
            if trial is not None:
                break
        else:
            return {"ok": True, "parting": None, "fixes": [], "message": ""}
        parting = self._parting(name, source, check, trial)
        leaves = self._wrong_leaves(name, source, check, tolerance)
        line = parting["line"] if parting else None
        fixes = self._fixes(name, source, check, line, tolerance, seconds)
        return {"ok": True, "parting": parting, "leaves": leaves, "fixes": fixes, "message": "", "path": check["path"],
                "said": trial["said"]}

    def _failing(self, name: str, source: str, check: dict[str, Any], tolerance: float) -> dict[str, Any] | None:
        """The first trial of ``check`` that the text does not pass."""
        try:
            names = self.bench.defined(name, source)
            outcome, trial = self.bench.outcome(names, self.bench.instance(names, check), check, tolerance)
        except BaseException:
            return check["trials"][0]
        return None if outcome["ok"] else trial

    def _watched(self, name: str, source: str, check: dict[str, Any], trial: dict[str, Any]) -> Watched | None:
        watched = Watched(source)
        try:
            names = self.bench.defined(name, source, watched)
            self.bench.run(names, self.bench.instance(names, check), check, trial)
        except BaseException:  # it raises on its way: what it did before that is still known
            if not watched.events:
                return None
        mx.eval([a for _, value in watched.events for a in arrays_in(value)])
        return watched

    def _parting(self, name: str, source: str, check: dict[str, Any], trial: dict[str, Any]) -> dict[str, Any] | None:
        key = (check["id"], trial["number"])
        if key not in self.bench.baselines:
            self.bench.baselines[key] = self._watched(name, self.bench.generated[name], check, trial)
        baseline, edited = self.bench.baselines[key], self._watched(name, source, check, trial)
        if baseline is None or edited is None:
            return None
        found = first_parting(baseline, edited, same)
        if found is None:
            return None
        span = found.span
        inner = span
        references = [self.bench.values[key] for key in check["inside"] if key in self.bench.values]
        if span is not None and found.changed:
            inner = narrowed(edited, span, baseline, same, [] if trial["number"] else references)
        return {**_place(inner or span), "statement": span.text if span else "", "changed": found.changed,
                "statement_line": span.line if span else None,
                "missing": found.missing, "generated": found.generated, **self._sides(found, check)}

    def _sides(self, found: Parting, check: dict[str, Any]) -> dict[str, Any]:
        """Shapes, dtypes and strides of both values, and the recorded tensor that it should be."""
        got = next(arrays_in(found.got), None)
        want = next(arrays_in(found.want), None)
        torch_name = ""
        if want is not None:
            values = self.bench.values
            torch_name = next((key for key in check["inside"] if key in values and values[key].shape == want.shape
                               and same(want, values[key])), "")
        verdict = compare(got, want) if got is not None and want is not None else {}
        return {"got": _facts(got), "want": _facts(want), "torch": torch_name, "difference": verdict.get("difference"),
                "said": verdict.get("message", "")}

    def _wrong_leaves(self, name: str, source: str, check: dict[str, Any], tolerance: float) -> list[dict[str, Any]]:
        try:
            names = self.bench.defined(name, source)
            found = [self.bench.leaf(names, check, leaf, tolerance) for leaf in check["leaves"]]
            return [one for one in found if not one["ok"]]
        except BaseException:
            return []

    def _fixes(self, name: str, source: str, failing: dict[str, Any], line: int | None, tolerance: float,
               seconds: float) -> list[dict[str, Any]]:
        try:
            from .diagnosis import Case, Outcome, diagnose
        except ImportError:
            return []

        def run(candidate: str) -> Any:
            worst = Outcome(True, 0.0, 0.0)
            for check in [failing, *(c for c in self.bench.checks[name] if c is not failing)]:
                try:
                    names = self.bench.defined(name, candidate)
                    verdict, _ = self.bench.outcome(names, self.bench.instance(names, check), check, tolerance)
                except BaseException as error:
                    return Outcome(False, float("inf"), None, error=said(error), line=line_in(error, name))
                if not verdict["ok"]:
                    difference = verdict["difference"]
                    return Outcome(False, float("inf") if difference is None else difference, verdict["allowed"],
                                   error=verdict["message"] if difference is None else "")
                if verdict["difference"] >= worst.difference:
                    worst = Outcome(True, verdict["difference"], verdict["allowed"])
            return worst

        case = Case(source, name, self.bench.generated[name], line, run, failing["layers"])
        return [{"kind": f.kind, "message": f.message, "line": f.line, "end_line": f.end_line, "before": f.before,
                 "after": f.after, "difference": f.difference} for f in diagnose(case, seconds)]


def same(got: Any, want: Any) -> bool:
    """True when two values have the same arrays, within the tolerance."""
    first, second = list(arrays_in(got)), list(arrays_in(want))
    return len(first) == len(second) and all(compare(a, b)["ok"] for a, b in zip(first, second, strict=True))


def _place(span: Any) -> dict[str, Any]:
    if span is None:
        return {"line": None, "end_line": None, "column": 0, "end_column": 0, "expression": ""}
    return {"line": span.line, "end_line": span.end_line, "column": span.column, "end_column": span.end_column,
            "expression": span.text}


def _facts(array: Any) -> dict[str, Any] | None:
    """Shape, dtype and strides (in elements) of an evaluated array."""
    if array is None:
        return None
    mx.eval(array)
    try:
        view = memoryview(array)
        strides = [stride // view.itemsize for stride in view.strides]
    except (TypeError, ValueError, BufferError):
        strides = []
    return {"shape": list(array.shape), "dtype": str(array.dtype).removeprefix("mlx.core."), "stride": strides}
