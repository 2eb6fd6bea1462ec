"""What probably is the matter when a class diverges from torch, found by trying.

Each hypothesis (one short file per family) proposes rewrites of the user's source; the rewritten
class is run on the values that torch had, and a rewrite that makes the values agree is reported
as a change of whole lines. Runs in the worker: the standard library and MLX only.
"""

from .case import Case, Finding, Outcome
from .search import diagnose

__all__ = ["Case", "Finding", "Outcome", "diagnose"]
