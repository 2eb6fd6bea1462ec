"""The support table is as new as the rules; `make table` writes it."""

from __future__ import annotations

import re

from tests.rules import table


def test_the_table_is_fresh():
    text = table.TABLE.read_text(encoding="utf-8")
    assert f"<!-- digest: {table.digest()} -->" in text, "tutorials/support.md is stale: run `make table`"


def test_every_rule_is_listed():
    listed = set(re.findall(r"^\| (\S+) \|", table.TABLE.read_text(encoding="utf-8"), re.MULTILINE))
    missing = [name for name in table.registered() if name not in listed and table.spec_name(name) not in listed]
    assert not missing, f"run `make table`: {missing[:10]}"


def test_the_sections_are_there_and_nothing_is_missing():
    text = table.TABLE.read_text(encoding="utf-8")
    titles = re.findall(r"^## (\w+)", text, re.MULTILINE)
    assert titles == ["Layers", "Operations", "Optimizers", "Schedulers", "Initialisers", "Dtypes"]
    assert "| missing |" not in text and "see the test" not in text


def test_emitted_text_reads_well():
    source = "def replayed(v0, v3):\n    v3 = v3\n    v4 = mx.softmax(v0 + v3, axis=-1)\n    return [v4]"
    assert table.readable(source) == "mx.softmax(x + y, axis=-1)"
