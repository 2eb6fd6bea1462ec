"""Walks one recording beside what was put together so far."""

from __future__ import annotations

import ast
import dataclasses
from typing import TYPE_CHECKING, Any

import torch

from .after_branches import AfterBranches
from .aligning import END, Apart, ahead, first_keys, join, key_of, same_block
from .events import all_events, all_reads, check_writes, end_of, made_in, order_made, read_outside
from .predicates import Seen, Test, evaluate, negated, telling, values_in
from .recording import SAME, Branch, Guard, ModuleCall, OpCall, Recording, Ref, Value, location, refs, unfolded

if TYPE_CHECKING:
    from .merging import Merged


class Walk(AfterBranches):
    """A recording beside another. :meth:`run` puts it in."""

    def __init__(self, merged: Merged, other: Recording):
        self.merged, self.other, self.recording = merged, other, merged.recording
        self.number = len(merged.shapes) - 1
        self.shapes = merged.shapes[self.number]
        self.to: dict[int, int] = {}  # the other's value -> ours
        self.also: dict[int, set[int]] = {}  # further values of ours that hold it
        self.latest: dict[int, int] = {}  # the other's value -> what a branch made of it
        self.renamed: dict[int, int] = {}  # a value made inside an arm -> what holds it afterwards
        self.home: dict[int, Branch] = {}  # a value made inside an arm that is over
        self.order: dict[int, int] = {}  # branch -> when it was made
        self.pairs: dict[tuple[int, int], int] = {}
        self.hidden: set[int] = set()  # values inside arms that are over
        self.calls: dict[int, ModuleCall] = {}  # the other's call -> ours
        self.guards = sorted(other.guards, key=lambda guard: guard.position)
        self.passing: set[int] = set(range(self.number))  # recordings that come along here
        self.importing: dict[int, int] | None = None  # inside an arm of the other's: its values
        self.heads: list[OpCall] = []
        self.place: tuple[list[Any], Any, ModuleCall] | None = None  # the list being walked, its event, whose it is
        self.storages: dict[int, int] = {}

    def run(self) -> None:
        mine = {(v.kind, v.name): v.index for v in self.recording.values
                if v.kind in ("parameter", "buffer", "attribute", "input") and v.previous is None}
        for value in self.other.values:
            index = mine.get((value.kind, value.name)) if value.previous is None else None
            if index is not None:
                self._know(value.index, index)
        self._call(self.recording.root, self.other.root)

    def _know(self, theirs: int, ours: int) -> None:
        if len(self.recording.values[ours].shape) != len(self.other.values[theirs].shape):
            raise Apart("another rank")
        self.to[theirs] = ours
        self.shapes[ours] = Seen(self.other.values[theirs])

    # -- side by side -----------------------------------------------------------------------

    def _call(self, mine: ModuleCall, theirs: ModuleCall) -> None:
        """A module call that both made."""
        self.calls[theirs.index] = mine
        if not mine.leaf:
            mine.args = self.references(mine.args, theirs.args)
            mine.kwargs = self.references(mine.kwargs, theirs.kwargs)
            after = self._list(mine.events, theirs.events, 0, {END}, mine)
            if after != len(theirs.events):
                raise Apart("calls are left over")
            self._comparisons(end_of(theirs))
            self.place = (mine.events, None, mine)
            mine.outputs = self.references(mine.outputs, theirs.outputs)
        else:
            self._results(mine, theirs)

    def _list(self, mine: list[Any], theirs: list[Any], at: int, follow: set, owner: ModuleCall,
              arm: bool = False) -> int:
        """Walk ``mine`` beside ``theirs[at:]``; returns how far that got. ``follow`` has the
        keys of what may come after ``mine``."""
        position = 0
        while position < len(mine) or (at < len(theirs) and key_of(theirs[at]) not in follow):
            event = mine[position] if position < len(mine) else None
            if event is None and arm and mine and not same_block(mine, theirs[at]):
                return at  # it comes after the branch whose arm this is
            if at < len(theirs):
                self._comparisons(theirs[at].index)
            if isinstance(event, Branch):
                rest = first_keys(mine[position + 1:], follow)
                extra = ahead(event, mine[position:], theirs[at:], follow)
                if extra:
                    mine.insert(position, self._part([], theirs[at: at + extra], mine[position:], owner))
                    at += extra
                else:
                    at = self._through(event, theirs, at, rest if extra is None else rest | {key_of(theirs[at])})
            elif event is not None and isinstance(event, OpCall) and event.name == SAME:
                self._same(event)
            elif event is not None and at < len(theirs) and key_of(event) == key_of(theirs[at]) \
                    and self._aligned(mine, event, theirs[at]):
                at += 1
                position = next(i for i, one in enumerate(mine) if one is event)  # a branch may stand before it now
            else:
                together = event is not None and at < len(theirs) and key_of(event) == key_of(theirs[at])
                ours, other = (1, 1) if together else join(mine[position:], theirs[at:], follow)
                branch = self._part(mine[position: position + ours], theirs[at: at + other], mine[position + ours:],
                                    owner)
                mine[position: position + ours] = [branch]
                at += other
            position += 1
        return at

    def _aligned(self, mine: list[Any], event: Any, twin: Any) -> bool:
        """Take over what the other's twin of an event says; False when the two can't be one."""
        self.place = (mine, event, event.owner if isinstance(event, OpCall) else event.parent)
        if isinstance(event, ModuleCall) and not event.leaf:
            self._call(event, twin)
            return True
        if len(event.mutated) != len(twin.mutated) or len(refs(event.outputs)) != len(refs(twin.outputs)):
            return False
        args = self.arguments(event, twin)
        if args is None:
            return False
        event.args, event.kwargs = args
        self._results(event, twin)
        return True

    def _results(self, event: Any, twin: Any) -> None:
        for (_, mine), (_, theirs) in zip(event.mutated, twin.mutated, strict=True):
            self._know(theirs, mine)
        for mine, theirs in zip(refs(event.outputs), refs(twin.outputs), strict=True):
            if theirs not in self.to:
                self._know(theirs, mine)
            else:  # the other got the very tensor back that it put in
                self.also.setdefault(theirs, set()).add(mine)
                self.shapes[mine] = Seen(self.other.values[theirs])
        self.merged.seen.setdefault(id(event), set(self.passing)).add(self.number)

    def _same(self, event: OpCall) -> None:
        outer, inner = refs(event.args)[0], refs(event.outputs)[0]
        outer = self.visible(outer)
        event.args = (Ref(outer),)
        self.merged.alias_of[inner] = outer
        if outer in self.shapes:
            self.shapes[inner] = self.shapes[outer]

    def _through(self, branch: Branch, theirs: list[Any], at: int, follow: set) -> int:
        """A branch that is there already: find the arm that the other takes, and walk it."""
        key = key_of(theirs[at]) if at < len(theirs) else END
        fits = key in first_keys(branch.then, follow), key in first_keys(branch.otherwise, follow)
        try:
            held: bool | None = bool(evaluate(branch.test, self.shapes))
        except KeyError:
            held = None
        label = held if fits[0] == fits[1] else fits[0]
        if label is None:
            raise Apart("the test of a branch reads what is not there")
        branch.samples[self.number] = label
        if held is not label:
            branch.test = self.decide(branch.samples, branch.owner)
        arm = branch.then if label else branch.otherwise
        self._settle(branch.otherwise if label else branch.then)
        before, self.passing = self.passing, {n for n, one in branch.samples.items() if one is label} - {self.number}
        known = set(self.shapes)
        after = self._list(arm, theirs, at, follow, branch.owner, arm=True)
        self.passing = before
        side = 0 if label else 1
        for event in branch.merges:
            sides = list(self.settled(event.args))
            event.args = tuple(sides)
            made = refs(event.outputs)[0]
            if isinstance(sides[side], Ref) and sides[side].index in self.shapes:
                self.shapes[made] = self.shapes[sides[side].index]
                self._stands_for(sides[side].index, made)
        self.hidden |= {index for index in set(self.shapes) - known
                        if index not in {refs(e.outputs)[0] for e in branch.merges}}
        return after

    def _stands_for(self, inner: int, made: int) -> None:
        """After a branch ``made`` holds what ``inner`` held in the arm that the other took."""
        inner = self.merged.alias_of.get(inner, inner)
        for theirs, ours in [*self.to.items(), *self.latest.items()]:
            if ours == inner:
                self.also.setdefault(theirs, set()).add(made)
                self.latest[theirs] = made
        for several in self.also.values():
            if inner in several:
                several.add(made)

    # -- apart ------------------------------------------------------------------------------

    def _part(self, mine: list[Any], theirs: list[Any], rest: list[Any], owner: ModuleCall) -> Branch:
        """A new branch: what was there on one side, what the other did on the other."""
        labels = {number: False for number in self.passing}
        labels[self.number] = True
        test = self.decide(labels, owner)
        self._settle(mine)
        self.heads, self.importing = [], {}
        imported = [self._imported(event, owner) for event in theirs]
        for head in self.heads:
            head.owner = owner
        arm, made_there = [*self.heads, *imported], self.importing
        self.importing = None
        if theirs and not mine:
            branch = Branch(owner, test, arm, mine, samples=labels)
        else:
            samples = {number: not held for number, held in labels.items()}
            branch = Branch(owner, negated(test), mine, arm, samples=samples)
        self.order[id(branch)] = len(self.order)
        here = made_in(mine)
        if {key_of(one) for one in unfolded([*mine, *theirs]) if one.frames} & {
                key_of(one) for one in unfolded(rest) if one.frames}:
            self.merged.repeats = True
        check_writes(mine, here)
        check_writes(arm, made_in(arm))
        for index in here:
            self.home[index] = branch
        made_there = {one: ours for one, ours in made_there.items() if ours not in self.merged.alias_of}
        for theirs_index, ours in made_there.items():
            self.to[theirs_index] = ours
            self.home.setdefault(ours, branch)
        self.hidden |= here | set(made_there.values())
        self._expected_merges(branch, mine, here, theirs, made_there)
        return branch

    def _expected_merges(self, branch: Branch, mine: list[Any], here: set[int], theirs: list[Any],
                         made_there: dict[int, int]) -> None:
        """Values of the arms that are read afterwards: as many on both sides, or one against
        the outer value that it was made of."""
        ours = [index for index in order_made(mine) if index in read_outside(self.recording, mine, here)]
        others = [index for index in order_made(theirs) if index in read_outside(self.other, theirs, set(made_there))]
        values = self.recording.values
        if ours and not others:
            read = [i for i in dict.fromkeys(all_reads(mine)) if i not in here]
            for index in ours:
                fitting = [i for i in read if len(values[i].shape) == len(values[index].shape)
                           and values[i].dtype == values[index].dtype and values[i].kind in ("result", "input")]
                twin = next((s for i in fitting[:1] for s in self._theirs_of(i)), None)
                if twin is not None:
                    self.either(index, twin)
        elif others and not ours:
            read = [i for i in dict.fromkeys(all_reads(theirs)) if i not in made_there and i in self.to]
            for index in others:
                fitting = [i for i in read if len(self.other.values[i].shape) == len(self.other.values[index].shape)
                           and self.other.values[i].dtype == self.other.values[index].dtype
                           and self.other.values[i].kind in ("result", "input")]
                if fitting:
                    self.either(self.visible(self.to[fitting[0]]), index)
        elif len(ours) == len(others):
            for index, other in zip(ours, others, strict=True):
                if len(values[index].shape) == len(self.other.values[other].shape):
                    self.either(index, other)

    def _theirs_of(self, index: int) -> list[int]:
        index = self.merged.alias_of.get(index, index)
        found = [theirs for theirs, ours in self.to.items() if ours == index]
        return found or [theirs for theirs, several in self.also.items() if index in several]

    def _settle(self, events: list[Any]) -> None:
        """Calls that the other did not make read values where they are held now."""
        for event in all_events(events):
            event.args, event.kwargs = self.settled(tuple(event.args)), self.settled(event.kwargs)
            if isinstance(event, ModuleCall) and not event.leaf:
                event.outputs = self.settled(event.outputs)

    def decide(self, labels: dict[int, bool], owner: ModuleCall) -> ast.expr:
        """A test over sizes that are known here and that tells these recordings apart."""
        tests: list[Test] = []
        call: ModuleCall | None = owner
        while call is not None:
            tests += [test for test in reversed(self.merged.tests.get(id(call), []))
                      if not values_in(test.node) & self.hidden]
            call = call.parent
        found = telling(tests, labels, lambda number: self.merged.shapes[number])
        if found is None:
            raise Apart(f"no comparison of sizes tells the paths of {owner.path or 'the model'} apart")
        return found

    def _comparisons(self, until: int) -> None:
        """The other's comparisons up to its event ``until``, in terms of our values."""
        while self.guards and self.guards[0].position <= until:
            guard: Guard = self.guards.pop(0)
            if self.importing is not None:
                continue
            owner, node = self.calls.get(guard.owner.index), self.ours(guard.test)
            if owner is not None and node is not None:
                known = self.merged.tests.setdefault(id(owner), [])
                text = ast.dump(node)
                known[:] = [one for one in known if ast.dump(one.node) != text] + [test_of(guard, node)]

    # -- the other's own calls --------------------------------------------------------------

    def _imported(self, event: Any, owner: ModuleCall) -> Any:
        """A call that only the other made, in our numbers."""
        self._comparisons(event.index)
        index = self.recording.event_count
        self.recording.event_count += 1
        args, kwargs = self.translated(event.args), self.translated(event.kwargs)
        if isinstance(event, OpCall):
            made: Any = dataclasses.replace(event, index=index, args=args, kwargs=kwargs, owner=owner)
        else:
            made = dataclasses.replace(event, index=index, args=args, kwargs=kwargs, parent=owner, events=[])
            self.calls[event.index] = made
            made.events = [self._imported(inner, made) for inner in event.events]
        made.mutated = tuple((self.inside(before), self._new(after)) for before, after in event.mutated)
        made.outputs = self.translated(event.outputs, made=True)
        self.merged.seen[id(made)] = {self.number}
        return made

    def _new(self, theirs: int, previous: bool = True) -> int:
        """A value of the other's that we don't have."""
        value = self.other.values[theirs]
        before = value.previous
        index = self._append(value, self.inside(before) if before is not None else None,
                             self.other.tensors.get(theirs))
        assert self.importing is not None
        self.importing[theirs] = index
        self.shapes[index] = Seen(value)
        return index

    def _append(self, value: Value, previous: int | None, tensor: torch.Tensor | None) -> int:
        index = len(self.recording.values)
        storage = self.storages.setdefault(value.storage, -1 - index) if value.storage else 0
        self.recording.values.append(dataclasses.replace(value, index=index, previous=previous, storage=storage))
        if tensor is not None:
            self.recording.tensors[index] = tensor
        return index

    def inside(self, theirs: int) -> int:
        """Our number of a value that an arm of the other's reads: an outer one comes in as the
        other saw it, at its own sizes."""
        assert self.importing is not None
        if theirs in self.importing:
            return self.importing[theirs]
        if theirs not in self.to and self.other.values[theirs].kind in ("constant", "attribute"):
            return self._new(theirs)
        outer = self.latest.get(theirs, self.to.get(theirs))
        if outer is None:
            raise Apart("a value is read that was never made")
        outer = self.visible(outer)
        value = self.other.values[theirs]
        if value.shape == self.recording.values[outer].shape:
            return outer
        index = self._append(value, None, self.other.tensors.get(theirs))
        self.recording.values[index] = dataclasses.replace(self.recording.values[index], kind="result", previous=None)
        call = self.recording.event_count
        self.recording.event_count += 1
        self.heads.append(OpCall(call, SAME, torch.Tensor.detach, (Ref(outer),), {}, Ref(index), None, ()))  # type: ignore
        self.importing[theirs] = index
        self.merged.alias_of[index] = outer
        for number, shapes in enumerate(self.merged.shapes):
            if outer in shapes and number == self.number:
                shapes[index] = shapes[outer]
        return index


def test_of(guard: Guard, node: ast.expr) -> Test:
    place = location(guard.frames)
    return Test(node, (place.file, place.line) if place is not None else guard.position)
