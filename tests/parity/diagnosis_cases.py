"""A planted bug is found, named and mended; a right class is never accused."""

from __future__ import annotations

import math
import time

import pytest

from t2m_notebook.parity.diagnosis import Case, Finding, Outcome, diagnose
from t2m_notebook.parity.diagnosis.baseline import GENERATED
from t2m_notebook.session import Port, port
from tests import zoo

from .by_hand import RIGHT, WRONG
from .harness import bench, findings, run
from .planted_bugs import PLANTED, planted


def mended(found, name: str, wrong: str, kinds: tuple[str, ...], given: list[Finding]) -> None:
    """The first finding has one of the kinds; every finding makes the class equal and says so in whole lines."""
    assert given, f"nothing found for\n{wrong}"
    assert given[0].kind in kinds, given
    assert len(given) <= 3
    for finding in given:
        lines = wrong.split("\n")[finding.line - 1:finding.end_line]
        assert finding.before == "\n".join(lines) and finding.before and finding.after
        assert finding.message and "\n" not in finding.message
        outcome = run(found, name, finding.apply(wrong))
        assert outcome.ok and outcome.difference == finding.difference


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_beside_the_generated_class(bug):
    model, name, _, _, kinds = PLANTED[bug]
    found = bench(model)
    wrong = planted(bug, found.generated[name])
    assert not run(found, name, wrong).ok, "the bug changes nothing on this example"
    mended(found, name, wrong, kinds, findings(found, name, wrong))


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_from_the_text_alone(bug):
    model, name, _, _, kinds = PLANTED[bug]
    found = bench(model)
    wrong = planted(bug, found.generated[name])
    mended(found, name, wrong, kinds, findings(found, name, wrong, baseline=False))


@pytest.mark.parametrize(("model", "name"), RIGHT, ids=lambda text: text)
def test_a_right_class_is_never_accused(model, name):
    found = bench(model)
    assert run(found, name, RIGHT[model, name]).ok
    assert findings(found, name, RIGHT[model, name]) == []
    assert findings(found, name, RIGHT[model, name], baseline=False) == []


@pytest.mark.parametrize("model", ["bert", "llama", "unet", "nanogpt", "pictures"])
def test_no_generated_class_is_accused(model):
    found = bench(model)
    for name, source in found.generated.items():
        if name in found.checks:
            assert findings(found, name, source) == [], name


@pytest.mark.parametrize(("model", "name", "right", "wrong", "kinds"), WRONG)
def test_a_bug_in_a_class_of_ones_own_is_found(model, name, right, wrong, kinds):
    found = bench(model)
    source = RIGHT[model, name]
    assert right in source
    bad = source.replace(right, wrong, 1)
    assert not run(found, name, bad).ok, "the bug changes nothing on this example"
    mended(found, name, bad, kinds, findings(found, name, bad))


def test_the_line_is_looked_at_first():
    found = bench("turned")
    source = found.generated["Turned"]
    bad = source.replace("x1 = k[..., : k", "x1 = k[..., 1 : 1 + k")
    line = bad[:bad.index("1 : 1 + k")].count("\n") + 1
    given = findings(found, "Turned", bad, baseline=False, line=line)
    assert given and given[0].line <= line <= given[0].end_line


def test_two_faults_are_mended_together():
    found = bench("bert")
    source = found.generated["BertSelfOutput"]
    bad = source.replace("hidden_states_2 + input_tensor", "hidden_states_2 - input_tensor").replace("1e-12", "1e-2")
    given = findings(found, "BertSelfOutput", bad)
    mended(found, "BertSelfOutput", bad, ("epsilon and operator",), given)
    free = findings(found, "BertSelfOutput", bad, baseline=False)
    mended(found, "BertSelfOutput", bad, ("operator and epsilon", "epsilon and operator"), free)


def test_a_fault_without_a_name_is_put_back_from_the_generated_class():
    found = bench("nanogpt")
    source = found.generated["GPTBlock"]
    bad = source.replace("weights = mx.softmax(scores, axis=-1)", "weights = (scores > 0) * self.mask[0, 0, 0, 0]")
    given = findings(found, "GPTBlock", bad)
    mended(found, "GPTBlock", bad, (GENERATED,), given)
    assert "mx.softmax(scores, axis=-1)" in given[0].after
    assert findings(found, "GPTBlock", bad, baseline=False, seconds=1) == []


