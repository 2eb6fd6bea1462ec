"""Which operation is to blame for a NaN or Inf. The one rule for both frameworks.

*Origin*: an operation whose result has a NaN or Inf while none of its inputs has one that was not meant.

1. **Intended.** The code itself fills in an Inf (``masked_fill(mask, float("-inf"))``, ``full(..., -inf)``,
   ``where(mask, x, -inf)``, a fill that is too large for the dtype), or it stands in a buffer or an argument as Inf
   without NaN (a mask made beforehand). What only passes such an Inf on (adding the mask to the scores) is intended,
   too. It stays so while nothing but −Inf in the model's own result comes of it (masked logits).
2. An operation that makes a **NaN** out of intended Inf (softmax over a row that is masked whole), or an Inf of a sign
   that nobody intended, is an origin itself.
3. **Bad.** An origin is bad when its NaN or Inf comes out somewhere: in the model's result, the loss, a gradient, a
   parameter, the optimizer's state.
4. **Absorbed.** When nothing comes out (``where`` chose the other side, 1/Inf is 0), it is listed, and
   nobody is accused.

The first bad origin is the first bad operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..types.health import ABSORBED, BAD, INTENDED, Finding, Ranges


@dataclass(slots=True)
class Origin:
    """A place where a NaN or Inf first appeared."""

    finding: Finding
    intended: bool = False
    reached: str = ""

    @property
    def settled(self) -> Finding:
        """The finding with its verdict."""
        verdict = INTENDED if self.intended else BAD if self.reached else ABSORBED
        reason = "The code writes it." if self.intended and self.finding.phase == "forward" else self.finding.reason
        return replace(self.finding, verdict=verdict, reached=self.reached, reason=reason)


#: Operations that write a number of the code's into a tensor.
FILLS = frozenset(
    """masked_fill full full_like new_full fill where __setitem__ tensor as_tensor array scalar_tensor
    masked_scatter index_fill scatter pad constant_pad_nd put_along_axis fill_diagonal constant
    new_tensor slice_update maximum minimum""".split()
)
#: Operations that may turn the sign of an intended Inf.
_TURNS = frozenset(
    """neg negative sub subtract rsub mul multiply div divide true_divide abs pow power square __sub__
    __rsub__ __neg__ __mul__ __rmul__ __truediv__ __abs__ __pow__ __isub__ __imul__""".split()
)


@dataclass(slots=True)
class Origins:
    """All origins so far. A *mark* is an index into ``found``; a value without NaN and Inf has none."""

    found: list[Origin] = field(default_factory=list)

    def judge(
        self,
        name: str,
        inputs: Sequence[tuple[Ranges, int | None]],
        result: Ranges,
        constants: Iterable[float],
        finding,
    ) -> int | None:
        """The mark of a result. ``constants`` are the numbers in the call that are NaN or Inf in the result's dtype;
        ``finding()`` describes the operation when it turns out to be an origin."""
        if result.finite:
            return None
        marks = [mark for values, mark in inputs if mark is not None and not values.finite]
        blamed = [mark for mark in marks if not self.found[mark].intended]
        if blamed:
            self._used(min(blamed), finding)
            return min(blamed)
        word = name.rpartition(".")[2]
        fills = list(constants) if word.rstrip("_") in FILLS or word in FILLS else []
        plus, minus = (any(c == sign * float("inf") for c in fills) for sign in (1, -1))
        if marks:
            plus |= any(values.positive_inf for values, _ in inputs)
            minus |= any(values.negative_inf for values, _ in inputs)
            if word.rstrip("_") in _TURNS or word in _TURNS:
                plus = minus = plus or minus
        ok = not result.nan and (plus or not result.positive_inf) and (minus or not result.negative_inf)
        if ok and marks:
            return min(marks)
        return self.add(finding(), intended=ok)

    def _used(self, mark: int, finding) -> None:
        """Say which operation was the first to pass on what a parameter or an input holds."""
        known = self.found[mark].finding
        if known.phase in ("parameter", "input", "buffer") and not known.used_by:
            by = finding()
            self.found[mark].finding = replace(
                known,
                used_by=by.operation,
                path=by.path,
                class_name=by.class_name,
                source=by.source,
                location=by.location,
            )

    def add(self, finding: Finding, intended: bool = False) -> int:
        """A new origin; its mark."""
        self.found.append(Origin(finding, intended))
        return len(self.found) - 1

    def reach(self, mark: int | None, where: str, values: Ranges | None = None) -> Origin | None:
        """A value with this mark came out at ``where``. Gives the origin when that makes it bad for the first time.
        ``values`` are those of the model's result, where −Inf may be meant."""
        if mark is None:
            return None
        origin = self.found[mark]
        if origin.intended and values is not None and not values.nan and not values.positive_inf:
            return None
        origin.intended = False
        new = not origin.reached
        origin.reached = origin.reached or where
        return origin if new else None

    def came_out(self, marks: Iterable[int | None]) -> int | None:
        """The first of ``marks`` whose NaN or Inf has come out already: what the backward pass makes of it is no
        origin of its own."""
        return min((m for m in marks if m is not None and self.found[m].reached), default=None)

    def settled(self) -> list[Finding]:
        """Every finding with its verdict, in the order in which they happened."""
        return [origin.settled for origin in self.found]
