"""The search: rewrites in the order of their likelihood, run on the recorded inputs until one agrees with torch."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .baseline import Comparison, Hunk, compared, statements
from .case import Case, Finding, Outcome
from .hypotheses import rewrites
from .source import Rewrite, Source, class_of, parsed

MOST = 3


@dataclass(slots=True)
class Agreed:
    """A rewrite that makes the values agree, and whether it gives back a generated statement."""

    rewrite: Rewrite
    text: str
    outcome: Outcome
    cost: float
    exact: bool

    @property
    def clean(self) -> bool:
        """Well inside the tolerance: not a number that was nudged until it just passed."""
        return not self.outcome.allowed or (self.outcome.difference or 0.0) <= 0.3 * self.outcome.allowed


def diagnose(case: Case, seconds: float = 2.0) -> list[Finding]:
    """What probably is the matter, the likeliest first, at most three; empty when nothing helps,
    or when nothing is the matter. Never raises for odd source; stops after about ``seconds``."""
    started = time.monotonic()
    search = _Search(case, started + seconds)
    first = search.run(case.source)
    if first.ok:
        return []
    tree = parsed(case.source)
    cls = class_of(tree, case.class_name) if tree is not None else None
    if tree is None or cls is None:
        return []
    comparison = compared(case.source, cls, case.baseline)
    culprits = search.culprits(comparison, started + 0.3 * seconds) if comparison else []
    if len(culprits) > 1 and comparison:
        return search.several(comparison, culprits, started + 0.9 * seconds)
    line = case.line or first.line
    found = search.single(
        case.source, line, first, comparison, culprits, started + seconds * (0.65 if not culprits else 0.5)
    )
    if not found and not culprits:
        found = search.pairs(first, started + seconds)
    findings = [_finding(case.source, agreed.text, agreed.rewrite.kind, agreed.rewrite.message, agreed.outcome)
                for agreed in found]
    if comparison and not any(agreed.exact for agreed in found) and (culprits or not found):
        findings += search.generated(comparison, culprits or comparison.hunks)
    return findings[:MOST]


class _Search:
    """The runs of one diagnosis."""

    def __init__(self, case: Case, deadline: float):
        self.case, self.deadline = case, deadline
        self.tried: dict[str, Outcome] = {}

    def run(self, text: str) -> Outcome:
        """The outcome of a text; each is run once."""
        if text not in self.tried:
            try:
                self.tried[text] = self.case.run(text)
            except Exception as error:  # a candidate may do anything; that it failed is the answer
                self.tried[text] = Outcome(False, math.inf, None, f"{type(error).__name__}: {error}")
        return self.tried[text]

    def culprits(self, comparison: Comparison, until: float) -> list[Hunk]:
        """The fewest differences from the generated class that must go for the values to agree."""
        hunks = comparison.hunks
        changed = sum(hunk.end - hunk.start for hunk in hunks)
        if changed > max(4, len(comparison.own) // 3):
            return []  # a class of the user's own: the generated lines don't fit into it one by one
        for hunk in hunks if len(hunks) <= 12 else []:
            small = hunk.end - hunk.start <= 2 and hunk.base_end - hunk.base_start <= 2
            if small and time.monotonic() < until and self._agrees(comparison, [hunk]):
                return [hunk]
        if len(hunks) < 2 or len(hunks) > 12 or not self._agrees(comparison, hunks):
            return []
        needed = list(hunks)
        for hunk in hunks:
            fewer = [h for h in needed if h is not hunk]
            if time.monotonic() >= until:
                return []
            if fewer and self._agrees(comparison, fewer):
                needed = fewer
        large = any(h.end - h.start > 2 or h.base_end - h.base_start > 2 for h in needed)
        return needed if len(needed) <= 4 and not large else []

    def _agrees(self, comparison: Comparison, hunks: list[Hunk]) -> bool:
        text = comparison.restored(hunks)
        return text is not None and self.run(text).ok

    def single(self, text: str, line: int | None, first: Outcome, comparison: Comparison | None, culprits: list[Hunk],
               until: float) -> list[Agreed]:
        """Rewrites that alone make the values agree."""
        found: list[Agreed] = []
        after = 0
        for cost, rewrite, exact, new in self._ranked(text, line, first, comparison, culprits):
            if time.monotonic() >= until or (found and (after > 25 or cost > found[0].cost + 0.6)):
                break
            after += any(agreed.clean for agreed in found)
            outcome = self.run(new)
            if outcome.ok:
                found.append(Agreed(rewrite, new, outcome, cost, exact))
                found.sort(key=lambda a: (not a.exact, not a.clean, a.cost))
                if exact or sum(agreed.clean for agreed in found) == MOST:
                    break
        return found[:1] if found and found[0].exact else found[:MOST]

    def _ranked(self, text: str, line: int | None, first: Outcome, comparison: Comparison | None,
                culprits: list[Hunk]) -> Iterator[tuple[float, Rewrite, bool, str]]:
        tree = parsed(text)
        cls = class_of(tree, self.case.class_name) if tree is not None else None
        if tree is None or cls is None:
            return
        rows = {n for hunk in culprits for n in comparison.place(hunk)} if comparison else set()
        source = Source(text, tree, cls, self.case.layers, comparison.numbers if comparison else (), frozenset(rows))
        places = _Places(source, line, first, comparison, culprits)
        ranked = []
        for number, rewrite in enumerate(_with_everywhere(source, list(rewrites(source)))):
            far = places.cost(rewrite)
            new = source.applied(rewrite.edits)
            exact = bool(comparison) and far < 1 and comparison is not None and places.restores(rewrite, comparison)
            if rewrite.risky and not exact:
                continue
            far += 1.5 * any(source.forgets(edit) for edit in rewrite.edits)
            ranked.append((rewrite.cost + far - 10 * exact, number, rewrite, exact, new))
        ranked.sort(key=lambda item: item[:2])
        seen = {text}
        for cost, _, rewrite, exact, new in ranked:
            if new not in seen:
                seen.add(new)
                yield cost, rewrite, exact, new

    def several(self, comparison: Comparison, culprits: list[Hunk], until: float) -> list[Finding]:
        """One finding for several faults: each is named with the others put back."""
        case, pieces, kinds, messages = self.case, {}, [], []
        for number, hunk in enumerate(culprits):
            others = [h for h in culprits if h is not hunk]
            text = comparison.restored(others)
            share = time.monotonic() + max(0.0, until - time.monotonic()) / (len(culprits) - number)
            found = self._named(text, share) if text else None
            kind, message = (found.rewrite.kind, found.rewrite.message) if found else comparison.said(hunk)
            kinds.append(kind)
            messages.append(message)
            pieces[hunk] = found
        whole = comparison.restored(culprits)
        if whole is None:
            return []
        combined = self._combined(comparison, culprits, pieces)
        if combined is not None and self.run(combined).ok:
            whole = combined
        return [
            _finding(
                case.source,
                whole,
                " and ".join(dict.fromkeys(kinds)),
                "; ".join(dict.fromkeys(messages)),
                self.run(whole),
            )
        ]

    def _named(self, text: str, until: float) -> Agreed | None:
        tree = parsed(text)
        cls = class_of(tree, self.case.class_name) if tree is not None else None
        comparison = compared(text, cls, self.case.baseline) if cls is not None else None
        if comparison is None:
            return None
        first = self.run(text)
        culprits = [h for h in comparison.hunks if self._agrees(comparison, [h])][:1]
        found = self.single(text, None, first, comparison, culprits, until)
        return found[0] if found else None

    def _combined(self, comparison: Comparison, culprits: list[Hunk], pieces: dict[Hunk, Agreed | None]) -> str | None:
        """The user's lines with each fault's own change, where each stays within its lines."""
        lines = list(comparison.lines)
        for hunk in sorted(culprits, key=lambda h: h.start, reverse=True):
            agreed, place = pieces[hunk], comparison.place(hunk)
            if agreed is None or hunk.start == hunk.end:
                return None
            others = comparison.restored([h for h in culprits if h is not hunk]) or ""
            change = _finding(others, agreed.text, "", "", agreed.outcome)
            before = change.before.split("\n")
            start = next(
                (n for n in range(place.start - 1, place.stop - 1) if lines[n : n + len(before)] == before), None
            )
            if start is None:
                return None
            lines[start:start + len(before)] = change.after.split("\n")
        return "\n".join(lines)

    def pairs(self, first: Outcome, until: float) -> list[Agreed]:
        """Two faults at once: what brought the values nearer is the ground for a second rewrite."""
        start = first.difference if first.difference is not None else math.inf
        better = [(outcome.difference, text) for text, outcome in self.tried.items()
                  if outcome.difference is not None and not outcome.error and outcome.difference < 0.6 * start
                  and math.isfinite(outcome.difference)]
        for number, (_, text) in enumerate(sorted(better)[:4]):
            share = time.monotonic() + max(0.0, until - time.monotonic()) / (min(4, len(better)) - number)
            outcome = self.tried[text]
            for agreed in self.single(text, outcome.line, outcome, None, [], share):
                one = self._why(text)
                kind = " and ".join(dict.fromkeys(filter(None, [one[0], agreed.rewrite.kind])))
                message = "; ".join(filter(None, [one[1], agreed.rewrite.message]))
                agreed.rewrite = Rewrite(kind, message, (), agreed.cost)
                return [agreed]
        return []

    def _why(self, text: str) -> tuple[str, str]:
        """Which rewrite of the user's source gave ``text``."""
        for _, rewrite, _, new in self._ranked(
            self.case.source, self.case.line, self.tried[self.case.source], None, []
        ):
            if new == text:
                return rewrite.kind, rewrite.message
        return "", ""

    def generated(self, comparison: Comparison, culprits: list[Hunk]) -> list[Finding]:
        """The last resort: the statement as it was generated."""
        text = comparison.restored(culprits)
        if text is None or not self.run(text).ok:
            return []
        said = [comparison.said(hunk) for hunk in culprits]
        kind = " and ".join(dict.fromkeys(kind for kind, _ in said))
        return [_finding(self.case.source, text, kind, "; ".join(message for _, message in said), self.run(text))]


