"""Joins a reply that was cut off and what the model sent when asked to go on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vibe.claims import claim_on_fence
from vibe.fences import Block, blocks, tidy
from vibe.naming import is_python

_OVERLAP = 4000
"""Characters at the cut that are compared with the beginning of the continuation."""
_REPEATED_LINES = 60
_SAME_TEXT = 20
"""Characters in the middle of a line that are more likely repeated than the same by chance."""
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})([^`]*)$")


def join(previous: str, continuation: str) -> str:
    """The reply as it would be had it not been cut.

    What the continuation repeats (the last line, the last lines, the whole file, the whole reply)
    is there once; a fence that it opens again for the same file, and what it says before it, is
    left out.
    """
    previous, continuation = tidy(previous), tidy(continuation)
    if not continuation.strip():
        return previous
    found = blocks(previous, whole=False)
    if not found or found[-1].closed:
        return _after_overlap(previous, continuation)
    open_block = found[-1]
    lines = previous.split("\n")
    head = "\n".join(lines[: open_block.line]) + "\n" if open_block.line else ""
    fence = lines[open_block.line]
    body = "\n".join(lines[open_block.line + 1 :])
    reopened, other, more = _without_opening(continuation, open_block)
    if other or _same_beginning(previous.split("\n"), continuation.split("\n")):
        return _restarted(previous, continuation, head, body)
    if _same_beginning(body.split("\n"), more.split("\n")):
        return f"{head}{fence}\n{more}"
    marks = _FENCE.match(fence)
    closing = marks[1] if marks else ""
    return f"{head}{fence}\n{_body(body, more, open_block, closing, reopened)}"


def _restarted(previous: str, continuation: str, head: str, body: str) -> str:
    """The continuation begins another file, or the reply from its beginning."""
    if _same_beginning(previous.split("\n"), continuation.split("\n")):
        return continuation
    marks = _FENCE.match(previous[len(head) :].partition("\n")[0])
    closing = marks[1] if marks else "</file>"
    if not body.strip():
        return head + continuation
    return f"{previous.rstrip()}\n{closing}\n\n{continuation}"


def _without_opening(continuation: str, open_block: Block) -> tuple[bool, bool, str]:
    """Whether the continuation opens the fence again; whether it opens one for another file
    instead; and its text from there on."""
    lines = continuation.split("\n")
    for number, line in enumerate(lines[:8]):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if number and not _is_talk(lines[:number]):
            break
        claim = claim_on_fence(fence[2][:400])
        if claim.path and open_block.path and claim.path != open_block.path:
            return False, True, continuation
        later = [later for later in lines[number + 1 :] if _FENCE.match(later)]
        closes = not fence[2].strip() and not (later and not later[0].strip("`~ \t"))
        if closes:
            break
        return True, False, "\n".join(lines[number + 1 :])
    return False, False, continuation


def _is_talk(lines: Sequence[str]) -> bool:
    """Whether the lines before a fence are said to the reader: one sentence, then a blank line or
    a colon."""
    said = [line for line in lines if line.strip()]
    if not said:
        return True
    first = re.match(r"[A-Z*#][\w'’ ,*`./-]*[:.!…*]*$", said[0].strip())  # noqa: RUF001 as models write it
    return len(said) <= 2 and first is not None and " " in said[0].strip()


def _same_beginning(old: Sequence[str], new: Sequence[str]) -> bool:
    """Whether two texts begin with the same lines of code, so that one restarts the other."""
    before = [line.strip() for line in old[:40] if line.strip()][:3]
    after = [line.strip() for line in new[:40] if line.strip()][:3]
    return len(before) == 3 and before == after and len("".join(before)) >= 12


def _body(body: str, more: str, block: Block, closing: str, reopened: bool) -> str:
    """The file's text: the cut one and the continuation, with what both have left out once."""
    repeated = _after_overlap(body, more)
    if len(repeated) < len(body) + len(more):
        return repeated
    complete, newline, cut = body.rpartition("\n")
    lined = f"{body}\n{more}"
    cut_back = f"{complete}{newline}{more}"
    tries = [body + more, lined, cut_back]
    if reopened and cut and not cut.strip():
        tries = [cut_back]
    if block.language in ("python", "py") or (block.path or "").endswith(".py"):
        for text in tries:
            code, closed, _ = text.rpartition(f"\n{closing}") if closing else (text, "", "")
            if closed and is_python(code):
                return text
    return tries[0]


def _after_overlap(previous: str, continuation: str) -> str:
    """Both texts, without the part at the end of the first that begins the second."""
    complete, newline, cut = previous.rpartition("\n")
    lines, new = complete.split("\n") if newline else [], continuation.split("\n")
    while new and not new[0].strip():
        new.pop(0)
    stripped = [line.strip() for line in lines[-_REPEATED_LINES:]]
    for count in range(min(len(stripped), len(new) - 1), 0, -1):
        again = stripped[-count:]
        is_same = again == [line.strip() for line in new[:count]]
        few = 16 if count == 1 and not cut.strip() else 8
        if not is_same or len("".join(again) + cut.strip()) < few:
            continue
        if new[count].strip().startswith(cut.strip()):
            indent = cut[: len(cut) - len(cut.lstrip())]
            rest = "\n".join(new[count:])
            if indent and cut.strip():
                rest = indent + rest.lstrip(" \t")
            return f"{complete}{newline}{rest}"
    indent = cut[: len(cut) - len(cut.lstrip())]
    first = new[0] if new else ""
    enough = 12 if continuation.startswith("\n") else 3
    begins_again = first.strip().startswith(cut.strip()) and len(cut.strip()) >= enough
    if begins_again or (indent and cut.strip() and first.startswith(cut)):
        return f"{complete}{newline}{indent}" + "\n".join(new).lstrip(" \t")
    tail = previous[-_OVERLAP:]
    for length in range(min(len(tail), len(continuation)), _SAME_TEXT - 1, -1):
        same = continuation[:length]
        if tail.endswith(same) and len(same.strip()) >= _SAME_TEXT:
            return previous + continuation[length:]
    return previous + continuation
