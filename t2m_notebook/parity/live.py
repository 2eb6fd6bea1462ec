"""Live checks of edited classes: what the worker is given, and what its answers mean."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..capture.recording import ModuleCall, Recording, refs
from ..errors import WorkerFailed
from ..types import CellCheck, CheckpointMark, Fix, Mark, ParityResult, Status
from .live_setup import live_setup, small_recording
from .live_worker import LiveWorker, line_of
from .weight_rows import weight_rows

if TYPE_CHECKING:
    from ..session import Port

class LiveChecks:
    """The live checks of one port."""

    def __init__(self, port: Port):
        self.port = port
        self.last: dict[str, CellCheck] = {}  # the newest check of each class
        self.texts: dict[str, str] = {}  # what was checked then
        self._folder = Path(tempfile.mkdtemp(prefix="t2m_values_"))
        self._setup: dict[str, Any] | None = None
        self._lock = threading.Lock()
        self._recording: Recording | None = None
        self._small, self._started = True, False
        self.worker = LiveWorker(self.setup)

    # -- what the worker is given -----------------------------------------------------------

    def setup(self) -> dict[str, Any]:
        """The request that makes a worker know the port; made once."""
        with self._lock:
            if self._setup is None:
                self._recording = small_recording(self.port) if self._small else self.port.recording
                self._setup = live_setup(self.port, self._recording, self._folder)
            return self._setup

    def start(self) -> None:
        """Make everything ready, so that the first check is as fast as the others.

        A small example is only good while every generated class equals torch there, so that no
        correct cell is accused; else the port's own example is used.
        """
        if self._started:
            return
        answer = self._calibrated()
        if answer["wrong"] and self._small:
            self._small, self._setup = False, None
            self.worker.replace()
            self._calibrated()
        self._started = True

    def _calibrated(self) -> dict[str, Any]:
        """Leave out the trials of which nothing can be said, also for a worker that comes later."""
        answer = self.worker.request({"do": "calibrate"}, 60.0)
        for check in self.setup()["checks"]:
            kept = answer["kept"][str(check["id"])]
            check["trials"] = [trial | ({"noise": kept[str(trial["number"])]} if trial["number"] else {})
                               for trial in check["trials"] if str(trial["number"]) in kept]
        return answer

    # -- checks -----------------------------------------------------------------------------

    def check(self, name: str, source: str, tolerance: float = 1.0, explain: bool = True) -> CellCheck:
        """Check one class with this text; see :meth:`~t2m_notebook.session.Port.check`."""
        request = {"do": "edit", "class": name, "source": source, "tolerance": tolerance}
        try:
            self.start()
            answer = self.worker.request(request)
        except WorkerFailed as failure:
            line = line_of(failure)
            if line is None and explain:
                line = self._crash_line(request)
            marks = (Mark(line, str(failure)),) if line else ()
            found = CellCheck(name, "stopped", _short(str(failure)), instances=self._instances(name),
                              message=str(failure), line=line, marks=marks)
        else:
            found = self._read(name, answer)
        self.last[name], self.texts[name] = found, source
        if explain and found.state in ("diverges", "error"):
            found = self.explain(name, source, tolerance)
        return found

    def _crash_line(self, request: dict[str, Any]) -> int | None:
        """MLX crashes when it evaluates, later than the line that is to blame: once more, line by line."""
        try:
            self.worker.request({**request, "eager": True})
        except WorkerFailed as failure:
            return line_of(failure)
        return None

    def explain(self, name: str, source: str, tolerance: float = 1.0, seconds: float = 2.0) -> CellCheck:
        """The last check of ``name`` with where it parts and what would mend it."""
        found = self.last[name]
        if found.state == "error" and found.line is None and "weight" not in found.message and not found.weights:
            return found
        request = {"do": "explain", "class": name, "source": source, "tolerance": tolerance, "seconds": seconds}
        try:
            answer = self.worker.request(request, self.worker.seconds + seconds)
        except WorkerFailed:
            return found  # the check itself said enough
        found = self._explained(found, answer)
        self.last[name] = found
        return found

    def settle(self, edits: dict[str, str], changed: set[str], tolerance: float = 1.0) -> list[ParityResult]:
        """Compare the classes above ``changed`` ones, and the whole model, with all ``edits`` in place."""
        groups = self.port.written.groups
        touched = {path for group in groups if group.name in changed for path in group.paths}
        above = {name: sorted({path for path in paths if path in touched or any(
            path == "" or other.startswith(path + ".") for other in touched)})
            for name, paths in ((group.name, group.paths) for group in groups)}
        request = {"do": "settle", "sources": edits, "tolerance": tolerance,
                   "check": {name: paths for name, paths in above.items() if paths}}
        try:
            answer = self.worker.request(request, 6 * self.worker.seconds)
        except WorkerFailed as failure:
            answer = {"results": [], "broken": str(failure)}
        return self._results(answer, above)

    def _results(self, answer: dict[str, Any], above: dict[str, list[str]]) -> list[ParityResult]:
        names = {group.name: group for group in self.port.written.groups}
        of_path = {path: name for name, paths in above.items() for path in paths}
        found: list[ParityResult] = []
        said: dict[str, dict[str, Any]] = {}
        for one in answer["results"]:
            said.setdefault(one["path"], one)
            if not one["ok"]:
                said[one["path"]] = one
        for path, name in of_path.items():
            one = said.get(path) or self._twin(said, name, path)
            cls = names[name].cls.__name__
            check = "end to end" if not path else "module"
            if one is None:
                if answer["broken"]:
                    found.append(ParityResult(path, cls, check, Status.DIVERGES, message=answer["broken"]))
                continue
            status = Status.PROVEN if one["ok"] else Status.DIVERGES
            found.append(ParityResult(path, cls, check, status, one["difference"], one["allowed"],
                                      message=one["message"]))
            for leaf in one.get("leaves", []):
                status = Status.PROVEN if leaf["ok"] else Status.DIVERGES
                found.append(ParityResult(leaf["path"], self._class_at(leaf["path"]), "module", status,
                                          leaf["difference"], leaf["allowed"], message=leaf["message"]))
        return found

    def _class_at(self, path: str) -> str:
        return type(self.port.model.get_submodule(path)).__name__

    def _twin(self, said: dict[str, dict[str, Any]], name: str, path: str) -> dict[str, Any] | None:
        """The result of another instance of equal configuration, for one that was not run itself."""
        written = self.port.written
        mine = written.configuration(path)
        for check in self.setup()["checks"]:
            if check["class"] == name and check["construct"] == mine and check["path"] in said:
                return {**said[check["path"]], "leaves": []}
        return None

    # -- what an answer means ---------------------------------------------------------------

    def _instances(self, name: str) -> int:
        return next((len(group.paths) for group in self.port.written.groups if group.name == name), 0)

    def _covered(self, results: list[dict[str, Any]]) -> int:
        """How many modules the measured ones stand for: those of equal configuration and shapes."""
        paths = {check["id"]: check["paths"] for check in self.setup()["checks"]}
        return len({path for result in results for path in paths.get(result["id"], [result["path"]])})

    def _read(self, name: str, answer: dict[str, Any]) -> CellCheck:
        results = answer["results"]
        numbers = [r["difference"] for r in results if r["difference"] is not None]
        bad = next((r for r in results if not r["ok"]), None)
        worst = bad or max(results, key=lambda r: (r["difference"] or 0) / (r["allowed"] or 1), default=None)
        state, message = answer["state"], answer["message"]
        if state == "proven" and not results:
            state, message = "unknown", "no recorded call of this class could be compared"
        if bad is not None:
            message = f"{bad['path'] or 'the model'}: {bad['message']}"
        if state == "proven" or (bad is not None and bad["difference"] is not None):
            text = f"max|Δ| {_number(worst['difference'])} of {_number(worst['allowed'])} allowed"  # type: ignore
        else:
            text = _short(bad["message"] if bad is not None else message)
        line = answer["line"]
        marks = (*((Mark(line, message),) if line else ()), *(Mark(**mark) for mark in answer["left"]))
        rows = weight_rows(self.port, answer["weights"])
        points = tuple(CheckpointMark(**one) for one in answer["checkpoints"])
        return CellCheck(name, state, text, max(numbers, default=None), worst["allowed"] if worst else None,
                         self._instances(name), self._covered(results), answer["milliseconds"], message, line, marks,
                         (), rows, points)

    def _explained(self, found: CellCheck, answer: dict[str, Any]) -> CellCheck:
        fixes = tuple(Fix(**fix) for fix in answer["fixes"])
        parting = answer["parting"]
        if parting is None or parting["line"] is None:
            return dataclasses.replace(found, fixes=fixes)
        said = self._parting_said(parting, answer.get("path", ""), answer.get("said", ""))
        if found.state == "error":
            earlier = Mark(parting["line"], said, "error", parting["end_line"], parting["column"],
                           parting["end_column"])
            return dataclasses.replace(found, fixes=fixes, marks=(earlier, *found.marks),
                                       message=f"{found.message} Before that: {said[:1].lower()}{said[1:]}")
        marks = [Mark(parting["line"], said, "error", parting["end_line"], parting["column"], parting["end_column"])]
        marks += found.marks
        marks += [Mark(fix.line, f"{fix.kind}: {fix.message}", "info", fix.end_line) for fix in fixes[:1]
                  if fix.line != parting["line"]]
        return dataclasses.replace(found, message=said, line=parting["line"], marks=tuple(marks), fixes=fixes)

    def _parting_said(self, parting: dict[str, Any], path: str, trial: str = "") -> str:
        """Where the values part, with both shapes, dtypes, strides and the difference."""
        where = f"line {parting['line']}, `{parting['expression'] or parting['statement']}`"
        got, want = parting["got"], parting["want"]
        parts = [f"Values part at {where}" + (f" in {path}" if path else "")
                 + (f", {trial}" if trial else "") + "."]
        if got is not None:
            parts.append(f"MLX: {_facts(got)}.")
        facts = self._torch_facts(parting["torch"])
        if facts:
            parts.append(f"torch: {facts}.")
        elif want is not None:
            parts.append(f"Generated: {_facts(want)}.")
        if parting["said"]:
            parts.append(parting["said"][:1].upper() + parting["said"][1:] + ".")
        if parting["missing"]:
            parts.append(f"The generated line `{parting['missing']}` before it is gone.")
        elif parting["changed"] and parting["generated"]:
            parts.append(f"Generated was `{parting['generated']}`.")
        return " ".join(parts)

    def _torch_facts(self, name: str) -> str:
        recording = self._recording
        if not name or recording is None:
            return ""
        index = int(name[1:])
        value = recording.values[index]
        made = next((event for event in recording.calls() if index in refs(event.outputs)), None)
        source = ""
        if made is not None:
            source = f", from {made.path if isinstance(made, ModuleCall) else made.name}"
        return f"{tuple(value.shape)} {value.dtype}, stride {tuple(value.stride)}{source}"

    def close(self) -> None:
        """End the worker and remove its files."""
        self.worker.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _facts(facts: dict[str, Any]) -> str:
    stride = f", stride {tuple(facts['stride'])}" if facts["stride"] else ""
    return f"{tuple(facts['shape'])} {facts['dtype']}{stride}"


def _number(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _short(text: str) -> str:
    return text if len(text) <= 90 else text[:87] + "…"