class _Places:
    """How far from the likely place of the fault each line is."""

    def __init__(self, source: Source, line: int | None, first: Outcome, comparison: Comparison | None,
                 culprits: list[Hunk]):
        self.source = source
        self.own = statements(source.cls)
        count = source.text.count("\n") + 2
        inside = range(source.cls.lineno, (source.cls.end_lineno or source.cls.lineno) + 1)
        made = range(source.init.lineno, (source.init.end_lineno or 0) + 1) if source.init else range(0)
        unplaced = bool(first.error) and line is None
        self.far = [
            (0.5 if unplaced and n not in made else 0.0) + (2.0 if line else 1.0) + (0.0 if n in inside else 0.3)
            for n in range(count + 1)
        ]
        if line:
            self._near(line, made)
        changed = culprits or (comparison.hunks if comparison else [])
        if comparison and changed and (culprits or sum(h.end - h.start for h in changed) <= len(self.own) // 2):
            lines = {n for hunk in changed for n in comparison.place(hunk)}
            for n in range(count + 1):
                if n in lines:
                    self.far[n] = min(self.far[n], 0.2)
                else:
                    self.far[n] += 4.0 if culprits else 0.5

    def _near(self, line: int, made: range) -> None:
        body = [s for s in self.own if s.line not in made]
        here = next((n for n, s in enumerate(body) if s.line <= line <= s.end_line), None)
        if here is None:  # in a helper beside the class
            for row in range(max(1, line - 2), min(len(self.far), line + 3)):
                self.far[row] = min(self.far[row], 0.6 * abs(row - line))
            return
        for n, statement in enumerate(body):
            away = n - here
            cost = 0.0 if away == 0 else 1.0 if away == -1 else 1.4 if away in (-2, 1) else 2.0
            for row in range(statement.line, statement.end_line + 1):
                self.far[row] = min(self.far[row], cost)
        text = body[here].text
        for statement in self.own:
            if statement.line in made and statement.text.startswith("self.") and \
                    statement.text.split(" ")[0].split(":")[0] in text:
                for row in range(statement.line, statement.end_line + 1):
                    self.far[row] = 0.2

    def cost(self, rewrite: Rewrite) -> float:
        """The distance of a rewrite: that of its nearest edit."""
        return min(self.far[self.source.row(start)] for start, _, _ in rewrite.edits)

    def restores(self, rewrite: Rewrite, comparison: Comparison) -> bool:
        """Whether the rewritten statement is, but for formatting, one of the generated class."""
        edits = rewrite.edits
        row = self.source.row(min(edit[0] for edit in edits))
        statement = next((s for s in self.own if s.line <= row <= s.end_line), None)
        if statement is None:
            return False
        low, high = self.source.start(statement.line), self.source.start(statement.end_line + 1)
        if all(low <= start and end <= high for start, end, _ in edits) and not statement.text.endswith(":"):
            data = self.source.data[low:high]
            for start, end, text in sorted(edits, reverse=True):
                data = data[:start - low] + text.encode() + data[end - low:]
            tree = parsed(data.decode().strip())
            return tree is not None and "\n".join(_plain(node) for node in tree.body) in comparison.wanted
        tree = parsed(self.source.applied(edits))
        cls = class_of(tree, self.source.cls.name) if tree is not None else None
        return cls is not None and [s.text for s in statements(cls)] == [s.text for s in comparison.base]


def _with_everywhere(source: Source, found: list[Rewrite]) -> list[Rewrite]:
    """The rewrites, and each mistake that could have been made in several places mended in all of them:
    in all statements of one form (the three projections of an attention), and in all there are."""
    alike: dict[tuple, list[Rewrite]] = {}
    for rewrite in found:
        statement = source.statement_at(rewrite.edits[0][0])
        form = re.sub(r"\d+", "0", re.sub(r"[A-Za-z_]\w*", "n", statement))
        alike.setdefault((rewrite.kind, rewrite.message, form), []).append(rewrite)
        alike.setdefault((rewrite.kind, rewrite.message), []).append(rewrite)
    together = []
    for (kind, message, *form), group in alike.items():
        edits = sorted({edit for rewrite in group for edit in rewrite.edits})
        apart = all(a[1] <= b[0] and a[:2] != b[:2] for a, b in itertools.pairwise(edits))
        if 2 <= len(group) <= 8 and apart:
            together.append(Rewrite(kind, message, tuple(edits), min(r.cost for r in group) + (0.4 if form else 0.6),
                                    any(r.risky for r in group)))
    return found + together


def _plain(node) -> str:
    import ast
    return ast.unparse(node)


def _finding(old: str, new: str, kind: str, message: str, outcome: Outcome) -> Finding:
    """The change from one text to another as the fewest whole lines, never none."""
    a, b = old.split("\n"), new.split("\n")
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    if start + end in (len(a), len(b)):  # lines were only added or only taken away: name a neighbour too
        if start:
            start -= 1
        else:
            end -= 1
    message = " ".join(message.split())  # code of several lines may be quoted in it
    message = message if message.endswith(".") else message + "."
    return Finding(kind, message, start + 1, len(a) - end, "\n".join(a[start:len(a) - end]),
                   "\n".join(b[start:len(b) - end]), outcome.difference)
