"""The cards of the gallery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import streamlit as st

from vibe.app import App
from vibe.expiry import days_left
from vibe.ui import network
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.pictures import address
from vibe.ui.words import (
    ICONS,
    age,
    count,
    days_in_words,
    kind_title,
    money,
    plain,
    short,
    state,
)

ASSETS = Path(__file__).parent / "assets"

MENU = {
    network.LABEL: ":material/lan: Network",
    "Duplicate": ":material/content_copy: Duplicate",
    "Transcript": ":material/receipt_long: Transcript",
    "Export": ":material/ios_share: Export",
    "Discard": ":material/delete: Discard",
}


SOON = 3
"""Days before it goes in which a card says so in orange."""


def card(
    bridge: Bridge, app: App, open_dialog: Callable[[str, App], None], *, select: bool = False
) -> None:
    """One app: picture, title, how it is, and what can be done with it; `select` adds a box to
    tick."""
    word, colour = state(app)
    title = app.title or short(app.idea, 60)
    with st.container(border=True, height="stretch", gap="xsmall", key=f"card-{app.id}"):
        if select:
            st.checkbox(f"Select {plain(short(title, 40))}", key=f"select-{app.id}")
        st.image(picture(bridge, app), width="stretch", alt=f"{title}, {word.lower()}")
        if st.button(f"**{plain(short(title, 40))}**", type="tertiary", key=f"open-{app.id}"):
            st.switch_page("screens/build.py", query_params={"app": app.id})
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(word, color=colour, icon=ICONS[colour])
            st.caption(kind_title(app.kind) if app.kind != "auto" else "", width="content")
        seen = f"seen working {age(app.seen)}" if app.seen else age(app.used or app.created)
        about = [count(len(app.revisions), "revision") if app.revisions else "", seen]
        if app.spent.money:
            about.append(f"cost {money(app.spent.money)}")
        st.caption(" · ".join(part for part in about if part))
        if app.hosts:
            st.caption(f":material/lan: {plain(network.words(app))}")
        _expiry(bridge, app)
        st.space("stretch")
        with st.container(horizontal=True, gap="small"):
            _open(bridge, app)
            chosen = st.menu_button(
                "More",
                list(MENU),
                format_func=MENU.__getitem__,
                key=f"more-{app.id}",
            )
    if chosen == "Discard":
        discard(bridge, [app])
    elif chosen == "Duplicate":
        if copy := ask(partial(bridge.duplicate, app.id)):
            st.session_state["came"] = copy.id
        st.rerun()
    elif chosen:
        open_dialog(chosen, app)


def _expiry(bridge: Bridge, app: App) -> None:
    """When it goes unless it is kept, and the button that keeps it."""
    left = days_left(app, bridge.settings.expiry_days, datetime.now(UTC))
    if left is None and not app.keep:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if app.keep:
            st.caption("Kept", width="content")
        else:
            words = f"Gone {days_in_words(left or 0)} unless kept"
            st.caption(f":orange[{words}]" if (left or 0) <= SOON else words, width="content")
        label, icon = ("Don't keep", "bookmark_remove") if app.keep else ("Keep", "bookmark")
        if st.button(label, type="tertiary", icon=f":material/{icon}:", key=f"keep-{app.id}"):
            ask(partial(bridge.keep, app.id, not app.keep))
            st.rerun()


def discard(bridge: Bridge, apps: list[App]) -> None:
    """Moves them to the trash at once; the row on top undoes it."""
    gone = [app for app in apps if ask(partial(bridge.discard, app.id))]
    if gone:
        name = f"'{gone[0].title or short(gone[0].idea, 60)}'"
        words = name if len(gone) == 1 else count(len(gone), "app")
        st.session_state["discarded"] = ([app.id for app in gone], words)
    st.rerun()


def undo_row(bridge: Bridge) -> None:
    """`Discarded 'X' · Undo`, until something else is discarded or the page is reloaded."""
    app_ids, words = st.session_state.get("discarded", ([], ""))
    if not app_ids:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"Discarded {words}", width="content")
        if st.button("Undo", icon=":material/undo:", key="undo"):
            for app_id in app_ids:
                ask(partial(bridge.restore, app_id))
            del st.session_state["discarded"]
            st.rerun()


def selection(bridge: Bridge, apps: Sequence[App]) -> None:
    """What can be done with the ticked cards of the page at once."""
    ticked = [app for app in apps if st.session_state.get(f"select-{app.id}")]
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"{count(len(ticked), 'app')} selected", width="content")
        every = len(ticked) < len(apps)
        label = "All on this page" if every else "None"
        st.button(label, key="select_all", on_click=partial(_tick, apps, every))
        if st.button("Keep", icon=":material/bookmark:", key="keep_all", disabled=not ticked):
            for app in ticked:
                ask(partial(bridge.keep, app.id))
            st.rerun()
        if st.button("Discard", icon=":material/delete:", key="discard_all", disabled=not ticked):
            discard(bridge, ticked)


def _tick(apps: Sequence[App], every: bool) -> None:
    for app in apps:
        st.session_state[f"select-{app.id}"] = every


def _open(bridge: Bridge, app: App) -> None:
    runs = app.status != "building" and bool(app.revisions)
    label = "Run again" if runs else "Open"
    icon = ":material/play_arrow:" if runs else ":material/arrow_forward:"
    if st.button(label, icon=icon, key=f"run-{app.id}"):
        if runs:
            st.session_state["run_at_once"] = app.id
        st.switch_page("screens/build.py", query_params={"app": app.id})


def picture(bridge: Bridge, app: App) -> str:
    """What is shown for an app: how it looked, or a drawing of its kind (a path of ours)."""
    if thumb := bridge.archive.thumb(app.id):
        return address(thumb)
    name = app.kind if (ASSETS / f"{app.kind}.svg").is_file() else "web"
    return str(ASSETS / f"{name}.svg")
