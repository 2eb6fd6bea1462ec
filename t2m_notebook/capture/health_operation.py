"""A torch call as the watch keeps it, and whose line of source it came from."""

from __future__ import annotations

import os
import sys

import torch

from ..inspection import checkpoints
from ..inspection.starting import is_start
from .frames import LAYER, USER, frame_kind
from .recording import Frame, locate, source_text

_INSPECTION = os.path.dirname(checkpoints.__file__) + os.sep


class Operation:
    """One call: kept as long as its nodes in the graph live."""

    __slots__ = ("name", "path", "class_name", "frame", "inputs", "marks", "step")

    def __init__(self, name, path, class_name, frame, inputs, step):
        self.name, self.path, self.class_name, self.frame = name, path, class_name, frame
        self.inputs, self.step = inputs, step
        self.marks = [mark for _, mark in inputs]

    @property
    def text(self) -> str:
        """``torch.Tensor.add_ at model.py:12: y.add_(1)``."""
        place = locate(self.frame) if self.frame else None
        return f"{self.name} at {place.text}: {source_text(place)}" if place else self.name


def storage_of(tensor: torch.Tensor) -> int:
    """Address of the memory that a tensor looks at."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else id(tensor)


def user_frame(depth: int) -> Frame | None:
    """The innermost frame of the user's own code; where there is none in the model (an ``nn.Sequential`` that is
    the whole of it), the innermost one of torch's layers. None for what this package calculates itself."""
    frame, layer = sys._getframe(depth), None
    while frame is not None and not is_start(frame.f_code):
        kind = frame_kind(frame.f_code)
        if kind == USER and not frame.f_code.co_filename.startswith(_INSPECTION):
            return Frame(frame.f_code, frame.f_lasti, id(frame))
        if kind == LAYER and layer is None:
            layer = Frame(frame.f_code, frame.f_lasti, id(frame))
        frame = frame.f_back
    return layer
