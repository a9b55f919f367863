"""Search/replace blocks and unified diffs, applied to a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_START = re.compile(r"\s*<{5,9}\s*(?:SEARCH|ORIGINAL|HEAD|OLD|FIND|BEFORE)\b", re.IGNORECASE)
_DIVIDER = re.compile(r"\s*={5,9}\s*")
_END = re.compile(r"\s*>{5,9}\s*(?:REPLACE|UPDATED|NEW|AFTER|HEAD)?\b[^\n]*", re.IGNORECASE)
_HUNK = re.compile(r"@@.*@@|@@\s*")

_COMPARED_LINES = 4000
"""Lines of a file that are searched for the ones closest to a block that doesn't fit."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines to find and the lines to put in their place."""

    search: tuple[str, ...]
    replace: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """A file after its edits: block numbers (from 1) by what came of them."""

    text: str
    applied: tuple[int, ...]
    already: tuple[int, ...]
    """What they ask for is in the file before they are applied."""
    failed: tuple[tuple[int, str], ...]
    """Block number and why it can't be applied."""
    closest: tuple[str, ...]
    """The lines of the file that are most like the first blocks that are not in it."""
    loosely: tuple[int, ...]
    """Applied where the white space differed."""


def is_start(line: str) -> bool:
    return "<<<<<" in line[:200] and bool(_START.match(line))


def is_end(line: str) -> bool:
    return ">>>>>" in line[:200] and bool(_END.fullmatch(line))


def has_edits(text: str) -> bool:
    return any(is_start(line) for line in text.split("\n"))


def edits_in(text: str, *, closed: bool) -> tuple[Edit, ...]:
    """The search/replace blocks of a text. The last one may lack its end line if the fence was
    `closed`; a block that was cut off is left out."""
    edits: list[Edit] = []
    search: list[str] = []
    new: list[str] | None = None
    inside = False
    for line in text.rstrip("\n").split("\n"):
        if not inside:
            if is_start(line):
                inside, search, new = True, [], None
        elif new is None:
            if _DIVIDER.fullmatch(line):
                new = []
            else:
                search.append(line)
        elif is_end(line):
            edits.append(Edit(tuple(search), tuple(new)))
            inside = False
        elif is_start(line):
            edits.append(Edit(tuple(search), tuple(new)))
            search, new = [], None
        else:
            new.append(line)
    if inside and closed and new is not None:
        edits.append(Edit(tuple(search), tuple(new)))
    return tuple(edits)


def is_diff(text: str, language: str) -> bool:
    """Whether a block is a unified diff, or code in which every line is marked as added."""
    lines = [line for line in text.split("\n") if line.strip()]
    if language in ("diff", "patch", "udiff"):
        return any(line[0] in "+-" for line in lines)
    if any(_HUNK.match(line) for line in lines[:4]):
        return True
    return len(lines) > 1 and all(line.startswith("+") for line in lines)


def diff_edits(text: str) -> tuple[Edit, ...]:
    """A unified diff as edits, a hunk each; line numbers are not looked at."""
    hunks: list[tuple[list[str], list[str]]] = [([], [])]
    header = True
    for line in text.rstrip("\n").split("\n"):
        if _HUNK.match(line):
            hunks.append(([], []))
            header = False
        elif header and re.match(r"(---|\+\+\+|diff |index |new file)", line):
            continue
        elif line.startswith("+"):
            hunks[-1][1].append(line[1:])
        elif line.startswith("-"):
            hunks[-1][0].append(line[1:])
        elif not line.startswith("\\"):
            same = line.removeprefix(" ")
            hunks[-1][0].append(same)
            hunks[-1][1].append(same)
    return tuple(Edit(tuple(old), tuple(new)) for old, new in hunks if old != new)


def diff_path(text: str) -> str | None:
    """The path in a diff's header."""
    found = re.search(r"^\+\+\+ (?:b/)?([^\s]{1,400})", text, re.MULTILINE)
    return found[1] if found and found[1] != "/dev/null" else None


