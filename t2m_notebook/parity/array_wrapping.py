"""Lets a tracer see every public MLX function and array operator that its thread calls.

MLX has no hook for this. So the functions of ``mlx.core`` and ``mlx.nn``, the operators of
``mx.array`` and the calls of modules are wrapped while any block is open, in any thread, and put
back after the last one. A function that was imported by name before (``from mlx.core import add``)
stays unseen, and so does what runs inside a function that ``mx.compile`` compiled earlier.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn

active = threading.local()  # .tracer: what sees the calls of this thread
_wrapping = threading.Lock()
_blocks = 0  # open blocks, in any thread
_put_back: list[Callable[[], None]] = []

IN_PLACE = frozenset({"__setitem__", *(f"__i{name}__" for name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul"))})
_OPERATORS = IN_PLACE | {"__getitem__", "__neg__", "__invert__", "__abs__", *(
    f"__{side}{name}__" for side in ("", "r") for name in (
        "add", "sub", "mul", "truediv", "div", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift",
        "rshift")), "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}
#: Not operations on arrays: transforms, evaluation, devices, files.
_NOT_OPERATIONS = frozenset({
    "array", "eval", "async_eval", "compile", "disable_compile", "enable_compile", "grad", "value_and_grad", "vjp",
    "jvp", "vmap", "checkpoint", "custom_function", "export_function", "exporter", "import_function",
    "export_to_dot", "save", "savez", "savez_compressed", "save_safetensors", "save_gguf", "load", "seed", "item",
    "tolist", "at", "broadcast_shapes", "result_type", "issubdtype", "synchronize", "new_stream", "stream",
    "quantize_module", "average_gradients", "fsdp_apply_gradients"})
_NOT_ARRAY_METHODS = frozenset({"item", "tolist", "at", "dtype", "shape", "ndim", "size", "itemsize", "nbytes"})


def wrap() -> None:
    """A block was opened: from the first one on, calls go to the tracer of their thread."""
    global _blocks
    with _wrapping:
        _blocks += 1
        if _blocks > 1:
            return
        try:
            for prefix, room in (("mx", mx), ("mx.fast", mx.fast), ("mx.linalg", mx.linalg), ("mx.fft", mx.fft),
                                 ("mx.random", mx.random), ("nn", nn), ("nn.losses", nn.losses), ("nn", nn.layers),
                                 ("nn", nn.layers.activations)):
                _wrap_room(prefix, room)
            for name in dir(mx.array):
                _wrap_method(name)
            for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum"):  # x.at[i].add(y)
                _replace(_ARRAY_AT, name, _wrapped(f"mx.array.at.{name}", vars(_ARRAY_AT)[name]))
            for cls in _module_classes(nn.Module):
                _wrap_call(cls)
            _wrap_new_classes()
        except BaseException:
            _restore()
            _blocks -= 1
            raise


def unwrap() -> None:
    """A block was closed; the last one puts everything back."""
    global _blocks
    with _wrapping:
        _blocks -= 1
        if not _blocks:
            _restore()


def _restore() -> None:
    while _put_back:
        _put_back.pop()()


def _replace(holder: Any, name: str, new: Any) -> None:
    old = vars(holder)[name]
    setattr(holder, name, new)
    _put_back.append(lambda: setattr(holder, name, old))


def _wrap_room(prefix: str, room: Any) -> None:
    for name, function in list(vars(room).items()):
        if name.startswith("_") or name in _NOT_OPERATIONS or isinstance(function, type) or not callable(function) \
                or getattr(function, _MARK, False) or name.startswith(("get_", "set_", "reset_", "clear_", "is_")):
            continue
        if prefix != "mx" and prefix.startswith("nn") and not _is_nn_function(function):
            continue
        _replace(room, name, _wrapped(f"{prefix}.{name}", function))


def _is_nn_function(function: Any) -> bool:
    """Functions of mlx.nn on arrays: plain ones, and those that ``mx.compile`` made."""
    return type(function).__name__ == "_gc_func" or getattr(function, "__module__", "").startswith(
        ("mlx.nn.layers.activations", "mlx.nn.losses"))


_MARK = "_t2m_wrapped"
_ARRAY_AT = type(mx.zeros(1).at)


def _wrapped(name: str, function: Callable) -> Callable:
    def traced(*args, **kwargs):
        tracer = getattr(active, "tracer", None)
        if tracer is None or tracer.depth:
            return function(*args, **kwargs)
        return tracer.operation(name, function, args, kwargs)

    setattr(traced, _MARK, True)
    traced.__name__ = name.rpartition(".")[2]
    traced.__doc__ = getattr(function, "__doc__", None)
    traced.__wrapped__ = function  # type: ignore[attr-defined]
    return traced


def _wrap_method(name: str) -> None:
    if name not in vars(mx.array) or name in _NOT_ARRAY_METHODS or (
            name.startswith("__") and name not in _OPERATORS):
        return
    old = vars(mx.array)[name]
    if callable(old):
        _replace(mx.array, name, _wrapped(f"mx.array.{name}", old))
    elif hasattr(old, "__get__"):  # .T, .real
        read = _wrapped(f"mx.array.{name}", lambda array: old.__get__(array))
        _replace(mx.array, name, property(read))


def _module_classes(root: type) -> Iterator[type]:
    seen, stack = set(), [root]
    while stack:
        cls = stack.pop()
        if cls not in seen:
            seen.add(cls)
            yield cls
            stack.extend(cls.__subclasses__())


def _wrap_call(cls: type) -> None:
    function = vars(cls).get("__call__")
    if function is None or getattr(function, _MARK, False) or not callable(function):
        return

    def traced(self, *args, **kwargs):
        tracer = getattr(active, "tracer", None)
        if tracer is None or tracer.depth:
            return function(self, *args, **kwargs)
        return tracer.module(function, self, args, kwargs)

    setattr(traced, _MARK, True)
    traced.__wrapped__ = function  # type: ignore[attr-defined]
    _replace(cls, "__call__", traced)


def _wrap_new_classes() -> None:
    """Classes that are made while a block is open are wrapped when they come to be."""
    def subclass(cls, **options):
        super(nn.Module, cls).__init_subclass__(**options)
        with _wrapping:
            if _blocks:
                _wrap_call(cls)

    nn.Module.__init_subclass__ = classmethod(subclass)  # type: ignore[assignment]
    _put_back.append(lambda: delattr(nn.Module, "__init_subclass__"))
