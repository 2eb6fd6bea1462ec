"""Port PyTorch models to Apple's MLX and prove the port, node by node.

    import t2m_notebook as t2m
    t2m.analyze(model, example)          # what has a rule, as a tree
    port = t2m.port(model, example)      # MLX classes, weights, measured parity
    port.save("out/")                    # needs neither torch nor this package
"""

from typing import Any

__version__ = "0.1.0"
_PUBLIC = {"analyze": "session", "Analysis": "session", "port": "session", "Port": "session"}
__all__ = ["analyze", "port", "load_ipython_extension", "__version__"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; `import t2m_notebook` must not.
    if name in _PUBLIC:
        import importlib
        return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext t2m_notebook``: register the magics."""
    from . import magics
    magics.register(ipython)
