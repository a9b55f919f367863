"""Which apps the gallery shows, and in which order."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from vibe.app import App
from vibe.archive import Archive

PAGE = 24
"""Cards on one page."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search left."""

    apps: tuple[App, ...]

    @property
    def pages(self) -> int:
        return -(-len(self.apps) // PAGE)


SORTS = {"Last used": "used", "Newest": "created", "Title": "title"}
"""How the orders are called, here and in the archive."""


def choose(archive: Archive, query: str, wanted: Set[str], sort: str, *, trash: bool) -> Found:
    """The apps of the gallery (or the trash) that match; no `wanted` kinds means all of them.

    What a query finds comes best first, the rest in the order of `sort`."""
    query = query.strip()
    if trash:
        words = query.casefold().split()
        apps = [
            app
            for app in archive.trash()
            if all(word in f"{app.title} {app.idea}".casefold() for word in words)
        ]
    else:
        apps = archive.search(query) if query else archive.list(sort=SORTS.get(sort, "used"))
    return Found(tuple(app for app in apps if not wanted or app.kind in wanted))
