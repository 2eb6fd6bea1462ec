"""What can be refused. Each message says where, what was got, and what to try."""

from __future__ import annotations


class T2MError(Exception):
    """Base of every error that is meant for the user; shown without our traceback."""


class NotAModule(T2MError):
    """The thing to analyse is not a live ``torch.nn.Module``."""


class BadExample(T2MError):
    """The example inputs don't fit the model's forward."""


class ModelNotReady(T2MError):
    """The model can't run here: meta tensors, lazy parameters, another device."""


class ForwardFailed(T2MError):
    """The model's forward raised.

    ``module_path`` and ``location`` name where; ``recording`` holds what ran until then.
    """

    def __init__(self, message: str, module_path: str = "", location=None, recording=None):
        super().__init__(message)
        self.module_path = module_path
        self.location = location
        self.recording = recording


class CannotImport(T2MError):
    """``package.module:callable`` could not be imported or did not give a model."""


class Refused(T2MError):
    """A rule recognised the layer or operation but can't port it with this argument.

    ``argument`` and ``value`` are torch's names; ``hint`` is the nearest thing that works.
    """

    def __init__(self, argument: str, value: object = None, hint: str = ""):
        self.argument, self.value, self.hint = argument, value, hint
        shown = repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        text = f"{argument}={shown}" if value is not None else argument
        super().__init__(f"{text}: {hint}" if hint else text)


class RuleFailed(Refused):
    """A rule raised something else than a refusal: a defect of the rule, which costs the one
    operation and not the whole analysis."""

    def __init__(self, error: Exception):
        super().__init__("its rule failed", None, f"{type(error).__name__}: {error}. This is a defect of the rule.")


class DuplicateRule(T2MError):
    """Two rules claim the same torch name."""


class NotPortable(T2MError):
    """A class or model can't be ported whole; the message lists what stands in the way."""


class NotAPort(T2MError):
    """A folder or a name that should be a port is none."""


class CannotSave(T2MError):
    """The folder to save into is taken, or can't be written."""


class WeightsMismatch(T2MError):
    """A parameter without a receipt, or one that doesn't fit where it should go."""


class WorkerFailed(T2MError):
    """The parity worker crashed, hung or ran out of memory; the session is unharmed."""


class NonFinite(T2MError):
    """A NaN or Inf came out; ``finding`` (a ``types.health.Finding``) says which operation made it."""

    def __init__(self, finding):
        self.finding = finding
        reached = f"\nIt came out at: {finding.reached}." if finding.reached else ""
        inputs = "".join(f"\n  went in: {values.text}" for values in finding.inputs)
        inputs += "".join(f"\n  came out: {values.text}" for values in finding.outputs)
        step = f" (training step {finding.step})" if finding.step else ""
        super().__init__(f"{finding.text}{reached}{step}{inputs}")


class MissingPackage(T2MError):
    """An optional package that this needs is not installed."""
