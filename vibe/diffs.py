"""A unified diff as its files, with what happened to each in words and numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_PATH = re.compile(r"^(?:---|\+\+\+) (?:[ab]/)?(.*)$")


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a diff."""

    path: str
    what: Literal["changed", "new", "gone", "not shown"]
    """`not shown`: binary, or too long to compare."""
    added: int
    removed: int
    text: str
    """Its hunks, each line with its sign: `+`, `-` or a space."""

    @property
    def words(self) -> str:
        """`app.py: new file, 12 lines added`."""
        if self.what == "not shown":
            return f"{self.path}: differs, but is binary or too long to show"
        kind = {"new": "new file", "gone": "deleted"}.get(self.what, "")
        added = f"{_lines(self.added)} added" if self.added else ""
        removed = f"{_lines(self.removed)} removed" if self.removed else ""
        happened = ", ".join(filter(None, (kind, added, removed)))
        return f"{self.path}: {happened or 'no line changed'}"


def file_changes(diff: str) -> list[FileChange]:
    """The files of a diff as `Archive.diff` gives it. Never raises: what isn't understood is left
    out. Lines end at newlines only, since code may hold any other line separator."""
    found: list[FileChange] = []
    lines: list[str] = []
    for line in [*diff.split("\n"), "diff --git "]:
        if line.startswith(("diff --git ", "Large files differ: ")):
            if change := _change(lines):
                found.append(change)
            lines = []
        lines.append(line)
    return found


def _change(lines: list[str]) -> FileChange | None:
    if not lines:
        return None
    first = lines[0]
    if first.startswith("Large files differ: "):
        path = first.removeprefix("Large files differ: ")
        return FileChange(path, "not shown", 0, 0, "")
    start = next((n for n, line in enumerate(lines) if line.startswith("@@ ")), len(lines))
    head, body = lines[:start], lines[start:]
    while body and not body[-1]:
        body.pop()
    sides = {line[:3]: m[1] for line in head if (m := _PATH.match(line))}
    old, new = sides.get("---", ""), sides.get("+++", "")
    if "/dev/null" in (old, new):
        what: Literal["changed", "new", "gone"] = "new" if old == "/dev/null" else "gone"
    else:
        what = "changed"
        if any(line.startswith("new file mode") for line in head):
            what = "new"
        elif any(line.startswith("deleted file mode") for line in head):
            what = "gone"
    path = next((side for side in (new, old) if side and side != "/dev/null"), "")
    if not path:
        named = re.fullmatch(r"diff --git (?:a/)?(.+) (?:b/)?(.+)", first)
        if not named:
            return None
        path = named[2].removeprefix("b/") if named[2] != "/dev/null" else named[1]
    if any(line.startswith("Binary files ") for line in head):
        return FileChange(path, "not shown", 0, 0, "")
    added = sum(line.startswith("+") for line in body)
    removed = sum(line.startswith("-") for line in body)
    return FileChange(path, what, added, removed, "\n".join(body))


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"
