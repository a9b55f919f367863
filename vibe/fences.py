"""The fenced blocks of a reply, each with the path that it claims."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from vibe.claims import Claim, claim_before, claim_in_comment, claim_on_fence, file_tag, fits
from vibe.edits import is_end, is_start

_OPENING = re.compile(r"([ \t>\u200b]*(?:(?:[-*+]|\d{1,3}[.)])[ \t]+)?)(`{3,}|~{3,})(.*)$")
_THINKING = re.compile(r"\s*<(think|thinking|thought|reasoning)>", re.IGNORECASE)
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_QUOTES = re.compile(r'"""|\'\'\'|#|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|\\.')

_FLAT = {"python", "py", "css", "javascript", "js", "json", "sql"}
"""Languages in which a line with an opening fence can't be code (outside of a string)."""
_MARKDOWN = {"markdown", "md"}


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block (or a `<file>` element, or a bare search/replace block)."""

    path: str | None
    """As it is written in the reply; nobody has checked it."""
    language: str
    """In lower case; empty when the fence names none."""
    text: str
    closed: bool
    surely: bool = True
    """False when the path was only mentioned in the sentence before the fence."""
    line: int = field(default=0, compare=False)
    """Where it starts in the tidied reply."""


def tidy(text: str) -> str:
    """The reply without BOM, CR, surrogates and the thinking whose opening tag was lost."""
    text = text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = text.encode("utf-8", "replace").decode("utf-8")
    at = text.find("</think")
    lost = at >= 0 and "<think" not in text[:at].lower() and text[:at].count("```") % 2 == 0
    if lost and re.match(r"</think(?:ing)?>[ \t]*(?:\n|$)", text[at : at + 200]):
        return text[at:].partition(">")[2]
    return text


def blocks(text: str, *, whole: bool = True) -> list[Block]:
    """Every block of a tidied reply, in order. With `whole` the reply is known to have ended by
    itself, so a block that never closes may be a misread one and is read again less carefully.

    Linear in the length of the text: a growing prefix may be read again and again.
    """
    lines = text.split("\n")
    found = list(_scan(lines, 0, careful=True))
    if whole and found and not found[-1].closed:
        again = list(_scan(lines, found[-1].line, careful=False))
        if again and again[-1].closed:
            return found[:-1] + again
        found[-1] = _without_glued_fence(found[-1])
    return found


def _without_glued_fence(block: Block) -> Block:
    """A closing fence may sit at the end of the last line of code."""
    text = block.text.rstrip()
    if text.endswith("```") and text.count("```") == 1:
        return replace(block, text=text.removesuffix("```") + "\n", closed=True)
    return block


def _scan(lines: Sequence[str], start: int, *, careful: bool) -> Iterator[Block]:
    bare_after = _bare_fences_after(lines)
    number = start
    while number < len(lines):
        line = lines[number]
        if _THINKING.match(line[:200]):
            number = _after_thought(lines, number)
        elif tag := file_tag(line):
            block, number = _element(lines, number, *tag)
            yield block
        elif is_start(line):
            block, number = _bare_edit(lines, number)
            yield block
        elif (opening := _opening(line)) and (number < len(lines) - 1):
            block, number = _Reader(lines, number, opening, bare_after, careful).read()
            yield block
        else:
            number += 1


def _opening(line: str) -> re.Match[str] | None:
    if "```" not in line and "~~~" not in line:
        return None
    opening = _OPENING.match(line)
    return opening if opening and "```" not in opening[3] else None


def _bare_fences_after(lines: Sequence[str]) -> list[int]:
    """For every line, how many fences without any words follow before one that names a path."""
    counts = [0] * (len(lines) + 1)
    for number in range(len(lines) - 1, -1, -1):
        opening = _opening(lines[number])
        if opening is None:
            counts[number] = counts[number + 1]
        elif not opening[3].strip():
            counts[number] = counts[number + 1] + 1
        elif claim_on_fence(opening[3][:400]).path:
            counts[number] = 0
        else:
            counts[number] = counts[number + 1]
    return counts


def _after_thought(lines: Sequence[str], start: int) -> int:
    for number in range(start, len(lines)):
        if _THOUGHT.search(lines[number]):
            return number + 1
    return len(lines)


def _element(lines: Sequence[str], start: int, tag: str, path: str, rest: str) -> tuple[Block, int]:
    """A file between tags: <file path="app.py"> … </file>."""
    end = f"</{tag.lower()}>"
    content: list[str] = []
    for number in range(start, len(lines)):
        line = rest if number == start else lines[number]
        at = line.lower().rfind(end)
        content.append(line[:at] if at >= 0 else line)
        if at >= 0 or (number + 1 < len(lines) and file_tag(lines[number + 1])):
            text = "\n".join(content).strip("\n") + "\n"
            return Block(path, "", text, closed=True, line=start), number + 1
    return Block(path, "", "\n".join(content).lstrip("\n"), closed=False, line=start), len(lines)


def _bare_edit(lines: Sequence[str], start: int) -> tuple[Block, int]:
    """A search/replace block outside of any fence."""
    claim = claim_before(lines, start)
    for number in range(start, len(lines)):
        if is_end(lines[number]):
            text = "\n".join(lines[start : number + 1])
            return Block(claim.path, "", text, closed=True, line=start), number + 1
    return Block(claim.path, "", "\n".join(lines[start:]), closed=False, line=start), len(lines)


class _Reader:
    """Reads one block from its opening fence to the line that closes it."""

    def __init__(
        self,
        lines: Sequence[str],
        start: int,
        opening: re.Match[str],
        bare_after: Sequence[int],
        careful: bool,
    ) -> None:
        self.lines, self.start, self.bare_after, self.careful = lines, start, bare_after, careful
        self.prefix, self.fence = opening[1], opening[2]
        self.claim = claim_on_fence(opening[3][:400])
        if not self.claim.path:
            before = claim_before(lines, start)
            if fits(self.claim.language, before.path):
                self.claim = Claim(before.path, self.claim.language, before.surely)
        path = (self.claim.path or "").lower()
        self.python = self.claim.language in ("python", "py") or path.endswith(".py")
        self.markdown = self.claim.language in _MARKDOWN or path.endswith((".md", ".markdown"))
        self.flat = self.python or self.claim.language in _FLAT

    def read(self) -> tuple[Block, int]:
        depth, quote, editing = 0, "", False
        for number in range(self.start + 1, len(self.lines)):
            line = self.lines[number]
            inner = None if editing or quote else self._fence_in(line)
            if inner is None:
                if self.careful:
                    editing = not is_end(line) if editing else is_start(line)
                    quote = _quote_after(line, quote) if self.python else ""
            elif inner:
                if not self.careful or self.flat:
                    return self._block(number, closed=True), number
                depth += 1
            elif depth == 0 and self.careful and self._opens_another(number):
                depth += 1
            elif depth == 0 or not self.careful:
                return self._block(number, closed=True), number + 1
            else:
                depth -= 1
        return self._block(len(self.lines), closed=False), len(self.lines)

    def _fence_in(self, line: str) -> str | None:
        """The words on a fence of this block's sort; None when the line isn't one."""
        if self.fence not in line:
            return None
        opening = _opening(line)
        if opening is None or not opening[2].startswith(self.fence):
            return None
        return opening[3].strip()

    def _opens_another(self, number: int) -> bool:
        """Whether a fence without words opens a block within a Markdown file."""
        if not self.markdown or not self.lines[number + 1 : number + 2]:
            return False
        following = self.lines[number + 1].strip()
        return bool(following) and self.bare_after[number + 1] >= 2

    def _block(self, end: int, *, closed: bool) -> Block:
        content = [_unquoted(line, self.prefix) for line in self.lines[self.start + 1 : end]]
        indent = self.prefix
        if indent.strip():
            indent = " " * len(indent.replace(">", ""))
        if indent and all(line.startswith(indent) for line in content if line.strip()):
            content = [line[len(indent) :] for line in content]
        text = "\n".join(content) + ("\n" if closed and content else "")
        claim = self.claim
        if not claim.path or not claim.surely:
            named, without = claim_in_comment(text, claim.language)
            if named.path:
                claim, text = named, without
        return Block(claim.path, claim.language, text, closed, claim.surely, self.start)


def _unquoted(line: str, prefix: str) -> str:
    return re.sub(r"^[ \t]*> ?", "", line) if ">" in prefix else line


def _quote_after(line: str, quote: str) -> str:
    """The triple quote that is open after a line of Python, if one is."""
    at = 0
    while True:
        if quote:
            end = line.find(quote, at)
            while end > 0 and line[end - 1] == "\\":
                end = line.find(quote, end + 1)
            if end < 0:
                return quote
            at, quote = end + 3, ""
        token = _QUOTES.search(line, at)
        if token is None or token[0] == "#":
            return ""
        at = token.end()
        if token[0] in ('"""', "'''"):
            quote = token[0]
