"""What somebody looks for in the gallery, and how the index is asked for it."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from typing import Literal

from vibe.app import App
from vibe.errors import UserError

Sort = Literal["used", "created", "title", "money"]

MAX_QUERY = 200
"""Characters of a query that are looked at."""

UNFINISHED = ("building", "failed", "stopped", "interrupted")
"""States of an app whose last build did not end with a program that runs."""

ORDERS = {
    "used": "used DESC, id DESC",
    "created": "created DESC, id DESC",
    "title": "folded_title, id",
    "money": "money DESC, used DESC",
}

HITS = """
WITH hits (number, rank) AS (
    SELECT rowid, bm25(texts, 10, 5) FROM texts WHERE texts MATCH :named
    UNION ALL SELECT number, 0 FROM apps WHERE instr(folded, :part)
    UNION ALL SELECT rowid, 1 FROM texts WHERE texts MATCH :said)
SELECT number FROM (SELECT number, min(rank) AS best FROM hits GROUP BY number)
JOIN apps USING (number) WHERE problem IS NULL {filters} ORDER BY best, used DESC, id DESC
"""
"""Words by their beginnings in title and idea, best first (bm25 is negative); then what has the
text as it stands (parts of words, and languages without spaces between words); then what has the
words in transcript or code, last used first: ranking those would take most of the time."""

ALL = "SELECT number FROM apps WHERE problem IS NULL {filters} ORDER BY {order}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody looks for; every empty field means: any."""

    words: str = ""
    """Beginnings of words in title, idea, transcript or code, or a part of title, idea or id."""
    kinds: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    """What `state` gives."""
    models: tuple[str, ...] = ()
    kept: bool = False
    """Only apps that are kept for good."""
    used_before: str = ""
    """Only apps whose last use is earlier than that time (as the records write it)."""
    sort: str = "used"
    """One of ORDERS; with words, what fits best comes first instead."""


@dataclass(frozen=True, slots=True)
class Found:
    """Some of the apps that were found, in order."""

    apps: tuple[App, ...]
    total: int
    """How many there are in all."""


def state(app: App) -> str:
    """How an app is, in a word: its verdict's when its last build ended well, else its status."""
    return app.verdict.state if app.status == "ready" and app.verdict else app.status


def numbers(index: sqlite3.Connection, wanted: Wanted) -> list[int]:
    """The rows of all apps that fit, in order. Raises UserError for an unknown order."""
    if wanted.sort not in ORDERS:
        raise UserError(
            f"Apps can't be sorted by {wanted.sort!r}.", "Sort by used, created, title or money."
        )
    filters, values = _filters(wanted)
    words = wanted.words[:MAX_QUERY].encode("utf-8", "replace").decode().replace("\0", " ").strip()
    if not words:
        query = ALL.format(filters=filters, order=ORDERS[wanted.sort])
    else:
        query = HITS.format(filters=filters)
        # FTS5 refuses an empty query; one of an empty text finds nothing.
        match = " ".join(f'"{word}"*' for word in re.findall(r"\w+", words)) or '""'
        values["named"] = f"{{title idea}} : ({match})"
        # A letter alone is in every transcript.
        values["said"] = match if re.search(r"\w\w", words) else '""'
        values["part"] = words.casefold()
    return [number for (number,) in index.execute(query, values)]


def _filters(wanted: Wanted) -> tuple[str, dict[str, str]]:
    """Conditions in SQL, and the values of their parameters."""
    conditions: list[str] = []
    values: dict[str, str] = {}
    for column, allowed in (
        ("kind", wanted.kinds),
        ("state", wanted.states),
        ("model", wanted.models),
    ):
        names = {f"{column}{place}": value for place, value in enumerate(allowed)}
        if names:
            conditions.append(f"AND {column} IN ({', '.join(f':{name}' for name in names)})")
            values |= names
    if wanted.kept:
        conditions.append("AND keep")
    if wanted.used_before:
        conditions.append("AND used < :used_before")
        values["used_before"] = wanted.used_before
    return " ".join(conditions), values
