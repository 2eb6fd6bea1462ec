"""Plain functions and methods that a forward calls stay functions of the generated file."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from t2m_notebook.port.block_source import file_of_name

from .support import checks, proven

X, IMAGE = torch.randn(2, 6, 8), torch.randn(2, 8, 8, 3)


def functions(source: str) -> dict[str, list[str]]:
    """The helper functions of a generated file with their arguments; blocks are none."""
    return {node.name: [a.arg for a in node.args.args] for node in ast.parse(source).body
            if isinstance(node, ast.FunctionDef) and node.name != "load" and node.name not in file_of_name()}


def rotate_half(x):
    x1 = x[..., : x.shape[-1] // 2]
    x2 = x[..., x.shape[-1] // 2:]
    return torch.cat((-x2, x1), dim=-1)


def apply_rotary(q, k, cos, sin, unsqueeze_dim=1):
    cos = cos.unsqueeze(unsqueeze_dim)
    sin = sin.unsqueeze(unsqueeze_dim)
    q_embed = (q * cos) + (rotate_half(q) * sin)
    k_embed = (k * cos) + (rotate_half(k) * sin)
    return q_embed, k_embed


class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        angles = torch.arange(x.shape[1], device=x.device)[None, :, None] * torch.ones(8)
        q = self.q_proj(x)[:, None]
        k = self.k_proj(x)[:, None]
        q, k = apply_rotary(q, k, angles.cos(), angles.sin())
        return q + k


def test_nested_functions_and_a_tuple_as_result():
    source = proven(Rotary(), X).source
    assert functions(source) == {"rotate_half": ["x"], "apply_rotary": ["q", "k", "cos", "sin"]}
    assert "return mx.concatenate([-x2, x1], axis=-1)" in source
    assert "q, k = apply_rotary(q, k, " in source
    assert source.index("def rotate_half") < source.index("def apply_rotary") < source.index("class Rotary")


def window_partition(x, window_size):
    B, H, W, C = x.shape
    x = x.view(B, H // window_size, window_size, W // window_size, window_size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, window_size, window_size, C)


def window_reverse(windows, window_size, height, width):
    C = windows.shape[-1]
    x = windows.view(-1, height // window_size, width // window_size, window_size, window_size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, height, width, C)


class Window(nn.Module):
    def __init__(self, window_size):
        super().__init__()
        self.window_size = window_size
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        _, H, W, _ = x.shape
        windows = window_partition(x, self.window_size)
        windows = self.linear(windows) - windows.mean((1, 2), keepdim=True)
        return window_reverse(windows, self.window_size, H, W)


class OtherWindow(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return window_partition(self.linear(x), 8).mean((1, 2))


def test_numbers_are_arguments_and_classes_share_a_function():
    source = proven(nn.Sequential(Window(4), Window(2), OtherWindow()), IMAGE).source
    assert functions(source) == {"window_partition": ["x", "window_size"],
                                 "window_reverse": ["windows", "window_size", "height", "width"]}
    assert source.count("class Window(") == 1 and "class Window2" not in source
    assert "window_partition(x, self.window_size)" in source
    assert "B, H, W, C = x.shape" in source


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.weight = nn.Parameter(torch.randn(2))

    def _split_heads(self, x, num_heads=4):
        x = x.view(x.shape[0], x.shape[1], num_heads, -1)
        return x.transpose(1, 2)

    def _weighted(self, x):
        return (x * self.weight[0]).tanh() + self.weight[1]

    def _through(self, x):
        return self.linear(x) + 1

    def forward(self, x):
        q = self._split_heads(self._through(x))
        k = self._split_heads(x)
        return self._weighted(q @ k.transpose(-1, -2))


def test_methods_are_functions_that_take_attributes_and_those_that_call_layers_stay():
    source = proven(Heads(), X).source
    assert functions(source) == {"_split_heads": ["x", "num_heads"], "_weighted": ["x", "weight"]}
    assert "_weighted(q @ k.swapaxes(-1, -2), self.weight)" in source


def once(x):
    return x.tanh()


def add_one_(x):
    x.add_(1)
    return x.relu()


def of_its_own(x):
    made = x * 2
    made[:, 0] = 0
    made.add_(1)
    return made


class Small(nn.Module):
    def forward(self, x):
        kept = x * 3
        changed = add_one_(kept)
        values = [(lambda y: (y + 1).tanh() * 2)(x)] + [(y * 2).sin() for y in (x, x + 1)]
        return once(x) + changed + kept + sum(values[1:]) + values[0] + of_its_own(x)


def test_what_stays_where_it_is():
    source = proven(Small(), X).source
    assert "once" not in functions(source)  # one operation, called once
    assert "add_one_" not in functions(source)  # it changes what its caller holds
    assert functions(source) == {"of_its_own": ["x"]}


def repeated(x, scale):
    return (x * scale).tanh() + 1


class Repeats(nn.Module):
    """The same line calls the function again: its invocations can't be told apart."""

    def forward(self, x, y):
        return torch.stack([repeated(value, 0.3) for value in (x, y)])


