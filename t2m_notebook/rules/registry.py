"""The one place where a torch name meets an MLX name: registration and lookup.

>>> rename("torch.cat", "mx.concatenate", dim="axis", layout=AXIS)        # doctest: +SKIP
>>> @op("torch.square", layout=POINTWISE)                                 # doctest: +SKIP
... def square(x): return mx.square(x)
>>> @layer(nn.Conv1d, weights={"weight": "OIL->OLI"}, layout=CHANNELS_LAST)  # doctest: +SKIP
... def conv1d(m): return mlx_nn.Conv1d(m.in_channels, ...)
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn

from ..errors import DuplicateRule, Refused
from .expression import Expr, Namespace
from .layouts import STANDARD, Layout


@dataclass(frozen=True, slots=True)
class OpRule:
    """How one torch operation is written in MLX."""

    name: str
    emit: Callable[..., Any]
    layout: Layout
    caveat: str = ""  # said as PARTIAL wherever the operation is used
    file: str = ""
    summary: str = ""  # for the support table
    cases: tuple[Any, ...] = ()
    mutates: bool = False  # the recorded call changes its first argument and nothing else


@dataclass(frozen=True, slots=True)
class LayerRule:
    """How one torch layer is constructed, called and given its weights in MLX."""

    cls: type
    emit: Callable[[Any], Any]
    layout: Layout
    weights: Mapping[str, str] | Callable[[Any], Mapping[str, Any]] = field(default_factory=dict)
    caveat: str = ""
    file: str = ""
    summary: str = ""
    cases: tuple[Any, ...] = ()


@dataclass(slots=True)
class Layer:
    """What a layer rule gives when the constructor alone does not say it all.

    ``constructor`` builds the MLX layer; ``call(self_expr, *args, **kwargs)`` emits its
    use (default: ``self_expr(*args)``); ``inline(*args, **kwargs)``, for a layer without
    weights, emits a plain function call instead (``nn.relu(x)``).
    """

    constructor: Expr | None
    call: Callable[..., Any] | None = None
    inline: Callable[..., Any] | None = None


OPS: dict[str, OpRule] = {}
LAYERS: dict[type, LayerRule] = {}
_generation = 0  # cached lookups are stale when this has moved
_found: dict[tuple[str, int], OpRule | None] = {}


def generation() -> int:
    """Changes whenever a rule is added or removed."""
    return _generation


def _register(table: dict, key: Any, rule: Any, replace: bool) -> None:
    global _generation
    if key in table and not replace:
        shown = key if isinstance(key, str) else key.__qualname__
        raise DuplicateRule(f"{shown} has a rule in {table[key].file} already; {rule.file} registers another. "
                            "Pass replace=True to override it.")
    table[key] = rule
    _generation += 1


def op(*names: str, layout: Layout = STANDARD, caveat: str = "", summary: str = "", cases: tuple = (),
       mutates: bool = False, replace: bool = False):
    """Register the decorated function as the rule for the torch operations ``names``.

    The function takes torch's arguments under torch's names, tensors as
    :class:`~t2m_notebook.rules.array.Array`, and returns the MLX expression. A keyword-only
    parameter ``call`` receives the :class:`~t2m_notebook.rules.layouts.Call`. An argument
    that it does not take is refused by name, unless torch's value for it changes nothing.
    ``torch.abs`` also serves ``torch.Tensor.abs`` and ``torch.Tensor.abs_``; a custom operation
    ``library::name`` is called ``library.name``.
    """
    def decorate(function):
        first_line = (inspect.getdoc(function) or "").partition("\n")[0]
        for name in names:
            rule = OpRule(name, function, layout, caveat, function.__module__, summary or first_line, cases, mutates)
            _register(OPS, name, rule, replace)
        return function
    return decorate


def rename(name: str, mlx_name: str, *, layout: Layout = STANDARD, caveat: str = "", replace: bool = False,
           **arguments: str) -> None:
    """Register a pure renaming: ``rename("torch.cat", "mx.concatenate", dim="axis")``.

    ``arguments`` renames torch's keyword on the left to MLX's on the right; those are always
    passed by keyword, and a ``dim`` goes through ``x.axis``. Other arguments are refused.
    """
    namespace, _, attribute = mlx_name.rpartition(".")
    target = Namespace(namespace).__getattr__(attribute) if namespace else Namespace(attribute)

    def emit(x, *values, **named):
        given = {**dict(zip(arguments, values, strict=False)), **named}
        axis_of = getattr(x if not isinstance(x, (list, tuple)) else x[0], "axis", None)
        renamed = {}
        for key, value in given.items():
            if key == "dim" and axis_of is not None and value is not None:
                value = axis_of(value) if not isinstance(value, (tuple, list)) else tuple(map(axis_of, value))
            if value is not None:
                renamed[arguments[key]] = value
        return target(list(x) if isinstance(x, tuple) else x, **renamed)

    parameters = [inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for key in arguments]
    emit.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    caller = inspect.currentframe()
    file = caller.f_back.f_globals.get("__name__", "") if caller and caller.f_back else ""
    _register(OPS, name, OpRule(name, emit, layout, caveat, file, f"`{mlx_name}`"), replace)


def layer(*classes: type, weights: Any = None, layout: Layout = STANDARD, caveat: str = "", summary: str = "",
          cases: tuple = (), replace: bool = False):
    """Register the decorated function as the rule for the layer ``classes``.

    The function takes the live module and returns the expression that constructs the MLX
    layer, or a :class:`Layer`. ``weights`` maps a parameter or buffer of the torch layer to
    its axis move (``{"weight": "OIHW->OHWI"}``), to ``(mlx_name, move)`` when the name
    changes, or to None when MLX does not use it; those left out keep name and axes. A
    callable receives the module and returns that mapping.
    """
    def decorate(function):
        first_line = (inspect.getdoc(function) or "").partition("\n")[0]
        for cls in classes:
            rule = LayerRule(cls, function, layout, weights or {}, caveat, function.__module__,
                             summary or first_line, cases)
            _register(LAYERS, cls, rule, replace)
        return function
    return decorate


def unregister(key: str | type) -> None:
    """Remove a rule (for tests and for a user who takes back an override)."""
    global _generation
    (OPS if isinstance(key, str) else LAYERS).pop(key)  # type: ignore[call-overload]
    _generation += 1


def refuse(argument: str, value: object = None, hint: str = "") -> NoReturn:
    """Say that the rule can't honour an argument. Raises :class:`~t2m_notebook.errors.Refused`."""
    raise Refused(argument, value, hint)


