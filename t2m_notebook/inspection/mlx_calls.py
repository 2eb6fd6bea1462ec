"""Sees what MLX code calls, by putting a wrapper around MLX's own functions while it watches.

``mx.*`` and the methods of ``mx.array`` are wrapped, so are the classes of the watched modules, and ``mx.eval``. What
runs inside ``mx.compile`` and ``mx.vmap`` works on placeholders that never get a value: such a function counts as one
call. Everything is put back at the end.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from .starting import is_start

_MLX = os.path.dirname(nn.__file__).removesuffix("nn")
_LAYERS = os.path.join(_MLX, "nn", "layers") + os.sep
_HERE = os.path.dirname(__file__) + os.sep
_FUNCTION = type(mx.exp)
_METHOD = type(mx.array.__dict__["sum"])
COMPILED = type(mx.compile(lambda x: x))
#: Not operations on values.
_NOT_OPERATIONS = frozenset(
    """eval async_eval save savez savez_compressed save_safetensors save_gguf load compile grad
    value_and_grad vmap jvp vjp checkpoint custom_vjp disable_compile enable_compile export_to_dot
    export_function import_function exporter default_device set_default_device default_stream
    set_default_stream new_stream new_thread_local_stream stream synchronize issubdtype finfo iinfo
    result_type is_available device_count device_info array_equal isnan isinf isfinite isposinf isneginf
    broadcast_shapes clear_streams einsum_path depends""".split()
)
_METHODS = frozenset(
    """abs argmax argmin astype cos cummax cummin cumprod cumsum logcumsumexp conj diag diagonal exp
    expand_dims flatten log log10 log1p log2 logsumexp max maximum mean min minimum moveaxis
    permute_dims prod reciprocal reshape round rsqrt sin split sqrt square squeeze std sum swapaxes
    transpose unflatten var view real imag""".split()
) | {f"__{name}__" for name in """add sub mul truediv floordiv mod pow matmul radd rsub rmul rtruediv rfloordiv rmod
    rpow rmatmul neg abs iadd isub imul itruediv ifloordiv imod ipow imatmul getitem setitem copy
    deepcopy""".split()}
#: Calls that only arrange the same elements anew.
REARRANGES = frozenset(
    """reshape transpose swapaxes flatten unflatten squeeze expand_dims moveaxis permute_dims T contiguous
    stop_gradient atleast_1d atleast_2d atleast_3d""".split()
)


def arrays_of(value: Any) -> Iterator[mx.array]:
    """Arrays inside lists, tuples, dicts, in order."""
    if isinstance(value, mx.array):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from arrays_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays_of(item)


def user_frame(depth: int) -> tuple[Any, int] | None:
    """``(code, instruction)`` of the innermost frame outside MLX and this package's own wrappers; where there is none
    in the model (an ``nn.Sequential`` that is the whole of it), of the innermost one of MLX's layers. None for what
    this package calculates itself."""
    frame, layer = sys._getframe(depth), None
    while frame is not None and not is_start(frame.f_code):
        file = frame.f_code.co_filename
        if not file.startswith((_HERE, _MLX)):
            return frame.f_code, frame.f_lasti
        if layer is None and file.startswith(_LAYERS):
            layer = frame.f_code, frame.f_lasti
        frame = frame.f_back
    return layer


class Calls:
    """Wraps MLX while entered. A subclass says what to do at a call, an evaluation, and around a module."""

    def __init__(self, model: nn.Module | None):
        self.model = model
        self.stack: list[Any] = []  # modules that are running
        self.paths: dict[int, str] = {}
        self.inside = 0  # > 0: in a call that counts as one, or in our own code
        self.differentiating = 0  # > 0: inside mx.grad, mx.value_and_grad
        self._put_back: list[Callable[[], None]] = []
        if model is not None:
            for path, module in model.named_modules():
                self.paths.setdefault(id(module), path)

    # -- what a subclass does ----------------------------------------------------------------------

    def call(self, name: str, function: Callable, args: tuple, kwargs: dict) -> Any:
        """An operation: has to return what ``function(*args, **kwargs)`` gives."""
        raise NotImplementedError

    def evaluate(self, evaluation: Callable, args: tuple, waits: bool) -> None:
        """``mx.eval(*args)``, which waits for the result, or ``mx.async_eval(*args)``."""
        raise NotImplementedError

    def enter(self, module: Any) -> None:
        """A module is about to run."""

    def leave(self, module: Any, result: Any) -> None:
        """A module has run."""

    # -- wrapping ----------------------------------------------------------------------------------

    def __enter__(self):
        try:
            for room, prefix in ((mx, "mx"), (mx.fast, "mx.fast"), (mx.linalg, "mx.linalg"), (mx.fft, "mx.fft")):
                for name, function in list(vars(room).items()):
                    if (
                        type(function) is _FUNCTION
                        and name not in _NOT_OPERATIONS
                        and not name.startswith(("_", "get_", "set_", "reset_", "clear_", "is_"))
                    ):
                        self._set(room, name, self._wrapped(f"{prefix}.{name}", function))
            for name in _METHODS:
                method = mx.array.__dict__.get(name)
                if type(method) is _METHOD:
                    self._set(mx.array, name, self._wrapped(f"mx.array.{name}", method))
            transposed = mx.array.__dict__["T"]
            wrapped = self._wrapped("mx.array.T", lambda array: transposed.__get__(array))
            self._set(mx.array, "T", property(wrapped))
            self._set(mx, "eval", lambda *args, _e=mx.eval: self.evaluate(_e, args, True))
            self._set(mx, "async_eval", lambda *args, _e=mx.async_eval: self.evaluate(_e, args, False))
            self._set(COMPILED, "__call__", self._transformed(COMPILED.__call__))
            if self.model is not None:
                for cls in {type(module) for _, module in self.model.named_modules()}:
                    if "__call__" in dir(cls):
                        self._set(cls, "__call__", self._module_call(cls.__call__))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error) -> None:
        while self._put_back:
            self._put_back.pop()()

    def _set(self, owner: Any, name: str, value: Any) -> None:
        if name in vars(owner):
            old = vars(owner)[name]
            self._put_back.append(lambda: setattr(owner, name, old))
        else:
            self._put_back.append(lambda: delattr(owner, name))
        setattr(owner, name, value)

    def _wrapped(self, name: str, function: Callable) -> Callable:
        def call(*args, **kwargs):
            if self.inside:
                return function(*args, **kwargs)
            return self.call(name, function, args, kwargs)

        return call

    def _transformed(self, function: Callable) -> Callable:
        """Around a function that ``mx.compile``, ``mx.grad`` and their like made."""

        def __call__(made, *args, **kwargs):
            if self.inside:
                return function(made, *args, **kwargs)
            # It refers to: of compile inputs, outputs and function, of vmap in, out and function, of grad the function.
            referents = gc.get_referents(made)
            if len(referents) >= 4:
                name = getattr(referents[-1], "__name__", "function")
                module = getattr(referents[-1], "__module__", "") or ""
                name = f"nn.{name}" if module.startswith("mlx.nn") else f"{name} (compiled)"
                return self.call(name, lambda *a, **k: self.unseen(function, made, *a, **k), args, kwargs)
            self.differentiating += 1
            try:
                return function(made, *args, **kwargs)
            finally:
                self.differentiating -= 1

        return __call__

    def unseen(self, function: Callable, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` without looking inside."""
        self.inside += 1
        try:
            return function(*args, **kwargs)
        finally:
            self.inside -= 1

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Our own calculations are not operations of the code."""
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def _module_call(self, function: Callable) -> Callable:
        calls = self

        def __call__(module, *args, **kwargs):
            if calls.inside or (calls.stack and calls.stack[-1] is module):
                return function(module, *args, **kwargs)
            calls.stack.append(module)
            try:
                calls.enter(module)
                result = function(module, *args, **kwargs)
                calls.leave(module, result)
                return result
            finally:
                calls.stack.pop()

        return __call__

    @property
    def owner(self) -> tuple[str, str]:
        """``(path, class name)`` of the module that is running."""
        if not self.stack:
            return "", ""
        return self.paths.get(id(self.stack[-1]), ""), type(self.stack[-1]).__name__
