"""What an app is called before its plan gives it a title."""

from __future__ import annotations

import re
import unicodedata

_FILLERS = {
    "a", "an", "and", "app", "application", "build", "can", "create", "for", "i", "in", "into",
    "like", "make", "me", "my", "need", "of", "on", "please", "program", "script", "show", "simple",
    "small", "some", "that", "the", "to", "tool", "want", "which", "with", "would", "write", "you",
}  # fmt: skip


def slug(idea: str) -> str:
    """The idea's first telling words in ASCII, for a folder's name: `tip-calculator`.

    At most 40 characters of a-z, 0-9 and inner hyphens; `app` when nothing is left.
    """
    plain = unicodedata.normalize("NFKD", idea[:2000].casefold()).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain)
    telling = [word for word in words if word not in _FILLERS]
    return "-".join((telling or words)[:3])[:40].strip("-") or "app"


def title(idea: str) -> str:
    """The idea's beginning on one line of at most 62 characters."""
    line = " ".join(idea.split())
    return line if len(line) <= 60 else line[:60].rsplit(" ", 1)[0] + " …"