_caveats: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("caveats", default=None)


def caveat(text: str) -> None:
    """Called inside a rule: this very use runs with a restriction, shown as PARTIAL."""
    collected = _caveats.get()
    if collected is not None and text not in collected:
        collected.append(text)


@contextlib.contextmanager
def collecting_caveats() -> Iterator[list[str]]:
    """Caveats that rules state while the block runs."""
    collected: list[str] = []
    token = _caveats.set(collected)
    try:
        yield collected
    finally:
        _caveats.reset(token)


_PREFIXES = (("torch.Tensor.", "torch."), ("torch.functional.", "torch."),
             ("torch._VariableFunctionsClass.", "torch."), ("torch._C._VariableFunctions.", "torch."),
             ("torch._C._nn.", "torch.nn.functional."), ("torch.Tensor.", "torch.nn.functional."),
             ("torch.", "torch.nn.functional."), ("torch._C._fft.fft_", "torch.fft."),
             ("torch._C._linalg.linalg_", "torch.linalg."), ("torch._C._special.special_", "torch.special."),
             ("torch._tensor.Tensor.", "torch."), ("torch.Tensor.", "torch.special."))


@cache
def _candidates(name: str) -> tuple[str, ...]:
    name = name.removesuffix(".default")  # the overload through which a custom operation is called
    bases = [name]
    last = name.rpartition(".")[2]
    if last.endswith("_") and not last.endswith("__"):
        bases.append(name[:-1])
    found = dict.fromkeys(bases)
    for base in bases:
        for prefix, canonical in _PREFIXES:
            if base.startswith(prefix):
                found[canonical + base[len(prefix):]] = None
    return tuple(found)


def op_rule(name: str) -> OpRule | None:
    """The rule for a torch operation by any of its names, or None."""
    load_rules()
    key = (name, _generation)
    if key not in _found:
        _found[key] = next((OPS[candidate] for candidate in _candidates(name) if candidate in OPS), None)
    return _found[key]


_HARMLESS = frozenset({"extra_repr", "reset_parameters"})


def layer_rule(cls: type) -> LayerRule | None:
    """The rule for a layer class. An ancestor's rule counts only when nothing that its
    ``forward`` may use was redefined below it: a user's class called ``Linear`` is not
    ``nn.Linear``, and one with its own ``_conv_forward`` is no plain convolution."""
    load_rules()
    if cls in LAYERS:
        return LAYERS[cls]
    below: set[str] = set()
    for ancestor in cls.__mro__:
        if ancestor in LAYERS:
            fields = {name for base in ancestor.__mro__ for name in getattr(base, "__annotations__", {})}
            changed = {name for name in below if hasattr(ancestor, name) or name in fields}
            return None if changed - _HARMLESS else LAYERS[ancestor]
        below.update(name for name in vars(ancestor) if not name.startswith("__") or name == "__call__")
    return None


def spec_name(name: str) -> str:
    """The shortest public spelling of a recorded name: ``torch.functional.split`` as
    ``torch.split``; a name that a rule is registered under as the rule spells it."""
    rule = op_rule(name)
    if rule is not None:
        return rule.name
    for prefix, canonical in _PREFIXES[1:5]:
        if name.startswith(prefix):
            return canonical + name[len(prefix):]
    return name


_failure: BaseException | None = None  # of the first load: a rule file can't be imported a second time


def load_rules() -> None:
    """Import every family of this package and the rules that installed packages ship
    through the entry point group ``t2m_notebook.rules``. Raises what a rule file raises,
    and the same again when called again."""
    global _failure
    if _failure is not None:
        raise _failure.with_traceback(None)
    try:
        _import_rules()
    except BaseException as error:
        _failure = error
        raise


@cache
def _import_rules() -> None:
    import importlib
    import importlib.metadata
    import pkgutil

    from . import __name__ as package
    from . import __path__ as path
    infrastructure = {"registry", "layouts", "expression", "array", "axes", "emission", "substitute"}
    for module in sorted(info.name for info in pkgutil.iter_modules(path)):
        if module not in infrastructure:
            importlib.import_module(f"{package}.{module}")
    for entry in importlib.metadata.entry_points(group="t2m_notebook.rules"):
        entry.load()
