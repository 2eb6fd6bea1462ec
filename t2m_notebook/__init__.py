"""Port PyTorch models to Apple's MLX and prove the port, node by node.

    import t2m_notebook as t2m
    t2m.analyze(model, example)          # what has a rule, as a tree
    port = t2m.port(model, example)      # MLX classes, weights, measured parity
    port.save("out/")                    # needs neither torch nor this package
"""

import importlib
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
#: Public name -> the module that defines it. Loaded when first asked for: torch takes a
#: second to import, ``import t2m_notebook`` must not.
_PUBLIC = {"analyze": "session", "Analysis": "session", "Port": "session",
           "trace": "seeing", "tracing": "seeing", "health": "seeing", "watch": "seeing",
           "checkpoint": "inspection.checkpoints",
           "clip_gradients": "seeing", "sanitise": "seeing", "memory": "seeing", "pending": "seeing",
           "autograd": "gradient_graphs", "GradientGraph": "types"}
__all__ = ["analyze", "port", "trace", "tracing", "health", "watch", "checkpoint", "memory", "autograd",
           "load_ipython_extension", "__version__"]


class _Package(ModuleType):
    """``t2m_notebook.port`` is both a verb and a room. The name gives the verb; importing
    from the room works as always."""

    @property
    def port(self) -> Any:
        return importlib.import_module(f"{__name__}.session").port

    @port.setter
    def port(self, room: Any) -> None:
        """The import system binds the room here; the verb stays."""


sys.modules[__name__].__class__ = _Package

if "IPython" in sys.modules:  # in a notebook, source lines are told by their cell
    from .cell_numbers import number_cells_of_this_process
    number_cells_of_this_process()


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext t2m_notebook``: register the magics, and wait for a front-end that shows cells."""
    from . import magics, magics_cells
    magics.register(ipython)
    magics_cells.register(ipython)
