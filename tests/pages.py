"""Read pages as tests do: what holds of every page is checked whenever one is read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

REMOTE = re.compile(
    r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:|//|ftp:|file:)|@import|url\(""", re.IGNORECASE
)
VOID = {"img", "meta", "br", "link"}


class Nesting(HTMLParser):
    """Whether every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs) -> None:
        self.scripts += tag == "script" or any(name.startswith("on") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(folder: Path) -> str:
    """The page of a folder, checked for what holds of every page."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    parser = Nesting()
    parser.feed(text)
    assert parser.open == []
    assert parser.scripts == 0
    assert not REMOTE.search(text)
    assert 'name="viewport"' in text
    assert "default-src 'none'" in text
    return text
