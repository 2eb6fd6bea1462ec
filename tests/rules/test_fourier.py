"""Fourier transforms."""

import pytest
import torch

from tests.rules.op_checks import check
from tests.rules.replay import replay

pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says about its own samples
NAMES = [f"fft.{prefix}{kind}" for kind in ("fft", "fft2", "fftn") for prefix in ("", "i", "h", "ih", "r", "ir")]
NAMES += ["fft.fftshift", "fft.ifftshift", "stft", "istft"]
EXCEPTIONS = {"stft": "refused: window", "istft": ""}
# istft: complex results are refused; torch differentiates the window's envelope, MLX does not


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64"])
@pytest.mark.parametrize("name", NAMES)
def test_samples(name, dtype):
    check(name, dtype, exceptions=EXCEPTIONS, seconds=0.7)


@pytest.mark.parametrize("arguments", [
    {}, {"hop_length": 8}, {"hop_length": 5, "win_length": 20}, {"center": False}, {"normalized": True},
    {"pad_mode": "constant"}, {"pad_mode": "replicate"}, {"onesided": False}])
@pytest.mark.parametrize("windowed", [True, False])
def test_short_time_transform(arguments, windowed):
    x, window = torch.randn(2, 200, requires_grad=True), torch.hann_window(arguments.get("win_length", 32))

    def function(x, window):
        return torch.stft(x, 32, window=window if windowed else None, return_complex=True, **arguments)

    outcome = replay(function, (x, window), also=((torch.randn(1, 120), window),))
    assert outcome.kind == "matched", outcome


@pytest.mark.parametrize("arguments", [{}, {"length": 190}, {"normalized": True}])
def test_there_and_back(arguments):
    x, window = torch.randn(2, 200, requires_grad=True), torch.hann_window(32)

    def function(x, window):
        normalized = arguments.get("normalized", False)
        spectrum = torch.stft(x, 32, 8, window=window, return_complex=True, normalized=normalized)
        return torch.istft(spectrum, 32, 8, window=window, **arguments)

    outcome = replay(function, (x, window))
    assert outcome.kind == "matched" and outcome.gradients == "matched", outcome


def test_frequencies():
    assert replay(lambda: (torch.fft.fftfreq(7, 0.5), torch.fft.rfftfreq(8))).kind == "matched"
