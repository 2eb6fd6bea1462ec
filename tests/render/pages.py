"""Reads a fragment of HTML strictly, for tests of what a view says."""

from __future__ import annotations

from html.parser import HTMLParser

_VOID = {"br"}


class Page(HTMLParser):
    """Fails on tags that don't match; collects text, tags and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.deepest = 0
        self.feed(html)
        self.close()
        assert not self.stack, f"not closed: {self.stack}"

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.attributes.update(name for name, _ in attributes)
        if tag not in _VOID:
            self.stack.append(tag)
        self.deepest = max(self.deepest, len(self.stack))

    def handle_endtag(self, tag) -> None:
        assert self.stack and self.stack.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data) -> None:
        if not self.stack or self.stack[-1] != "style":
            self.text.append(data)


def text_of(html: str) -> str:
    """What the fragment says, with runs of spaces made one."""
    return " ".join("".join(Page(html).text).split())
