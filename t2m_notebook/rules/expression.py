"""Expressions that rules build and the port prints.

A rule is written as the MLX code that it emits: ``mx.concatenate(tensors, axis=0)``
calls nothing, it builds the Python syntax tree of that call. Operators, indexing,
attributes and calls all build. Printing is ``ast.unparse``, which gets precedence
right, so no rule ever glues strings together.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import Any

#: A leaf that stands for recorded value 12 is the name ``$12``; the port puts in a
#: variable or the expression itself. ``$12.$shape[1]`` is the size of torch's
#: dimension 1 of that value, whatever axis holds it in MLX.
VALUE_PREFIX = "$"
SHAPE_ATTRIBUTE = "$shape"

MLX_DTYPES = {
    "float32": "float32", "float64": "float32", "float16": "float16", "bfloat16": "bfloat16",
    "int64": "int64", "int32": "int32", "int16": "int16", "int8": "int8", "uint8": "uint8",
    "uint16": "uint16", "uint32": "uint32", "uint64": "uint64", "bool": "bool_",
    "complex64": "complex64", "complex128": "complex64", "complex32": "complex64",
}


def dtype_text(dtype: Any) -> str:
    """``torch.float32`` (or ``"float32"``) as ``"float32"``."""
    return str(dtype).removeprefix("torch.")


def mlx_dtype(dtype: Any) -> Expr:
    """A torch dtype as ``mx.<dtype>``; float64 becomes float32, as MLX's GPU has no float64.

    Raises ``KeyError`` for a dtype that MLX does not have (quantised, float8).
    """
    return Namespace("mx").__getattr__(MLX_DTYPES[dtype_text(dtype)])


class Expr:
    """A Python expression under construction. Never executes anything."""

    __slots__ = ("node",)
    __hash__ = object.__hash__

    def __init__(self, node: ast.expr):
        self.node = node

    def __getattr__(self, name: str) -> Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        return Expr(ast.Attribute(self.node, name, ast.Load()))

    def __call__(self, *args: Any, **kwargs: Any) -> Expr:
        keywords = [ast.keyword(k, to_node(v)) for k, v in kwargs.items()]
        return Expr(ast.Call(self.node, [to_node(a) for a in args], keywords))

    def __getitem__(self, index: Any) -> Expr:
        return Expr(ast.Subscript(self.node, index_node(index), ast.Load()))

    def __bool__(self) -> bool:
        raise TypeError(f"a rule branched on the emitted expression {self}: its value is only "
                        "known when the MLX code runs; emit mx.where or refuse")

    def __iter__(self):
        raise TypeError(f"a rule iterated over the emitted expression {self}")

    def __str__(self) -> str:
        return render(self.node)

    def __repr__(self) -> str:
        return f"Expr({render(self.node)!r})"

    def __neg__(self): return Expr(ast.UnaryOp(ast.USub(), self.node))
    def __invert__(self): return Expr(ast.UnaryOp(ast.Invert(), self.node))
    def __eq__(self, other): return compare(self, ast.Eq, other)  # type: ignore[override]
    def __ne__(self, other): return compare(self, ast.NotEq, other)  # type: ignore[override]
    def __lt__(self, other): return compare(self, ast.Lt, other)
    def __le__(self, other): return compare(self, ast.LtE, other)
    def __gt__(self, other): return compare(self, ast.Gt, other)
    def __ge__(self, other): return compare(self, ast.GtE, other)


def compare(left: Any, operator: type[ast.cmpop], right: Any) -> Expr:
    """``left < right`` and its kin as an expression."""
    return Expr(ast.Compare(to_node(left), [operator()], [to_node(right)]))


_OPERATORS = {
    "add": ast.Add, "sub": ast.Sub, "mul": ast.Mult, "truediv": ast.Div, "floordiv": ast.FloorDiv,
    "mod": ast.Mod, "pow": ast.Pow, "matmul": ast.MatMult, "and": ast.BitAnd, "or": ast.BitOr,
    "xor": ast.BitXor, "lshift": ast.LShift, "rshift": ast.RShift,
}


def binary(left: Any, operator: str, right: Any) -> Expr:
    """``left <operator> right``; the operator is named as in the ``operator`` module."""
    return Expr(ast.BinOp(to_node(left), _OPERATORS[operator](), to_node(right)))


for _name in _OPERATORS:
    setattr(Expr, f"__{_name}__", lambda self, other, _n=_name: binary(self, _n, other))
    setattr(Expr, f"__r{_name}__", lambda self, other, _n=_name: binary(other, _n, self))


class Namespace(Expr):
    """``mx``, ``nn``, ``math``: attribute access builds ``mx.<name>``."""

    __slots__ = ()

    def __init__(self, name: str):
        super().__init__(ast.Name(name, ast.Load()))


class BlockNamespace:
    """``blocks.<name>``: emits the bare name; the port carries the block's source along."""

    def __getattr__(self, name: str) -> Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        return Expr(ast.Name(name, ast.Load()))