def apply(text: str, edits: Sequence[Edit]) -> Result:
    """The text after the edits, each where its lines are found exactly, else where they are
    found (once) with white space left out of account."""
    applied: list[int] = []
    already: list[int] = []
    failed: list[tuple[int, str]] = []
    closest: list[str] = []
    loosely: list[int] = []
    for number, edit in enumerate(edits, 1):
        if not any(line.strip() for line in edit.search):
            if text.strip():
                failed.append((number, "its SEARCH part is empty"))
            else:
                text = "\n".join(edit.replace) + "\n"
                applied.append(number)
            continue
        lines = text.removesuffix("\n").split("\n")
        places, exact = _places(lines, edit.search)
        if len(places) == 1:
            first, last = places[0]
            new = edit.replace if exact else _indented(lines[first:last], edit)
            text = "\n".join([*lines[:first], *new, *lines[last:]]) + "\n"
            applied.append(number)
            if not exact:
                loosely.append(number)
        elif places:
            failed.append((number, f"its SEARCH lines are in the file {len(places)} times or more"))
        elif _is_there(lines, edit.replace):
            already.append(number)
        else:
            if len(failed) < 2 and (near := _closest(lines, edit.search)):
                closest.append(near)
            failed.append((number, "its SEARCH lines are not in the file"))
    return Result(
        text, tuple(applied), tuple(already), tuple(failed), tuple(closest), tuple(loosely)
    )


def _places(lines: list[str], search: Sequence[str]) -> tuple[list[tuple[int, int]], bool]:
    """Where the lines are (at most two places, as line ranges), and whether exactly so."""
    found = _found(lines, list(search))
    if found:
        return found, True
    trimmed = list(search)
    while trimmed and not trimmed[0].strip():
        trimmed.pop(0)
    while trimmed and not trimmed[-1].strip():
        trimmed.pop()
    for loose in (str.rstrip, lambda line: " ".join(line.split())):
        found = _found([loose(line) for line in lines], [loose(line) for line in trimmed])
        if found:
            return found, False
    return [], False


def _found(lines: list[str], search: list[str]) -> list[tuple[int, int]]:
    text = "\n" + "\n".join(lines) + "\n"
    wanted = "\n" + "\n".join(search) + "\n"
    places: list[tuple[int, int]] = []
    at = text.find(wanted)
    while at >= 0 and len(places) < 2:
        first = text.count("\n", 0, at)
        places.append((first, first + len(search)))
        at = text.find(wanted, at + 1)
    return places


def _indented(found: Sequence[str], edit: Edit) -> list[str]:
    """The new lines, shifted as the found ones are against those that were searched."""
    there = next((line for line in found if line.strip()), "")
    asked = next((line for line in edit.search if line.strip()), "")
    here = there[: len(there) - len(there.lstrip())]
    said = asked[: len(asked) - len(asked.lstrip())]
    if here.startswith(said):
        more = here.removeprefix(said)
        return [more + line if line.strip() else line for line in edit.replace]
    if said.startswith(here):
        less = said.removeprefix(here)
        return [line.removeprefix(less) for line in edit.replace]
    return list(edit.replace)


def _is_there(lines: list[str], new: Sequence[str]) -> bool:
    wanted = [line.strip() for line in new if line.strip()]
    if len("".join(wanted)) < 10:
        return False
    return bool(_found([line.strip() for line in lines if line.strip()], wanted))


def _closest(lines: list[str], search: Sequence[str]) -> str:
    """The lines of the file around the one most like the longest line that was searched."""
    anchor = max((line.strip() for line in search), key=len)[:200]
    matcher = SequenceMatcher(b=anchor, autojunk=False)
    best, where = 0.0, -1
    for number, line in enumerate(lines[:_COMPARED_LINES]):
        matcher.set_seq1(line.strip()[:200])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            best, where = matcher.quick_ratio(), number
    if best < 0.5:
        return ""
    return "\n".join(line[:200] for line in lines[max(0, where - 2) : where + 4])
