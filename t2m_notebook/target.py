"""What a command line says, made real: ``package.module:callable``, ``--input``, a folder to save into."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .errors import BadExample, CannotImport, CannotSave, NotAModule

INPUT_HELP = ("an example input of this shape, random but the same every time: 1x3x224x224, 2x12:int64:0-99 "
              "(integers from 0 to 99), 2x4:float16, scalar:int64:5-5; name=2x12 for a keyword argument; "
              "repeat it for more inputs")
DEFAULT_HIGHEST = 9  # integers are drawn from 0..9 unless told: small enough for most vocabularies

_SPEC = re.compile(r"(?:(?P<name>[^\W\d]\w*)=)?(?P<shape>scalar|\d+(?:x\d+)*)"
                   r"(?::(?P<dtype>[a-z]+[a-z0-9_]*))?(?::(?P<low>-?[\d.]+)-(?P<high>-?[\d.]+))?$")


def saving_place(folder: str | os.PathLike) -> Path:
    """``folder`` as a place that a port can be saved to, known before the long work starts.

    Raises :class:`CannotSave` when it is a file, holds something else, or can't be written.
    """
    place = Path(folder).expanduser()
    try:
        if place.is_dir():
            if any(place.iterdir()) and not (place / "manifest.json").exists():
                raise CannotSave(f"{place} holds other files and no port. Name a new or empty folder.")
        elif os.path.lexists(place):
            raise CannotSave(f"{place} is a file; name a folder to save into.")
        above = next(part for part in (place, *place.absolute().parents) if part.exists())
        if not above.is_dir():
            raise CannotSave(f"{above} is a file, so {place} can't be made.")
        # The finished folder is moved into place, so the one above it has to be writable as well.
        for part in {above, place.absolute().parent if place.exists() else above}:
            if not os.access(part, os.W_OK | os.X_OK):
                raise CannotSave(f"{part} can't be written; name another folder.")
    except (OSError, ValueError) as error:
        raise CannotSave(f"{place} can't be written: {error}") from error
    return place


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Tells a failure to write, a full disk say, as one :class:`CannotSave`."""
    try:
        yield
    except OSError as error:
        raise CannotSave(f"{place} can't be written: {error.strerror or error}. Nothing was left there.") from error


def separate_target(target: str | None, inputs: Sequence[str], verb: str = "analyze") -> tuple[str, list[str]]:
    """The target and the inputs, also when ``--input A B module:callable`` swallowed the target."""
    inputs = list(inputs)
    if target is None and inputs and not _SPEC.match(inputs[-1]):
        target = inputs.pop()
    if target is None:
        what = {"analyze": "analyse", "parity": "measure"}.get(verb, verb)
        raise CannotImport(f"Say what to {what}: t2m {verb} package.module:callable, "
                           "for instance torchvision.models:resnet18.")
    return target, inputs


def load_target(target: str, value: Any = None) -> tuple[Any, Any, dict[str, Any]]:
    """``(model, args, kwargs)`` from ``package.module:callable`` or ``file.py:callable``; ``value`` is what
    it gave, when that is known."""
    from torch import nn

    value = load_value(target) if value is None else value
    parts = value if isinstance(value, tuple) else (value,)
    model, args, kwargs = (*parts, None, None)[:3]
    if not isinstance(model, nn.Module):
        raise NotAModule(f"{target} gave {_described(value)}, not a torch.nn.Module. It should return "
                         "a model, (model, args) or (model, args, kwargs).")
    if len(parts) > 3 or not (kwargs is None or isinstance(kwargs, dict)):
        raise NotAModule(f"{target} gave {_described(value)}. It should return a model, (model, args) with "
                         "args a tensor or a tuple, or (model, args, kwargs) with kwargs a dict.")
    return model, () if args is None else args, kwargs or {}


def load_value(target: str) -> Any:
    """Whatever ``package.module:callable`` gives: called when it is a function, a model as it is."""
    from torch import nn

    from .torchvision_shim import declare_missing_operators

    declare_missing_operators()
    value = _look_up(target)
    if isinstance(value, nn.Module) or not callable(value):
        return value
    try:
        return value()
    except TypeError as error:
        if _needs_arguments(value):
            raise CannotImport(f"{target} needs arguments ({error}). Write a function without any that "
                               "returns the model, and name that one.") from error
        raise CannotImport(f"{target}() raised TypeError: {error}") from error
    except Exception as error:
        raise CannotImport(f"{target}() raised {type(error).__name__}: {error}") from error


