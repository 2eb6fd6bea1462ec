"""What the health and memory views say: escaped, balanced HTML, one line a sentence, the same words everywhere."""

from __future__ import annotations

import dataclasses

import pytest

from t2m_notebook.render.health import headroom_text, health_html, health_text, row_status, sections, verdict
from t2m_notebook.render.memory import memory_html, memory_text
from t2m_notebook.types import SourceLocation, Status
from t2m_notebook.types.health import ABSORBED, BAD, INTENDED, Finding, HealthReport, Ranges, TensorHealth
from t2m_notebook.types.memory import KeyValueCache, MemoryPart, MemoryReport, ModuleMemory, Precision, Scaling
from tests.render.pages import Page, text_of

HOSTILE = "</style><script>alert(1)</script>&\x1b[31m"
PLACE = SourceLocation("/home/x/model.py", 12, 12, 4, 20)


def health(name: str = "Net") -> HealthReport:
    bad = Ranges("result", (2, 3), "float16", -1.0, 6e4, nan=2, zeros=1, denormals=1, count=6, headroom=65504 / 6e4)
    findings = (Finding("forward", "torch.log", "NaN", BAD, f"layer.{name}", "Linear", name, PLACE, "Log of 0 is −Inf.",
                        (bad,), (bad,), reached="the model's result"),
                Finding("forward", "torch.full", "−Inf", INTENDED), Finding("forward", "torch.exp", "+Inf", ABSORBED),
                Finding("backward", "LogBackward0", "+Inf", BAD, forward_operation="torch.log"))
    rows = (TensorHealth("forward", "torch.log", name, bad, name, PLACE, verdict=BAD),
            TensorHealth("checkpoint", "t2m.checkpoint", "", bad, mark=name))
    return HealthReport(name, "torch", ("forward",), findings, rows, rows[:1], rows[1:], (name,), 3, mlx=HealthReport(
        name, "mlx", findings=findings[:1]))


def memory(name: str = "Net") -> MemoryReport:
    parts = tuple(MemoryPart(mode, kind, size, size, name, name) for mode in ("inference", "training")
                  for kind, size in (("parameters", 2048), ("gradients", 1024), ("peak", 8192)))
    return MemoryReport(name, "torch", parts, (ModuleMemory(name, name, ("float32",), 2048, 512, 256, 1),),
                        {"float32": 256}, (Precision("int4", 300, 4.5, name),),
                        (Scaling("batch", "peak of inference", (1, 2), (10, 20), (0.0, 10.0, 0.0)),),
                        KeyValueCache(64, 2, name), {"active": 5}, "AdamW", "cpu", 64, 2, 3, (name,))


@pytest.mark.parametrize("made", [health_html(health(HOSTILE)), memory_html(memory(HOSTILE))])
def test_html_is_escaped_and_balanced(made: str) -> None:
    page = Page(made)
    assert "script" not in page.tags and "alert(1)" in text_of(made)
    assert not any(name.startswith("on") for name in page.attributes)


@pytest.mark.parametrize("made", [health_text(health(HOSTILE)), memory_text(memory(HOSTILE))])
def test_text_is_printable(made: str) -> None:
    assert all(line.isprintable() for line in made.split("\n"))


def test_the_verdict_and_its_words() -> None:
    report = health()
    assert verdict(report) == (Status.DIVERGES, "3 sources of NaN or Inf")
    assert verdict(HealthReport("Net", "torch")) == (Status.PROVEN, "no NaN, no Inf")
    assert report.first.text == "torch.log made NaN at model.py:12, in layer.Net: Net. Log of 0 is −Inf."
    for said in (health_text(report), text_of(health_html(report))):
        for words in ("first in the forward pass", "On purpose", "nothing came of it", "LogBackward0", "Denormal",
                      "went in: result 2×3 float16", "2 NaN"):
            assert words.lower() in " ".join(said.lower().split())


def test_headroom() -> None:
    assert [headroom_text(n) for n in (None, 1.09, 512.0, 2.5e30)] == ["", "×1.1", "×512", "×10³⁰"]
    near = TensorHealth("forward", "f", "", Ranges("", (1,), "float16", 0, 6e4, headroom=1.09))
    assert row_status(near) is Status.PARTIAL and near.close


def test_memory_says_measured_and_predicted() -> None:
    said = memory_text(memory())
    for words in ("measured", "predicted", "2.0 KB", "int4", "4,096 tokens", "160 B at 16"):
        assert words in said
    assert HealthReport.from_json(health().to_json()) == health()
    assert MemoryReport.from_json(memory().to_json()) == memory()


def test_checkpoints_say_where_and_what() -> None:
    good = Ranges("hidden", (2, 4), "float32", -1.0, 2.0, count=8)
    bad = dataclasses.replace(good, nan=3)
    rows = tuple(TensorHealth("checkpoint", "t2m.checkpoint", f"blocks.{k}", values, mark="hidden",
                              verdict="" if values.finite else BAD) for k, values in enumerate((good, bad)))
    (title, status, lines), = sections(HealthReport("Net", "mlx", checkpoints=rows))
    assert title == "Checkpoints" and status is Status.DIVERGES and lines == [
        "hidden in blocks.0: 2×4 float32, -1 to 2", "hidden in blocks.1: 2×4 float32, -1 to 2, 3 NaN"]
    assert next(s for s in sections(HealthReport("Net", "mlx", checkpoints=rows[:1])))[1] is Status.PROVEN
