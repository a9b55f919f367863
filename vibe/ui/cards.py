"""The cards of the gallery."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

from vibe.app import App
from vibe.ui.asking import ask
from vibe.ui.bridge import Bridge
from vibe.ui.words import ICONS, age, count, kind_title, plain, short, state

ASSETS = Path(__file__).parent / "assets"

MENU = {
    "Transcript": ":material/receipt_long: Transcript",
    "Export": ":material/ios_share: Export",
    "Discard": ":material/delete: Discard",
}


def card(bridge: Bridge, app: App, open_dialog: Callable[[str, App], None]) -> None:
    """One app: picture, title, how it is, and what can be done with it."""
    word, colour = state(app)
    title = app.title or short(app.idea, 60)
    with st.container(border=True, height="stretch", key=f"card-{app.id}"):
        st.image(_picture(bridge, app), width="stretch", alt=f"{title}, {word.lower()}")
        if st.button(f"**{plain(short(title, 40))}**", type="tertiary", key=f"open-{app.id}"):
            st.switch_page("screens/build.py", query_params={"app": app.id})
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(word, color=colour, icon=ICONS[colour])
            st.caption(kind_title(app.kind) if app.kind != "auto" else "", width="content")
        revisions = count(len(app.revisions), "revision")
        st.caption(f"{revisions} · {age(app.used or app.created)}")
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
        discard(bridge, app)
    elif chosen:
        open_dialog(chosen, app)


def discard(bridge: Bridge, app: App) -> None:
    """Moves it to the trash at once; the row on top undoes it."""
    if ask(partial(bridge.discard, app.id)):
        st.session_state["discarded"] = (app.id, app.title or short(app.idea, 60))
    st.rerun()


def undo_row(bridge: Bridge) -> None:
    """`Discarded 'X' · Undo`, until something else is discarded or the page is reloaded."""
    app_id, title = st.session_state.get("discarded", ("", ""))
    if not app_id:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(f"Discarded '{title}'", width="content")
        if st.button("Undo", icon=":material/undo:", key="undo"):
            ask(partial(bridge.restore, app_id))
            del st.session_state["discarded"]
            st.rerun()


def trash_row(bridge: Bridge, app: App, purge: Callable[[Bridge, App], None]) -> None:
    """One discarded app, with the way back and the way out."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.text(app.title or short(app.idea, 60), width="content")
        st.caption(f"discarded {age(app.discarded or app.used)}", width="content")
        st.space("stretch")
        if st.button("Restore", icon=":material/restore_from_trash:", key=f"restore-{app.id}"):
            ask(partial(bridge.restore, app.id))
            st.session_state.pop("discarded", None)
            st.rerun()
        if st.button("Delete for good", icon=":material/delete_forever:", key=f"purge-{app.id}"):
            purge(bridge, app)


def _open(bridge: Bridge, app: App) -> None:
    runs = app.status != "building" and bool(app.revisions)
    label = "Run again" if runs else "Open"
    icon = ":material/play_arrow:" if runs else ":material/arrow_forward:"
    if st.button(label, icon=icon, key=f"run-{app.id}"):
        if runs:
            st.session_state["run_at_once"] = app.id
        st.switch_page("screens/build.py", query_params={"app": app.id})


def _picture(bridge: Bridge, app: App) -> str:
    thumb = bridge.archive.root / app.id / "thumb.webp"
    if thumb.is_file():
        return str(thumb)
    name = app.kind if (ASSETS / f"{app.kind}.svg").is_file() else "web"
    return str(ASSETS / f"{name}.svg")