def write_text(file: str | os.PathLike, text: str) -> None:
    """Writes ``text`` to ``file``, the whole of it or nothing. Raises ``OSError``."""
    place = Path(file).expanduser()
    handle, draft = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        os.chmod(draft, 0o644)
        os.replace(draft, place)
    except BaseException:
        os.unlink(draft)
        raise


def _look_up(target: str) -> Any:
    """The object that ``target`` names."""
    place, colon, path = target.rpartition(":")
    if not colon or not path or not place:
        raise CannotImport(f"{target!r} doesn't say which callable. Write package.module:callable, "
                           f"for instance {target.strip(':') or 'my_models'}:build_model.")
    if place.endswith(".py") or os.sep in place:
        module = _import_file(Path(place))
    else:
        module = _import_module(place)
    value: Any = module
    for name in path.split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            known = {n.lower(): n for n in dir(value) if not n.startswith("_")}
            near = [known[n] for n in difflib.get_close_matches(name.lower(), known, n=3)]
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise CannotImport(f"{place} has no {name!r}.{hint}") from None
    return value


def _import_module(name: str):
    if os.getcwd() not in sys.path:  # `python -m` has it there; the console script has its own folder
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise CannotImport(f"There is no module {error.name!r} here. Check the name, and that it is "
                               "installed or in the current folder; a file is named as "
                               "path/to/file.py:callable.") from error
        raise CannotImport(f"Importing {name} failed: it needs the module {error.name!r}, "
                           "which is not installed.") from error
    except Exception as error:
        raise CannotImport(f"Importing {name} failed: {type(error).__name__}: {error}") from error


def _import_file(path: Path):
    if not path.is_file():
        raise CannotImport(f"There is no file {path}.")
    sys.path.insert(0, str(path.resolve().parent))  # its neighbours are importable, as in `python file.py`
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CannotImport(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # pickling and dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CannotImport(f"Importing {path} failed: {type(error).__name__}: {error}") from error
    return module


def _needs_arguments(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _described(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} ({', '.join(type(item).__name__ for item in value[:4])})"
    return f"{'an' if type(value).__name__[0] in 'aeiouAEIOU' else 'a'} {type(value).__name__}"


def example_inputs(specifications: Sequence[str], seed: int = 0) -> tuple[tuple, dict[str, Any]]:
    """Random tensors for ``--input`` specifications: positional ones as a tuple, named ones as a dict."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    args, kwargs = [], {}
    for text in specifications:
        name, tensor = _example_input(text, generator)
        if name is None:
            args.append(tensor)
        elif name in kwargs:
            raise BadExample(f"--input gives {name!r} twice.")
        else:
            kwargs[name] = tensor
    return tuple(args), kwargs


def _example_input(text: str, generator) -> tuple[str | None, Any]:
    import torch

    match = _SPEC.match(text)
    if match is None:
        raise BadExample(f"--input {text}: not a shape. Write 1x3x224x224, 2x12:int64:0-99 or name=2x12.")
    shape = () if match["shape"] == "scalar" else tuple(int(size) for size in match["shape"].split("x"))
    dtype = getattr(torch, match["dtype"] or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise BadExample(f"--input {text}: torch has no dtype {match['dtype']!r}; "
                         "try float32, float16, int64 or bool.")
    if math.prod(shape) > 2**31:
        raise BadExample(f"--input {text}: that is {math.prod(shape):,} numbers.")
    low, high = match["low"], match["high"]
    if low is not None and float(low) > float(high):
        raise BadExample(f"--input {text}: the range {low}-{high} is empty; write the smaller number first.")
    if dtype.is_floating_point or dtype.is_complex:
        values = torch.randn(shape, generator=generator) if low is None else (
            torch.rand(shape, generator=generator) * (float(high) - float(low)) + float(low))
    else:
        low, high = low or "0", high or str(1 if dtype == torch.bool else DEFAULT_HIGHEST)
        try:
            first, last = int(low), int(high)
        except ValueError:
            raise BadExample(f"--input {text}: {dtype} needs a range of whole numbers.") from None
        values = torch.randint(first, last + 1, shape, generator=generator)
    try:
        return match["name"], values.to(dtype)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        raise BadExample(f"--input {text}: torch can't make a tensor of {dtype}: {error}") from error
