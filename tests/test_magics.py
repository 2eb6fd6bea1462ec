"""%t2m_analyze in a real IPython shell: reading the line, showing once, brief errors, completion."""

from __future__ import annotations

import pytest
import torch
from IPython.utils.capture import capture_output
from torch import nn

from t2m_notebook.errors import BadExample
from t2m_notebook.magic_line import split_words
from tests.shell_cells import completions, run


class Scaled(nn.Module):
    """Takes positional and keyword inputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x, scale=None):
        y = self.linear(x)
        return y if scale is None else y * scale


@pytest.fixture
def ip(shell):
    shell.reset(new_session=False)
    shell.user_ns.update(torch=torch, nn=nn, Scaled=Scaled, model=Scaled().eval(), x=torch.ones(2, 4),
                         scale=torch.ones(3))
    return shell


def shown(captured) -> int:
    """How many trees are on the page."""
    on_page = sum("text/html" in output.data for output in captured.outputs)
    return captured.stdout.count("parameters") + on_page


# ---------------------------------------------------------------------------- reading the line


@pytest.mark.parametrize(("line", "words"), [
    ("model x", ["model", "x"]),
    ("  model   x ", ["model", "x"]),
    ("model, x, mask=m", ["model", "x", "mask=m"]),
    ("model torch.randn(1, 3, 64, 64)", ["model", "torch.randn(1, 3, 64, 64)"]),
    ("net['the head'] x[:, 0] {'a': [1, 2]}", ["net['the head']", "x[:, 0]", "{'a': [1, 2]}"]),
    ("model (x + 1) mask=(m if m else None)", ["model", "(x + 1)", "mask=(m if m else None)"]),
    (r"model 'it\'s )' " + '"""a " b"""', ["model", r"'it\'s )'", '"""a " b"""']),
    ("model *args **kwargs", ["model", "*args", "**kwargs"]),
    ("", []),
])
def test_a_line_is_cut_outside_brackets_and_quotes(line, words):
    assert split_words(line) == words


@pytest.mark.parametrize(("line", "message"), [
    ("model f(x", "A ) is missing"), ("model x)", "There is a ) too many"),
    ("model [x)", "There is a ) too many"),
    ("model 'x", "A string isn't closed")])
def test_a_line_that_cannot_be_cut_says_why(line, message):
    with pytest.raises(BadExample, match=message.replace(")", r"\)")):
        split_words(line)


@pytest.mark.parametrize("line", [
    "model x", "model, x", "model (x + 1) scale=scale", "model x scale=scale*2", "Scaled() torch.randn(5, 4)",
    "model *(x,)", "model *[x] **{'scale': scale}", "model x[:, :] scale=None",
    "nn.Sequential(nn.Linear(4, 2)) x", "model x --debug"])
def test_any_expression_of_the_namespace(ip, line):
    captured, _ = run(ip, f"report = %t2m_analyze {line}")
    assert ip.user_ns["report"].tree.calls == 1
    assert shown(captured) == 1


def test_without_inputs_the_structure_is_shown(ip):
    run(ip, "report = %t2m_analyze model")
    assert ip.user_ns["report"].report.from_structure
    run(ip, "report = %t2m_analyze model x --structure")
    assert ip.user_ns["report"].report.from_structure


def test_local_variables_of_a_function_are_seen(ip):
    run(ip, "def look():\n    inner, y = Scaled(), x\n    result = %t2m_analyze inner y\n    return result\n"
            "report = look()")
    assert ip.user_ns["report"].tree.class_name == "Scaled"


def test_braces_and_dollars_are_the_users(ip):
    ip.user_ns["table"] = {"x": ip.user_ns["x"]}
    run(ip, "report = %t2m_analyze model **{'x': table['x']}")
    assert ip.user_ns["report"].tree.calls == 1


# -------------------------------------------------------------------------------- showing once


@pytest.mark.parametrize("cell", [
    "%t2m_analyze model x", "report = %t2m_analyze model x", "%t2m_analyze model x\ny = 1",
    "if True:\n    %t2m_analyze model x"])
def test_the_tree_is_displayed_once(ip, cell):
    captured, _ = run(ip, cell)
    assert shown(captured) == 1


def test_the_value_is_the_cells_value_too(ip):
    _, result = run(ip, "%t2m_analyze model x")
    assert result.result.tree.class_name == "Scaled"
    assert ip.user_ns["_"] is result.result


