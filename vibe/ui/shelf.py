"""Which apps the gallery shows, and in which order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import streamlit as st

from vibe.app import App
from vibe.archive import Archive
from vibe.finding import UNFINISHED, Wanted
from vibe.ui.words import kind_names, kind_title, plain

PAGE = 24
"""Cards on one page."""

SORTS = {"Last used": "used", "Newest": "created", "Title": "title", "Cost": "money"}
"""How the orders are called, here and in the archive."""

STATES: dict[str, tuple[str, ...]] = {
    "Works": ("works",),
    "Partly works": ("partly",),
    "Broken": ("broken",),
    "Not verified": ("unverified",),
    "Not finished": UNFINISHED,
}
"""How the verdicts are called, and the states they stand for."""


@dataclass(frozen=True, slots=True)
class Page:
    """What the page shows of what was found."""

    apps: tuple[App, ...]
    total: int
    narrowed: bool
    """Whether words or filters left something out."""

    @property
    def pages(self) -> int:
        return -(-self.total // PAGE)


def asked(query: str, sort: str, models: Collection[str]) -> Wanted:
    """Draws the filters; what is looked for. The same words as the archive's, or nothing."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        kinds = st.pills("Kind", kind_names(), selection_mode="multi", key="kinds",
                         bind="query-params", format_func=kind_title,
                         label_visibility="collapsed", width="content", wrap=True)  # fmt: skip
        verdicts = st.pills("Verdict", list(STATES), selection_mode="multi", key="verdicts",
                            bind="query-params", label_visibility="collapsed",
                            width="content", wrap=True)  # fmt: skip
        chosen = None
        if len(models) > 1:
            chosen = st.selectbox("Model", list(models), index=None, key="model",
                                  placeholder="Any model", label_visibility="collapsed",
                                  format_func=plain, width=140)  # fmt: skip
        kept = st.toggle("Kept", key="kept", bind="query-params", help="Only apps you keep.")
    return Wanted(
        words=query.strip(),
        kinds=tuple(kinds),
        states=tuple(state for verdict in verdicts for state in STATES[verdict]),
        models=(chosen,) if chosen else (),
        kept=bool(kept),
        sort=SORTS.get(sort, "used"),
    )


def clear() -> None:
    """Has the page show every app from the first on; before any of its widgets is drawn."""
    st.session_state["q"] = ""
    st.session_state["kinds"] = st.session_state["verdicts"] = []
    st.session_state["model"] = None
    st.session_state["kept"] = st.session_state["trash"] = False
    st.session_state["page"] = 1


def choose(archive: Archive, wanted: Wanted, number: int) -> Page:
    """That page (from 1) of the apps that fit; the last one when there are fewer."""
    narrowed = wanted != Wanted(sort=wanted.sort)
    found = archive.find(wanted, first=(number - 1) * PAGE, most=PAGE)
    if not found.apps and found.total:
        last = -(-found.total // PAGE)
        found = archive.find(wanted, first=(last - 1) * PAGE, most=PAGE)
    return Page(found.apps, found.total, narrowed)


def discarded(archive: Archive, query: str) -> list[App]:
    """The apps in the trash with all the words in their title or idea."""
    words = query.casefold().split()
    return [
        app
        for app in archive.trash()
        if all(word in f"{app.title} {app.idea}".casefold() for word in words)
    ]
