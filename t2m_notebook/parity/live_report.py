"""The report after an edit: what was measured before, with the newer verdicts in their places."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..types import CellCheck, ParityResult, Status
from .report import ParityReport, assemble

if TYPE_CHECKING:
    from ..session import Port


def merged(port: Port, results: list[ParityResult]) -> ParityReport:
    """The last report with ``results``, and the newest check of each class, in it."""
    before = port.last_report
    checks = port.live.last
    wrong_paths = {path for name, check in checks.items() if not check.ok and check.state != "unknown"
                   for path in port.cells[name].paths}
    results = [result for result in results if result.path not in wrong_paths]  # the check says more
    newer = {(result.path, _kind(result.check)) for result in results}
    kept = [result for result in (before.results if before is not None else ())
            if (result.path, _kind(result.check)) not in newer]
    # "other size" rows belong to a text that is no longer there
    edited = bool(port.cells.edits)
    kept = [result for result in kept if not (edited and result.check.startswith("other "))]
    order: dict[str, int] = {}
    for call in port.recording.root.walk():  # type: ignore[union-attr]
        order.setdefault(call.path, len(order))
    analysis = port.analysis
    notes = tuple(before.data.notes) if before is not None else ()
    report = assemble(analysis.root, [*results, *_of_checks(port, checks, newer), *_without(kept, checks, port)], order,
                      missing=analysis.missing, notes=notes, seconds=before.data.seconds if before else 0.0,
                      versions=port.versions)
    wrong = [check for check in checks.values() if not check.ok and check.state != "unknown"]
    if wrong:
        worst = wrong[0]
        report.data = dataclasses.replace(report.data, ok=False, first_divergence=_where(port, worst),
                                          diagnosis=_matter(worst))
    return report


def _kind(check: str) -> str:
    return "module" if check == "module" or check.startswith("as measured at") else check


def _of_checks(port: Port, checks: dict[str, CellCheck], newer: set[tuple[str, str]]) -> list[ParityResult]:
    """Verdicts of checked classes for their modules that the whole run did not reach."""
    found = []
    for name, check in checks.items():
        cell = port.cells[name]
        group = next(group for group in port.written.groups if group.name == name)
        if check.state == "unknown":
            continue
        for path in cell.paths:
            kind = "module" if path else "end to end"
            status = Status.PROVEN if check.ok else Status.DIVERGES
            if (path, kind) not in newer or not check.ok:
                found.append(ParityResult(path, group.cls.__name__, kind, status, check.difference, check.allowed,
                                          message="" if check.ok else check.message))
    return found


def _without(kept: list[ParityResult], checks: dict[str, CellCheck], port: Port) -> list[ParityResult]:
    """The kept results but for those of classes that were checked since."""
    paths = {path for name, check in checks.items() if check.state != "unknown" for path in port.cells[name].paths}
    return [result for result in kept if result.path not in paths or result.check.startswith("other ")]


def _where(port: Port, check: CellCheck) -> str:
    path = port.cells[check.class_name].paths[0]
    return f"{path or 'the model'} ({check.class_name}): {check.message}"


def _matter(check: CellCheck) -> str:
    if not check.fixes:
        return ""
    fix = check.fixes[0]
    return f"{fix.kind}: {fix.message} Line {fix.line}: `{fix.before.strip()}` → `{fix.after.strip()}`"
