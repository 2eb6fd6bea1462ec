"""Numbers, names and torch's own descriptions in few characters."""

from __future__ import annotations

import pytest

from t2m_notebook.render.words import (
    bytes_text,
    clip,
    count_text,
    difference_text,
    short_description,
    visible,
    width,
)


@pytest.mark.parametrize(("number", "text"), [
    (0, "0"), (999, "999"), (1000, "1.0 K"), (9408, "9.4 K"), (131_072, "131 K"), (999_499, "999 K"),
    (999_950, "1.0 M"), (25_557_032, "25.6 M"), (6_738_415_616, "6.7 B")])
def test_counts(number: int, text: str) -> None:
    assert count_text(number) == text


@pytest.mark.parametrize(("number", "text"), [
    (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KB"), (102_228_128, "97.5 MB"), (1024**3, "1.0 GB")])
def test_bytes(number: int, text: str) -> None:
    assert bytes_text(number) == text


def test_differences() -> None:
    assert [difference_text(d) for d in (None, 0.0, 0.041, float("nan"), float("inf"))] == \
        ["", "0", "4.1e-02", "nan", "inf"]


@pytest.mark.parametrize(("class_name", "description", "text"), [
    ("Conv2d", "3, 64, kernel_size=(7, 7), stride=(2, 2), padding=(3, 3), bias=False", "3→64 7×7 /2"),
    ("Conv2d", "8, 8, kernel_size=(3, 1), stride=(2, 1), groups=8", "8→8 3×1 /2×1 groups=8"),
    ("Linear", "in_features=768, out_features=3072, bias=True", "768→3072"),
    ("BatchNorm2d", "64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True", "64"),
    ("LayerNorm", "(768,), eps=1e-12, elementwise_affine=True", "768"),
    ("Embedding", "30522, 768, padding_idx=0", "30522→768"),
    ("MaxPool2d", "kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False", "3 /2"),
    ("AdaptiveAvgPool2d", "output_size=(1, 1)", "1×1"), ("Dropout", "p=0.1, inplace=False", "0.1"),
    ("ReLU", "inplace=True", ""), ("Mine", "anything ( at all", "anything ( at all"), ("Mine", "", ""),
    ("Mine", "(0): a\n  (1): b", "(0): a (1): b")])
def test_descriptions(class_name: str, description: str, text: str) -> None:
    assert short_description(class_name, description) == text


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert visible("a\x1b[31m\n\u202e\ud800é") == "a\\x1b[31m\\n\\u202e\\ud800é"


def test_width_and_clip() -> None:
    assert (width("abc"), width("模型"), width("e\u0301")) == (3, 4, 1)
    assert clip("abcdef", 4) == "abc…" and clip("模型模型", 5) == "模型…" and clip("abc", 3) == "abc"