def test_invocations_that_cannot_be_told_apart_stay():
    assert functions(proven(Repeats(), X, X + 1).source) == {}


def ramp(x, slope):
    y = x * slope
    return y + y.mean()


def bend(x, kind):
    y = x * 2 + 1
    return y.sin() + y if kind == "sin" else y.exp().tanh()


class Constants(nn.Module):
    def forward(self, x):
        return ramp(x, 0.25) + ramp(x, 1.75) + bend(x, "sin") * bend(x, "exp")


def test_constants_that_differ_are_arguments_and_other_paths_are_variants():
    source = proven(Constants(), X).source
    assert functions(source) == {"ramp": ["x", "slope"], "bend": ["x"], "bend_2": ["x"]}
    assert "ramp(x, 0.25)" in source and "ramp(x, 1.75)" in source


def Linear(x):
    return (x * 2).tanh()


def mx(x):
    return (x * 3).tanh()


def mask(x):
    return (x > 0) & (x < 1)


def interpolate_spatial(x):
    return (x * 5).tanh()


class Collides(nn.Module):
    """Functions with the names of a class, an import, an argument, a variable and a block."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x, linear, mask_=None):
        mask_ = mask(x)
        once = repeated(x, 0.7)
        repeated_ = repeated(once, 0.9)
        return self.linear(x) + Linear(linear) + mx(x) * mask_ + once + repeated_ + interpolate_spatial(x)


def test_names_collide_with_nothing():
    source = proven(Collides(), X, X + 1).source
    names = functions(source)
    assert len(names) == len(set(names)) and "mx" not in names and names["interpolate_spatial_2"] == ["x"]
    assert names["repeated"] == ["x", "scale"]


def sized(x, length):
    positions = torch.arange(length)
    return (positions * 2 + 1)[None, :, None] * x


class Sizes(nn.Module):
    def forward(self, x):
        length = x.shape[1]
        return sized(x, length) + sized(x * 2, length)


def test_sizes_are_passed_as_numbers(tmp_path):
    made = proven(Sizes(), X)
    assert functions(made.source) == {"sized": ["x", "length"]}
    assert "sized(x, x.shape[1])" in made.source or "sized(x, L)" in made.source
    folder = made.save(str(tmp_path / "sizes"))
    assert checks([folder]) == {str(folder): "passed"}


@pytest.mark.slow
def test_rotary_code_of_a_language_model_reads_as_functions():
    from t2m_notebook.session import port
    from tests.zoo import build
    model, args, kwargs = build("llama")
    source = port(model, args, kwargs).source
    assert functions(source).items() >= {"rotate_half": ["x"],
                                         "apply_rotary_pos_emb": ["q", "k", "cos", "sin"]}.items()
    assert "query_states, key_states = apply_rotary_pos_emb(" in source
