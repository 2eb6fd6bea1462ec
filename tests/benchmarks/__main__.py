"""Run the benchmarks: ``make bench``, or ``python -m tests.benchmarks [--only WORD] [--rounds N]``.

Every number is a ratio to a reference that is measured in the same run, the median of several rounds.
The exit status is 1 when one lies above its goal.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from t2m_notebook.torchvision_shim import declare_missing_operators

PARTS = ("recording", "porting", "tracing", "health", "gradients", "live")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=PARTS, help="one of the files")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is timed (default: 15)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    declare_missing_operators()
    from . import gradients, health, live, porting, recording, tracing

    missed = 0
    for part in (recording, porting, tracing, health, gradients, live):
        if options.only in (None, part.__name__.rpartition(".")[2]):
            for line in part.lines(options.rounds):
                print(line.text, flush=True)
                missed += not line.ok
    print(f"{missed} above the goal" if missed else "every goal is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
