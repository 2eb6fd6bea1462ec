"""What holds a value after branches: one value out of the two that the arms of a branch leave."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from .aligning import Apart
from .events import made_in, replaced
from .numbers import Numbers
from .recording import EITHER, Branch, ModuleCall, OpCall, Ref


class AfterBranches(Numbers):
    """The part of a walk over two recordings that looks at values which differ."""

    to: dict[int, int]  # the other's value -> ours
    also: dict[int, set[int]]  # further values of ours that hold it
    latest: dict[int, int]  # the other's value -> what a branch made of it
    renamed: dict[int, int]  # a value made inside an arm -> what holds it afterwards
    home: dict[int, Branch]  # a value made inside an arm that is over
    order: dict[int, int]  # branch -> when it was made
    pairs: dict[tuple[int, int], int]
    place: tuple[list[Any], Any, ModuleCall] | None

    def visible(self, index: int) -> int:
        """Where a value of ours is held here, after the branches that are over."""
        while index in self.renamed:
            index = self.renamed[index]
        return index

    def pair(self, mine: int, theirs: int) -> int:
        """The value that an event reads which read ``mine`` so far, where the other read ``theirs``."""
        here = self.visible(mine)
        if self._holds(here, theirs):
            return here
        if theirs not in self.to and self.recording.values[mine].kind == "constant":
            return self._constant(mine, theirs)
        known = self.pairs.get((mine, theirs))
        if known is None:
            known = self._passed_on(here, theirs)
        return known if known is not None else self.either(mine, theirs)

    def _passed_on(self, mine: int, theirs: int) -> int | None:
        """An older branch whose arm just passes a value on, where the other has changed that value
        before: then the branch is about what came of it, in both arms."""
        branch, merge = self.merged.made_by.get(mine, (None, None))
        if branch is None or merge is None or self.number not in branch.samples or id(branch) in self.order:
            return None
        arms = (branch.then, branch.otherwise) if branch.samples[self.number] else (branch.otherwise, branch.then)
        side = 0 if branch.samples[self.number] else 1
        passed = merge.args[side]
        if not isinstance(passed, Ref) or passed.index in made_in(arms[0]):
            return None
        changed = self.pairs.get((passed.index, theirs))
        if changed is None:
            return None
        merge.args = tuple(Ref(changed) if number == side else one for number, one in enumerate(merge.args))
        for arm in arms:
            for event in arm:
                if isinstance(event, OpCall):
                    event.args = replaced(event.args, passed.index, changed)
        self.also.setdefault(theirs, set()).add(mine)
        self.shapes[mine] = self.other.values[theirs].shape
        for number in branch.samples:
            shapes = self.merged.shapes[number]
            if passed.index in shapes:
                shapes.setdefault(changed, shapes[passed.index])
        return mine

    def _holds(self, here: int, theirs: int) -> bool:
        """True when our value ``here`` is what the other has as ``theirs``."""
        outer = self.merged.alias_of.get(here, here)
        if self.to.get(theirs) in (here, outer) and self.to[theirs] not in self.hidden:
            return True
        return here in self.also.get(theirs, ()) or outer in self.also.get(theirs, ())

    def held(self, mine: int, theirs: int) -> int:
        """The same where there is one already; ``KeyError`` where there is none."""
        here = self.visible(mine)
        return here if self._holds(here, theirs) else self.pairs[mine, theirs]

    def _constant(self, mine: int, theirs: int) -> int:
        one, two = self.recording.tensors.get(mine), self.other.tensors.get(theirs)
        if one is None or two is None or one.shape != two.shape or not torch.equal(one, two):
            raise Apart("a tensor from outside the forward differs")
        self._know(theirs, mine)
        return mine

    def either(self, mine: int | None, theirs: int | None) -> int:
        """One value out of ours and the other's, made at the end of the branch that parted them."""
        homes = [self.home.get(mine) if mine is not None else None,
                 self.home.get(self.to[theirs]) if theirs in self.to else None]
        branch = max((b for b in homes if b is not None), key=lambda b: self.order[id(b)], default=None)
        if branch is None:
            branch = self._empty_branch()
        here = mine if mine is None or self.home.get(mine) is branch else self.visible(mine)
        there = None
        if theirs is not None:
            own = self.to.get(theirs)
            if own is None:
                raise Apart("a value is read that was never made")
            there = own if self.home.get(own) is branch else self.visible(self.latest.get(theirs, own))
        model = here if here is not None else there
        assert model is not None
        value = self.recording.values[model]
        if here is not None and there is not None:
            if len(value.shape) != len(self.recording.values[there].shape):
                raise Apart("another rank after a branch")
        index = self._append(dataclasses.replace(value, kind="result", name="", storage=0), None,
                             self.recording.tensors.get(model))
        sides = [None if one is None else Ref(one) for one in (here, there)]
        then_is_ours = not branch.samples[self.number]
        # ``samples`` says for each recording whether the test holds; the other's arm is its own.
        args = tuple(sides if then_is_ours else sides[::-1])
        call = self.recording.event_count
        self.recording.event_count += 1
        merge = OpCall(call, EITHER, torch.where, args, {}, Ref(index), branch.owner, ())
        branch.merges.append(merge)
        self.merged.made_by[index] = branch, merge
        for number, held in branch.samples.items():
            side = args[0] if held else args[1]
            shapes = self.merged.shapes[number]
            if side is not None and side.index in shapes:
                shapes[index] = shapes[side.index]
        if mine is not None:
            if self.home.get(mine) is branch:
                self.renamed[mine] = index
            if theirs is not None:
                self.pairs[mine, theirs] = index
        if theirs is not None:
            self.latest[theirs] = index
            self.also.setdefault(theirs, set()).add(index)
        return index

    def _empty_branch(self) -> Branch:
        """The forward chose between two values without a call of its own: a branch for that."""
        if self.place is None:
            raise Apart("values differ before the first call")
        events, event, owner = self.place
        labels = {number: True for number in self.passing}
        labels[self.number] = False
        branch = Branch(owner, self.decide(labels, owner), [], [], samples=labels)
        self.order[id(branch)] = len(self.order)
        events.insert(next((i for i, one in enumerate(events) if one is event), len(events)), branch)
        return branch
