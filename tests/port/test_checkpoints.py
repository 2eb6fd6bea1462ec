"""Checkpoints go out of source that is saved; everything else stays to the character."""

from __future__ import annotations

import pytest

from t2m_notebook.port.checkpoints import checkpoint_names, remove_checkpoints


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('y = t2m.checkpoint(x @ w, "a")  # scores\n', "y = x @ w  # scores\n"),
        ('y = t2m.checkpoint(a + b, "a") * 2\n', "y = (a + b) * 2\n"),
        ('y = f(checkpoint(a + b, name="a"), 1)\n', "y = f(a + b, 1)\n"),
        ('y = t2m_notebook.checkpoint(x=f(x), name="a").T\n', "y = f(x).T\n"),
        ('return_ = t2m.checkpoint(t2m.checkpoint(x, "a") + 1, "b")\n', "return_ = x + 1\n"),
        ('if a:\n    t2m.checkpoint(a, "a")\n', "if a:\n    pass\n"),
        ('t2m.checkpoint(a, "a"); b = 1\n', "b = 1\n"),
        (
            'import t2m_notebook as t2m\nimport mlx.core as mx\ny = t2m.checkpoint(mx.exp(x), "a")\n',
            "import mlx.core as mx\ny = mx.exp(x)\n",
        ),
        ('from t2m_notebook import checkpoint as look\ny = look(x, "a")\n', "y = x\n"),
        (
            'import t2m_notebook as t2m\nt2m.checkpoint(x, "a")\nt2m.health(m)\n',
            "import t2m_notebook as t2m\nt2m.health(m)\n",
        ),
        ('y = t2m.checkpoint((a, b)[0], "a")\n', "y = (a, b)[0]\n"),
        ('y = -t2m.checkpoint(a - b, "a") ** 2\n', "y = -(a - b) ** 2\n"),
    ],
)
def test_removed(before: str, after: str) -> None:
    assert remove_checkpoints(before) == after


@pytest.mark.parametrize(
    "source",
    [
        "from torch.utils.checkpoint import checkpoint\ny = checkpoint(f, x)\n",
        "def checkpoint(x, name):\n    return x\n\ny = checkpoint(x, 'a')\n",
        "y = other.checkpoint(x, 'a')\n",
        "# t2m.checkpoint in a comment\nx = 'checkpoint(x, 1)'\n",
        "y = checkpoint(*args)\n",
        "broken = (",
    ],
)
def test_left_alone(source: str) -> None:
    if source != "broken = (":
        assert remove_checkpoints(source) == source
    else:
        assert remove_checkpoints(source) == source  # nothing of ours in it: not even read


def test_a_class_with_checkpoints_still_computes_the_same() -> None:
    source = (
        'class A:\n    def run(self, x):\n        y = t2m.checkpoint(x + 1, "y")\n        for i in range(3):\n'
        '            y = t2m.checkpoint(y * i, "loop") + t2m.checkpoint(x, "x")\n'
        '        return t2m.checkpoint(y - 1, "r")\n'
    )

    class Identity:
        checkpoint = staticmethod(lambda x, name: x)

    names: list[dict] = [{"t2m": Identity}, {}]
    exec(source, names[0])
    exec(remove_checkpoints(source), names[1])
    assert "checkpoint" not in remove_checkpoints(source)
    assert names[0]["A"]().run(5) == names[1]["A"]().run(5)


@pytest.mark.parametrize(("text", "names"), [
    ('y = t2m.checkpoint(t2m.checkpoint(x, "a"), name="b") + checkpoint(x, "a")\n', ("b", "a")),
    ('import t2m_notebook as look\ny = look.checkpoint(x, "attn" ".scores")\n', ("attn.scores",)),
    ('y = t2m.checkpoint(x, f"layer{i}")\nz = t2m.checkpoint(x, "")\n', ("checkpoint",)),
    ("y = other.checkpoint(x, 'a')  # t2m.checkpoint(x, 'b')\n", ()),
    ("def f(:\n    checkpoint(x, 'a')\n", ()), ("y = x\n", ())])
def test_names(text: str, names: tuple) -> None:
    assert checkpoint_names(text) == names