mx, nn, math_module, blocks = Namespace("mx"), Namespace("nn"), Namespace("math"), BlockNamespace()


#: Told of every comparison of a size, ``(test as a syntax tree, outcome)``; None while nothing records.
_watcher: Callable[[ast.expr, bool], None] | None = None


def watch_comparisons(watcher: Callable[[ast.expr, bool], None] | None) -> None:
    """From now on ``watcher`` is told of each comparison of a size; None ends that."""
    global _watcher
    _watcher = watcher


class Size(int):
    """An integer that knows which expression gives it: a size read from a shape, a number read from a
    tensor, or arithmetic on such. Compares and hashes as the int that it is."""

    node: ast.expr

    def __new__(cls, value: int, node: ast.expr):
        self = super().__new__(cls, value)
        self.node = node
        return self

    @classmethod
    def of(cls, value: int, index: int | str, dim: int) -> Size:
        """Size of torch dimension ``dim`` of recorded value ``index``."""
        leaf = ast.Attribute(ast.Name(f"{VALUE_PREFIX}{index}", ast.Load()), SHAPE_ATTRIBUTE, ast.Load())
        return cls(value, ast.Subscript(leaf, ast.Constant(dim), ast.Load()))

    @classmethod
    def read(cls, value: int | float, index: int | str, *place: int) -> Size | SizeFloat:
        """The number that is read from recorded value ``index``, from its element at ``place``."""
        leaf: ast.expr = ast.Name(f"{VALUE_PREFIX}{index}", ast.Load())
        if place:
            leaf = ast.Subscript(leaf, index_node(place if len(place) > 1 else place[0]), ast.Load())
        node = ast.Call(ast.Attribute(leaf, "item", ast.Load()), [], [])
        return cls(value, node) if isinstance(value, int) else SizeFloat(value, node)

    def __neg__(self): return Size(-int(self), ast.UnaryOp(ast.USub(), self.node))
    def __pos__(self): return self
    def __reduce__(self): return (int, (int(self),))
    __hash__ = int.__hash__


class SizeFloat(float):
    """A float computed from sizes, such as ``H / 2``."""

    node: ast.expr

    def __new__(cls, value: float, node: ast.expr):
        self = super().__new__(cls, value)
        self.node = node
        return self

    def _math(self, function: str) -> Size:
        call = ast.Call(ast.Attribute(ast.Name("math", ast.Load()), function, ast.Load()), [self.node], [])
        return Size(getattr(math, function)(float(self)), call)

    def __ceil__(self): return self._math("ceil")
    def __floor__(self): return self._math("floor")
    def __trunc__(self): return self._math("trunc")

    def __round__(self, digits=None):
        if digits is not None:
            return round(float(self), digits)
        return Size(round(float(self)), ast.Call(ast.Name("round", ast.Load()), [self.node], []))

    def __neg__(self): return SizeFloat(-float(self), ast.UnaryOp(ast.USub(), self.node))
    def __reduce__(self): return (float, (float(self),))
    __hash__ = float.__hash__


