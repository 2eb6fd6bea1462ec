"""Small pure-MLX layers and functions that MLX lacks, for generated code to use.

Every module here imports ``mlx`` and the standard library only. A saved port carries the
source of just the blocks that it uses, so each is written to be read on its own.
"""

import importlib
import pkgutil

for _info in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_info.name}")
    globals().update({_name: getattr(_module, _name) for _name in _module.__all__})
