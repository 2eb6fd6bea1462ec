"""What watching an MLX training step for NaN and Inf costs, on a small transformer."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from t2m_notebook.inspection.mlx_health import MLXWatch

from .timing import Line, milliseconds, ratio, side_by_side

HEALTH_GOAL = 1.15
BATCH, LENGTH, DIMS, HEADS, LAYERS, WORDS = 8, 128, 256, 4, 4, 512


class Block(nn.Module):
    """Attention and a feed-forward part, each before a residual addition."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiHeadAttention(DIMS, HEADS)
        self.norm1, self.norm2 = nn.LayerNorm(DIMS), nn.LayerNorm(DIMS)
        self.up, self.down = nn.Linear(DIMS, 4 * DIMS), nn.Linear(4 * DIMS, DIMS)

    def __call__(self, x, mask):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, mask)
        return x + self.down(nn.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A causal language model of four blocks."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, DIMS)
        self.blocks = [Block() for _ in range(LAYERS)]
        self.head = nn.Linear(DIMS, WORDS)

    def __call__(self, ids):
        mask = nn.MultiHeadAttention.create_additive_causal_mask(ids.shape[1])
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(x)


def lines(rounds: int = 15) -> Iterator[Line]:
    """A training step inside the watch over the same step without."""
    mx.random.seed(0)
    model, optimizer = Transformer(), optim.AdamW(1e-4)
    ids = mx.random.randint(0, WORDS, (BATCH, LENGTH))
    loss_and_grad = nn.value_and_grad(
        model, lambda model, ids: nn.losses.cross_entropy(model(ids)[:, :-1], ids[:, 1:], reduction="mean")
    )

    def step() -> None:
        loss, gradients = loss_and_grad(model, ids)
        optimizer.update(model, gradients)
        mx.eval(loss, model.parameters(), optimizer.state)

    watch = MLXWatch(model, stop=True, optimizer=optimizer)

    def watched() -> None:
        with watch:
            step()

    seconds = side_by_side({"step": step, "watched": watched}, rounds)
    yield Line(
        f"transformer {LAYERS}×{DIMS}, batch {BATCH}×{LENGTH}: MLX step, watched / plain",
        ratio(seconds, "watched", "step"),
        HEALTH_GOAL,
        f"{milliseconds(seconds['watched'])} / {milliseconds(seconds['step'])}",
    )