def test_asking_again_shows_again(ip):
    run(ip, "report = %t2m_analyze model x")
    for _ in range(2):
        captured, _ = run(ip, "report")
        assert shown(captured) == 1
    captured, _ = run(ip, "%t2m_analyze model x\n%t2m_analyze model x")
    assert shown(captured) == 2


def test_loading_twice_changes_nothing(ip):
    before = len(ip.Completer.custom_matchers), len(ip.events.callbacks["post_run_cell"])
    run(ip, "%load_ext t2m_notebook")
    run(ip, "%reload_ext t2m_notebook")
    assert (len(ip.Completer.custom_matchers), len(ip.events.callbacks["post_run_cell"])) == before
    captured, _ = run(ip, "%t2m_analyze model x")
    assert shown(captured) == 1


def test_help(ip):
    captured, result = run(ip, "%t2m_analyze --help")
    assert "keyword inputs" in captured.stdout and "--debug" in captured.stdout
    assert result.result is None


# -------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(("line", "message"), [
    ("", "Say which model"),
    ("3", "3 is an int"),
    ("Scaled x", "Scaled is the class itself, not an instance"),
    ("x model", "x is a Tensor"),
    ("modle x", "name 'modle' is not defined. Did you mean model?"),
    ("model x + 1", "Put an expression with spaces in brackets"),
    ("model (x", "A ) is missing"),
    ("model 1/0", "1/0 raised ZeroDivisionError: division by zero"),
    ("model torch.randn(2, 5)", "linear"),
    ("model x wrong=x", "wrong"),
    ("model x scale=x scale=x", "scale= is given twice"),
    ("model scale=scale x", "stands after scale="),
    ("model **x", "**x needs a dict"),
    ("model x --debgu", "did you mean --debug?"),
])
def test_a_mistake_gets_one_message_without_a_traceback(ip, line, message):
    captured, result = run(ip, f"%t2m_analyze {line}", succeeds=False)
    text = captured.stdout + captured.stderr
    assert message in text
    assert "Traceback" not in text and "t2m_notebook/magics" not in text
    assert not captured.outputs


def test_debug_shows_the_traceback(ip):
    captured, _ = run(ip, "%t2m_analyze 3 --debug", succeeds=False)
    assert "Traceback" in captured.stdout + captured.stderr


def test_a_failing_cell_stops_and_can_be_caught(ip):
    run(ip, "%t2m_analyze 3\nreached = True", succeeds=False)
    assert "reached" not in ip.user_ns
    run(ip, "from t2m_notebook.errors import NotAModule\ntry:\n    %t2m_analyze 3\n"
            "except NotAModule as error:\n    message = str(error)")
    assert "3 is an int" in ip.user_ns["message"]


# ---------------------------------------------------------------------------------- completion


@pytest.mark.parametrize(("line", "expected"), [
    ("%t2m_analyze mo", "%t2m_analyze model"),
    ("report = %t2m_analyze mo", "report = %t2m_analyze model"),
    ("%t2m_analyze model sc", "%t2m_analyze model scale"),
    ("%t2m_analyze model scale=sc", "%t2m_analyze model scale=scale"),
    ("%t2m_analyze model.lin", "%t2m_analyze model.linear"),
    ("%t2m_analyze model --str", "%t2m_analyze model --structure"),
    ("%t2m_ana", "%t2m_analyze"),
])
def test_tab_completes(ip, line, expected):
    assert expected in completions(ip, line)


def test_tab_offers_models_first(ip):
    assert completions(ip, "%t2m_analyze ") == ["%t2m_analyze model"]


def test_tab_elsewhere_is_left_alone(ip):
    assert "model.linear" in completions(ip, "model.lin")


def test_progress_is_replaced_by_the_result(monkeypatch):
    from t2m_notebook import progress

    monkeypatch.setattr(progress, "SHOW_AFTER", 0)
    monkeypatch.setattr(progress, "REFRESH_EVERY", 0)
    with capture_output() as captured, progress.PageProgress() as bar:
        bar("recording", 1, 3)
        bar("recording <b>", 2, 3)
        bar.show([({"text/plain": "7"}, {}), ({"text/plain": "8"}, {})])
    bundles = [output.data for output in captured.outputs]
    assert bundles[0]["text/plain"] == "Recording 1/3" and "<progress" in bundles[0]["text/html"]
    assert "&lt;b&gt;" in bundles[1]["text/html"]
    assert bundles[2:] == [{"text/plain": "7"}, {"text/plain": "8"}]