def test_the_rest_of_the_text_stays_as_typed():
    found = bench("bert")
    bad = '''
class   BertPooler( nn.Module ) :  # mine
  def __init__(self):
    super().__init__();  self.dense = nn.Linear(32,32)   # ünïcödé ✓
  def __call__( self, h ):
        # take the first
        first = h[:, 1]  # ← here
        return mx.tanh( self.dense( first ) )
'''
    given = findings(found, "BertPooler", bad)
    assert given[0].apply(bad) == bad.replace("h[:, 1]", "h[:, 0]") and given[0].line == given[0].end_line == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "class",
        "class Other: pass",
        "class C:\n    pass",
        "class C(nn.Module):\n    def __call__(self, *a, **k): ...",
        "class C:\n    def __call__(self, x):\n        while x:\n            x = x - 1\n        return x",
        "class C:\n    def __call__(self, x): return f'{x!r:>{3}}' if (y := x) else lambda *a, b=1, **k: (yield)",
        "class C:\n    x: int = 3\n    async def __call__(self, /, x, *, y=2):\n        async with x as z, y: await z\n"
        "        match x:\n            case [1, *_]: del x[::2], y\n"
    "        try: pass\n        except* ValueError: raise\n",
        "class C:\n    def __call__(self): return self.a.T @ self.b[..., None]"
    ".reshape().swapaxes(*x).split()(1)[0](x=1, **k)",
        "\ufeffclass C:\n\tdef __call__(self, x):\r\n\t\treturn x.transpose().mean(axis=())"
    " + mx.pad(x, []) + mx.einsum('a')",
        "class C:\n" + "    x = " + "(" * 150 + "1" + ")" * 150,
        "class C:\n    x = 1\0",
        "class C:\n    def f(self): " + "-" * 3000 + "1",
    ],
)
def test_odd_source_is_no_matter(text):
    def fails(source: str) -> Outcome:
        return Outcome(False, math.inf, None, "no")

    for baseline in ("", "class C:\n    def __call__(self, x):\n        return x", "(", text):
        assert diagnose(Case(text, "C", baseline, 3, fails), 1.0) == []


def test_a_run_that_raises_is_an_answer():
    def raises(source: str) -> Outcome:
        raise ValueError("no such thing")

    assert diagnose(Case("class C:\n    def f(self, x):\n        return x + 1", "C", "", None, raises), 1.0) == []


def test_the_time_is_kept():
    runs = []

    def slow(source: str) -> Outcome:
        runs.append(source)
        time.sleep(0.02)
        return Outcome(False, 1.0, 0.1)

    source = bench("llama").generated["LlamaAttention"]
    assert diagnose(Case(source.replace("axis=-1", "axis=1"), "LlamaAttention", source, None, slow), 0.5) == []
    assert len(runs) <= 26  # half a second holds no more of them, and there are hundreds to try


def test_a_number_that_only_just_passes_is_not_the_first_choice():
    """Inside the tolerance by a nudge is worth less than equal."""
    def judge(source: str) -> Outcome:
        if "eps=1e-06" in source:
            return Outcome(True, 0.09, 0.1)
        return Outcome("eps=1e-12" in source, 1e-7 if "eps=1e-12" in source else 1.0, 0.1)

    source = (
        "class C:\n    def __init__(self):\n        self.n = nn.LayerNorm(4, eps=1e-05)\n    def __call__(self, x):\n"
        "        return self.n(x)"
    )
    given = diagnose(Case(source, "C", "", None, judge), 20.0)
    assert given[0].after.strip() == "self.n = nn.LayerNorm(4, eps=1e-12)"


@pytest.fixture(scope="module")
def edited():
    """A port to edit, in its own live worker."""
    made: Port = port(*zoo.build("bert"))
    yield made
    made.close()


@pytest.mark.parametrize("bug", [
    "epsilon of a LayerNorm", "mask inverted", "residual left out", "heads not put back", "second token for the first",
    "another activation"])
def test_the_report_of_an_edit_has_the_diagnosis(edited, bug):
    _, name, _, _, kinds = PLANTED[bug]
    right = edited.cells[name].source
    report = edited.edit(name, planted(bug, right))
    assert not report.ok and any(kind in report.diagnosis for kind in kinds), report.diagnosis
    assert name in report.first_divergence
    assert edited.edit(name, right).ok


def test_the_fix_of_a_check_makes_the_class_equal(edited):
    right = edited.cells["BertSelfAttention"].source
    check = edited.check("BertSelfAttention", planted("heads not exchanged everywhere", right))
    assert check.state != "proven" and check.fixes
    fix = check.fixes[0]
    finding = Finding(fix.kind, fix.message, fix.line, fix.end_line, fix.before, fix.after, fix.difference)
    assert edited.check("BertSelfAttention", finding.apply(edited.cells["BertSelfAttention"].source)).ok
    assert edited.edit("BertSelfAttention", right).ok
