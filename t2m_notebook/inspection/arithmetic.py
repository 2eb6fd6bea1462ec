"""The arithmetic of memory: numbers × bytes, optimizer state, quantised weights, a line through measurements."""

from __future__ import annotations

from collections.abc import Sequence

from ..types.memory import Precision, Scaling

GROUP_SIZE = 64  # of MLX's quantize and most others'
#: State tensors of the parameter's own size that each optimizer keeps.
STATES = {
    "adam": 2,
    "adamw": 2,
    "nadam": 2,
    "radam": 2,
    "adamax": 2,
    "adadelta": 2,
    "rmsprop": 1,
    "adagrad": 1,
    "lion": 1,
    "sgd": 0,
    "asgd": 1,
    "rprop": 2,
}
DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}


def state_count(optimizer: str, momentum: float = 0.0) -> int | None:
    """How many numbers an optimizer keeps for each parameter number; None for one that is not known here."""
    name = optimizer.lower()
    return 1 if name == "sgd" and momentum else STATES.get(name)


def quantised_bytes(shape: Sequence[int], bits: int, group_size: int = GROUP_SIZE, scale_bytes: int = 2) -> int:
    """Bytes of a weight whose last axis is quantised in groups: ``bits`` a number, a scale and a bias a group."""
    count = 1
    for size in shape:
        count *= size
    return count * bits // 8 + count // group_size * 2 * scale_bytes


def precisions(weights: Sequence[tuple[tuple[int, ...], bool]], group_size: int = GROUP_SIZE) -> tuple[Precision, ...]:
    """The parameters in other dtypes. ``weights`` are ``(shape, can be quantised)``: the matrices of linear layers and
    embeddings; the others stay float16."""

    def count(shape: Sequence[int]) -> int:
        total = 1
        for size in shape:
            total *= size
        return total

    numbers = sum(count(shape) for shape, _ in weights)
    found = [
        Precision(name, numbers * size, 8.0 * size, f"{numbers:,} numbers × {size} bytes")
        for name, size in DTYPES.items()
    ]
    for bits in (8, 4):
        total, quantised = 0, 0
        for shape, matrix in weights:
            if matrix and shape and shape[-1] % group_size == 0:
                total += quantised_bytes(shape, bits, group_size)
                quantised += count(shape)
            else:
                total += 2 * count(shape)
        found.append(
            Precision(
                f"int{bits}",
                total,
                8 * total / numbers if numbers else 0.0,
                f"{quantised:,} of {numbers:,} numbers × {bits} bits, a float16 scale and bias for every {group_size} "
                f"(+{32 / group_size:g} bits a number); the rest float16",
            )
        )
    return tuple(found)


def fit(axis: str, quantity: str, points: Sequence[tuple[int, int]]) -> Scaling:
    """The polynomial through ``(size, bytes)``: a line through two points, a parabola through three (Lagrange)."""
    points = sorted(set(points))[:3]
    coefficients = [0.0, 0.0, 0.0]
    for i, (x, y) in enumerate(points):
        others = [other for j, (other, _) in enumerate(points) if j != i]
        scale = float(y)
        for other in others:
            scale /= x - other
        if not others:
            coefficients[0] += scale
        elif len(others) == 1:
            coefficients[0] += -others[0] * scale
            coefficients[1] += scale
        else:
            a, b = others
            coefficients[0] += a * b * scale
            coefficients[1] += -(a + b) * scale
            coefficients[2] += scale
    return Scaling(axis, quantity, tuple(x for x, _ in points), tuple(y for _, y in points), tuple(coefficients))