def _traced(plain: type, name: str, reflected: bool):
    method = getattr(plain, f"__{'r' if reflected else ''}{name}__")

    def operation(self, other):
        value = method(plain(self), other)
        if value is NotImplemented and isinstance(other, float) and plain is int:
            value = getattr(float, f"__{'r' if reflected else ''}{name}__")(float(self), other)
        if value is NotImplemented or isinstance(other, bool):
            return value
        if type(other) is int and other == 0 and (name == "add" or name == "sub" and not reflected):
            return self
        pair = (to_node(other), self.node) if reflected else (self.node, to_node(other))
        node = ast.BinOp(pair[0], _OPERATORS[name](), pair[1])
        if isinstance(value, int):
            return Size(value, node)
        return SizeFloat(value, node) if isinstance(value, float) else value

    return operation


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    for _reflected in (False, True):
        _method = f"__{'r' if _reflected else ''}{_name}__"
        if hasattr(int, _method):
            setattr(Size, _method, _traced(int, _name, _reflected))
        if hasattr(float, _method):
            setattr(SizeFloat, _method, _traced(float, _name, _reflected))


_COMPARISONS = {"eq": ast.Eq, "ne": ast.NotEq, "lt": ast.Lt, "le": ast.LtE, "gt": ast.Gt, "ge": ast.GtE}


def _compared(plain: type, name: str):
    method, operator = getattr(plain, f"__{name}__"), _COMPARISONS[name]
    as_float = getattr(float, f"__{name}__")

    def comparison(self, other):
        outcome = method(self, other)
        if _watcher is None:
            return outcome
        if outcome is NotImplemented and isinstance(other, float):
            outcome = as_float(float(self), other)
        if outcome is not NotImplemented:
            _watcher(ast.Compare(self.node, [operator()], [to_node(other)]), outcome)
        return outcome

    return comparison


def _truth(plain: type):
    method = plain.__bool__

    def truth(self):
        outcome = method(self)
        if _watcher is not None:
            _watcher(self.node, outcome)
        return outcome

    return truth


for _class, _plain in ((Size, int), (SizeFloat, float)):
    _class.__bool__ = _truth(_plain)  # type: ignore[attr-defined]
    for _name in _COMPARISONS:
        setattr(_class, f"__{_name}__", _compared(_plain, _name))


def to_node(value: Any) -> ast.expr:
    """Any argument of a rule as a syntax tree.

    Raises ``TypeError`` for something that has no literal form (a tensor, a module).
    """
    if isinstance(value, (Expr, Size, SizeFloat)):
        return value.node
    if isinstance(value, ast.expr):
        return value
    if value is None or value is Ellipsis or isinstance(value, (bool, str, bytes)):
        return ast.Constant(value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, complex):
        call = ast.Name("complex", ast.Load())
        return ast.Call(call, [_number(value.real), _number(value.imag)], [])
    if isinstance(value, slice):
        name = ast.Name("slice", ast.Load())
        bounds = (value.start, value.stop, value.step) if value.step is not None else \
            (value.start, value.stop) if value.start is not None else (value.stop,)
        return ast.Call(name, [to_node(bound) for bound in bounds], [])
    if isinstance(value, tuple):
        return ast.Tuple([to_node(item) for item in value], ast.Load())
    if isinstance(value, list):
        return ast.List([to_node(item) for item in value], ast.Load())
    if isinstance(value, dict):
        return ast.Dict([to_node(k) for k in value], [to_node(v) for v in value.values()])
    if type(value).__name__ == "dtype" and type(value).__module__ == "torch":
        return mlx_dtype(value).node
    raise TypeError(f"no literal form for {type(value).__module__}.{type(value).__qualname__}")


def _number(value: int | float) -> ast.expr:
    if isinstance(value, float) and (math.isnan(value) or math.isinf(value)):
        call = ast.Call(ast.Name("float", ast.Load()), [ast.Constant(str(abs(value)))], [])
        return ast.UnaryOp(ast.USub(), call) if value < 0 else call
    if value < 0 or (value == 0 and math.copysign(1, value) < 0):
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(int(value) if isinstance(value, int) else float(value))


def index_node(index: Any) -> ast.expr:
    """An index as it stands between brackets: slices as ``a:b``, tuples without parentheses."""
    if isinstance(index, slice):
        def part(bound):
            return None if bound is None else to_node(bound)
        return ast.Slice(part(index.start), part(index.stop), part(index.step))
    if isinstance(index, tuple):
        return ast.Tuple([index_node(item) for item in index], ast.Load())
    return to_node(index)


def render(node: ast.expr) -> str:
    """The source text of an expression on one line."""
    return ast.unparse(ast.fix_missing_locations(node))
