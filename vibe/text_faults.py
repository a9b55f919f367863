"""Finds what is wrong with an app's files before they run, as far as their text tells."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vibe.markup import Markup

CODE = (".py", ".html", ".htm", ".css", ".js")
_FENCE = re.compile(r"(?:```|~~~)[\w =./-]*$")
_TALK = re.compile(
    r"(?:sure|certainly|of course|here(?:'s| is| are)|below is|let me know|i(?:'ve| have) |i hope"
    r"|this (?:is the|code|file|version|implementation)|the (?:following|above|complete) "
    r"|note that|you can now|feel free|explanation)\b",
    re.I,
)
_OPENING = re.compile(r"\{([%{#])")
_CLOSING = {"%": "%}", "{": "}}", "#": "#}"}


def text_faults(files: Mapping[str, str], entry: str) -> list[str]:
    """A sentence for each fault: a missing entry, a model's words, a page that is not whole."""
    faults = [] if entry in files else [f"{entry} is missing."]
    for path, text in files.items():
        if not path.endswith(CODE):
            continue
        if not path.endswith(".py"):  # Python's own compiler tells these with their place
            faults += [f"{path}, {fault}" for fault in _leftovers(path, text)]
        if path.endswith((".html", ".htm")):
            faults += [f"{path}: {fault}" for fault in page_faults(text)]
    return faults


def _leftovers(path: str, text: str) -> list[str]:
    """Fences and prose around the code, with their lines."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line]
    ends = {*lines[:1], *lines[-1:]}
    page = path.endswith((".html", ".htm"))
    quoting = page and re.search(r"<(?:pre|textarea|code)\b", text, re.I)
    found = [
        f"line {number}: a Markdown fence is left in the file: {line[:60]}"
        for number, line in lines
        if _FENCE.match(line) and ((number, line) in ends or not quoting)
    ]
    return (
        found
        + [
            f"line {number}: there are words in it that are no code: {line[:60]}"
            for number, line in lines
            if (number, line) in ends and _TALK.match(line)
        ]
    )[:3]


class _Page(Markup):
    """Which elements that must be closed are still open at the end of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.closed: set[str] = set()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag in ("script", "style", "title", "textarea"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.closed.add(tag)
        if tag in self.open:
            self.open.reverse()
            self.open.remove(tag)
            self.open.reverse()

    def handle_data(self, data: str) -> None:
        before = "html" not in self.seen and "body" not in self.seen
        if data.strip() and (before or "html" in self.closed):
            self.outside.append(data.strip())


def _without_templates(text: str) -> str:
    """The text without Jinja's marks and what is between them, in linear time."""
    parts, place = [], 0
    last = {mark: text.rfind(end) for mark, end in _CLOSING.items()}
    while opened := _OPENING.search(text, place):
        mark, start = opened[1], opened.start()
        if last[mark] < opened.end():  # never closed, so it is text; the next brace may begin one
            parts.append(text[place : start + 1])
            place = start + 1
        else:
            parts.append(text[place:start])
            place = text.index(_CLOSING[mark], opened.end()) + 2
    return "".join([*parts, text[place:]])


def page_faults(text: str) -> list[str]:
    """What is structurally wrong with a page; browsers skip an unclosed <script> in silence."""
    rest = _without_templates(text)
    template = len(rest) < len(text)
    page = _Page()
    page.feed(rest)
    faults = [
        f"<{tag}> is never closed."
        for tag in ("script", "style", "title", "textarea")
        if tag in page.open
    ]
    if not page.seen and not template:
        faults.append("there is no HTML element in it.")
    if text.count("<!--") > text.count("-->") and "<!--" in text.rpartition("-->")[2]:
        faults.append("a comment (<!--) is never closed.")
    whole = "html" in page.seen and not template
    if whole and not faults and "body" in page.seen and not page.closed & {"body", "html"}:
        faults.append("it ends before </body>, so a part of it is missing.")
    if "html" in page.seen and page.outside:
        faults.append(f"there is text outside the page: {page.outside[0][:60]!r}.")
    return faults
