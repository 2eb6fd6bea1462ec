"""PyTorch's own sample databases, run through the rules.

    python -m tests.rules.samples add softmax              # operations of op_db by name
    python -m tests.rules.samples --modules nn.Conv2d      # layers of module_db
    python -m tests.rules.samples --all --seconds 5        # everything, a line each
"""

from __future__ import annotations

import argparse
import collections
import time
import warnings
from dataclasses import dataclass, field

import torch

from tests.rules.replay import Outcome, replay


@dataclass
class Tally:
    """Outcomes of one entry of a database."""

    name: str
    counts: collections.Counter = field(default_factory=collections.Counter)
    reasons: dict[str, str] = field(default_factory=dict)  # kind -> first detail
    caveats: set[str] = field(default_factory=set)
    failures: list[tuple[str, Outcome]] = field(default_factory=list)
    gradients: collections.Counter = field(default_factory=collections.Counter)
    examples: list[str] = field(default_factory=list)  # the emitted function of each sample that matched

    @property
    def verdict(self) -> str:
        """matched | refused | mixed (some samples refused) | missing | differs | empty."""
        kinds = {kind for kind, count in self.counts.items() if count}
        for kind in ("differs", "missing"):
            if kind in kinds:
                return kind
        if kinds == {"matched"}:
            return "matched"
        if kinds == {"refused"}:
            return "refused"
        return "mixed" if kinds else "empty"

    def add(self, label: str, outcome: Outcome) -> None:
        self.counts[outcome.kind] += 1
        self.gradients[outcome.gradients] += 1
        self.caveats.update(outcome.caveats)
        if outcome.kind == "matched":
            self.examples.append(outcome.source)
        else:
            self.reasons.setdefault(outcome.kind, outcome.detail)
            self.failures.append((label, outcome))

    def line(self) -> str:
        counts = " ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items()))
        reason = "; ".join(f"{kind}: {text}" for kind, text in self.reasons.items())
        return f"{self.name:40s} {self.verdict:8s} {counts}  {reason[:220]}"


def op_entries() -> dict[str, list]:
    """op_db by name; a name can have several variants."""
    from torch.testing._internal.common_methods_invocations import op_db
    entries: dict[str, list] = {}
    for entry in op_db:
        if entry.name.startswith("jiterator"):  # compiles CUDA source
            continue
        entries.setdefault(entry.name, []).append(entry)
    return entries


def module_entries() -> dict[str, object]:
    """module_db by name, such as ``nn.Conv2d``."""
    from torch.testing._internal.common_modules import module_db
    return {entry.name: entry for entry in module_db}


def _plain(operation):
    """An operation as a function that looks up nothing but its arguments."""
    return lambda *args, **kwargs: operation(*args, **kwargs)


def run_op(name: str, dtype: torch.dtype = torch.float32, seed: int = 0, seconds: float = 20.0,
           orders: str = "standard", gradients: bool = True, limit: int | None = None) -> Tally:
    """Every sample of the op_db entries called ``name``, or about ``limit`` of them spread over each entry."""
    tally, entries = Tally(name), op_entries()[name]
    started = time.perf_counter()  # not counting the import of the database
    for entry in entries:
        if dtype not in entry.supported_dtypes("cpu"):
            continue
        torch.manual_seed(seed)
        differentiable = gradients and entry.supports_autograd and (dtype.is_floating_point or dtype.is_complex)
        samples = list(enumerate(entry.sample_inputs("cpu", dtype, requires_grad=differentiable)))
        for number, sample in samples[::-(-len(samples) // limit)] if limit and samples else samples:
            if tally.counts and time.perf_counter() - started > seconds:  # one at least, however slow the machine
                break
            outcome = replay(_plain(entry.op), (sample.input, *sample.args), sample.kwargs, gradients=differentiable,
                             orders=orders)
            tally.add(f"sample {number}: {sample.summary() if hasattr(sample, 'summary') else ''}", outcome)
    return tally


def run_module(name: str, dtype: torch.dtype = torch.float32, seed: int = 0, orders: str = "standard") -> Tally:
    """Every sample of one module_db entry, in train and eval mode where they differ."""
    entry, tally = module_entries()[name], Tally(name)
    for training in ((True, False) if entry.train_and_eval_differ else (False,)):
        torch.manual_seed(seed)
        inputs = entry.module_inputs_func(entry, device="cpu", dtype=dtype, requires_grad=True, training=training)
        for number, given in enumerate(inputs):
            construct, forward = given.constructor_input, given.forward_input
            module = entry.module_cls(*construct.args, **construct.kwargs).to(dtype)
            module.train(training)
            if any(isinstance(p, torch.nn.parameter.UninitializedTensorMixin) for p in module.parameters()):
                module(*forward.args, **forward.kwargs)  # what a person is told to do with a lazy layer
            outcome = replay(module, forward.args, forward.kwargs, orders=orders)
            tally.add(f"sample {number}: {given.desc or construct.kwargs or construct.args}", outcome)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--modules", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--orders", default="standard", choices=["standard", "channels last"])
    parser.add_argument("--verbose", action="store_true", help="print each failing sample with the emitted source")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    dtype = getattr(torch, options.dtype)
    names = options.names or (list(module_entries()) if options.modules else list(op_entries()))
    verdicts: collections.Counter = collections.Counter()
    for name in names:
        try:
            tally = (run_module(name, dtype, options.seed, options.orders) if options.modules else
                     run_op(name, dtype, options.seed, options.seconds, options.orders))
        except Exception as error:  # a broken sample must not end the survey
            tally = Tally(name)
            tally.add("error", Outcome("differs", f"{type(error).__name__}: {str(error)[:200]}"))
        verdicts[tally.verdict] += 1
        print(tally.line(), flush=True)
        if options.verbose:
            for label, outcome in tally.failures[:6]:
                print("   ", label[:300], "\n   ", outcome.kind, outcome.detail, "\n", outcome.source)
    print(dict(verdicts))


if __name__ == "__main__":
    main()
