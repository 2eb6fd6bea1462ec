"""Torch in, plain records out."""

from .examples import argument_names, check_model, normalise, record
from .recording import Frame, ModuleCall, OpCall, Recording, Ref, Value, flatten, location, refs, source_text

__all__ = ["Frame", "ModuleCall", "OpCall", "Recording", "Ref", "Value", "argument_names", "check_model", "flatten",
           "location", "normalise", "record", "refs", "source_text"]
